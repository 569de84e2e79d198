"""A throw-away issuer: real tokens, keys, introspection, usage reports and change feed, in memory.

It keeps the wire protocol of the authorization server, so that an API is tested as it will run; it has no accounts,
and everything in it ends with the process.
"""

import math
import secrets
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from resource_server.kit.log import ChangeLog
from resource_server.kit.signing import SigningKey

_MAX_USES = 10_000
_REPORT_MEMBERS = {"jti", "at", "count", "method", "route"}


@dataclass(slots=True)
class Issued:
    """One token as the issuer remembers it; instants are seconds UTC."""

    text: str = field(repr=False)
    claims: dict[str, Any]
    kid: str
    last_used: float
    ended_at: int | None = None


class BadRequest(ValueError):
    """A token request is refused; the text is the code."""


class BadReport(ValueError):
    """The usage report is not one."""


class Issuer:
    """The state of the issuer; safe among threads.

    Args:
        url: its issuer identifier.
        audience: of the API that is tested.
        staleness: S, the most seconds that an answer of introspection may be trusted.
        idle_seconds: a token unused for so long is dead.
        alg: algorithm of its keys.
        clock: seconds since the epoch, UTC.
    """

    def __init__(
        self,
        url: str = "",
        audience: str = "https://api.kit.example",
        *,
        staleness: int = 0,
        idle_seconds: int = 1800,
        alg: str = "ES256",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.url, self.audience, self.staleness, self.idle_seconds = url, audience, staleness, idle_seconds
        self.alg, self.clock = alg, clock
        self.api = ("kit-resource-server", "acv_" + secrets.token_urlsafe(30))
        self.client_secret = "acs_" + secrets.token_urlsafe(30)
        self.owner, self.client_id, self.secret_id = "usr_kit", str(uuid.uuid4()), str(uuid.uuid4())
        self.roles: tuple[str, ...] = ("reader", "writer")
        self.role_version, self.epoch = 1, 1
        self.lock = threading.RLock()
        self.active = SigningKey(alg)
        self.keys = {self.active.kid: self.active}
        self.log = ChangeLog(self.lock)
        self.jwks_max_age = 2
        self.issued: dict[str, Issued] = {}
        self._reports: dict[str, dict[str, Any]] = {}

    @property
    def now(self) -> int:
        """Whole seconds UTC."""
        return int(self.clock())

    # --- tokens -------------------------------------------------------------------------

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Claims as the server makes them, with changes; a change to None leaves the claim out."""
        claims = {
            "iss": self.url,
            "aud": self.audience,
            "sub": self.owner,
            "client_id": self.client_id,
            "act": {"sub": self.client_id},
            "scope": " ".join(self.roles),
            "roles": list(self.roles),
            "role_version": self.role_version,
            "iat": self.now,
            "exp": self.now + 3600,
            "jti": secrets.token_urlsafe(16),
            "standing": {"secret": self.secret_id, "credential_version": 1, "epoch": self.epoch},
        }
        claims.update(changed)
        return {name: value for name, value in claims.items() if value is not None}

    def header(self, **changed: Any) -> dict[str, Any]:
        """The header as the server makes it, with changes."""
        return {"typ": "at+jwt", "alg": self.active.alg, "kid": self.active.kid, **changed}

    def mint(self, **changed: Any) -> str:
        """Issue a token."""
        with self.lock:
            claims = self.claims(**changed)
            text = self.active.jws(self.header(), claims)
            self.issued[claims["jti"]] = Issued(text, claims, self.active.kid, claims["iat"])
            return text

    def grant(self, form: dict[str, str]) -> dict[str, Any]:
        """The answer to a token request by client credentials (RFC 6749 §4.4); the client is authenticated already.

        Raises:
            BadRequest: with the code of RFC 6749 §5.2 or RFC 8707 §2.
        """
        if form.get("grant_type") != "client_credentials":
            raise BadRequest("unsupported_grant_type")
        if form.get("resource", self.audience) != self.audience:
            raise BadRequest("invalid_target")
        scope = form.get("scope", " ".join(self.roles))
        if not scope or not set(scope.split()) <= set(self.roles):
            raise BadRequest("invalid_scope")
        text = self.mint(scope=scope, roles=scope.split())
        return {"access_token": text, "token_type": "Bearer", "expires_in": 3600, "scope": scope}

    def state_of(self, token: Issued) -> int | None:
        """When a token ended, or None while it is active; inactive is final."""
        if token.ended_at is None:
            now, claims = self.clock(), token.claims
            ends = self.log.state
            candidates = (
                token.kid not in self.keys,
                claims["role_version"] < self.role_version or claims["standing"]["epoch"] < self.epoch,
                now >= claims["exp"],
                now >= token.last_used + self.idle_seconds,
                claims["client_id"] in ends.ended_credentials or claims["standing"]["secret"] in ends.ended_secrets,
                claims["sub"] in ends.disabled_users,
            )
            if any(candidates):
                token.ended_at = self.now
                self.log.tell("ended_tokens", claims["jti"], claims["exp"])
        return token.ended_at

    # --- what resource servers ask ------------------------------------------------------

    def introspect(self, text: str) -> dict[str, Any]:
        """RFC 7662; an active answer is a use."""
        with self.lock:
            token = next((each for each in self.issued.values() if each.text == text), None)
            if token is None or token.claims["aud"] != self.audience or self.state_of(token) is not None:
                return {"active": False}
            token.last_used = self.clock()
            left = math.floor(token.claims["exp"] - self.clock())
            names = ("iss", "aud", "sub", "client_id", "act", "scope", "roles", "role_version", "iat", "exp", "jti")
            return {
                "active": True,
                "token_type": "Bearer",
                **{name: token.claims[name] for name in names},
                "idle_expires_at": int(token.last_used + self.idle_seconds),
                "lease_seconds": max(0, min(self.staleness, self.idle_seconds, left)),
            }

    def report(self, report: object) -> dict[str, Any]:
        """Take a usage report.

        Raises:
            BadReport: it is malformed.
        """
        if not isinstance(report, dict) or set(report) != {"report_id", "uses"} or not isinstance(report["uses"], list):
            raise BadReport("a report is an object of report_id and uses")
        name, uses = str(uuid.UUID(str(report["report_id"]))), report["uses"]
        if len(uses) > _MAX_USES or not all(isinstance(use, dict) and set(use) == _REPORT_MEMBERS for use in uses):
            raise BadReport("uses is at most 10,000 objects of jti, at, count, method and route")
        if any(not isinstance(use["at"], int) or use["at"] > self.clock() for use in uses):
            raise BadReport("at is a whole second that is not in the future")
        with self.lock:
            if name not in self._reports:
                self._reports[name] = self._count(uses)
            return self._reports[name]

    def _count(self, uses: list[dict[str, Any]]) -> dict[str, Any]:
        accepted, dead = 0, {}
        for use in uses:
            token = self.issued.get(use["jti"])
            if token is None or token.claims["aud"] != self.audience:
                continue
            # A use before the token idled out counts, although it is told later; it never revives what has ended.
            if token.ended_at is None and use["at"] < token.last_used + self.idle_seconds:
                token.last_used = max(token.last_used, use["at"])
                accepted += use["count"]
            ended = self.state_of(token)
            if ended is not None:
                dead[use["jti"]] = ended
        return {"accepted": accepted, "dead": [{"jti": jti, "ended_at": at} for jti, at in dead.items()]}

    def jwks(self) -> dict[str, Any]:
        """The public keys (RFC 7517)."""
        with self.lock:
            return {"keys": [key.jwk for key in self.keys.values()]}

    def changes(self, after: str, wait: float) -> str | None:
        """The change feed as a signed document; raises what ``ChangeLog.since`` raises."""
        document = self.log.since(after, wait)
        with self.lock:
            members = {
                "iss": self.url,
                "aud": self.audience,
                "iat": self.now,
                "epoch": str(self.epoch),
                "as_of": self.now,
                "idle_seconds": self.idle_seconds,
            }
            return self.active.jws(self.header(typ="changes+jwt"), {**members, **document})

    # --- what ends ----------------------------------------------------------------------

    def revoke(self, text: str) -> None:
        """End one token."""
        with self.lock:
            token = next(each for each in self.issued.values() if each.text == text)
            token.ended_at = self.now
            self.log.tell("ended_tokens", token.claims["jti"], token.claims["exp"])

    def change_roles(self) -> None:
        """Raise the role version of the owner."""
        with self.lock:
            self.role_version += 1
            self.log.tell("role_versions", self.owner, self.role_version)

    def end_secret(self, secret_id: str) -> None:
        """End a secret, and with it the tokens it obtained."""
        self.log.tell("ended_secrets", secret_id, self.now)

    def end_credential(self, client_id: str) -> None:
        """Delete a credential."""
        self.log.tell("ended_credentials", client_id, self.now)

    def disable_user(self, sub: str) -> None:
        """Deactivate an owner."""
        self.log.tell("disabled_users", sub, 0)

    def raise_epoch(self) -> None:
        """End all tokens, as after a restore."""
        with self.lock:
            self.epoch += 1
            self.log.tell("epoch", "", self.epoch)

    def announce(self, alg: str = "") -> SigningKey:
        """Publish a new key that does not sign yet."""
        made = SigningKey(alg or self.alg)
        with self.lock:
            self.keys[made.kid] = made
        return made

    def activate(self, key: SigningKey) -> None:
        """Sign with this key from now on."""
        with self.lock:
            self.active = key

    def compromise(self, kid: str) -> None:
        """Withdraw a key at once; its tokens are dead."""
        with self.lock:
            self.keys.pop(kid)
            self.log.tell("removed_keys", kid, 0)

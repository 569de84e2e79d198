"""Tokens that were good once: each way to end, and tokens that must stay alive, in the time that the mode allows."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from resource_server.kit.report import Finding
from resource_server.kit.server import IssuerServer
from resource_server.kit.signing import b64, other_s, parts
from resource_server.kit.target import Reply, Target

_FRESH = "Introspect for each call, or keep an answer no longer than its lease_seconds, or follow the change feed."
_RECOVER = 30.0
_AT_ONCE = 8


@dataclass(slots=True)
class LifecycleChecks:
    """Runs the life cycles of tokens against the API.

    Args:
        target: the API.
        server: the throw-away issuer.
        staleness: S, for how many seconds a dead token may be served.
        idle: idle timeout of the idle checks, in seconds.
        add: takes findings.
    """

    target: Target
    server: IssuerServer
    staleness: int
    idle: int
    add: Callable[[Finding], None]

    @property
    def checks(self) -> dict[str, Callable[[], None]]:
        """The checks by name, in the order in which they must run."""
        return {
            "dead": self.deaths,
            "foreign-audience": self.foreign_audience,
            "not-issued": self.not_issued,
            "old-role-version": self.role_version,
            "rotated": self.rotated,
            "epoch": self.epoch,
            "idle": self.idles_out,
            "unreachable": self.unreachable,
        }

    def deaths(self) -> None:
        """Revoked, expired, and dead with secret, credential or owner; each has a token of its own."""
        issuer = self.server.issuer
        deaths: dict[str, tuple[str, str, Callable[[], None]]] = {}

        def start(name: str, sent: str, end: Callable[[str], None], **claims: object) -> None:
            text = issuer.mint(**claims)
            self._check_alive(name, text)
            deaths[name] = (text, sent, lambda: end(text))

        start("revoked", "a token after its revocation", issuer.revoke)
        start("leased", "another revoked token, which the API had just been told to trust", issuer.revoke)
        start("dead-secret", "a token after the end of the secret that obtained it", lambda _: issuer.end_secret("s-1"),
              standing={"secret": "s-1", "credential_version": 1, "epoch": issuer.epoch})  # fmt: skip
        start("dead-credential", "a token of a deleted credential", lambda _: issuer.end_credential("c-1"),
              client_id="c-1", act={"sub": "c-1"})  # fmt: skip
        start(
            "disabled-owner", "a token of a deactivated owner", lambda _: issuer.disable_user("usr_off"), sub="usr_off"
        )
        start("expired-in-use", "a token that was used until its exp, after it", lambda _: None, exp=issuer.now + 3)
        for text, _, end in deaths.values():
            self._check_alive("leased", text)
            end()
        time.sleep(max(self.staleness + 1, 3))
        for name, (text, sent, _) in deaths.items():
            self._check_dead(name, sent, "RFC 7662 §4 (an answer may be kept only briefly); RFC 7519 §4.1.4", text)
        self._replays(deaths["revoked"][0])

    def _replays(self, text: str) -> None:
        """A dead token again, many times at once and in other spellings."""
        replies: list[Reply] = []
        threads = [
            threading.Thread(target=lambda: replies.append(self.target.call(text)), daemon=True)
            for _ in range(_AT_ONCE)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(self.target.timeout + 5)
        law, sent = "RFC 9700 §2.2; RFC 7009 §2", "a revoked token eight times at once"
        for reply in replies:
            self._judge("replayed", sent, law, reply)
        head, _, _ = text.rpartition(".")
        spellings = [text + "=", text + "!!"]
        if self.server.issuer.active.alg == "ES256":
            spellings.append(f"{head}.{b64(other_s(parts(text)[2]))}")
        for other in spellings:
            self._check_dead(
                "replayed-respelled", "a revoked token in another spelling", "RFC 7515 §2; RFC 8725 §3.3", other
            )

    def foreign_audience(self) -> None:
        """Issued by the right issuer, live, but for another API."""
        text = self.server.issuer.mint(aud="https://other.api.kit.example")
        fix = "Compare aud with this API's own identifier; otherwise any API that gets a token can use it here."
        self._check_dead(
            "foreign-audience", "a live token that was issued for another API", "RFC 9068 §4; RFC 8707 §2", text, fix
        )

    def not_issued(self) -> None:
        """Signed with the right key, never issued: what a thief of the key makes. Only the server can tell."""
        issuer = self.server.issuer
        text = issuer.active.jws(issuer.header(), issuer.claims(sub="usr_thief"))
        sent = "a token made with the stolen signing key, which the server never issued"
        fix = "Use mode exact or leased where a stolen signing key must not be enough."
        self._check_dead("not-issued", sent, "RFC 7662 §2.2", text, fix)

    def role_version(self) -> None:
        """The owner's roles change."""
        issuer = self.server.issuer
        old = issuer.mint()
        self._check_alive("old-role-version", old)
        issuer.change_roles()
        new = issuer.mint()
        self._check_alive("new-role-version", new)
        time.sleep(self.staleness + 1)
        self._check_dead("old-role-version", "a token from before a change of its owner's roles", "RFC 7662 §2.2", old)
        self._check_alive("new-role-version", new)

    def rotated(self) -> None:
        """The signing key changes, first as planned, then in an emergency."""
        issuer = self.server.issuer
        before, old_kid = issuer.mint(), issuer.active.kid
        self._check_alive("rotated-old-key", before)
        new_key = issuer.announce()
        time.sleep(issuer.jwks_max_age + 1)
        self._check_alive("rotated-old-key", issuer.mint())
        issuer.activate(new_key)
        after = issuer.mint()
        fix = "Fetch the key set anew when its max-age is over, and, but rarely, when a token names an unknown kid."
        self._check_alive("rotated-new-key", after, fix)
        self._check_alive("rotated-old-key", before)
        issuer.compromise(old_kid)
        time.sleep(max(self.staleness, issuer.jwks_max_age) + 1)
        sent, drop = (
            "a token signed with a key that was withdrawn",
            "Honour max-age, and drop keys that left the key set.",
        )
        self._check_dead("compromised-key", sent, "RFC 8725 §3.8; RFC 7517 §5", before, drop)
        self._check_alive("rotated-new-key", after, fix)

    def epoch(self) -> None:
        """All tokens end, as after a restore of the server's database."""
        issuer = self.server.issuer
        old = issuer.mint()
        self._check_alive("epoch", old)
        issuer.raise_epoch()
        time.sleep(self.staleness + 1)
        self._check_dead("epoch", "a token from before all tokens were ended", "RFC 7662 §2.2", old)
        self._check_alive("epoch", issuer.mint())

    def idles_out(self) -> None:
        """One token is used all the time, one is not."""
        issuer = self.server.issuer
        before, issuer.idle_seconds = issuer.idle_seconds, self.idle
        try:
            time.sleep(self.staleness + 1)  # so that everybody has learned of the timeout
            used, unused = issuer.mint(), issuer.mint()
            self._check_alive("idle", unused)
            end = time.monotonic() + self.idle + self.staleness + 1
            while time.monotonic() < end:
                self._check_alive(
                    "in-use", used, "Let each use count: introspect within the idle timeout, or report uses."
                )
                time.sleep(self.idle / 6)
            self._check_dead("idle", "a token after the idle timeout without use", "RFC 7662 §4", unused)
        finally:
            issuer.idle_seconds = before

    def unreachable(self) -> None:
        """The server is away for longer than S, then back."""
        issuer = self.server.issuer
        seen, unseen = issuer.mint(), issuer.mint()
        self._check_alive("unreachable", seen)
        with self._outage():
            time.sleep(self.staleness + 2)
            fix = "Fail closed: answer 503 while the truth about a token cannot be read."
            for text in (seen, unseen):
                reply = self.target.call(text)
                if reply.accepted or reply.status in {0, 500}:
                    what = "accepted" if reply.accepted else "crashed"
                    sent = f"a token while the server was away for longer than {self.staleness} s"
                    self.add(Finding("unreachable", what, sent, str(reply), "RFC 7662 §4; RFC 9110 §15.6.4", fix))
        end = time.monotonic() + _RECOVER
        while not (reply := self.target.call(seen)).accepted:
            if time.monotonic() > end:
                sent = f"a live token, {_RECOVER:g} s after the server came back"
                fix = "Try again by itself, with waits that end."
                self.add(Finding("recovered", "refused", sent, str(reply), "RFC 9110 §15.6.4", fix))
                break
            time.sleep(0.2)

    @contextmanager
    def _outage(self) -> Iterator[None]:
        self.server.outage = "close"
        try:
            yield
        finally:
            self.server.outage = None

    def _check_alive(self, name: str, text: str, fix: str = "") -> None:
        reply = self.target.call(text)
        if not reply.accepted:
            sent = f"a live token ({name})"
            fix = fix or "Look into the log of the API: which check refused it?"
            self.add(Finding(name, "refused", sent, str(reply), "RFC 9068 §4; RFC 7662 §2.2", fix))

    def _check_dead(self, name: str, sent: str, law: str, text: str, fix: str = _FRESH) -> None:
        self._judge(name, sent, law, self.target.call(text), fix)

    def _judge(self, name: str, sent: str, law: str, reply: Reply, fix: str = _FRESH) -> None:
        if reply.accepted or reply.broke:
            self.add(Finding(name, "accepted" if reply.accepted else "crashed", sent, str(reply), law, fix))

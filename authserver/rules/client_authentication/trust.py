"""Whose tokens stand for a client: workload identity federation (RFC 7523 §2.2 by the token of another issuer).

A trust names an issuer, an audience and conditions on claims. A condition is the exact value, or a pattern: ``*``
stands for one whole part between ``:`` and ``/``, ``**`` for any number of them. So ``repo:acme/*`` never admits
``acme-evil``. What a token says is judged here; that the issuer signed it is judged elsewhere, and first.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

from authserver.rules.facts import Instant, Span, over

MAX_LIFETIME: Span = 24 * 3600
"""Of a foreign token. It may be used more than once, as a Kubernetes token that a pod reads from a file is, so whoever
copied one could use it until it ends."""

SKEW: Span = 60
"""How far ahead of ours the clock of an issuer may run (RFC 7519 §4.1.4: a few minutes at most)."""

MOST_CONDITIONS: Final = 20
MOST_TEXT: Final = 255
MOST_SETS: Final = 64 * 1024
_LONGEST_VALUE: Final = 1024
_LAST: Final = 2**40
_DEEPEST: Final = 5

_PARTS_BEFORE: Final[Mapping[str, Mapping[str, int]]] = {
    "https://token.actions.githubusercontent.com": {
        "repository": 1, "repository_id": 1, "repository_owner": 1, "repository_owner_id": 1, "job_workflow_ref": 2,
    },
    "https://gitlab.com": {"project_path": 1, "project_id": 1, "namespace_path": 1, "namespace_id": 1},
}  # fmt: skip
"""Claims other than ``sub`` that say whose a token is, at issuers that serve the whole world, and how many parts of
each must be literal before a wildcard."""

_SUBJECT_PARTS: Final = 2
"""The same for ``sub``: its first part mostly names a kind, as ``repo:`` does, and the second whose it is."""

_TYPES: Final = frozenset({"", "jwt", "jose"})
"""Values of ``typ`` of what issuers of workloads sign; no proof, access token or answer has one (RFC 8725 §3.11)."""


@dataclass(frozen=True, slots=True)
class Trust:
    """Which tokens of another issuer stand for a client.

    ``conditions`` are pairs of a claim (a name, or a JSON pointer, RFC 6901) and a value or pattern. ``jwks`` is a JWK
    set for issuers that cannot be reached; else the keys are at ``jwks_uri``, or found by discovery where it is empty.
    With ``once`` each token is good once, and must have a ``jti``.
    """

    issuer: str
    audience: str
    conditions: tuple[tuple[str, str], ...]
    jwks: str = ""
    jwks_uri: str = ""
    once: bool = False

    @property
    def text(self) -> str:
        """As it is kept."""
        members: dict[str, Any] = {"issuer": self.issuer, "audience": self.audience, "claims": dict(self.conditions)}
        for name in ("jwks", "jwks_uri", "once"):
            if getattr(self, name):
                members[name] = getattr(self, name)
        return json.dumps(members, separators=(",", ":"), sort_keys=True)


@dataclass(frozen=True, slots=True)
class PublishedKeys:
    """Where a client publishes its own public keys (``jwks_uri``, RFC 7591 §2), kept where a trust would be."""

    jwks_uri: str

    @property
    def text(self) -> str:
        """As it is kept."""
        return json.dumps({"jwks_uri": self.jwks_uri}, separators=(",", ":"))


class Check(NamedTuple):
    """One condition on a token: what is wanted, what was found, and the reason to refuse it, empty where it holds."""

    name: str
    wanted: str
    found: str
    reason: str


@lru_cache(maxsize=4096)
def trust_of(text: str) -> Trust:
    """Read what ``Trust.text`` made.

    Raises:
        ValueError: a member is unknown or malformed; to pass over a condition would lift it (INV-24).
    """
    members = json.loads(text)
    if not isinstance(members, dict) or members.keys() - {"issuer", "audience", "claims", "jwks", "jwks_uri", "once"}:
        msg = "a trust is not known to this version"
        raise ValueError(msg)
    try:
        return Trust(
            members["issuer"],
            members["audience"],
            tuple(sorted(members["claims"].items())),
            members.get("jwks", ""),
            members.get("jwks_uri", ""),
            members.get("once", False),
        )
    except (KeyError, AttributeError) as error:
        msg = "a trust is malformed"
        raise ValueError(msg) from error


@lru_cache(maxsize=1024)
def published_keys_of(text: str) -> PublishedKeys | None:
    """Read what ``PublishedKeys.text`` made; None for anything else, a trust or what a newer version wrote."""
    members = json.loads(text)
    is_one = isinstance(members, dict) and members.keys() == {"jwks_uri"}
    return PublishedKeys(members["jwks_uri"]) if is_one else None


def made_published_keys(uri: str) -> PublishedKeys:
    """Make one of what somebody typed.

    Raises:
        ValueError: the text says what to write instead.
    """
    fault = address_fault(uri)
    if fault:
        raise ValueError(fault)
    return PublishedKeys(uri)


def made_trust(
    issuer: str,
    audience: str,
    conditions: Iterable[tuple[str, str]],
    *,
    jwks: str = "",
    jwks_uri: str = "",
    once: bool = False,
) -> Trust:
    """Make a trust of what somebody typed.

    Raises:
        ValueError: the text says what to write instead.
    """
    pairs = [(name.strip(), value.strip()) for name, value in conditions]
    fault = (
        _issuer_fault(issuer)
        or _audience_fault(audience)
        or _conditions_fault(pairs)
        or next(filter(None, (_pattern_fault(*pair) for pair in pairs)), "")
        or _whose_fault(issuer, dict(pairs))
    )
    if not fault and jwks and jwks_uri:
        fault = "give the keys of the issuer as a JWK set or by an address, not both"
    if not fault and jwks_uri:
        fault = address_fault(jwks_uri)
    if not fault and len(jwks) > MOST_SETS:
        fault = f"a JWK set has {MOST_SETS // 1024} kB at most"
    if fault:
        raise ValueError(fault)
    return Trust(issuer, audience, tuple(sorted(pairs)), jwks, jwks_uri, once)


def address_fault(uri: str) -> str:
    """Why no keys are fetched from an address; empty when they may be. Where it leads is looked at when they are."""
    if not re.fullmatch(r"https?://[!-~]+", uri) or len(uri) > MOST_TEXT or set(uri) & set("#@\\"):
        return f"an address of keys is an https URL without user and fragment, of {MOST_TEXT} characters at most"
    if uri.startswith("http://") and not re.match(r"http://(?:127\.0\.0\.1|\[::1\]|localhost)(?:[:/]|$)", uri):
        return "keys are fetched by https; plain http is for this machine only"
    return ""


def names_issuer(issuer: object) -> bool:
    """Whether ``iss`` of an assertion is that of an issuer, and not a client id."""
    return isinstance(issuer, str) and "://" in issuer and len(issuer) <= MOST_TEXT


def checks(trust: Trust, typ: str, claims: Mapping[str, Any], now: Instant) -> tuple[Check, ...]:
    """Everything that a trust asks of a token, in the order in which it is judged.

    Args:
        trust: what is asked.
        typ: of the token's header, in lower case.
        claims: of the token.
        now: seconds of UTC.

    Returns:
        One check each, also of those that hold. The reasons are, for the log: ``workload_type``, ``workload_issuer``,
        ``workload_audience`` (not the one audience: a token that is for others too could be replayed here by them),
        ``workload_condition``, ``workload_expiry``, ``workload_expired``, ``workload_too_long``,
        ``workload_from_the_future``, ``workload_id``.
    """
    audience = _audience(claims.get("aud"))
    made = [
        _check("typ", "JWT", typ or "-", "" if typ in _TYPES else "workload_type"),
        _check("iss", trust.issuer, claims.get("iss"), "" if claims.get("iss") == trust.issuer else "workload_issuer"),
        _check("aud", trust.audience, audience, "" if audience == trust.audience else "workload_audience"),
    ]
    for name, pattern in trust.conditions:
        found = _claim(claims, name)
        made.append(_check(name, pattern, found, "" if matches(pattern, found) else "workload_condition"))
    made += _time_checks(claims, now)
    if trust.once:
        jti = claims.get("jti")
        is_good = isinstance(jti, str) and 0 < len(jti) <= MOST_TEXT
        made.append(_check("jti", "an id, since each token is good once", jti, "" if is_good else "workload_id"))
    return tuple(made)


def may_mean(trust: Trust, typ: str, claims: Mapping[str, Any]) -> bool:
    """Whether a token meets what decides for which credential it is; ends at the first that it does not meet.

    The times do not count here: a token that is over is one of its credential all the same.
    """
    return (
        typ in _TYPES
        and claims.get("iss") == trust.issuer
        and _audience(claims.get("aud")) == trust.audience
        and all(matches(pattern, _claim(claims, name)) for name, pattern in trust.conditions)
    )


def end_of(claims: Mapping[str, Any]) -> Instant:
    """When a token that passed the checks ends, seconds of UTC."""
    return int(claims["exp"])


def matches(pattern: str, value: str | None) -> bool:
    """Whether a value of a claim meets a condition."""
    if value is None or len(value) > _LONGEST_VALUE:
        return False
    return value == pattern if "*" not in pattern else _regex(pattern).fullmatch(value) is not None


def _time_checks(claims: Mapping[str, Any], now: Instant) -> list[Check]:
    ends_at = _instant(claims.get("exp"))
    if ends_at is None:
        return [_check("exp", "when it ends", claims.get("exp"), "workload_expiry")]
    begins = [_instant(claims[name]) for name in ("iat", "nbf") if name in claims]
    starts = [each for each in begins if each is not None]
    is_early = len(starts) < len(begins) or any(each > now + SKEW for each in starts)
    life = ends_at - (starts[0] if "iat" in claims and starts else now)
    return [
        _check("exp", f"after {now}", ends_at, "workload_expired" if over(now, ends_at) else ""),
        _check(
            "iat, nbf",
            f"{now + SKEW} at most",
            " ".join(map(str, starts)) or "-",
            "workload_from_the_future" if is_early else "",
        ),
        _check(
            "lifetime",
            f"{MAX_LIFETIME} s at most",
            f"{life} s",
            "workload_too_long" if life > MAX_LIFETIME + SKEW else "",
        ),
    ]


def _check(name: str, wanted: str, found: object, reason: str) -> Check:
    shown = "-" if found is None else found if isinstance(found, str) else json.dumps(found)
    return Check(name, wanted, shown[:_LONGEST_VALUE], reason)


def _audience(value: object) -> str | None:
    """``aud`` where it is one: a text, or an array of one text as Kubernetes and SPIFFE make it (RFC 7519 §4.1.3)."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, str) else None


def _claim(claims: Mapping[str, Any], name: str) -> str | None:
    """The value of a claim as text; None where there is none that has one spelling."""
    value: Any = claims
    path = [part.replace("~1", "/").replace("~0", "~") for part in name[1:].split("/")] if name[0] == "/" else [name]
    for part in path:
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int) else None


@lru_cache(maxsize=1024)
def _regex(pattern: str) -> re.Pattern[str]:
    kinds = {"**": r".+", "*": r"[^:/]+"}
    pieces = re.split(r"(\*\*?)", pattern)
    return re.compile("".join(kinds.get(each) or re.escape(each) for each in pieces), re.DOTALL)


def _issuer_fault(issuer: str) -> str:
    if not names_issuer(issuer) or not re.fullmatch(r"[!-~]+", issuer) or set(issuer) & set("?#@"):
        return "an issuer is the URL that its tokens have as `iss`, such as https://token.actions.githubusercontent.com"
    if not issuer.startswith("https://"):
        return address_fault(issuer)
    return ""


def _audience_fault(audience: str) -> str:
    if not re.fullmatch(r"[!-~]+", audience) or len(audience) > MOST_TEXT:
        return f"an audience is what the tokens have as `aud`: 1 to {MOST_TEXT} characters of ASCII without blanks"
    return ""


def _conditions_fault(pairs: list[tuple[str, str]]) -> str:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        return "a claim has one condition; for other values make another trust"
    if not 0 < len(names) <= MOST_CONDITIONS:
        return f"name 1 to {MOST_CONDITIONS} conditions, such as sub=repo:acme/api:ref:refs/heads/main"
    if set(names) & {"iss", "aud", "exp", "iat", "nbf"}:
        return "issuer, audience and times have rules of their own; name other claims"
    return ""


def _pattern_fault(name: str, value: str) -> str:
    if not re.fullmatch(r"[!-~]+", name) or len(name) > MOST_TEXT or name.count("/") > _DEEPEST:
        return f"a claim is a name, or a JSON pointer such as /kubernetes.io/namespace, {_DEEPEST} deep at most"
    if not value or len(value) > MOST_TEXT or not value.isprintable():
        return f"the value for {name} has 1 to {MOST_TEXT} printable characters"
    whole = re.sub(r"(?<![^:/])\*\*?(?![^:/])", "", value)
    if "*" in whole or value.count("**") > 1:
        return (
            f"in {value!r}, * stands for one whole part between : and /, and ** for any number of them, once:"
            " write repo:acme/* and not repo:acme*"
        )
    return ""


def _whose_fault(issuer: str, conditions: Mapping[str, str]) -> str:
    """Why the conditions do not say whose the tokens are; an issuer may serve the whole world."""
    least = {"sub": _SUBJECT_PARTS, **_PARTS_BEFORE.get(issuer.rstrip("/"), {})}
    for name, parts in least.items():
        value = conditions.get(name)
        if value is not None and ("*" not in value or len(_literal(value)) >= parts):
            return ""
    return (
        "say whose tokens are meant: a condition on sub with two parts before any wildcard, such as"
        " repo:acme/** or system:serviceaccount:payroll:*, for an issuer may serve others too"
    )


def _literal(pattern: str) -> list[str]:
    """The parts before the first wildcard."""
    return [part for part in re.split(r"[:/]", pattern.partition("*")[0]) if part]


def _instant(value: object) -> Instant | None:
    """A NumericDate (RFC 7519 §2) as a whole second; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LAST:
        return None
    return int(value)

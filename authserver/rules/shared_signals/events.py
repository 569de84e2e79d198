"""Entries of the list of what ended, as CAEP events (CAEP 1.0 §3); the list is that of the change feed.

An event's id is made of the entry's place in the list, so it is the same however often it is sent, on whatever node,
and nothing need be stored for it. Instants are whole seconds UTC.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from authserver.rules.facts import Instant

_CAEP = "https://schemas.openid.net/secevent/caep/event-type/"
_SSF = "https://schemas.openid.net/secevent/ssf/event-type/"

SESSION_REVOKED = f"{_CAEP}session-revoked"
TOKEN_CLAIMS_CHANGE = f"{_CAEP}token-claims-change"
CREDENTIAL_CHANGE = f"{_CAEP}credential-change"
VERIFICATION = f"{_SSF}verification"
STREAM_UPDATED = f"{_SSF}stream-updated"

EVENT_TYPES = (SESSION_REVOKED, TOKEN_CLAIMS_CHANGE, CREDENTIAL_CHANGE)
"""What a receiver may request; the two of SSF itself are sent to every stream (SSF 1.0 §8.1.4, §8.1.5)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the list of what ended, with what its subject is now.

    ``value`` is the role version, the instant at which a secret ends, or the epoch; ``kind`` says which.
    """

    seq: int
    at: Instant
    kind: str
    subject: str
    value: int
    user: str = ""
    """The owner, where the entry is about a token, a credential or a user."""
    application: str = ""
    """The client id, where it is about a token or a credential."""
    audience: str = ""
    """Of a token."""
    disabled: bool = False
    """Whether the user is."""
    gone: str = ""
    """``disabled`` or ``deleted`` where the credential is."""


class SecurityEvent(NamedTuple):
    """One event to be told: its id within the stream, its type, its subject (RFC 9493, SSF 1.0 §3), its members."""

    id: str
    type: str
    subject: Mapping[str, Any]
    members: Mapping[str, Any]
    user: str = ""


def events_of(entry: Entry, issuer: str, audience: str) -> tuple[SecurityEvent, ...]:
    """The events of one entry for the receiver of ``audience``; none where it does not concern it.

    Args:
        entry: from the list of what ended.
        issuer: our issuer identifier.
        audience: of the resource server; tokens of others are not told.
    """
    make = _BY_KIND.get(entry.kind)
    if make is None or (entry.kind == "session" and entry.audience != audience):
        return ()
    common = {"event_timestamp": entry.at, "initiating_entity": "policy" if entry.kind == "session" else "admin"}
    return make(entry, issuer, common)


_Events = tuple[SecurityEvent, ...]
_Members = dict[str, Any]


def _user(entry: Entry, issuer: str) -> _Members:
    return {"format": "iss_sub", "iss": issuer, "sub": entry.user}


def _client(entry: Entry, issuer: str) -> _Members:
    application = {"format": "opaque", "id": entry.application}
    return {"format": "complex", "user": _user(entry, issuer), "application": application}


def _of_session(entry: Entry, issuer: str, common: _Members) -> _Events:
    session = {"format": "jwt_id", "iss": issuer, "jti": entry.subject}
    return (_revoked(entry, {**_client(entry, issuer), "session": session}, common),)


def _of_user(entry: Entry, issuer: str, common: _Members) -> _Events:
    if entry.disabled:
        return (_revoked(entry, _user(entry, issuer), common),)
    members = {**common, "claims": {"role_version": entry.value}}
    subject = _user(entry, issuer)
    return (SecurityEvent(f"{entry.seq}.claims", TOKEN_CLAIMS_CHANGE, subject, members, entry.user),)


def _of_credential(entry: Entry, issuer: str, common: _Members) -> _Events:
    """An end of all sessions alone is such an entry too, and changes no credential."""
    revoked = _revoked(entry, _client(entry, issuer), common)
    return (revoked, *_of_secret(entry, issuer, common)) if entry.gone else (revoked,)


def _of_secret(entry: Entry, issuer: str, common: _Members) -> _Events:
    members = {**common, "credential_type": "client_secret", "change_type": _change(entry)}
    subject = _client(entry, issuer)
    return (SecurityEvent(f"{entry.seq}.changed", CREDENTIAL_CHANGE, subject, members, entry.user),)


def _of_key(entry: Entry, issuer: str, common: _Members) -> _Events:
    return (_revoked(entry, {"format": "uri", "uri": f"{issuer}/.well-known/jwks.json#{entry.subject}"}, common),)


def _of_all(entry: Entry, issuer: str, common: _Members) -> _Events:
    return (_revoked(entry, {"format": "uri", "uri": issuer}, common),)


def _revoked(entry: Entry, subject: _Members, common: _Members) -> SecurityEvent:
    return SecurityEvent(f"{entry.seq}.revoked", SESSION_REVOKED, subject, common, entry.user)


_BY_KIND: Mapping[str, Callable[[Entry, str, _Members], _Events]] = {
    "session": _of_session,
    "role_version": _of_user,
    "credential": _of_credential,
    "secret": _of_secret,
    "credential_expiry": _of_secret,
    "key": _of_key,
    "epoch": _of_all,
}


def _change(entry: Entry) -> str:
    """CAEP 1.0 §3.3.1 ``change_type``."""
    if entry.kind == "credential":
        return "delete" if entry.gone == "deleted" else "revoke"
    return "revoke" if entry.kind == "secret" and entry.value <= entry.at else "update"

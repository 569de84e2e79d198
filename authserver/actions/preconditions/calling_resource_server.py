"""Authenticates a resource server; shared by every action that a resource server may call."""

import hashlib
import hmac
from dataclasses import dataclass

from authserver.actions.preconditions.client_assertion import AssertionContext, PresentedAssertion, judged, use_up
from authserver.ports.errors import InvalidClient
from authserver.ports.hot_path import CallingResourceServer, HotPathReads
from authserver.rules.facts import over
from authserver.rules.presented_secret import PresentedSecret

_NO_HASH = hashlib.sha256(b"nobody").digest()


@dataclass(frozen=True, slots=True)
class ProvenCaller:
    """A resource server that proved one of its keys; whether it is enabled is checked later, with the other facts."""

    client_id: str


def proven_caller(
    presented: PresentedAssertion, *, hot_path: HotPathReads, assertions: AssertionContext
) -> ProvenCaller:
    """Authenticate a resource server by what it signed (RFC 7523 §2.2, RFC 7662 §2.1).

    A statement of its own, since only who signs needs it; a key that was removed before it is not accepted.

    Raises:
        InvalidClient: for any reason; ``reason`` says which, for the log.
        Unavailable: the keys cannot be read, or the id of the assertion cannot be recorded.
    """
    known = hot_path.caller_keys(presented.client_id)
    key, found, fault = judged(presented, known.keys, assertions, known.now)
    if key is not None and key.ends_at is not None and over(known.now, key.ends_at):
        fault = "key_ended"
    if not fault and found is not None and not use_up(presented, found, assertions, known.now):
        fault = "assertion_replayed"
    if fault:
        raise InvalidClient(fault)
    return ProvenCaller(presented.client_id)


def proven(
    presented: PresentedSecret | PresentedAssertion, *, hot_path: HotPathReads, assertions: AssertionContext
) -> PresentedSecret | ProvenCaller:
    """As ``proven_caller`` for one that signed; a secret is compared later, with the other facts."""
    if isinstance(presented, PresentedSecret):
        return presented
    return proven_caller(presented, hot_path=hot_path, assertions=assertions)


def require_resource_server(
    presented: PresentedSecret | ProvenCaller, caller: CallingResourceServer | None
) -> CallingResourceServer:
    """Compare the presented secret with the recorded one, in constant time.

    Args:
        presented: the client id and the hash of the presented secret, or who proved a key.
        caller: the resource server with that client id, or None.

    Raises:
        InvalidClient: there is none, the secret is wrong, or it is disabled; ``reason`` says which, for the log.
    """
    if isinstance(presented, ProvenCaller):
        if caller is None or caller.disabled:
            raise InvalidClient("unknown_client" if caller is None else "credential_disabled")
        return caller
    match = hmac.compare_digest(caller.secret_hash if caller else _NO_HASH, presented.secret_hash)
    if caller is None or not match or caller.disabled:
        raise InvalidClient("unknown_client" if caller is None else "credential_disabled" if match else "wrong_secret")
    return caller

"""Authenticates a resource server; shared by every action that a resource server may call."""

import hashlib
import hmac

from authserver.ports.errors import InvalidClient
from authserver.ports.hot_path import CallingResourceServer
from authserver.rules.presented_secret import PresentedSecret

_NO_HASH = hashlib.sha256(b"nobody").digest()


def require_resource_server(presented: PresentedSecret, caller: CallingResourceServer | None) -> CallingResourceServer:
    """Compare the presented secret with the recorded one, in constant time.

    Args:
        presented: the client id and the hash of the presented secret.
        caller: the resource server with that client id, or None.

    Raises:
        InvalidClient: there is none, the secret is wrong, or it is disabled; ``reason`` says which, for the log.
    """
    match = hmac.compare_digest(caller.secret_hash if caller else _NO_HASH, presented.secret_hash)
    if caller is None or not match or caller.disabled:
        raise InvalidClient("unknown_client" if caller is None else "credential_disabled" if match else "wrong_secret")
    return caller

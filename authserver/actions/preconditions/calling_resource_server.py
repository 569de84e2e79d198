"""Whether a caller is the resource server it says it is; shared by everything a resource server may ask."""

import hashlib
import hmac

from authserver.ports.errors import InvalidClient
from authserver.ports.hot_path import CallingResourceServer
from authserver.rules.presented_secret import PresentedSecret

_NO_HASH = hashlib.sha256(b"nobody").digest()


def require_resource_server(who: PresentedSecret, caller: CallingResourceServer | None) -> CallingResourceServer:
    """Compare what was presented with what is on record, in constant time.

    Args:
        who: presented, not authenticated yet.
        caller: the resource server with that client id, or None.

    Raises:
        InvalidClient: there is none, the secret is wrong, or it is disabled; ``reason`` says which, for the log.
    """
    right = hmac.compare_digest(caller.secret_hash if caller else _NO_HASH, who.secret_hash)
    if caller is None or not right or caller.disabled:
        raise InvalidClient("unknown_client" if caller is None else "credential_disabled" if right else "wrong_secret")
    return caller

"""Which ways to get a token are allowed: in general, for one API, for one credential; the strictest holds."""

from typing import Final

KEY: Final = "key"
"""Clients authenticate by a key; a secret is not enough (RFC 9700 §2.5)."""

BOUND: Final = "bound"
"""Tokens are bound to a key that only their holder has (RFC 9700 §2.2.1)."""

REQUIREMENTS: Final = (KEY, BOUND)
"""What a resource server may require of tokens for it."""


def required(
    *, secrets_allowed: bool, bound_required: bool, server: str | None, credential_bound: bool
) -> frozenset[str]:
    """All that a token request must meet.

    Args:
        secrets_allowed: the general setting.
        bound_required: the general setting.
        server: what the resource server requires, words with a blank between; None for nothing.
        credential_bound: the restriction of the credential.
    """
    found = set(server.split()) if server else set()
    if not secrets_allowed:
        found.add(KEY)
    if bound_required or credential_bound:
        found.add(BOUND)
    return frozenset(found)

"""A token in the middle of its life."""

import zlib

from hypothesis import settings

from authserver.rules.claims import SessionStart, claims_of

patient = settings(deadline=None)
NOW = 1_800_000_000
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def whole(body, prefix="acs"):
    """Make a secret as PRODUCT.md 2.3 words it, without the code under test."""
    text = f"{prefix}_{body}"
    number, tail = zlib.crc32(text.encode()), ""
    for _ in range(6):
        tail = DIGITS[number % 62] + tail
        number //= 62
    return text + tail


START = SessionStart(
    jti="Zk3vQ9wLm2Xr8TnB5yHc1DfJ",
    client_id="2f7d1c0e-0a1b-4bbb-8ccc-123456789abc",
    secret_id="sec_1",
    kid="key-1",
    audience="https://api.example.com",
    roles="reader writer",
    role_version=7,
    credential_version=3,
    epoch=2,
    issued_at=NOW,
    expires_at=NOW + 3600,
)
ISSUER = "https://auth.example.com"
OWNER = "usr_ada"


def made():
    return claims_of(START, issuer=ISSUER, owner_id=OWNER)


def place(claims, path):
    """The dictionary that holds the member at ``path``."""
    for name in path[:-1]:
        claims = claims[name]
    return claims

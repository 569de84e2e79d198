"""Keys of a server, and what it publishes."""

from app import create_app
from authserver.actions import signing_keys
from authserver.config import Config
from tests.conftest import FixedClock

HOUR, DAY = 3600, 86400
JWKS = "/.well-known/jwks.json"
OLD, NEW = "A" * 43, "B" * 42 + "A"


def ring(world, state=None, alg="ES256"):
    return [key.kid for key in world.store.keys.ring() if key.alg == alg and state in {None, key.state}]


def key_context(world):
    return signing_keys.key_context(
        world.accounts, world.store.keys, world.services.key_store, world.store.jwks_fetchers
    )


def published(world, path=JWKS, **headers):
    return {key["kid"] for key in world.http.get(path, headers=headers).json["keys"]}


def services(url, master=OLD, **more):
    """Another node; its clock stands still until told."""
    clock = FixedClock()
    settings = Config(database_url=url, master_key=master, issuer="http://127.0.0.1:8000", **more)
    made = create_app(settings, clock=clock, background=False).extensions["services"]
    made.clock_ = clock
    return made

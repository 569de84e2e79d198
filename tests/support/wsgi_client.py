"""One standing world for a file of tests, and tokens forged with the server's own keys."""

import base64
import contextlib
import itertools
import json
import time

from sqlalchemy import delete, insert

from authserver.actions import general_settings
from authserver.oauth.throttle import Throttle
from authserver.oauth.verified_tokens import VerifiedTokens
from authserver.rules.secret_format import RESOURCE_SERVER_PREFIX, mint
from authserver.rules.token_hash import token_hash_key
from authserver.store.tables import token_requests
from keys.keyring import State
from tests.conftest import World
from tests.support.stores import migrated_url

BACKENDS = ["sqlite", "postgresql"]
WRONG_SECRET = mint(RESOURCE_SERVER_PREFIX, lambda alphabet: alphabet[0])
"""In the form of a resource server's, and nobody's."""


class Tick:
    """Monotonic seconds that move only when told."""

    def __init__(self):
        self.at = 1000.0

    def __call__(self):
        return self.at


def opened(backend, folder, **config):
    """A world that a whole file of tests lives in; its throttle never gets in the way unless asked to."""
    world = World(migrated_url(backend, folder), **config)
    unlimited(world)
    general_settings.set_general(world.accounts, "default_audience", "https://api.example.com", **world.who)
    try:
        yield world
    finally:
        world.services.close()


def unlimited(world):
    throttled(world, per_client=10**9, per_peer=10**9, per_resource_server=10**9)
    world.app.extensions["api_rate_limits"].quota = 0


def throttled(world, **limits):
    """Give the doors a fresh throttle; returns its clock."""
    tick = Tick()
    world.http.application._throttle = Throttle(clock=tick, **limits)
    return tick


@contextlib.contextmanager
def noted(world):
    """Collect the notes of every answer, as the observer would get them."""
    notes: list[dict[str, str]] = []

    def observe(_ask, reply, _began):
        notes.append(dict(reply.log_fields))
        return reply

    doors = world.http.application
    before, doors._observe = doors._observe, observe
    try:
        yield notes
    finally:
        doors._observe = before


def basic(client_id, secret):
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


def b64(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def parts(token):
    """Header and claims of a compact token, unverified."""
    header, claims, _ = token.split(".")
    return json.loads(unb64(header)), json.loads(unb64(claims))


def active_key(world, alg="ES256"):
    return next(key for key in world.store.keys.ring() if key.state is State.ACTIVE and key.alg == alg)


def signed(world, header, claims, kid=None):
    """Sign any header and claims, as objects or raw bytes, with a key of the server."""
    _, sign = world.store.keys.signer(kid or active_key(world).kid)
    pieces = [piece if isinstance(piece, bytes) else json.dumps(piece).encode() for piece in (header, claims)]
    text = ".".join(b64(piece) for piece in pieces)
    return f"{text}.{b64(sign(text.encode()))}"


_forgeries = itertools.count()


def forged(world, header=None, without=(), **claims):
    """A token of the world's client, changed, signed anew with the right key, and recorded as if it had been issued.

    So a test sees what the claims alone decide; that a token which was not recorded is dead is INV-33.
    """
    real_header, real_claims = parts(world.access_token())
    changed = {**real_claims, "jti": f"forged-{next(_forgeries)}", **claims}
    for name in without:
        del changed[name]
    text = signed(world, {**real_header, **(header or {})}, changed)
    return text if header else recorded(world, text)  # this server records no header but its own


def recorded(world, text):
    """Record a text as issued, where its claims have the form of ours; the text."""
    token = VerifiedTokens(world.services.keys().read, world.services.issuer, token_hash_key(world.store.pepper)).parse(
        text
    )
    start = token and token.claimed_start()
    if start:
        world.store.usage.issued(start, token_hash=token.token_hash)
    return text


def wasted(world, client_id, tokens):
    """Have it that a client got so many tokens yesterday and used none."""
    yesterday = world.clock.at - world.clock.at % 86400 - 86400
    key = {"client_id": client_id, "day": yesterday, "outcome": "granted"}
    with world.store.engine.begin() as connection:
        connection.execute(delete(token_requests).filter_by(**key))
        connection.execute(insert(token_requests).values(**key, requests=tokens))


def settled(seconds=10.0):
    """Yield until a deadline; for waiting on other threads."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(0.01)

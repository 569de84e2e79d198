"""``flask keys``: the signing keys. A key may be named by the start of its id when only one begins so."""

import json

import click

from authserver.cli.command import Answer, Noun
from authserver.cli.here import Here, here
from authserver.cli.names import KID
from authserver.cli.show import fields, iso, iso_or_none, line, table
from authserver.cli.terminal import confirm
from keys.keyring import KeyInfo
from keys.material import ALGORITHMS, make

keys = Noun("keys", help="Signing keys: staged, then active, then retired, then removed; or compromised at any point.")

_ALG = click.option("--alg", type=click.Choice(ALGORITHMS), help="The algorithm; the general setting's when not given.")
_YES = click.option("--yes", is_flag=True, help="Do not ask.")


def _document(key: KeyInfo) -> dict[str, object]:
    return {
        "kid": key.kid,
        "alg": key.alg,
        "state": key.state.value,
        "created_at": iso(key.created_at),
        "activated_at": iso_or_none(key.activated_at),
        "retired_at": iso_or_none(key.retired_at),
        "ended_at": iso_or_none(key.ended_at),
    }


def _now(at: Here, kid: str) -> Answer:
    key = at.store.keys.get(kid)
    return Answer(_document(key), line(f"Key {key.kid} ({key.alg}) is {key.state.value}."))


def _alg(at: Here, alg: str | None) -> str:
    return alg or at.accounts.general().token_alg


@keys.command("list", examples=("flask keys list", "flask keys list --json"))
def list_() -> Answer:
    """List all keys, oldest first."""
    documents = [_document(key) for key in here().store.keys.ring()]
    columns = ("kid", "alg", "state", "created_at", "activated_at", "retired_at", "ended_at")
    return Answer(documents, table(columns, documents, empty="There are none; `flask keys rotate` makes one."))


@keys.command("show", odd_ids=True, examples=("flask keys show oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U",))
@click.argument("kid", type=KID)
def show(kid: str) -> Answer:
    """Show one key and its public JWK."""
    key = here().store.keys.get(kid)
    document = {**_document(key), "public_jwk": json.loads(key.public_jwk)}
    return Answer(document, fields({**document, "public_jwk": key.public_jwk}))


@keys.command("generate", examples=("flask keys generate --alg ES256", "flask keys generate --alg RS256 --json"))
@_ALG
def generate(alg: str | None) -> Answer:
    """Make a key and stage it: in the JWKS from now on, so that all resource servers know it before it signs."""
    at = here()
    key = at.store.keys.add(make(_alg(at, alg), at.house.master()), at.actor, at.now)
    return _now(at, key.kid)


@keys.command("activate", odd_ids=True, examples=("flask keys activate oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U",))
@click.argument("kid", type=KID)
def activate(kid: str) -> Answer:
    """Let a staged key sign; the one before retires."""
    at = here()
    key = at.store.keys.get(kid)
    at.store.keys.activate(key.kid, at.actor, at.now)
    return _now(at, key.kid)


@keys.command("rotate", examples=("flask keys rotate", "flask keys rotate --alg RS256 --json"))
@_ALG
def rotate(alg: str | None) -> Answer:
    """Change the signing key now: the oldest staged key signs, or a fresh one where none is staged.

    Tokens that the old key signed stay good. To spare resource servers an extra fetch of the JWKS, stage a
    key with `flask keys generate` some hours before.
    """
    at = here()
    chosen = _alg(at, alg)
    kid = at.store.keys.rotate(chosen, make(chosen, at.house.master()), at.actor, at.now)
    return _now(at, kid)


@keys.command("retire", odd_ids=True, examples=("flask keys retire oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U",))
@click.argument("kid", type=KID)
def retire(kid: str) -> Answer:
    """Take the active key out of signing; a staged one takes over. Its tokens stay good."""
    at = here()
    key = at.store.keys.get(kid)
    at.store.keys.retire(key.kid, at.actor, at.now)
    return _now(at, key.kid)


@keys.command("remove", odd_ids=True, examples=("flask keys remove oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U",))
@click.argument("kid", type=KID)
def remove(kid: str) -> Answer:
    """Withdraw a retired key from the JWKS; tokens it signed are dead from now on."""
    at = here()
    key = at.store.keys.get(kid)
    at.store.keys.remove(key.kid, at.actor, at.now)
    return _now(at, key.kid)


@keys.command(
    "compromise",
    odd_ids=True,
    examples=(
        "flask keys compromise oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U",
        "flask keys compromise oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U --yes --json",
    ),
)
@click.argument("kid", type=KID)
@_YES
def compromise(kid: str, *, yes: bool) -> Answer:
    """Say that a key is in wrong hands: every token it signed is dead at once, and another key signs.

    Asks on a terminal only: in an emergency a script must not fail for want of --yes.
    """
    at = here()
    key = at.store.keys.get(kid)
    confirm(f"Kill the key {key.kid} and every token it signed?", yes=yes, needed=False)
    at.store.keys.compromise(key.kid, at.actor, at.now, make(key.alg, at.house.master()))
    return _now(at, key.kid)

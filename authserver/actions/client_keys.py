"""Public keys of credentials and of resource servers: how they prove themselves without a secret (RFC 7523 §2.2).

The private key never reaches the server, so no copy of the database can be used to sign. Two keys work at
a time, so that a client is moved to the next one without an outage. A token dies with the key that obtained it.
``owner_id`` narrows a function to one owner's credentials, as in ``credentials`` (INV-09).
"""

from collections.abc import Sequence

from authserver.actions.preconditions.client_keys import insert_key, new_record, public_key
from authserver.audit import Event
from authserver.ports.accounts import Accounts
from authserver.ports.credentials import KeyRecord
from authserver.ports.errors import NotFound
from authserver.rules.facts import Instant
from keys.public_keys import registered


def add(
    accounts: Accounts,
    client_id: str,
    text: str,
    alg: str = "",
    *,
    actor: str,
    now: Instant,
    owner_id: str | None = None,
) -> KeyRecord:
    """Add a public key.

    Args:
        accounts: the store.
        client_id: the credential.
        text: the key as PEM or as JWK.
        alg: the algorithm it signs with; needed for an RSA key without ``alg``.
        actor: who adds it, for the audit record.
        now: seconds of UTC.
        owner_id: whose credential it must be; None: anybody's.

    Raises:
        Conflict: two keys work already, or this one does.
        Invalid: no key that may be used.
        NotFound: unknown, or not the owner's.
    """
    key = public_key(text, alg)
    with accounts.change(Event("credential.key_added", actor, client_id), now) as tx:
        tx.credential(client_id, owner_id)
        return insert_key(tx, client_id, key, now)


def remove(
    accounts: Accounts, client_id: str, thumbprint: str, *, actor: str, now: Instant, owner_id: str | None = None
) -> None:
    """End a key at once, and with it the tokens that it obtained.

    Raises:
        NotFound: unknown, or not the owner's; or no key of it with that thumbprint works.
    """
    with accounts.change(Event("credential.key_removed", actor, client_id), now) as tx:
        credential = tx.credential(client_id, owner_id)
        key = _live_key(credential.keys, thumbprint)
        if key is None:
            msg = f"the credential has no key {thumbprint[:64]!r}; `flask credentials keys {client_id}` shows them"
            raise NotFound(msg)
        tx.end_client_key(client_id, key.id, now)
        tx.detail(key=thumbprint)


def add_to_server(accounts: Accounts, name: str, text: str, alg: str = "", *, actor: str, now: Instant) -> KeyRecord:
    """Add a public key to a resource server, which then signs at introspection instead of sending its secret.

    Raises:
        Conflict: two keys work already, or this one does.
        Invalid: no key that may be used.
        NotFound: no such resource server.
    """
    key = public_key(text, alg)
    with accounts.change(Event("resource_server.key_added", actor, name), now) as tx:
        server = tx.resource_server(name)
        tx.set_target(server.name)
        tx.detail(resource_server=server.id)
        record = new_record(tx, tx.server_keys(server.client_id), key, now)
        tx.insert_server_key(server.client_id, record)
        return record


def remove_from_server(accounts: Accounts, name: str, thumbprint: str, *, actor: str, now: Instant) -> None:
    """End a key of a resource server at once.

    Raises:
        NotFound: no such resource server, or no key of it with that thumbprint works.
    """
    with accounts.change(Event("resource_server.key_removed", actor, name), now) as tx:
        server = tx.resource_server(name)
        tx.set_target(server.name)
        tx.detail(resource_server=server.id)
        key = _live_key(tx.server_keys(server.client_id), thumbprint)
        if key is None:
            msg = f"the resource server has no key {thumbprint[:64]!r}"
            raise NotFound(msg)
        tx.end_server_key(server.client_id, key.id, now)
        tx.detail(key=thumbprint)


def _live_key(keys: Sequence[KeyRecord], thumbprint: str) -> KeyRecord | None:
    live = (key for key in keys if key.ends_at is None)
    return next((key for key in live if registered(key.public_jwk).thumbprint == thumbprint), None)

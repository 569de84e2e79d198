"""The address at which a client publishes its own public keys (``jwks_uri``): name one, or take it away.

A client that publishes its keys rotates them by itself. ``owner_id`` narrows a function to one owner's credentials
(INV-09).
"""

import uuid

from authserver.audit import Event
from authserver.ports.accounts import Accounts
from authserver.ports.credentials import TrustRecord
from authserver.ports.errors import Conflict, Invalid, NotFound
from authserver.rules.client_authentication.trust import made_published_keys
from authserver.rules.facts import Instant


def publish(
    accounts: Accounts, client_id: str, uri: str, *, actor: str, now: Instant, owner_id: str | None = None
) -> TrustRecord:
    """Take the keys of a client from an address; one that it had ends at once, with the tokens that it obtained.

    Raises:
        Conflict: they are taken from there already.
        Invalid: no address that may be fetched from.
        NotFound: unknown, or not the owner's.
    """
    try:
        wanted = made_published_keys(uri)
    except ValueError as error:
        raise Invalid(str(error)) from error
    with accounts.change(Event("credential.keys_published", actor, client_id, {"jwks_uri": uri}), now) as tx:
        known = [each for each in tx.credential(client_id, owner_id).key_addresses if each.ends_at is None]
        if wanted.text in {each.text for each in known}:
            msg = "its keys are taken from that address already"
            raise Conflict(msg)
        for each in known:
            tx.end_trust(client_id, each.id, now)
        record = TrustRecord(f"pub_{uuid.uuid4().hex}", wanted.text, now)
        tx.insert_trust(client_id, record)
        return record


def withdraw(accounts: Accounts, client_id: str, *, actor: str, now: Instant, owner_id: str | None = None) -> None:
    """Take the keys of a client from no address any more; the tokens that they obtained die.

    Raises:
        NotFound: unknown, or not the owner's; or it has no address.
    """
    with accounts.change(Event("credential.keys_withdrawn", actor, client_id), now) as tx:
        known = [each for each in tx.credential(client_id, owner_id).key_addresses if each.ends_at is None]
        if not known:
            msg = "the credential has no address of keys"
            raise NotFound(msg)
        for each in known:
            tx.end_trust(client_id, each.id, now)

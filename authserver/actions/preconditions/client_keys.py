"""Which public keys a client may have; shared by the actions that make and change credentials."""

import uuid
from collections.abc import Sequence

from authserver.ports.credentials import KeyRecord
from authserver.ports.errors import Conflict, Invalid
from authserver.ports.transaction import Transaction
from authserver.rules.facts import Instant
from keys.import_key import WeakKey
from keys.public_keys import ClientKey, read, registered

MOST_KEYS = 2
"""Keys that work at a time: enough to move a client to the next one without an outage."""


def public_key(text: str, alg: str = "") -> ClientKey:
    """Read a pasted public key.

    Raises:
        Invalid: no key that may be used; the text says what to bring instead.
    """
    try:
        return read(text, alg)
    except WeakKey as error:
        raise Invalid(str(error)) from error


def insert_key(tx: Transaction, client_id: str, key: ClientKey, now: Instant) -> KeyRecord:
    """Add a key to a credential, with its thumbprint in the audit record.

    Raises:
        Conflict: two keys work already, or this one does.
    """
    record = new_record(tx, tx.credential(client_id).keys, key, now)
    tx.insert_client_key(client_id, record)
    return record


def new_record(tx: Transaction, known: Sequence[KeyRecord], key: ClientKey, now: Instant) -> KeyRecord:
    """The record of a new key beside the ``known`` ones, with its thumbprint in the audit record.

    Raises:
        Conflict: two keys work already, or this one does.
    """
    working = [each for each in known if each.ends_at is None]
    if key.thumbprint in {registered(each.public_jwk).thumbprint for each in working}:
        msg = "the credential has this key already"
        raise Conflict(msg)
    if len(working) >= MOST_KEYS:
        msg = f"the credential has {MOST_KEYS} keys, which is the most; remove the one that is not used any more first"
        raise Conflict(msg)
    tx.detail(key=key.thumbprint, alg=key.alg)
    return KeyRecord(f"key_{uuid.uuid4().hex}", key.jwk, now)

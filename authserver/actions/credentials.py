"""Application credentials: create, edit, regenerate the secret, disable, enable, delete.

A secret is returned once, by the function that made it, and kept only as a keyed
hash (INV-11). ``owner_id`` narrows a function to one owner's credentials: a foreign
one then looks exactly like an unknown one (INV-09).
"""

import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from authserver.actions.preconditions.client_keys import insert_key
from authserver.audit import Event
from authserver.ports.accounts import Accounts
from authserver.ports.credentials import Credential, SecretRecord
from authserver.ports.errors import Conflict, Invalid, NotFound
from authserver.ports.transaction import Transaction
from authserver.rules.client_authentication.restrictions import Restrictions
from authserver.rules.facts import Instant, Span, over
from authserver.rules.lifetime import DAY
from authserver.rules.names import display_name_fault
from authserver.rules.secret_format import CREDENTIAL_PREFIX, OVERLAPS, hint, keyed_hash, mint
from keys.public_keys import ClientKey

MAX_FORM_KEY = 255
MAX_AT_ONCE = 100


@dataclass(frozen=True, slots=True, repr=False)
class Revealed:
    """A credential with its secret, which is shown once. Has no repr, so it cannot be logged by accident."""

    credential: Credential
    secret: str


class Changed(Conflict):
    """The credential was changed since the editor read it; ``current`` is its present state."""

    def __init__(self, current: Credential) -> None:
        super().__init__("it was changed meanwhile; look at it as it is now")
        self.current = current


def create(
    accounts: Accounts,
    owner: str,
    name: str,
    expires_at: Instant,
    role_names: Sequence[str],
    *,
    pepper: bytes,
    actor: str,
    now: Instant,
    form_key: str | None = None,
    key: ClientKey | None = None,
    has_secret: bool = True,
) -> Revealed:
    """Make a credential for ``owner`` with roles the owner holds right now.

    Args:
        accounts: the store.
        owner: the user name of the owner.
        name: the display name.
        expires_at: the expiry, seconds of UTC.
        role_names: its roles; they cannot be changed later.
        pepper: the key secrets are hashed with.
        actor: who creates it, for the audit record.
        now: seconds of UTC.
        form_key: a random idempotency key; a form sent twice creates one credential (INV-23).
        key: the client's public key; then no secret is made, and the returned one is empty.
        has_secret: False for a credential that gets a key or a trust later, and no secret.

    Raises:
        AlreadyDone: the form was sent before; ``subject`` is the credential it made.
        Conflict: the owner has as many live credentials as the settings allow.
        Invalid: name, expiry, roles or form key are invalid.
        NotFound: no such owner.
    """
    _check_form_key(form_key)
    _check_name(name)
    client_id = str(uuid.uuid4())
    event = Event("credential.created", actor, client_id, {"name": name, "expires_at": expires_at})
    with accounts.change(event, now) as tx:
        user = tx.user(owner)
        if form_key is not None:
            tx.claim_form_key(user.id, form_key, client_id, now)
        if user.disabled_at is not None:
            msg = f"{owner} is disabled; `flask users enable {owner}` first"
            raise Invalid(msg)
        _check_expiry(tx, expires_at, now)
        _check_limit(tx, user.id, user.username, now)
        held = {role.name: role for role in user.roles}
        chosen = sorted(set(role_names))
        missing = [each for each in chosen if each not in held]
        if missing:
            msg = f"{owner} does not hold {', '.join(missing)}; choose among {', '.join(sorted(held))}"
            raise Invalid(msg)
        if not any(held[each].kind == "operational" for each in chosen):
            msg = "choose at least one operational role"
            raise Invalid(msg)
        credential = Credential(
            client_id=client_id,
            owner=user.username,
            owner_id=user.id,
            name=name,
            roles=tuple(chosen),
            expires_at=expires_at,
            created_at=now,
            disabled_at=None,
            deleted_at=None,
            version=1,
        )
        tx.insert_credential(credential, [held[each].id for each in chosen])
        secret = _new_secret(tx, client_id, pepper, now) if key is None and has_secret else ""
        if key is not None:
            insert_key(tx, client_id, key, now)
        elif not has_secret:
            tx.detail(secret=None)
        tx.detail(owner=user.id, roles=chosen)
    return Revealed(credential, secret)


def edit(
    accounts: Accounts,
    client_id: str,
    *,
    actor: str,
    now: Instant,
    name: str | None = None,
    expires_at: Instant | None = None,
    owner_id: str | None = None,
    seen: tuple[str, Instant] | None = None,
) -> Credential:
    """Change name or expiry; an earlier expiry also shortens live tokens.

    ``seen`` are the name and expiry that the editor was shown.

    Raises:
        Changed: name or expiry differ from ``seen``; nothing is changed.
        Conflict: it has expired, and with it the owner would have more live credentials than the settings allow.
        Invalid: nothing to change, or an invalid value.
        NotFound: unknown, or not the owner's.
    """
    with accounts.change(Event("credential.edited", actor, client_id), now) as tx:
        before = tx.credential(client_id, owner_id)
        if seen is not None and seen != (before.name, before.expires_at):
            raise Changed(before)
        changed: dict[str, object] = {}
        if name is not None and name != before.name:
            _check_name(name)
            changed["name"] = name
        if expires_at is not None and expires_at != before.expires_at:
            _check_expiry(tx, expires_at, now)
            changed["expires_at"] = expires_at
        if not changed:
            msg = "nothing to change; give a new name or expiry"
            raise Invalid(msg)
        if over(now, before.expires_at) and "expires_at" in changed:
            # Tokens that died with the credential's expiry stay dead when it is extended (INV-05).
            changed["version"] = before.version + 1
            _check_limit(tx, before.owner_id, before.owner, now)
        tx.update_credential(client_id, **changed)
        if "expires_at" in changed and expires_at is not None:
            # Also for a later expiry: whoever read the earlier one in the change feed must not end the tokens at it.
            tx.append_revocation("credential_expiry", client_id, now, expires_at)
        tx.detail(before={key: getattr(before, key) for key in changed}, after=changed)
        return tx.credential(client_id, owner_id)


def regenerate(
    accounts: Accounts,
    client_id: str,
    overlap: Span,
    *,
    pepper: bytes,
    actor: str,
    now: Instant,
    owner_id: str | None = None,
    form_key: str | None = None,
) -> Revealed:
    """Make a new secret; the old one ends now or after ``overlap`` seconds (INV-10).

    Raises:
        AlreadyDone: with a ``form_key`` that was used before; nothing is changed again (INV-23).
        Invalid: an overlap that is not offered, or an invalid form key.
        NotFound: unknown, or not the owner's.
    """
    _check_form_key(form_key)
    if overlap not in OVERLAPS:
        msg = "an overlap is 0, 1h, 24h or 7d"
        raise Invalid(msg)
    with accounts.change(Event("credential.regenerated", actor, client_id, {"overlap_seconds": overlap}), now) as tx:
        credential = tx.credential(client_id, owner_id)
        if form_key is not None:
            tx.claim_form_key(credential.owner_id, form_key, client_id, now)
        tx.end_secrets(client_id, now + overlap, now)
        secret = _new_secret(tx, client_id, pepper, now)
    return Revealed(credential, secret)


def move_old_secret(
    accounts: Accounts, client_id: str, overlap: Span, *, actor: str, now: Instant, owner_id: str | None = None
) -> None:
    """End the old secret, which still works beside its successor, now or ``overlap`` seconds from now.

    Raises:
        Conflict: the old secret has ended already, and an end is final (INV-05).
        Invalid: an overlap that is not offered.
        NotFound: unknown, or not the owner's.
    """
    if overlap not in OVERLAPS:
        msg = "an overlap is 0, 1h, 24h or 7d"
        raise Invalid(msg)
    with accounts.change(Event("credential.old_secret_moved", actor, client_id), now) as tx:
        tx.credential(client_id, owner_id)
        before = tx.move_old_secret(client_id, now + overlap, now)
        if before is None:
            msg = "no old secret of the credential works any more"
            raise Conflict(msg)
        tx.detail(before=before, after=now + overlap)


def end_secrets(accounts: Accounts, client_id: str, *, actor: str, now: Instant, owner_id: str | None = None) -> None:
    """End all secrets of a credential that has a key or a trust, so that no secret exists that could be copied.

    Raises:
        Conflict: it has neither that works, so its client could not authenticate any more; or no secret works.
        NotFound: unknown, or not the owner's.
    """
    with accounts.change(Event("credential.secrets_ended", actor, client_id), now) as tx:
        credential = tx.credential(client_id, owner_id)
        if not credential.works_without_secret:
            msg = "it has no key, so nothing could authenticate any more; add a key first, or disable it"
            raise Conflict(msg)
        if not any(each.ends_at is None or not over(now, each.ends_at) for each in credential.secrets):
            msg = "no secret of the credential works any more"
            raise Conflict(msg)
        tx.end_secrets(client_id, now, now)


def restrict(
    accounts: Accounts,
    client_id: str,
    wanted: Restrictions,
    *,
    actor: str,
    now: Instant,
    owner_id: str | None = None,
) -> Credential:
    """Hold a credential to these restrictions and no others; its tokens end, so that none outlives a narrower rule.

    Raises:
        Conflict: it has these restrictions already.
        Invalid: it is restricted to a resource server that is not registered.
        NotFound: unknown, or not the owner's.
    """
    with accounts.change(Event("credential.restricted", actor, client_id), now) as tx:
        before = tx.credential(client_id, owner_id)
        if before.restrictions == wanted.text:
            msg = "the credential is restricted just so already"
            raise Conflict(msg)
        for audience in sorted(wanted.audiences):
            _require_audience(tx, audience)
        tx.update_credential(client_id, restrictions=wanted.text, version=before.version + 1)
        tx.append_revocation("credential", client_id, now, before.version + 1)
        tx.detail(before=before.restrictions, after=wanted.text)
        return tx.credential(client_id, owner_id)


def _require_audience(tx: Transaction, audience: str) -> None:
    try:
        known = tx.resource_server(audience).audience
    except NotFound:
        known = ""
    if known != audience:
        msg = f"no resource server has the audience {audience!r}; `flask resource-servers list` shows them"
        raise Invalid(msg)


def disable(accounts: Accounts, client_id: str, *, actor: str, now: Instant, owner_id: str | None = None) -> None:
    """Disable a credential; its tokens end for good.

    Raises:
        Conflict: it is disabled already.
        NotFound: unknown, or not the owner's.
    """
    with accounts.change(Event("credential.disabled", actor, client_id), now) as tx:
        _disable(tx, client_id, now, owner_id)


def disable_many(accounts: Accounts, client_ids: Sequence[str], *, actor: str, now: Instant) -> None:
    """Disable credentials of any owners, all or none, with one audit record each.

    Raises:
        Conflict: one is disabled already; nothing is changed.
        Invalid: no credential, a duplicate, or more than ``MAX_AT_ONCE``.
        NotFound: one is unknown or deleted; nothing is changed.
    """
    if not 0 < len(client_ids) <= MAX_AT_ONCE or len(set(client_ids)) < len(client_ids):
        msg = f"choose 1 to {MAX_AT_ONCE} different credentials"
        raise Invalid(msg)
    first, *others = (Event("credential.disabled", actor, each) for each in client_ids)
    with accounts.change(first, now) as tx:
        _disable(tx, first.target, now)
        for event in others:
            tx.next_event(event)
            _disable(tx, event.target, now)


def enable(accounts: Accounts, client_id: str, *, actor: str, now: Instant, owner_id: str | None = None) -> None:
    """Enable a credential again; tokens from before stay dead (INV-05).

    Raises:
        Conflict: it is enabled already.
        NotFound: unknown, or not the owner's.
    """
    with accounts.change(Event("credential.enabled", actor, client_id), now) as tx:
        if tx.credential(client_id, owner_id).disabled_at is None:
            msg = "the credential is enabled already"
            raise Conflict(msg)
        tx.update_credential(client_id, disabled_at=None)


def delete(accounts: Accounts, client_id: str, *, actor: str, now: Instant, owner_id: str | None = None) -> None:
    """Delete a credential for good; its row stays as a tombstone, so the id is never used again (INV-12).

    Raises:
        NotFound: unknown, deleted already, or not the owner's.
    """
    with accounts.change(Event("credential.deleted", actor, client_id), now) as tx:
        credential = tx.credential(client_id, owner_id)
        tx.detail(name=credential.name, owner=credential.owner_id)
        tx.update_credential(client_id, deleted_at=now, version=credential.version + 1)
        tx.end_secrets(client_id, now, now)
        tx.append_revocation("credential", client_id, now, credential.version + 1)


def _disable(tx: Transaction, client_id: str, now: Instant, owner_id: str | None = None) -> None:
    credential = tx.credential(client_id, owner_id)
    if credential.disabled_at is not None:
        msg = "the credential is disabled already"
        raise Conflict(msg)
    tx.update_credential(client_id, disabled_at=now, version=credential.version + 1)
    tx.append_revocation("credential", client_id, now, credential.version + 1)


def _new_secret(tx: Transaction, client_id: str, pepper: bytes, now: Instant) -> str:
    secret = mint(CREDENTIAL_PREFIX, secrets.choice)
    record = SecretRecord(f"sec_{uuid.uuid4().hex}", hint(secret), now, None, None)
    tx.insert_secret(client_id, record, keyed_hash(pepper, secret))
    tx.detail(secret=record.id)
    return secret


def _check_form_key(form_key: str | None) -> None:
    if form_key is not None and not 0 < len(form_key) <= MAX_FORM_KEY:
        msg = f"a form key has 1 to {MAX_FORM_KEY} characters"
        raise Invalid(msg)


def _check_limit(tx: Transaction, owner_id: str, owner: str, now: Instant) -> None:
    limit = tx.general().max_credentials_per_user
    if tx.count_credentials(owner_id, now) >= limit:
        msg = f"{owner} has {limit} live credentials, which is the most allowed; delete one that is not needed first"
        raise Conflict(msg)


def _check_name(name: str) -> None:
    fault = display_name_fault(name)
    if fault:
        raise Invalid(fault)


def _check_expiry(tx: Transaction, expires_at: Instant, now: Instant) -> None:
    max_days = tx.general().max_credential_days
    if not now < expires_at <= now + max_days * DAY:
        msg = f"an expiry lies in the future, {max_days} days away at most"
        raise Invalid(msg)

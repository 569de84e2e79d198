"""The secrets of a credential: list, make a new one, move or end the old one; and the caller's own."""

from pydantic import Field

from authserver.actions import credentials as credential_actions
from authserver.api.context import ApiContext
from authserver.api.operations import BUILDER, TOKEN, Answer, operation
from authserver.api.problems import Problem
from authserver.api.resources.credentials import SecretDocument, etag_of_credential
from authserver.api.schemas import InstantOut, Items, Model, Overlap
from authserver.ports.credentials import Credential, SecretRecord
from authserver.ports.errors import AlreadyDone, Conflict, NotFound
from authserver.ports.store import Store
from authserver.ports.transaction import Transaction
from authserver.rules.events.old_secret import OldSecret
from authserver.rules.facts import Instant, over


class NewSecret(Model):
    """How long the secret before shall work on."""

    overlap_seconds: Overlap = 0


class SecretChanges(Model):
    """When an old secret shall end instead."""

    ends_in_seconds: Overlap = Field(description="From now on; 0 ends it at once.")


class ListedSecret(SecretDocument):
    """One secret, without the secret, with what was seen of it."""

    silent_since: InstantOut | None = Field(
        description="Of an old secret: since when only its successor was used. Null while that was not used."
    )
    safe_to_remove: bool = Field(
        description="Whether it is an old secret that was silent for a day while its successor was in use."
    )

    @classmethod
    def seen(cls, secret: SecretRecord, old: OldSecret | None, now: Instant) -> "ListedSecret":
        """As the store has it; ``old`` is the old secret of its credential."""
        is_old = old is not None and old.secret_id == secret.id
        return cls.model_construct(
            **dict(SecretDocument.of(secret, now)),
            silent_since=old.silent_since if old is not None and is_old else None,
            safe_to_remove=old is not None and is_old and old.is_safe_to_remove(now),
        )


class CreatedSecret(Model):
    """A new secret of a credential."""

    client_id: str
    client_secret: str | None = Field(description="Shown this once; null where the request was answered before.")
    secrets: list[SecretDocument] = Field(description="All that live, the newest first.")


def live_secrets(credential: Credential, now: Instant) -> list[SecretDocument]:
    """The secrets of a credential that work."""
    shown = [SecretDocument.of(each, now) for each in credential.secrets]
    return [each for each in shown if each.live]


@operation(
    "GET",
    "/credentials/<client_id>/secrets",
    access=BUILDER,
    tag="credentials",
    answer=Items[ListedSecret],
    etag=True,
)
def list_secrets(context: ApiContext, client_id: str) -> Answer:
    """List the secrets of a credential.

    The newest first, those that have ended too. The ETag is the credential's.
    """
    credential = context.accounts.credential(client_id, context.owner_id)
    old = context.store.old_secrets.of_credential(client_id, context.now)
    items = [ListedSecret.seen(each, old, context.now) for each in credential.secrets]
    return Answer(Items[ListedSecret](items=items), etag=etag_of_credential(credential))


@operation(
    "POST",
    "/credentials/<client_id>/secrets",
    access=BUILDER,
    tag="credentials",
    answer=CreatedSecret,
    status=201,
    body=NewSecret,
    creates=True,
)
def create_secret(context: ApiContext, client_id: str, body: NewSecret) -> Answer:
    """Make a new secret.

    The one before ends now or after the overlap; with it end the tokens that it obtained. Two live at most.
    """
    credential = context.accounts.credential(client_id, context.owner_id)
    context.require_roles(credential.roles)
    return _created(context, context.creating(), client_id, body)


@operation(
    "POST",
    "/me/credential/secrets",
    access=TOKEN,
    tag="me",
    answer=CreatedSecret,
    status=201,
    body=NewSecret,
    creates=True,
    problems=("insufficient_scope", "not_allowed"),
)
def rotate_own_secret(context: ApiContext, body: NewSecret) -> Answer:
    """Make a new secret for the credential of this token.

    Where the setting `self_rotation` allows it. The token needs all roles that its credential gives, and dies with the
    secret that obtained it.
    """
    client_id = context.caller.client_id

    def require_permission(tx: Transaction) -> None:
        if not tx.general().self_rotation:
            raise Problem("not_allowed", "The setting self_rotation is off: a person makes new secrets.")

    held = set(context.caller.user.role_names)
    context.require_roles(
        tuple(each for each in context.accounts.credential(client_id, context.owner_id).roles if each in held)
    )
    return _created(context, context.creating(require_permission), client_id, body)


@operation(
    "PATCH",
    "/credentials/<client_id>/secrets/<secret_id>",
    access=BUILDER,
    tag="credentials",
    answer=SecretDocument,
    body=SecretChanges,
    edits=True,
)
def edit_secret(context: ApiContext, client_id: str, secret_id: str, body: SecretChanges) -> Answer:
    """Move the end of the old secret.

    It is the one that works on beside its successor; If-Match names the credential.
    """
    credential_actions.move_old_secret(
        _editing_old(context, client_id, secret_id).accounts,
        client_id,
        body.ends_in_seconds,
        owner_id=context.owner_id,
        **context.who,
    )
    return Answer(
        SecretDocument.of(_secret(context.accounts.credential(client_id, context.owner_id), secret_id), context.now)
    )


@operation("DELETE", "/credentials/<client_id>/secrets/<secret_id>", access=BUILDER, tag="credentials", edits=True)
def delete_secret(context: ApiContext, client_id: str, secret_id: str) -> Answer:
    """End the old secret now.

    The newest one ends only by a successor, or with its credential; If-Match names the credential.
    """
    credential_actions.move_old_secret(
        _editing_old(context, client_id, secret_id).accounts, client_id, 0, owner_id=context.owner_id, **context.who
    )
    return Answer()


def _editing_old(context: ApiContext, client_id: str, secret_id: str) -> Store:
    """The store for a change of one old secret that lives: there is one at most."""

    def etag(tx: Transaction) -> str:
        credential = tx.credential(client_id, context.owner_id)
        secret, tag = _secret(credential, secret_id), etag_of_credential(credential)
        if context.conditions.matches(tag):
            _require_old(secret, context.now)
        return tag

    return context.editing(etag)


def _secret(credential: Credential, secret_id: str) -> SecretRecord:
    for secret in credential.secrets:
        if secret.id == secret_id:
            return secret
    raise NotFound(secret_id)


def _require_old(secret: SecretRecord, now: Instant) -> None:
    if secret.ends_at is None:
        msg = "this is the newest secret; make another one first, or disable the credential"
        raise Conflict(msg)
    if over(now, secret.ends_at):
        msg = "this secret has ended already"
        raise Conflict(msg)


def _created(context: ApiContext, store: Store, client_id: str, body: NewSecret) -> Answer:
    """Make a secret in ``store`` and answer it."""
    secret = None
    try:
        made = credential_actions.regenerate(
            store.accounts,
            client_id,
            body.overlap_seconds,
            pepper=context.store.pepper,
            owner_id=context.owner_id,
            **context.who,
        )
        secret = made.secret
    except AlreadyDone:
        pass
    shown = live_secrets(context.accounts.credential(client_id, context.owner_id), context.now)
    document = CreatedSecret(client_id=client_id, client_secret=secret, secrets=shown)
    return Answer(document, location=f"/credentials/{client_id}/secrets", replayed=secret is None)

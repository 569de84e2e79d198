"""Whose tokens stand for a credential, so that its client needs no secret (workload identity federation)."""

from typing import Annotated

from pydantic import Field

from authserver.actions.client_authentication import trusts as client_trusts
from authserver.api.context import ApiContext
from authserver.api.operations import BUILDER, Answer, operation
from authserver.api.resources.credentials import etag_in, etag_of_credential
from authserver.api.schemas import InstantOut, Items, Model
from authserver.ports.credentials import Credential, TrustRecord
from authserver.ports.errors import Invalid
from authserver.rules.client_authentication.trust import MOST_CONDITIONS, MOST_SETS, MOST_TEXT, made_trust, trust_of

Text = Annotated[str, Field(max_length=MOST_TEXT)]


class TrustDocument(Model):
    """A trust in the tokens of an issuer."""

    id: str
    issuer: str
    audience: str
    claims: dict[str, str]
    jwks_uri: str
    has_jwks: bool = Field(description="Whether its keys were pasted; else they are at jwks_uri, or by discovery.")
    once: bool
    live: bool
    created_at: InstantOut
    ends_at: InstantOut | None
    last_used_at: InstantOut | None
    last_used_peer: str | None

    @classmethod
    def of(cls, record: TrustRecord) -> "TrustDocument":
        """As the store has it."""
        trust = trust_of(record.text)
        return cls(
            id=record.id,
            issuer=trust.issuer,
            audience=trust.audience,
            claims=dict(trust.conditions),
            jwks_uri=trust.jwks_uri,
            has_jwks=bool(trust.jwks),
            once=trust.once,
            live=record.ends_at is None,
            created_at=record.created_at,
            ends_at=record.ends_at,
            last_used_at=record.last_used_at,
            last_used_peer=record.last_used_peer,
        )


class NewTrust(Model):
    """Which tokens of an issuer stand for the credential: all conditions must hold."""

    issuer: Annotated[str, Field(min_length=1, max_length=MOST_TEXT, description="What its tokens have as `iss`.")]
    claims: Annotated[
        dict[Text, Text],
        Field(
            max_length=MOST_CONDITIONS,
            description="A value or pattern for each claim: * is one whole part between : and /, ** any number.",
        ),
    ]
    audience: Annotated[Text, Field(description="What they have as `aud`; empty: the issuer of this server.")] = ""
    jwks: Annotated[
        str, Field(max_length=MOST_SETS, description="Its JWK set as text, where it cannot be reached from here.")
    ] = ""
    jwks_uri: Annotated[Text, Field(description="Where its JWK set is, where it offers no discovery.")] = ""
    once: Annotated[bool, Field(description="Whether each of its tokens is good once.")] = False


class TokenToTry(Model):
    """A token of an issuer; it is held against the trusts, and not kept."""

    token: Annotated[str, Field(min_length=1, max_length=8192)]


class CheckDocument(Model):
    """One condition on a token."""

    check: str
    holds: bool
    wanted: str
    found: str


class TrialDocument(Model):
    """How a token fares against one trust."""

    trust: str
    issuer: str
    passes: bool
    checks: list[CheckDocument]


def _listed(credential: Credential) -> Items[TrustDocument]:
    return Items[TrustDocument](items=[TrustDocument.of(each) for each in credential.trusts])


@operation(
    "GET",
    "/credentials/<client_id>/trusts",
    access=BUILDER,
    tag="credentials",
    answer=Items[TrustDocument],
    etag=True,
)
def list_trusts(context: ApiContext, client_id: str) -> Answer:
    """List whom a credential trusts.

    Those that have ended too. The ETag is the credential's.
    """
    credential = context.accounts.credential(client_id, context.owner_id)
    return Answer(_listed(credential), etag=etag_of_credential(credential))


@operation(
    "POST",
    "/credentials/<client_id>/trusts",
    access=BUILDER,
    tag="credentials",
    answer=Items[TrustDocument],
    status=201,
    body=NewTrust,
    creates=True,
)
def add_trust(context: ApiContext, client_id: str, body: NewTrust) -> Answer:
    """Let tokens of an issuer stand for a credential.

    Whoever gets such a token acts as the client, so a token adds none to a credential with roles that it does not have.
    """
    context.require_roles(context.accounts.credential(client_id, context.owner_id).roles)
    try:
        wanted = made_trust(
            body.issuer,
            body.audience or context.services.issuer,
            body.claims.items(),
            jwks=body.jwks,
            jwks_uri=body.jwks_uri,
            once=body.once,
        )
    except ValueError as error:
        raise Invalid(str(error)) from error
    replayed = context.is_replay(
        lambda accounts: client_trusts.add(accounts, client_id, wanted, owner_id=context.owner_id, **context.who)
    )
    credential = context.accounts.credential(client_id, context.owner_id)
    return Answer(_listed(credential), location=f"/credentials/{client_id}/trusts", replayed=replayed)


@operation("DELETE", "/credentials/<client_id>/trusts/<trust_id>", access=BUILDER, tag="credentials", edits=True)
def remove_trust(context: ApiContext, client_id: str, trust_id: str) -> Answer:
    """End a trust, and the tokens that it obtained; If-Match names the credential."""
    client_trusts.remove(
        context.editing(etag_in(context, client_id)).accounts,
        client_id,
        trust_id,
        owner_id=context.owner_id,
        **context.who,
    )
    return Answer()


@operation(
    "POST",
    "/credentials/<client_id>/trusts/try",
    access=BUILDER,
    tag="credentials",
    answer=Items[TrialDocument],
    body=TokenToTry,
)
def try_token(context: ApiContext, client_id: str, body: TokenToTry) -> Answer:
    """Hold a token of an issuer against each trust, and show which condition fails; nothing is recorded or used up."""
    trials = client_trusts.try_token(
        context.accounts,
        client_id,
        body.token,
        context.services.remote_keys,
        now=context.now,
        owner_id=context.owner_id,
    )
    return Answer(Items[TrialDocument](items=[_trial(each) for each in trials]))


def _trial(trial: client_trusts.Trial) -> TrialDocument:
    checks = [
        CheckDocument(check=each.name, holds=not each.reason, wanted=each.wanted, found=each.found)
        for each in trial.checks
    ]
    return TrialDocument(trust=trial.trust_id, issuer=trial.issuer, passes=trial.passes, checks=checks)

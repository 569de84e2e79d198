"""The signing keys: how they stand, who has fetched them, every move, and a rehearsal of the worst one."""

from typing import Annotated, Final, Literal

from pydantic import Field

from authserver.actions import signing_keys
from authserver.actions.signing_keys import KeyContext
from authserver.api.context import ApiContext
from authserver.api.operations import KEYS, SECURITY, Answer, operation
from authserver.api.preconditions import etag_of
from authserver.api.schemas import InstantOut, Items, Model, Query
from authserver.ports.errors import AlreadyDone, Invalid, NotFound
from authserver.ports.store import Store
from keys.keyring import ALGORITHMS, POST_QUANTUM, KeyInfo, State
from keys.rotation import Generate, Promote, Withdraw, may_sign_from, published_until

_STEPS: Final[dict[type, Literal["generate", "promote", "withdraw"]]] = {
    Generate: "generate",
    Promote: "promote",
    Withdraw: "withdraw",
}

Reason = Annotated[str, Field(max_length=signing_keys.MAX_REASON, description="Why; it goes on record.")]


class KeyDocument(Model):
    """A signing key, without its private part."""

    kid: str
    alg: str
    state: State
    key_store: str
    created_at: InstantOut
    activated_at: InstantOut | None
    retired_at: InstantOut | None
    ended_at: InstantOut | None
    may_sign_from: InstantOut | None = Field(description="Of a staged key: when it has been published long enough.")
    leaves_at: InstantOut | None = Field(description="Of a retired key: when its last token is over.")
    live_tokens: int = Field(description="Live tokens that it signed; 500 stands for so many or more.")


class VerifierDocument(Model):
    """A resource server as one who fetches the keys."""

    name: str
    seen: bool | None = Field(description="Whether it was given this key; null where it never made itself known.")
    last_fetched_at: InstantOut | None
    waited_for: bool


class ReadinessDocument(Model):
    """Who has fetched a key."""

    kid: str
    ready: bool = Field(description="Whether nobody is waited for.")
    may_sign_from: InstantOut | None
    waits_until: InstantOut | None
    verifiers: list[VerifierDocument]


class DrillDocument(Model):
    """What the compromise of a key would do now. Nothing is changed by asking."""

    kid: str
    live_tokens: int
    credentials: int
    judged: int = Field(description="How many of the tokens were judged on a copy of the key states.")
    survivors: int = Field(description="How many of these would live on; 0, or something is wrong.")
    successor: str | None = Field(description="The staged key that would sign; null where one would be made.")
    successor_before_its_time: bool


class RotationStep(Model):
    """A step of the rotation."""

    at: InstantOut
    step: Literal["generate", "promote", "withdraw"]
    key: str = Field(description="The `kid`, or the algorithm of a key that is not made yet.")


class ForecastQuery(Query):
    """How far to look."""

    days: Annotated[int, Field(ge=1, le=400)] = 400


class NewKeyOf(Model):
    """Of which algorithm."""

    alg: Annotated[str, Field(min_length=1, max_length=16, description="Such as ES256.")]


class Rotation(Model):
    """Which algorithm's key shall follow; with a reason at once, whoever knows the next one."""

    alg: Annotated[str, Field(min_length=1, max_length=16)]
    reason: Reason = ""


class Because(Model):
    """Why it is done."""

    reason: Reason = ""


def _etag(kid: str, state: str) -> str:
    """Names what can be edited of a key: its state."""
    return etag_of("signing key", kid, state)


def _editing(context: ApiContext, kid: str) -> Store:
    """The store for one change of a key in the state that If-Match names."""
    return context.editing(lambda tx: _etag(kid, tx.key_state(kid)))


def _context(context: ApiContext, store: Store | None = None) -> KeyContext:
    opened = store or context.store
    return signing_keys.key_context(opened.accounts, opened.keys, context.services.key_store, opened.jwks_fetchers)


def _find(context: ApiContext, kid: str) -> KeyInfo:
    for key in context.store.keys.ring():
        if key.kid == kid:
            return key
    raise NotFound(kid)


def _document(key: KeyInfo, context: KeyContext, live: int) -> KeyDocument:
    return KeyDocument(
        kid=key.kid,
        alg=key.alg,
        state=key.state,
        key_store=key.key_store,
        created_at=key.created_at,
        activated_at=key.activated_at,
        retired_at=key.retired_at,
        ended_at=key.ended_at,
        may_sign_from=may_sign_from(key, context.policy) if key.state is State.STAGED else None,
        leaves_at=published_until(key) if key.state is State.RETIRED else None,
        live_tokens=live,
    )


def _show(context: ApiContext, kid: str, *, replayed: bool = False) -> Answer:
    live = context.store.token_reads.by_key(context.now, kid).get(kid, 0)
    key = _find(context, kid)
    return Answer(
        _document(key, _context(context), live),
        etag=_etag(kid, key.state.value),
        location=f"/signing-keys/{kid}",
        replayed=replayed,
    )


@operation("GET", "/signing-keys", access=SECURITY, tag="signing keys", answer=Items[KeyDocument])
def list_signing_keys(context: ApiContext) -> Answer:
    """List all signing keys, the newest first."""
    live, key_context = context.store.token_reads.by_key(context.now), _context(context)
    ring = tuple(reversed(context.store.keys.ring()))
    return Answer(Items[KeyDocument](items=[_document(key, key_context, live.get(key.kid, 0)) for key in ring]))


@operation(
    "POST",
    "/signing-keys",
    access=KEYS,
    tag="signing keys",
    answer=KeyDocument,
    status=201,
    body=NewKeyOf,
    creates=True,
    etag=True,
)
def create_signing_key(context: ApiContext, body: NewKeyOf) -> Answer:
    """Make a key and publish it.

    It signs once it has been published for the announcement.
    """
    _check_algorithm(body.alg)
    replayed = False
    try:
        kid = signing_keys.generate(_context(context, context.creating()), body.alg, **context.who).kid
    except AlreadyDone as done:
        kid, replayed = done.subject, True
    return _show(context, kid, replayed=replayed)


@operation(
    "POST",
    "/signing-keys/rotate",
    access=KEYS,
    tag="signing keys",
    answer=KeyDocument,
    body=Rotation,
    creates=True,
    etag=True,
)
def rotate_signing_keys(context: ApiContext, body: Rotation) -> Answer:
    """Let the next key of an algorithm sign.

    Where none is published one is, and may sign later. Without a reason it waits for the announcement and for every
    resource server that fetches the keys. The answer is the key that signs, or will.
    """
    _check_algorithm(body.alg)
    replayed = False
    try:
        kid = signing_keys.rotate(
            _context(context, context.creating()), body.alg, reason=body.reason, **context.who
        ).kid
    except AlreadyDone as done:
        # A rotation is on record by its algorithm, a key that was only published by its kid.
        ring = context.store.keys.ring()
        signing = (key.kid for key in ring if key.alg == done.subject and key.state is State.ACTIVE)
        kid, replayed = next(signing, done.subject), True
    return _show(context, kid, replayed=replayed)


@operation(
    "GET",
    "/signing-keys/forecast",
    access=SECURITY,
    tag="signing keys",
    answer=Items[RotationStep],
    query=ForecastQuery,
)
def forecast_signing_keys(context: ApiContext, query: ForecastQuery) -> Answer:
    """List the steps of the rotation that will be due.

    If nobody intervenes and every resource server goes on fetching the keys.
    """
    items = [
        RotationStep(at=due, step=_STEPS[type(step)], key=step.alg if isinstance(step, Generate) else step.kid)
        for due, step in signing_keys.forecast_steps(_context(context), context.now, query.days)
    ]
    return Answer(Items[RotationStep](items=items))


@operation("GET", "/signing-keys/<kid>", access=SECURITY, tag="signing keys", answer=KeyDocument, etag=True)
def read_signing_key(context: ApiContext, kid: str) -> Answer:
    """Show one key."""
    return _show(context, kid)


@operation("GET", "/signing-keys/<kid>/readiness", access=SECURITY, tag="signing keys", answer=ReadinessDocument)
def read_readiness(context: ApiContext, kid: str) -> Answer:
    """Show which resource servers have fetched a key."""
    key, key_context = _find(context, kid), _context(context)
    late = frozenset(key_context.waits_for(key, context.now))
    known = {each.name: each for each in key_context.fetchers}
    verifiers = [
        VerifierDocument(
            name=server.name,
            seen=key.kid in known[server.name].seen if server.name in known else None,
            last_fetched_at=known[server.name].last_fetched_at if server.name in known else None,
            waited_for=server.name in late,
        )
        for server in context.accounts.resource_servers()
        if server.disabled_at is None
    ]
    begins = may_sign_from(key, key_context.policy) if key.state is State.STAGED else None
    return Answer(
        ReadinessDocument(
            kid=key.kid,
            ready=not late,
            may_sign_from=begins,
            waits_until=None if begins is None else begins + key_context.policy.patience,
            verifiers=verifiers,
        )
    )


@operation("GET", "/signing-keys/<kid>/drill", access=SECURITY, tag="signing keys", answer=DrillDocument)
def rehearse_compromise(context: ApiContext, kid: str) -> Answer:
    """Rehearse the compromise of a key.

    Its live tokens are judged as if it were compromised; nothing is changed.
    """
    key = _find(context, kid)
    found = signing_keys.rehearse(context.store, key, context.now)
    return Answer(
        DrillDocument(
            kid=key.kid,
            live_tokens=found.tokens,
            credentials=len(found.credentials),
            judged=found.judged,
            survivors=found.survivors,
            successor=found.successor.kid if found.successor else None,
            successor_before_its_time=found.successor_is_young,
        )
    )


@operation(
    "POST",
    "/signing-keys/<kid>/retire",
    access=KEYS,
    tag="signing keys",
    answer=KeyDocument,
    body=Because,
    edits=True,
    etag=True,
)
def retire_signing_key(context: ApiContext, kid: str, body: Because) -> Answer:
    """Take the active key out of signing.

    Its tokens stay good; the next one takes over, and with a reason at once.
    """
    key_context = _context(context, _editing(context, _find(context, kid).kid))
    signing_keys.retire(key_context, kid, reason=body.reason, **context.who)
    return _show(context, kid)


@operation(
    "POST",
    "/signing-keys/<kid>/compromise",
    access=KEYS,
    tag="signing keys",
    answer=KeyDocument,
    body=Because,
    edits=True,
    etag=True,
)
def compromise_signing_key(context: ApiContext, kid: str, body: Because) -> Answer:
    """Compromise a key.

    Every token it signed ends; another key signs at once.
    """
    key_context = _context(context, _editing(context, _find(context, kid).kid))
    signing_keys.compromise(key_context, kid, reason=body.reason, **context.who)
    return _show(context, kid)


@operation(
    "POST",
    "/signing-keys/<kid>/withdraw",
    access=KEYS,
    tag="signing keys",
    answer=KeyDocument,
    edits=True,
    etag=True,
)
def withdraw_signing_key(context: ApiContext, kid: str) -> Answer:
    """Take a retired key out of the JWKS.

    Once its last token is over, and not before.
    """
    _editing(context, _find(context, kid).kid).keys.remove(kid, context.who["actor"], context.now)
    return _show(context, kid)


def _check_algorithm(alg: str) -> None:
    if alg not in (*ALGORITHMS, *POST_QUANTUM):
        msg = f"alg is one of {', '.join((*ALGORITHMS, *POST_QUANTUM))}"
        raise Invalid(msg)

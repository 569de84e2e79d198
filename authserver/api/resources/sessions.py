"""The sessions of a credential, which are its tokens: list, end; its use, and all that happened to it."""

import json
from typing import Annotated, Any

from pydantic import Field

from authserver.actions import sessions as session_actions
from authserver.actions.sessions import InspectedSession
from authserver.api.context import ApiContext
from authserver.api.cursors import decode, encode
from authserver.api.operations import BUILDER, SECURITY, Answer, operation
from authserver.api.schemas import MAX_ROWS, InstantOut, Items, Model, Paged, Query
from authserver.audit import Record
from authserver.ports.console_reads.audit import AuditPlace
from authserver.rules.facts import Reason
from authserver.rules.lifetime import DAY


class SessionDocument(Model):
    """One token as the server keeps it: never its text."""

    jti: str
    live: bool
    audience: str
    roles: list[str]
    kid: str
    secret_id: str = Field(description="The secret that obtained it.")
    issued_at: InstantOut
    issued_peer: str | None
    expires_at: InstantOut
    idle_expires_at: InstantOut | None = Field(description="When it dies unless it is used before.")
    last_used_at: InstantOut
    last_used_peer: str | None
    ended_at: InstantOut | None = Field(description="Null while it lives, and where the instant is not on record.")
    end_reason: str | None

    @classmethod
    def of(cls, seen: InspectedSession) -> "SessionDocument":
        """As it was judged."""
        session = seen.session
        return cls(
            jti=session.jti,
            live=seen.live,
            audience=session.audience,
            roles=list(session.roles),
            kid=session.kid,
            secret_id=session.secret_id,
            issued_at=session.issued_at,
            issued_peer=session.issued_peer,
            expires_at=session.expires_at,
            idle_expires_at=seen.idle_ends_at,
            last_used_at=session.last_used_at,
            last_used_peer=session.last_used_peer,
            ended_at=seen.ended_at,
            end_reason=seen.end_reason,
        )


class SessionsQuery(Query):
    """Which sessions to list."""

    live: bool | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_ROWS, description="How many of each kind at most.")] = 50


class EndedSessions(Model):
    """What ended."""

    recorded: int = Field(description="How many of the tokens that ended were on record.")


class DaysQuery(Query):
    """How far back to look."""

    days: Annotated[int, Field(ge=1, le=400)] = 30


class RouteUseDocument(Model):
    """Uses of tokens at one route of an API."""

    resource_server_id: str
    resource_server: str | None
    method: str
    route: str
    uses: int
    last_used_at: InstantOut


class DayDocument(Model):
    """Token requests of one day of UTC."""

    day: InstantOut
    granted: int
    refused: int


class UnusedTokensDocument(Model):
    """What a client got and used yesterday (UTC); uses at an API that checks tokens by itself are unknown."""

    tokens: int
    uses: int


class UsageDocument(Model):
    """How a credential was used."""

    since: InstantOut
    uses: int = Field(description="Uses of its tokens at all APIs.")
    routes: list[RouteUseDocument] = Field(description="The most used first, 100 at most.")
    token_requests: dict[str, int] = Field(description="By outcome: `granted`, or the reason of the refusal.")
    days: list[DayDocument] = Field(description="Token requests of the last 30 days, the oldest first.")
    live_tokens: int
    unused_tokens: UnusedTokensDocument | None = Field(
        description="Where it got far more tokens yesterday than are known to be used: a client should keep its token "
        "until `expires_in` is nearly over. Else null."
    )


class EventDocument(Model):
    """One change on record."""

    seq: int
    at: InstantOut
    actor: str
    event: str
    target: str
    detail: dict[str, Any]

    @classmethod
    def of(cls, record: Record) -> "EventDocument":
        """As it is on record; details that are no object, which only a forger writes, are shown as such."""
        try:
            found = json.loads(record.detail)
        except (TypeError, ValueError):
            found = None
        detail = found if isinstance(found, dict) else {"": str(record.detail)}
        return cls(
            seq=record.seq, at=record.at, actor=record.actor, event=record.event, target=record.target, detail=detail
        )


class ExplanationDocument(Model):
    """Why a token ended, or that it lives."""

    client_id: str
    credential: str = Field(description="The name of its credential.")
    owner: str
    session: SessionDocument
    kept_alive_by: str | None = Field(description="What would have kept it alive; null while it lives.")
    events: list[EventDocument] = Field(description="Changes on record within an hour of its end, the newest first.")


@operation(
    "GET",
    "/credentials/<client_id>/sessions",
    access=BUILDER,
    tag="credentials",
    answer=Items[SessionDocument],
    query=SessionsQuery,
)
def list_sessions(context: ApiContext, client_id: str, query: SessionsQuery) -> Answer:
    """List sessions.

    The newest first: those that live, and the newest of those that ended. To list is no use of a token.
    """
    seen = session_actions.inspect_sessions(
        context.accounts,
        context.store.sessions,
        context.store.hot_path,
        client_id,
        owner_id=context.owner_id,
        limit=query.limit,
        now=context.now,
    )
    listed = [each for each in seen if query.live in {None, each.live}]
    return Answer(Items[SessionDocument](items=[SessionDocument.of(each) for each in listed]))


@operation("DELETE", "/credentials/<client_id>/sessions", access=BUILDER, tag="credentials", answer=EndedSessions)
def end_sessions(context: ApiContext, client_id: str) -> Answer:
    """End all sessions of a credential.

    The credential stays enabled and may get new tokens.
    """
    _same, ended = session_actions.end_all(
        context.accounts, client_id, Reason.ENDED_BY_OWNER, owner_id=context.owner_id, **context.who
    )
    return Answer(EndedSessions(recorded=ended))


@operation("GET", "/sessions/<jti>", access=BUILDER, tag="credentials", answer=ExplanationDocument)
def explain_session(context: ApiContext, jti: str) -> Answer:
    """Explain when and why a token ended.

    Of credentials of the caller's owner; to look at it is no use of the token.
    """
    return Answer(explanation(context, jti, context.owner_id))


@operation("GET", "/inventory/sessions/<jti>", access=SECURITY, tag="inventory", answer=ExplanationDocument)
def explain_session_of_anybody(context: ApiContext, jti: str) -> Answer:
    """Explain when and why a token ended, whoever owns its credential."""
    return Answer(explanation(context, jti, None))


def explanation(context: ApiContext, jti: str, owner_id: str | None) -> ExplanationDocument:
    """The document of one session."""
    store = context.store
    found = session_actions.explain(
        store.accounts, store.sessions, store.hot_path, store.audit_reads, jti, owner_id=owner_id
    )
    return ExplanationDocument(
        client_id=found.inspected.session.client_id,
        credential=found.credential,
        owner=found.owner,
        session=SessionDocument.of(found.inspected),
        kept_alive_by=found.kept_alive or None,
        events=[EventDocument.of(each) for each in found.events],
    )


@operation("DELETE", "/sessions/<jti>", access=BUILDER, tag="credentials")
def end_session(context: ApiContext, jti: str) -> Answer:
    """End one session.

    One that has ended already is not found: an end is final.
    """
    session_actions.end(context.accounts, jti, Reason.ENDED_BY_OWNER, owner_id=context.owner_id, **context.who)
    return Answer()


@operation(
    "GET",
    "/credentials/<client_id>/usage",
    access=BUILDER,
    tag="credentials",
    answer=UsageDocument,
    query=DaysQuery,
)
def read_usage(context: ApiContext, client_id: str, query: DaysQuery) -> Answer:
    """Show how a credential was used."""
    reads = context.store.credential_reads
    row = reads.row(client_id, context.now, owner_id=context.owner_id)
    since = context.now - context.now % DAY - (query.days - 1) * DAY
    found = reads.usage(client_id, since, 100)
    unused = context.store.token_reads.unused(context.now, client_id)
    routes = [
        RouteUseDocument(
            resource_server_id=each.server_id,
            resource_server=each.server,
            method=each.method,
            route=each.route,
            uses=each.uses,
            last_used_at=each.last_used_at,
        )
        for each in found.routes
    ]
    return Answer(
        UsageDocument(
            since=since,
            uses=found.total,
            routes=routes,
            token_requests=dict(reads.refusals(client_id, since)),
            days=[DayDocument(day=each.day, granted=each.granted, refused=each.refused) for each in row.days],
            live_tokens=reads.live_tokens(client_id, context.now),
            unused_tokens=next((UnusedTokensDocument(tokens=each.tokens, uses=each.uses) for each in unused), None),
        )
    )


@operation(
    "GET",
    "/credentials/<client_id>/timeline",
    access=BUILDER,
    tag="credentials",
    answer=Items[EventDocument],
    query=Paged,
)
def read_timeline(context: ApiContext, client_id: str, query: Paged) -> Answer:
    """List what happened to a credential.

    The newest first: to itself, its sessions, and its owner's roles.
    """
    page = context.store.audit_reads.timeline(client_id, query.limit, audit_place(query), owner_id=context.owner_id)
    return Answer(
        Items[EventDocument](
            items=[EventDocument.of(each) for each in page.records], next_cursor=audit_cursor(query, page.after)
        )
    )


def audit_place(query: Paged) -> AuditPlace | None:
    """Where a part of a list of records begins."""
    place = decode(query, query.cursor, int, int)
    return None if place is None else AuditPlace(int(place[0]), int(place[1]))


def audit_cursor(query: Paged, after: AuditPlace | None) -> str | None:
    """The cursor of the next part."""
    return None if after is None else encode(query, after.at, after.seq)

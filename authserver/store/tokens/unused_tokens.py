"""Clients that request far more tokens than they use: each token costs a signature, and a row for weeks."""

from sqlalchemy import Engine, func, select

from authserver.ports.console_reads.tokens import UnusedTokens
from authserver.rules.facts import Instant
from authserver.store.engine.connections import reading
from authserver.store.tables import credentials, token_requests, usage, users
from authserver.store.tokens.usage_buffer import GRANTED

MIN_TOKENS = 1000
"""Tokens of one day; below, a client costs nobody anything, however it uses them."""

TOKENS_PER_USE = 10
"""So many for each use are far too many: a client that keeps its token uses it more often than once."""

_DAY = 24 * 3600
_MOST = 20


def unused_tokens(engine: Engine, now: Instant, client_id: str | None = None) -> tuple[UnusedTokens, ...]:
    """Those of yesterday that got far more tokens than they used, the worst first, 20 at most; or only one client.

    Raises:
        Unavailable: the database cannot be reached.
    """
    yesterday = now - now % _DAY - _DAY
    asked, used = token_requests.c, usage.c
    uses = (
        select(func.coalesce(func.sum(used.uses), 0))
        .where(used.client_id == asked.client_id, used.day == yesterday)
        .scalar_subquery()
    )
    query = (
        select(asked.client_id, credentials.c.name, users.c.username, asked.requests, uses)
        .select_from(
            token_requests.join(credentials, credentials.c.client_id == asked.client_id).join(
                users, users.c.id == credentials.c.owner_id
            )
        )
        .where(
            asked.day == yesterday,
            asked.outcome == GRANTED,
            asked.requests >= MIN_TOKENS,
            asked.requests >= TOKENS_PER_USE * uses,
        )
        .order_by(asked.requests.desc(), asked.client_id)
        .limit(_MOST)
    )
    if client_id is not None:
        query = query.where(asked.client_id == client_id)
    with reading(engine) as connection:
        return tuple(UnusedTokens(*row[:4], int(row[4])) for row in connection.execute(query))

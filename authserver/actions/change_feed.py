"""What ended, for resource servers that verify tokens by themselves (docs/adr/0013).

A cursor names an epoch and the number of the last entry that was told. Entries are numbered in the order of their
commits, so whoever has seen number n never misses a smaller one.
"""

import re
from typing import Any, NamedTuple

from authserver.actions.preconditions.calling_resource_server import require_resource_server
from authserver.ports.changes import ChangeReads
from authserver.rules.facts import Instant
from authserver.rules.lifetime import LONGEST_LIFE
from authserver.rules.presented_secret import PresentedSecret

_CURSOR = re.compile(r"([0-9]{1,15})\.([0-9]{1,15})")


class CursorTooOld(Exception):
    """What was added behind the cursor cannot be told any more: ask for the whole state."""


class Feed(NamedTuple):
    """The claims of a document, or None where nothing changed; ``alg`` is what the caller wants it signed with.

    ``unchanged`` when there is nothing new behind the cursor, with or without a document that says so.
    """

    claims: dict[str, Any] | None
    tag: str
    alg: str
    unchanged: bool


def change_feed(who: PresentedSecret, after: str, tag: str, *, changes: ChangeReads, issuer: str) -> Feed:
    """Tell a resource server what ended.

    Args:
        who: the resource server, not authenticated yet.
        after: the cursor of an earlier document; empty for the whole state.
        tag: of the document it has, or empty.
        changes: the list of what ended.
        issuer: our issuer identifier.

    Raises:
        CursorTooOld: the cursor is of another epoch, or the entries behind it were deleted.
        InvalidClient: the caller is no resource server.
        Unavailable: the truth cannot be read.
    """
    head = changes.head(who.client_id)
    caller = require_resource_server(who, head.caller)
    if tag and tag == _tag(head.epoch, head.last, head.idle_timeout) and after == f"{head.epoch}.{head.last}":
        return Feed(None, tag, caller.alg, unchanged=True)
    # The time was read before the snapshot is: a document is never newer than it says.
    found = changes.since(caller.audience, _number(after, head.epoch), head.now, head.now - LONGEST_LIFE)
    if found is None or (after and found.epoch != head.epoch):
        raise CursorTooOld
    cursor = f"{found.epoch}.{found.last}"
    return Feed(
        {
            "iss": issuer,
            "aud": [caller.audience, caller.client_id],
            "iat": found.as_of,
            "as_of": found.as_of,
            "cursor": cursor,
            "complete": not after,
            "epoch": str(found.epoch),
            "idle_seconds": found.idle_timeout,
            "role_versions": found.role_versions,
            "ended_tokens": found.ended_tokens,
            "ended_credentials": found.ended_credentials,
            "ended_secrets": found.ended_secrets,
            "disabled_users": sorted(found.disabled_users),
            "removed_keys": sorted(found.removed_keys),
        },
        _tag(found.epoch, found.last, found.idle_timeout),
        caller.alg,
        unchanged=after == cursor,
    )


def _number(cursor: str, epoch: Instant) -> int | None:
    if not cursor:
        return None
    parts = _CURSOR.fullmatch(cursor)
    if parts is None or int(parts[1]) != epoch:
        raise CursorTooOld
    return int(parts[2])


def _tag(epoch: int, last: int, idle_timeout: int) -> str:
    return f'"{epoch}.{last}.{idle_timeout}"'

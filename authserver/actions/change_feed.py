"""What ended, for resource servers that verify tokens by themselves (docs/adr/0013).

A cursor names an epoch and the number of the last entry that was sent. Entries are numbered in the order of their
commits, so a reader that has number n has every smaller one.
"""

import re
from typing import Any, NamedTuple

from authserver.actions.preconditions.calling_resource_server import ProvenCaller, require_resource_server
from authserver.ports.changes import ChangeReads, Limits
from authserver.rules.facts import Instant
from authserver.rules.lifetime import MAX_LIFETIME
from authserver.rules.presented_secret import PresentedSecret

_CURSOR = re.compile(r"([0-9]{1,15})\.([0-9]{1,15})")


class CursorTooOld(Exception):
    """The entries behind the cursor are no longer on record; the client has to read the whole state."""


class Feed(NamedTuple):
    """The claims of a document, or None where nothing changed; ``alg`` is what the caller wants it signed with.

    ``unchanged`` when nothing follows the cursor, with or without a document.
    """

    claims: dict[str, Any] | None
    tag: str
    alg: str
    unchanged: bool
    server_id: str
    as_of: Instant
    last: int
    """Number of the newest entry that the caller knows with this answer."""


def change_feed(
    caller_secret: PresentedSecret | ProvenCaller, after: str, tag: str, *, changes: ChangeReads, issuer: str
) -> Feed:
    """Read what ended, for one resource server.

    Args:
        caller_secret: the resource server's id and secret, not authenticated yet; or who proved a key.
        after: the cursor of an earlier document; empty for the whole state.
        tag: the ETag of the document that the caller has, or empty.
        changes: reads the list of what ended.
        issuer: the issuer identifier of this server.

    Raises:
        CursorTooOld: the cursor is of another epoch, or the entries behind it were deleted.
        InvalidClient: the caller is no resource server.
        Unavailable: the database cannot be read.
    """
    head = changes.head(caller_secret.client_id)
    caller = require_resource_server(caller_secret, head.caller)
    if tag and tag == _tag(head.epoch, head.last, head.limits) and after == f"{head.epoch}.{head.last}":
        return Feed(None, tag, caller.alg, True, caller.id, head.now, head.last)
    # The time is read before the snapshot, so ``as_of`` is never later than the data.
    changed = changes.since(caller.audience, _number(after, head.epoch), head.now, head.now - MAX_LIFETIME)
    if changed is None or (after and changed.epoch != head.epoch):
        raise CursorTooOld
    cursor, current = f"{changed.epoch}.{changed.last}", _tag(changed.epoch, changed.last, changed.limits)
    return Feed(
        {
            "iss": issuer,
            "aud": [caller.audience, caller.client_id],
            "iat": changed.as_of,
            "as_of": changed.as_of,
            "cursor": cursor,
            "complete": not after,
            "epoch": str(changed.epoch),
            "idle_seconds": changed.limits.idle_timeout,
            "longest_seconds": changed.limits.max_lifetime,
            "used_since": changed.limits.used_since,
            "issued_since": changed.limits.issued_since,
            "role_versions": changed.role_versions,
            "ended_tokens": changed.ended_tokens,
            "ended_credentials": changed.ended_credentials,
            "ended_secrets": changed.ended_secrets,
            "disabled_users": sorted(changed.disabled_users),
            "removed_keys": sorted(changed.removed_keys),
        },
        current,
        caller.alg,
        unchanged=after == cursor and (not tag or tag == current),
        server_id=caller.id,
        as_of=changed.as_of,
        last=changed.last,
    )


def _number(cursor: str, epoch: Instant) -> int | None:
    if not cursor:
        return None
    parts = _CURSOR.fullmatch(cursor)
    if parts is None or int(parts[1]) != epoch:
        raise CursorTooOld
    return int(parts[2])


def _tag(epoch: int, last: int, limits: Limits) -> str:
    return '"' + ".".join(map(str, (epoch, last, *limits))) + '"'

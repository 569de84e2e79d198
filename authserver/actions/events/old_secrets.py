"""Ends old secrets that nobody uses any more, by the setting ``old_secret_silent_hours``."""

from contextlib import suppress

from authserver.audit import Event
from authserver.ports.accounts import Accounts
from authserver.ports.credentials import OldSecretReads
from authserver.ports.errors import Conflict, Refusal
from authserver.rules.facts import Instant

PART = 100
"""Secrets that are ended at a time."""

SILENT = "silent"
"""The reason on record."""


def end_silent(accounts: Accounts, reads: OldSecretReads, now: Instant) -> int:
    """End a part of the old secrets that were silent for as long as the setting says; how many ended.

    What was used meanwhile is left as it is. A use that another node has not written yet, half a second at most, is not
    seen: who uses a secret once in hours, in that half second, meets its end.
    """
    silence, done = accounts.general().old_secret_silent_hours * 3600, 0
    if not silence:
        return 0
    for each in reads.silent(now - silence, now, PART):
        event = Event("credential.old_secret_moved", "system", each.client_id, {"reason": SILENT})
        with suppress(Refusal), accounts.change(event, now) as tx:
            old = tx.old_secret(each.client_id, now)
            if old is None or old.secret_id != each.secret_id or not old.is_safe_to_remove(now, silence):
                msg = "it was used or ended meanwhile"
                raise Conflict(msg)
            tx.detail(before=tx.move_old_secret(each.client_id, now, now), after=now)
            done += 1
    return done

"""Disables what nobody used for as long as the setting ``unused_disable_days`` says; its owner may enable it again."""

from contextlib import suppress

from authserver.audit import Event
from authserver.ports.accounts import Accounts
from authserver.ports.errors import Conflict, Refusal
from authserver.ports.events.unused import UnusedReads
from authserver.rules.facts import Instant, over

PART = 100
"""Credentials that are disabled at a time."""

UNUSED = "unused"
"""The reason on record."""


def disable_unused(accounts: Accounts, reads: UnusedReads, now: Instant) -> int:
    """Disable a part of what is due, one change each; how many were disabled.

    What was used, disabled or deleted meanwhile is left as it is.
    """
    done = 0
    for each in reads.disabled_by(reads.policy(), now, PART):
        detail = {"reason": UNUSED, "last_used_at": each.last_used_at}
        event = Event("credential.disabled", "system", each.client_id, detail)
        with suppress(Refusal), accounts.change(event, now) as tx:
            end = tx.unused_disables_at(each.client_id)
            if end is None or not over(now, end):
                msg = "it was used meanwhile"
                raise Conflict(msg)
            version = tx.credential(each.client_id).version + 1
            tx.update_credential(each.client_id, disabled_at=now, version=version)
            tx.append_revocation("credential", each.client_id, now, version)
            done += 1
    return done

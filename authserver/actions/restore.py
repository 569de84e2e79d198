"""What to do when the database came from a backup: end every token by raising the epoch (INV-03)."""

from authserver.audit import Event
from authserver.ports.accounts import Accounts
from authserver.ports.errors import Conflict
from authserver.ports.general_settings import GeneralSettings
from authserver.rules.facts import Instant


def declare_restored(
    accounts: Accounts, *, actor: str, now: Instant, found: str = "", since: int | None = None
) -> GeneralSettings:
    """Say that this database came from a backup: every token issued before is dead (INV-03).

    Kills made after the backup are lost with it, so no older token can be trusted. The epoch
    jumps to the present, so that two restores of one backup never share a number.

    Args:
        accounts: where it is written.
        actor: who says so.
        now: seconds of UTC.
        found: how it was noticed, where nobody said it.
        since: the epoch this is about; None for whichever it is.

    Raises:
        Conflict: the epoch is above ``since`` already: another node was first.
    """
    event = Event("database.restored", actor, "database", {"found": found} if found else {})
    with accounts.change(event, now) as tx:
        before = tx.general().epoch
        if since is not None and before > since:
            msg = "the epoch was raised already"
            raise Conflict(msg)
        epoch = max(before + 1, (since or 0) + 1, now)
        tx.update_settings(epoch=epoch)
        tx.append_revocation("epoch", "database", now, epoch)
        tx.detail(epoch=epoch)
        return tx.general()

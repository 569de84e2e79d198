"""Handles a database that was restored from a backup: raising the epoch ends every token (INV-03)."""

from authserver.audit import Event
from authserver.ports.accounts import Accounts
from authserver.ports.errors import Conflict
from authserver.ports.general_settings import GeneralSettings
from authserver.rules.facts import Instant


def declare_restored(
    accounts: Accounts, *, actor: str, now: Instant, evidence: str = "", since: int | None = None
) -> GeneralSettings:
    """Declare that this database was restored from a backup: every token issued before is dead (INV-03).

    Revocations made after the backup are lost, so no older token can be trusted. The epoch is
    at least the present time, so that two restores of one backup never share an epoch.

    Args:
        accounts: the store.
        actor: who declares it, for the audit record.
        now: seconds of UTC.
        evidence: how the server detected it; empty where an operator declares it.
        since: the epoch to be raised; None for the present one.

    Raises:
        Conflict: another node has raised the epoch above ``since`` already.
    """
    event = Event("database.restored", actor, "database", {"found": evidence} if evidence else {})
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

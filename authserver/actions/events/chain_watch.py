"""Walks the chain of audit records a piece at a time, so that a record that was altered is noticed within hours.

The whole chain is walked again and again by the process that holds the lease, a bounded piece each time: what it costs
does not grow with the chain. The head is checked each time, and the tail when a walk arrives there. What is found is
noted for the metrics, ``flask doctor`` and the console, and raised as an event where anybody is told of events.
"""

from itertools import islice

from authserver.audit import GENESIS, Record
from authserver.ports.accounts import Accounts
from authserver.ports.console_reads.audit import AuditReads
from authserver.ports.events.outbox import Outbox
from authserver.rules.events.catalogue import chain_event
from authserver.rules.facts import Instant

PIECE = 2_000
"""Records of one piece: a few hundredths of a second."""


class ChainWatch:
    """Where the walk is; it begins anew with each process, and behind each last record."""

    def __init__(self, accounts: Accounts, audit_reads: AuditReads, outbox: Outbox) -> None:
        self._accounts, self._reads, self._outbox = accounts, audit_reads, outbox
        self._seq, self._hash = 0, GENESIS

    def walk(self, now: Instant, piece: int = PIECE, *, has_receiver: bool = True) -> str:
        """Walk one piece; notes and returns what is wrong, or empty. Raises its event where it ``has_receiver``."""
        records = list(islice(self._accounts.audit_records(self._seq, limit=piece), piece))
        fault = self._reads.chain_fault(records, self._seq, self._hash)
        head = self._reads.chain_status()
        if fault is None and not head.intact:
            fault = (head.records, head.fault)
        if fault is not None:
            if has_receiver:
                self._outbox.raise_events([chain_event(*fault, now)])
            number, text = fault
            self._outbox.chain_broke(f"record {number}: {text}")
            self._seq, self._hash = 0, GENESIS
            return text
        if self._move(records, piece):
            self._outbox.chain_held(now)
        return ""

    def _move(self, records: list[Record], piece: int) -> bool:
        """Go on behind these records; True when the walk has come to its end, and begins anew."""
        arrived = len(records) < piece
        self._seq, self._hash = (0, GENESIS) if arrived else (records[-1].seq, records[-1].hash)
        return arrived

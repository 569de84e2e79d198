"""``flask audit``: the trail of administrative changes.

``records`` lists, exports and verifies, ``proofs`` has checkpoints and what an export tells, ``follow`` feeds a SIEM.
"""

from authserver.cli.commands.audit import follow, proofs
from authserver.cli.commands.audit.records import audit

__all__ = ["audit", "follow", "proofs"]

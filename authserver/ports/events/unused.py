"""Credentials that nobody uses, and when the policy disables them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from authserver.rules.facts import Instant


@dataclass(frozen=True, slots=True)
class UnusedPolicy:
    """After how many days without use a credential is disabled (0: never), and since when that holds."""

    days: int
    since: Instant


@dataclass(frozen=True, slots=True)
class UnusedCredential:
    """A credential, its last use (None: never), and when the policy disables it."""

    client_id: str
    name: str
    owner: str
    last_used_at: Instant | None
    disables_at: Instant


class UnusedReads(Protocol):
    """Who is concerned by the policy, or would be by another one."""

    def policy(self) -> UnusedPolicy:
        """The policy that holds."""
        ...

    def disabled_by(self, policy: UnusedPolicy, until: Instant, limit: int) -> Sequence[UnusedCredential]:
        """Whom a policy would disable up to ``until``, the soonest first."""
        ...

    def disables_at(self, client_id: str) -> Instant | None:
        """When the policy disables a credential; None where it does not."""
        ...

    def sweep(self, now: Instant) -> int:
        """Raise the warnings that came due since the last time, each once; how many."""
        ...

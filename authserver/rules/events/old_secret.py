"""Whether an old secret is still needed: judged by what was seen of it and of its successor, never by its age."""

from dataclasses import dataclass
from typing import Final

from authserver.rules.facts import Instant, Span, over
from authserver.rules.lifetime import DAY

SAFE_AFTER: Final[Span] = DAY
"""After so long without a sign of the old secret people are told that it is safe to remove."""


@dataclass(frozen=True, slots=True)
class OldSecret:
    """What was seen of a secret that works beside its successor.

    Attributes:
        client_id: of the credential.
        secret_id: of the old secret.
        new_used_at: when its successor was first used; None for never.
        used_at: when it, or a token that it obtained, was last used; None for never.
    """

    client_id: str
    secret_id: str
    new_used_at: Instant | None
    used_at: Instant | None

    @property
    def silent_since(self) -> Instant | None:
        """Since when only its successor was used; None where that was not used yet: then nothing shows who has it."""
        return None if self.new_used_at is None else max(self.new_used_at, self.used_at or 0)

    def is_safe_to_remove(self, now: Instant, after: Span = SAFE_AFTER) -> bool:
        """Whether it was silent for ``after`` seconds while its successor was in use."""
        since = self.silent_since
        return since is not None and over(now, since + after)

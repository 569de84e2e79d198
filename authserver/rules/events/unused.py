"""When a credential that nobody uses is disabled, by the setting ``unused_disable_days``.

Use is a token request that was granted or a call with a token; being made or enabled again counts like it. From its
begin the policy waits, so that whoever is unused for long already gets the warnings first.
"""

from typing import Final

from authserver.rules.facts import Instant
from authserver.rules.lifetime import DAY

NOTICE_DAYS: Final = 30
"""After its begin or a change the policy disables nothing for so many days, or for its own if they are fewer."""


def disables_at(last_active: Instant, days: int, policy_since: Instant) -> Instant:
    """The instant from which a credential that is not used meanwhile is disabled."""
    return max(last_active + days * DAY, earliest(days, policy_since))


def earliest(days: int, policy_since: Instant) -> Instant:
    """The instant before which the policy disables nothing."""
    return policy_since + min(days, NOTICE_DAYS) * DAY

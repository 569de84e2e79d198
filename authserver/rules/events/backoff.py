"""When a delivery that failed is tried again: the schedule that Standard Webhooks recommends."""

from typing import Final

from authserver.rules.facts import Span

WAITS: Final[tuple[Span, ...]] = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds after each attempt that failed; after one more it is given up: about three days in all."""

MAX_WAIT: Final[Span] = 86_400
"""The longest wait that a receiver's ``Retry-After`` is followed for."""

_SPREAD: Final = 10


def next_wait(failed: int, spread: float, retry_after: Span = 0) -> Span | None:
    """Seconds until the next attempt after ``failed`` failed ones; None: given up.

    ``spread`` from 0 to 1 lengthens it by up to a tenth, so that not all come back at once.
    """
    if failed > len(WAITS):
        return None
    wait = WAITS[failed - 1]
    return max(wait + int(wait * spread / _SPREAD), min(retry_after, MAX_WAIT))

"""One POST to a webhook: over https to public addresses, or into a network that the configuration allows (T-161).

What is held to of connection, time and size is said in ``http_client``; here it is told in words for the log of
deliveries.
"""

import http.client
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from authserver.http_client import AddressRefused, Answer, DeadlinePassed, Limits, UnknownHost, send
from authserver.rules.events.addresses import address_fault
from authserver.rules.outbound.public_addresses import Network

TOTAL_SECONDS: Final = 15.0
"""For one attempt, look-up and answer included."""

MAX_ANSWER: Final = 16 * 1024
"""Bytes of an answer that are read; what it says beyond its status is not looked at."""

_STEP_SECONDS: Final = 5.0
_SUCCESS: Final = range(200, 300)
_REDIRECTS: Final = range(300, 400)


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back; ``status`` is None where nothing did. ``error`` is empty for a status of success."""

    status: int | None
    error: str
    retry_after: int = 0


def post(
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    allowed: Sequence[Network] = (),
    seconds: float = TOTAL_SECONDS,
    context: ssl.SSLContext | None = None,
) -> Answered:
    """Send ``body``; whatever goes wrong is told in the answer and never raised."""
    try:
        encrypted = urlsplit(url).scheme == "https"
        answer = send(
            "POST",
            url,
            headers,
            body,
            judge=lambda address: address_fault(address, allowed, encrypted=encrypted),
            limits=Limits(seconds, _STEP_SECONDS, MAX_ANSWER),
            context=context,
        )
    except AddressRefused as error:
        return Answered(None, str(error))
    except UnknownHost:
        return Answered(None, "its host name has no address")
    except DeadlinePassed:
        return Answered(None, f"no answer within {seconds:g} seconds")
    except ssl.SSLCertVerificationError as error:
        return Answered(None, f"certificate: {error.verify_message}"[:200])
    except (OSError, http.client.HTTPException, UnicodeError, ValueError) as error:
        text = getattr(error, "strerror", None) or type(error).__name__
        return Answered(None, f"connection: {text}"[:200])
    return _judged(answer)


def _judged(answer: Answer) -> Answered:
    if answer.status in _SUCCESS:
        return Answered(answer.status, "")
    text = answer.headers.get("Retry-After", "")
    wait = int(text) if text.isascii() and text.isdigit() and len(text) <= 6 else 0  # noqa: PLR2004 - 11 days
    error = "a redirect is not followed" if answer.status in _REDIRECTS else f"answered {answer.status}"
    return Answered(answer.status, error, wait)

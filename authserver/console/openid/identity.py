"""Values and errors of the OpenID client; ``client`` makes the requests, and is imported where a provider is set."""

from dataclasses import dataclass
from typing import Any

State = dict[str, Any]


class ProviderUnavailable(Exception):
    """It cannot be reached, takes too long, or says what no provider may say; ``reason`` is for the log."""


class ProviderRefused(Exception):
    """The answer of the provider proves no identity; the text is for the log and has only its error code."""


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """How an operator described it."""

    issuer: str
    client_id: str
    client_secret: str
    label: str

    def __repr__(self) -> str:
        """Show no secret."""
        return f"ProviderSettings({self.issuer!r}, {self.client_id!r})"


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody, as a provider knows them."""

    issuer: str
    subject: str


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """Where to send a browser, and what must come back from it; ``state`` is for that browser's eyes only."""

    url: str
    state: State

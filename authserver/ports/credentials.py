"""Application credentials as values, without their secrets, the public keys of clients, and whom they trust."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from authserver.rules.events.old_secret import OldSecret
from authserver.rules.facts import Instant


@dataclass(frozen=True, slots=True)
class SecretRecord:
    """One secret of a credential, without the secret."""

    id: str
    hint: str
    created_at: Instant
    ends_at: Instant | None
    last_used_at: Instant | None
    last_used_peer: str | None = None
    last_used_agent: str | None = None


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One public key of a client; a token that it obtained dies with it, as with a secret."""

    id: str
    public_jwk: str
    created_at: Instant
    ends_at: Instant | None = None
    first_used_at: Instant | None = None
    last_used_at: Instant | None = None
    last_used_peer: str | None = None


@dataclass(frozen=True, slots=True)
class TrustRecord:
    """A trust in the tokens of another issuer, the address of the client's own keys, or a condition on its certificate.

    A token that it obtained dies with it. ``text`` is that of ``rules.client_authentication.trust`` or ``certificate``;
    ``issuer`` is empty but for a trust in one.
    """

    id: str
    text: str
    created_at: Instant
    ends_at: Instant | None = None
    last_used_at: Instant | None = None
    last_used_peer: str | None = None
    issuer: str = ""


@dataclass(frozen=True, slots=True)
class Credential:
    """An application credential, without its secrets."""

    client_id: str
    owner: str
    owner_id: str
    name: str
    roles: tuple[str, ...]
    expires_at: Instant
    created_at: Instant
    disabled_at: Instant | None
    deleted_at: Instant | None
    version: int
    secrets: tuple[SecretRecord, ...] = ()
    keys: tuple[KeyRecord, ...] = ()
    restrictions: str | None = None
    trusts: tuple[TrustRecord, ...] = ()
    key_addresses: tuple[TrustRecord, ...] = ()
    certificates: tuple[TrustRecord, ...] = ()

    @property
    def works_without_secret(self) -> bool:
        """Whether a key of it, a trust, an address of keys or a condition on certificates works."""
        others = (*self.trusts, *self.key_addresses, *self.certificates)
        return None in [key.ends_at for key in self.keys] + [each.ends_at for each in others]


class OldSecretReads(Protocol):
    """What was seen of secrets that work beside their successors."""

    def of_credential(self, client_id: str, now: Instant) -> OldSecret | None:
        """The old secret of a credential; None where only one works."""
        ...

    def silent(self, since: Instant, now: Instant, limit: int) -> Sequence[OldSecret]:
        """Those that were last used up to ``since``, and whose successors were used by then."""
        ...

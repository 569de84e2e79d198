"""The facts of a token request and of an introspection, each read in one statement."""

from typing import NamedTuple, Protocol

from authserver.rules.client_authentication.certificate import is_certificate
from authserver.rules.facts import Instant, Reason, Standing
from authserver.rules.token_hash import NOT_RECORDED


class LiveSecret(NamedTuple):
    """A secret of a client; or a public key or a trust of it, which has a JWK or a text, and a hash nothing equals.

    ``trust`` is a text of ``rules.client_authentication.trust``, or of ``certificate`` there.
    """

    id: str
    hash: bytes
    ends_at: Instant | None
    public_jwk: str | None = None
    trust: str | None = None

    @property
    def is_shared(self) -> bool:
        """Whether it is a secret, which two sides know."""
        return self.public_jwk is None and self.trust is None

    @property
    def is_certificate(self) -> bool:
        """Whether it is a condition on the certificate of the client's TLS connection."""
        return self.trust is not None and is_certificate(self.trust)


class IssueFacts(NamedTuple):
    """Everything a token request needs, read in one statement (INV-02)."""

    now: Instant
    client_id: str
    owner_id: str
    owner_disabled: bool
    role_version: int
    credential_version: int
    credential_disabled: bool
    credential_deleted: bool
    credential_expires_at: Instant
    chosen: frozenset[str]
    held: frozenset[str]
    secrets: tuple[LiveSecret, ...]
    max_lifetime: int
    idle_timeout: int
    epoch: int
    audience: str | None
    token_alg: str
    active_kid: str | None
    token_typ: str = "at+jwt"  # noqa: S105 - a media type
    restrictions: str | None = None
    """``rules/client_authentication/restrictions``; None for most."""
    secrets_allowed: bool = True
    bound_required: bool = False
    server_requires: str | None = None


class CallingResourceServer(NamedTuple):
    """A resource server that may ask about tokens of its audience.

    ``alg`` is what answers to it are signed with, ``max_staleness`` for how many seconds it may trust one,
    ``token_typ`` the one ``typ`` that tokens for it have.
    """

    id: str
    client_id: str
    audience: str
    secret_hash: bytes
    disabled: bool
    alg: str
    max_staleness: int = 0
    token_typ: str = "at+jwt"  # noqa: S105 - a media type


class CallerKeys(NamedTuple):
    """The public keys of a resource server, ended ones too; none for an unknown one."""

    now: Instant
    keys: tuple[LiveSecret, ...]


class TokenKeys(NamedTuple):
    """Which rows a token points at, by its text; what is read by an unverified text proves nothing yet."""

    jti: str
    client_id: str
    secret_id: str
    kid: str


class SessionRecord(NamedTuple):
    """What the server recorded of a token."""

    last_used_at: Instant
    ended: Reason | None
    token_hash: str | None = NOT_RECORDED
    """``rules/token_hash``; ``NOT_RECORDED`` in a row made by a use; None: recorded by a version without hashes."""


class IntrospectionFacts(NamedTuple):
    """Everything an introspection needs, read in one statement."""

    now: Instant
    caller: CallingResourceServer | None
    standing: Standing | None
    recorded: SessionRecord | None


class HotPathReads(Protocol):
    """The reads of the two hot paths; each is one statement, never from a replica."""

    def issue_facts(self, client_id: str, resource: str | None) -> IssueFacts | None:
        """All facts for a token request, or None for an unknown client."""
        ...

    def caller_keys(self, client_id: str) -> CallerKeys:
        """The public keys of a resource server, for one that signs instead of sending a secret."""
        ...

    def trusting_clients(self, issuer: str, most: int) -> tuple[tuple[str, str], ...]:
        """The client ids that trust an issuer, each with one trust, ``most`` of them; ended trusts are left out."""
        ...

    def introspection_facts(self, caller: str, keys: TokenKeys | None) -> IntrospectionFacts:
        """All facts for an introspection; ``keys`` is None when the text is no token of ours."""
        ...

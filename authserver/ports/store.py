"""The opened store as commands and pages see it: one description for both."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from authserver.ports.accounts import Accounts
from authserver.ports.console_reads.audit import AuditReads
from authserver.ports.console_reads.audit_checkpoints import AuditCheckpoints
from authserver.ports.console_reads.credentials import CredentialReads, ExpiringReads, SharedSecretReads
from authserver.ports.console_reads.statistics import StatisticsReads
from authserver.ports.console_reads.tokens import TokenReads
from authserver.ports.console_reads.users import UserReads
from authserver.ports.credentials import OldSecretReads
from authserver.ports.events.leaks import LeakReads
from authserver.ports.events.outbox import Outbox
from authserver.ports.events.unused import UnusedReads
from authserver.ports.events.webhooks import WebhookReads
from authserver.ports.hot_path import HotPathReads
from authserver.ports.jwks_fetchers import JwksFetchers
from authserver.ports.resource_servers import ResourceServerActivities
from authserver.ports.sessions import Sessions
from authserver.ports.shared_signals.streams import EventStreams
from authserver.ports.sign_in import LoginAttemptCounter, SignIns
from authserver.ports.signing_keys import SigningKeys, TokensOfKey
from authserver.ports.transaction import ChangeRequest
from authserver.ports.usage import UsageRecorder
from authserver.rules.facts import Instant
from keys.material import Signer


class KeyRing(SigningKeys, Protocol):
    """The key ring with what only the command line and serving processes need."""

    def signed_for(self, kid: str, now: Instant) -> Sequence[TokensOfKey]:
        """The credentials with live tokens of a key."""
        ...

    def destroy_spent(self) -> int:
        """Destroy what is left of keys that sign no more."""
        ...

    def reseal(self, actor: str, at: Instant) -> int:
        """Seal everything under the present master key; how much was not."""
        ...

    def public(self, kid: str | None = None) -> dict[str, dict[str, Any]]:
        """Public JWKs by ``kid``."""
        ...

    def signer(self, kid: str) -> tuple[str, Signer]:
        """The algorithm of a key and the function that signs with it."""
        ...


class JwksFetchRecorder(JwksFetchers, Protocol):
    """Who fetches the JWKS; fetches are buffered."""

    def flush(self) -> None:
        """Write the buffered fetches."""
        ...


class Store(Protocol):
    """The opened store, as commands and pages use it."""

    @property
    def accounts(self) -> Accounts:
        """Users, roles, credentials, settings, audit."""
        ...

    @property
    def sessions(self) -> Sessions:
        """The record of each token."""
        ...

    @property
    def hot_path(self) -> HotPathReads:
        """The facts of a token request and of an introspection."""
        ...

    @property
    def keys(self) -> KeyRing:
        """The key ring."""
        ...

    @property
    def sign_ins(self) -> SignIns:
        """Console sessions."""
        ...

    @property
    def login_attempts(self) -> LoginAttemptCounter:
        """Failed attempts to sign in."""
        ...

    @property
    def jwks_fetchers(self) -> JwksFetchRecorder:
        """Who fetches the JWKS."""
        ...

    @property
    def credential_reads(self) -> CredentialReads:
        """Lists of credentials."""
        ...

    @property
    def shared_secrets(self) -> SharedSecretReads:
        """Who still uses a shared secret."""
        ...

    @property
    def user_reads(self) -> UserReads:
        """Lists of users and roles, and previews of a change."""
        ...

    @property
    def checkpoints(self) -> AuditCheckpoints:
        """Signed checkpoints of the audit trail."""
        ...

    @property
    def audit_reads(self) -> AuditReads:
        """Lists of audit records."""
        ...

    @property
    def feed_fetches(self) -> ResourceServerActivities:
        """What resource servers have sent lately."""
        ...

    @property
    def event_streams(self) -> EventStreams:
        """Who gets security events."""
        ...

    @property
    def statistics(self) -> StatisticsReads:
        """Counts by the hour."""
        ...

    @property
    def token_reads(self) -> TokenReads:
        """Counts of live tokens."""
        ...

    @property
    def expiring_reads(self) -> ExpiringReads:
        """What ends soon."""
        ...

    @property
    def webhooks(self) -> WebhookReads:
        """Webhooks and their deliveries."""
        ...

    @property
    def leaks(self) -> LeakReads:
        """Whose reports of leaks are believed."""
        ...

    @property
    def old_secrets(self) -> OldSecretReads:
        """What was seen of secrets that work beside their successors."""
        ...

    @property
    def unused(self) -> UnusedReads:
        """Credentials that nobody uses."""
        ...

    @property
    def outbox(self) -> Outbox:
        """Events on their way out."""
        ...

    @property
    def usage(self) -> UsageRecorder:
        """When each token was last used."""
        ...

    @property
    def pepper(self) -> bytes:
        """The key secrets are hashed with."""
        ...

    def shared_snapshot(self) -> AbstractContextManager[None]:
        """Let the reads inside share one transaction, until something is written."""
        ...

    def requested_by(self, request: ChangeRequest) -> "Store":
        """The same store; its changes are recorded and made as ``request`` says."""
        ...

    def requested_from(self, peer: str) -> "Store":
        """The same store; its changes are recorded as requested from the address ``peer``."""
        ...

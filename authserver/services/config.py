"""What the services of one process are built from."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from authserver.console.openid.identity import ProviderSettings
from authserver.delivery.mail_sender import MailSettings

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class ServicesConfig:
    """What services are built from; all of it from configuration, nothing from a request (INV-32)."""

    issuer: str
    master_key: str
    instance: Path
    embedded: bool
    trusted_proxies: tuple[Network, ...] = ()
    metrics_peers: tuple[Network, ...] = ()
    fetch_networks: tuple[Network, ...] = ()
    """That keys of issuers and clients may be fetched from, beside public addresses."""
    webhook_networks: tuple[Network, ...] = ()
    mail: MailSettings | None = None
    other_master_key: str = ""
    state: Path = Path("instance")
    key_store: str = "database"
    pkcs11: tuple[str, str, str] = ("", "", "")
    """Module, token label, user PIN."""
    provider: ProviderSettings | None = None
    log_level: str = "info"
    log_format: str = "json"
    publish_scopes: bool = False
    push_networks: tuple[Network, ...] = ()
    dpop_nonce_seconds: int = 0
    client_cert_header: str = ""
    """In which trusted proxies write the TLS certificate of a client; empty: mTLS is off."""
    client_ca: str = ""
    """PEM of the authorities whose certificates name clients."""
    mtls_url: str = ""
    """Where clients are asked for a certificate; empty: at the issuer."""
    threads: int = 1
    """That serve requests in this process."""

    @property
    def most_waiting(self) -> int:
        """How many requests may wait for changes at a time: under half of the threads, since sign-in may hold two."""
        return max(0, self.threads - 2) // 2

"""Builds the objects of one process: store, signing service, endpoints, console, periodic tasks.

``app.py`` reads the configuration and passes it as ``ServicesConfig``. The store is opened once, by the first request
or command that needs it; the machine endpoints are mounted as bare WSGI in front of Flask.
One module, because it is the only place that knows every part, and reads best in the order in which they are built.
"""

import ipaddress
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO
from urllib.parse import urlsplit

from flask import Flask, Response, request

from authserver.actions import restore, signing_keys
from authserver.actions.introspect import Presented, Verify
from authserver.actions.issue_token import Issued
from authserver.actions.preconditions.client_assertion import AssertionContext
from authserver.actions.security_log import SecurityLog
from authserver.audit_export import checkpoints as audit_checkpoints
from authserver.background import PeriodicTask, PeriodicTasks
from authserver.console.openid.identity import ProviderSettings
from authserver.delivery.mail_sender import MailSender, MailSettings
from authserver.delivery.outbox_relay import OutboxRelay
from authserver.delivery.webhook_sender import WebhookSender
from authserver.instrumentation import VERSION, Instrumentation, UnrecordedUsage
from authserver.oauth import http
from authserver.oauth.authorization_endpoint import PATH as AUTHORIZE
from authserver.oauth.authorization_endpoint import AuthorizationEndpoint
from authserver.oauth.changes_endpoint import ChangesEndpoint
from authserver.oauth.dispatcher import Dispatcher, Wsgi, routes
from authserver.oauth.forward_auth_endpoint import ForwardAuthEndpoint
from authserver.oauth.introspection_endpoint import IntrospectionEndpoint
from authserver.oauth.jwks_fetchers import JwksFetchObserver
from authserver.oauth.leaks_endpoint import LeaksEndpoint
from authserver.oauth.metadata import jwks_endpoint, metadata_endpoint, post_quantum_endpoint
from authserver.oauth.proxy import ProxyTrust
from authserver.oauth.revocation_endpoint import RevocationEndpoint
from authserver.oauth.shared_signals import metadata as ssf
from authserver.oauth.shared_signals.poll_endpoint import PollEndpoint
from authserver.oauth.shared_signals.pushes import Pushes, Send
from authserver.oauth.shared_signals.receiver import ReceiverAccess
from authserver.oauth.shared_signals.status_endpoint import StatusEndpoint
from authserver.oauth.shared_signals.stream_endpoint import StreamEndpoint
from authserver.oauth.shared_signals.subject_endpoint import SubjectEndpoint
from authserver.oauth.shared_signals.verification_endpoint import VerificationEndpoint
from authserver.oauth.token_endpoint import TokenEndpoint
from authserver.oauth.usage.endpoint import MAX_BYTES, UsageEndpoint
from authserver.oauth.verified_tokens import VerifiedTokens
from authserver.outbound.event_push import PushClient
from authserver.outbound.key_sets import FetchedKeySets
from authserver.ports.client_authentication import RemoteKeys
from authserver.ports.clock import Clock
from authserver.ports.errors import Conflict, Unavailable
from authserver.ports.general_settings import retention_seconds
from authserver.ports.sign_in import ATTEMPTS_FORGOTTEN
from authserver.rules.client_authentication.nonce import nonces
from authserver.rules.events.mail import OWNERS, SECURITY
from authserver.rules.facts import Instant
from authserver.rules.token_hash import token_hash_key
from authserver.signing_service import SigningService
from authserver.store.engine.clock import database_time
from authserver.store.engine.maintenance import Maintenance
from authserver.store.engine.rollback_guard import RollbackGuard
from authserver.store.engine.schema import MIGRATIONS
from authserver.store.engine.statement_observer import observe_statements
from authserver.store.factory import Store, open_store
from authserver.store.tables import db
from authserver.telemetry.access_log import AccessLog, Line, text_renderer
from authserver.telemetry.denial_probe import DenialProbe
from authserver.telemetry.logs import as_text, colours, logger
from authserver.web.health import Health
from keys.key_stores import KeyStore
from keys.key_stores.database import DatabaseKeyStore
from keys.key_stores.pem import PemKeyStore
from keys.key_stores.pkcs11 import Pkcs11KeyStore
from keys.master import MasterKey
from keys.rotation import Generate, Step

if TYPE_CHECKING:
    from authserver.console.openid.client import Provider
    from authserver.telemetry.otel.tracing import Tracing

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_SKEW_SECONDS = 30
"""How far this machine's clock may be from the database's before the node stops serving."""

SWEEP_SECONDS = 20.0
"""How often ended sessions are deleted: often and briefly, so that 1,000 new tokens a second never pile up."""
SWEEP_FOR_SECONDS = 4.0
TIDY_SECONDS = 3600.0
TICK_SECONDS = 60.0
"""How often a node looks whether a key must be made, promoted or withdrawn."""
FLUSH_SECONDS = 5.0
DELIVERY_SECONDS = 1.0
STATISTICS_SECONDS = 10.0
LOOK_SECONDS = 60.0
"""How often the numbers behind the charts of the security page are looked up, by one of all processes."""
CHECKPOINT_SECONDS = 300.0
"""How often it is looked whether a checkpoint of the audit trail is due; one is taken each hour."""

ROLLBACK_CHECK_SECONDS = 1.0
"""How often a node looks whether the database became rolled_back under it, and notes how new it is."""
WATERMARK_SECONDS = 30.0
KEEP_SIGN_INS_SECONDS = 24 * 3600
"""How long a sign-in is kept behind its last use: whoever comes back to a half-filled form finds it filled."""


class SystemClock:
    """The database's clock where its time is known, else this machine's."""

    def now(self, database: Instant | None = None) -> Instant:
        """Whole seconds of UTC.

        Raises:
            Unavailable: this machine's clock is too far from the database's.
        """
        mine = int(time.time())
        if database is None:
            return mine
        if abs(mine - database) > MAX_SKEW_SECONDS:
            msg = f"this machine's clock is {mine - database} s away from the database's; set it right (NTP)"
            raise Unavailable(msg)
        return database


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
    threads: int = 1
    """That serve requests in this process."""

    @property
    def most_waiting(self) -> int:
        """How many requests may wait for changes at a time: under half of the threads, since sign-in may hold two."""
        return max(0, self.threads - 2) // 2


class Services:
    """The objects of one process: the opened store, the signing service, the endpoints."""

    log_stream: TextIO | None = None
    """Where the lines of the access log go; standard error where None."""

    otel_providers: tuple[Any, Any] | None = None
    """OpenTelemetry's providers of tracers and of meters, where spans and metrics are asked for."""

    def __init__(self, config: ServicesConfig, app: Flask, clock: Clock, *, background: bool) -> None:
        self.config, self._app, self._system_clock, self._background = config, app, clock, background
        self._store: Store | None = None
        self._keys: SigningService | None = None
        self._rollback_guard: RollbackGuard | None = None
        self._opening = threading.Lock()
        self._closers: list[Callable[[], None]] = []
        self._transport = ProxyTrust(config.trusted_proxies)
        self._security_log: SecurityLog | None = None
        self._observer: Instrumentation | None = None
        self._tracing: Tracing | None = None
        self.remote_keys: RemoteKeys = FetchedKeySets(config.fetch_networks)
        self.provider = _provider(config.provider) if config.provider else None

    @property
    def issuer(self) -> str:
        """Our issuer identifier."""
        return self.config.issuer

    @property
    def clock(self) -> "DatabaseClock":
        """The clock for changes: the database's where there is one that all nodes share."""
        return DatabaseClock(self, self._system_clock)

    def master(self) -> MasterKey:
        """The master key from the settings, else from the instance folder, made there for the embedded database.

        Raises:
            WrongMasterKey: there is none, or it is malformed.
        """
        text, path = self.config.master_key, self.config.instance / "master.key"
        if not text and self.config.embedded:
            if not path.exists():
                _write_once(path, MasterKey.fresh())
            text = path.read_text(encoding="ascii")
        return MasterKey(text, self.config.other_master_key)

    @cached_property
    def key_stores(self) -> dict[str, KeyStore]:
        """Everywhere that a private key may be kept, by its name in the key ring."""
        master = self.master()
        found: dict[str, KeyStore] = {
            "database": DatabaseKeyStore(master),
            "pem": PemKeyStore(self.config.state / "keys", master),
        }
        if self.config.pkcs11[0]:
            found["pkcs11"] = Pkcs11KeyStore(*self.config.pkcs11)
        return found

    @property
    def key_store(self) -> KeyStore:
        """Where new keys are kept."""
        return self.key_stores[self.config.key_store]

    @property
    def origin(self) -> str:
        """Scheme and host of the issuer, without its path: what ``url_for`` begins behind."""
        parts = urlsplit(self.config.issuer)
        return f"{parts.scheme}://{parts.netloc}"

    def migrate(self) -> None:
        """Bring the schema up to date; safe from many processes at once.

        Raises:
            Invalid: the schema is that of a newer program.
            Unavailable: the database cannot be reached.
        """
        with self._app.app_context():
            Maintenance(db.engine, MIGRATIONS).upgrade()

    def pooler_fault(self) -> str:
        """What a connection pooler before the database costs in safety, with its fix; or empty."""
        return Maintenance(self.store().engine, MIGRATIONS).pooler_fault()

    def store(self) -> Store:
        """The store, opened once.

        Raises:
            Unavailable: the database cannot be reached, or its schema is not this program's.
            WrongMasterKey: the database was sealed under another master key.
        """
        with self._opening:
            if self._store is None:
                with self._app.app_context():
                    engine = db.engine
                self._store = open_store(
                    engine, self.master(), self._system_clock, background=self._background, key_stores=self.key_stores
                )
                self._rollback_guard = RollbackGuard(
                    self._store.thread_connections, self.config.state, self._store.pepper
                )
                self._check_rollback(self._store)
                # A new connection may lead to a standby that was promoted and had lagged: nothing is answered from
                # there before that is known.
                store = self._store
                store.thread_connections.on_new = lambda: self._check_rollback(store)
                self._ensure_key(self._store)
            return self._store

    def _check_rollback(self, store: Store) -> None:
        """End every token when the database is older than this machine knows it (INV-03)."""
        guard = self._rollback_guard
        rolled_back = guard.check() if guard is not None else None
        if guard is None or rolled_back is None:
            return
        logger().error("database_is_older", reason=rolled_back.reason)
        with suppress(Conflict):
            restore.declare_restored(
                store.accounts,
                actor="system",
                now=self.database_now(store),
                evidence=rolled_back.reason,
                since=rolled_back.epoch,
            )
        guard.record(count_at=self.database_now(store))

    def keys(self) -> SigningService:
        """The opened keys."""
        store = self.store()
        if self._keys is None:
            self._keys = SigningService(store.keys)
        return self._keys

    def sign_checkpoint(self, claims: Mapping[str, Any]) -> str:
        """Sign a checkpoint of the audit trail with the key that tokens are signed with.

        Raises:
            Unavailable: no key is active.
        """
        alg = self.store().accounts.general().token_alg
        return self.keys().sign_answer(claims, alg, audit_checkpoints.TYP)

    def verified_tokens(self) -> VerifiedTokens:
        """What reads and verifies the texts of tokens."""
        return VerifiedTokens(self.keys().read, self.config.issuer, token_hash_key(self.store().pepper))

    def presented_token(self, text: str) -> tuple[Presented, Verify] | None:
        """A text in the form of our tokens, and how to verify it; None for any other."""
        tokens = self.verified_tokens()
        token = tokens.parse(text)
        return None if token is None else (token, lambda: tokens.verify(token))

    def close(self) -> None:
        """Write what is pending and close everything; the store may be opened again."""
        for closer in reversed(self._closers):
            closer()
        self._closers.clear()
        if self._store is not None:
            if self._rollback_guard is not None and self._rollback_guard.known:
                with suppress(Unavailable, OSError):
                    self._rollback_guard.record()
            self._store.close()
        self._store = self._keys = self._security_log = self._rollback_guard = self._observer = self._tracing = None

    def _ensure_key(self, store: Store) -> None:
        if any(key.state == "active" for key in store.keys.ring()):
            return
        key_context = signing_keys.key_context(store.accounts, store.keys, self.key_store, store.jwks_fetchers)
        signing_keys.ensure_active(
            key_context, store.accounts.general().token_alg, actor="system", now=self.database_now(store)
        )

    def database_now(self, store: Store) -> Instant:
        """The instant for a change in ``store``, by the database's clock where nodes share one."""
        return self._system_clock.now(database_time(store.engine))

    def wsgi(self) -> Dispatcher:
        """The machine endpoints in front of Flask."""
        store, signing_service, issuer = self.store(), self.keys(), self.config.issuer
        observer = Instrumentation(
            store,
            lambda: self.database_now(store),
            AccessLog(self.log_stream, self.config.log_level, self._access_log_renderer()),
        )
        self._closers.append(observer.close)
        self._observer = observer

        def sign(issued: Issued) -> str:
            return signing_service.sign(issued.kid, issued.claims, issued.typ)

        sign_answer = signing_service.sign_answer
        observe: Callable[[http.Request, http.Response, float], http.Response] = observer.observe
        denied: Callable[[float], None] = observer.metrics.denied
        if self.otel_providers is not None:
            tracing, denied = self._trace(store, observer, *self.otel_providers)
            sign, sign_answer = tracing.signature(sign), tracing.signature(sign_answer)
            observe = _observed(tracing, observer)

        def role_names() -> list[str]:
            return sorted(role.name for role in store.accounts.roles() if role.kind == "operational")

        scopes = role_names if self.config.publish_scopes else None
        token_endpoint = TokenEndpoint(
            hot_path=store.hot_path,
            usage=store.usage,
            one_time_ids=store.one_time_ids,
            limits=store.token_limits,
            nonces=nonces(store.pepper, "token", self.config.dpop_nonce_seconds),
            remote_keys=self.remote_keys,
            sign=sign,
            issuer=issuer,
            pepper=store.pepper,
        )
        verified_tokens = self.verified_tokens()
        introspection = IntrospectionEndpoint(
            hot_path=store.hot_path,
            sessions=store.sessions,
            usage=store.usage,
            verified_tokens=verified_tokens,
            one_time_ids=store.one_time_ids,
            sign=sign_answer,
            issuer=issuer,
            pepper=store.pepper,
        )
        revocation = RevocationEndpoint(
            hot_path=store.hot_path,
            sessions=store.sessions,
            one_time_ids=store.one_time_ids,
            remote_keys=self.remote_keys,
            verified_tokens=verified_tokens,
            issuer=issuer,
            pepper=store.pepper,
        )
        assertions = AssertionContext(issuer, store.one_time_ids)
        usage_endpoint = UsageEndpoint(
            hot_path=store.hot_path,
            sessions=store.sessions,
            usage=store.usage,
            reports=store.usage_reports,
            assertions=assertions,
            pepper=store.pepper,
        )
        fetch_observer = JwksFetchObserver(
            hot_path=store.hot_path, recorder=store.jwks_fetchers, pepper=store.pepper, clock=self._system_clock
        )
        most_waiting = self.config.most_waiting
        seats = threading.BoundedSemaphore(most_waiting) if most_waiting else None
        receivers = ReceiverAccess(
            hot_path=store.hot_path,
            assertions=assertions,
            streams=lambda peer: store.requested_from(peer).event_streams,
            changes=store.changes,
            issuer=issuer,
            pepper=store.pepper,
        )
        push_client = PushClient(self.config.push_networks)
        table = routes(
            {
                "/oauth/token": token_endpoint,
                "/auth/oauth/token": token_endpoint,
                "/oauth/introspect": introspection,
                "/oauth/revoke": revocation,
                "/leaks": LeaksEndpoint(
                    accounts=store.accounts, leaks=store.leaks, clock=self.clock, pepper=store.pepper
                ),
                ssf.POLL: PollEndpoint(
                    receivers, sign=signing_service.sign_answer, count=self._count_security_events, seats=seats
                ),
                ssf.ADD_SUBJECT: SubjectEndpoint(receivers, told=True),
                ssf.REMOVE_SUBJECT: SubjectEndpoint(receivers, told=False),
                ssf.VERIFY: VerificationEndpoint(receivers),
            },
            {
                "/.well-known/jwks.json": jwks_endpoint(store.keys.ring, fetch_observer.observe),
                "/oauth/changes": ChangesEndpoint(
                    hot_path=store.hot_path,
                    assertions=assertions,
                    changes=store.changes,
                    fetches=store.feed_fetches,
                    sign=sign_answer,
                    issuer=issuer,
                    pepper=store.pepper,
                    seats=seats,
                ),
                ssf.CONFIGURATION: ssf.configuration_endpoint(issuer),
                "/.well-known/jwks-pq.json": post_quantum_endpoint(store.keys.ring),
                AUTHORIZE: AuthorizationEndpoint(issuer),
                "/.well-known/oauth-authorization-server": metadata_endpoint(
                    issuer, store.keys.ring, openid=False, scopes=scopes
                ),
                "/.well-known/openid-configuration": metadata_endpoint(
                    issuer, store.keys.ring, openid=True, scopes=scopes
                ),
            },
            issuer,
            {
                "/oauth/forward-auth": ForwardAuthEndpoint(
                    hot_path=store.hot_path,
                    sessions=store.sessions,
                    usage=store.usage,
                    verified_tokens=verified_tokens,
                    assertions=assertions,
                    nonces=nonces(store.pepper, "forward-auth", self.config.dpop_nonce_seconds),
                    pepper=store.pepper,
                )
            },
            {"/oauth/usage": (usage_endpoint, MAX_BYTES)},
            resources={
                ssf.STREAMS: StreamEndpoint(receivers, push_client.url_fault),
                ssf.STATUS: StatusEndpoint(receivers),
            },
        )
        store.usage.on_failure = UnrecordedUsage(observer.metrics.unrecorded)
        self._app.extensions["health"] = Health(
            ready=self.ready, metrics=observer.exposition, metrics_peers=self.config.metrics_peers
        )
        if self._background:
            self._start_background_tasks(store)
            probe = DenialProbe(store.kill_reads, store.hot_path, denied, observer.metrics.denial_probe)
            probe.start()
            self._closers.append(probe.stop)
            pushes = self.pushes(push_client.send)
            pushes.start()
            self._closers.append(pushes.stop)
        return Dispatcher(table, self._app.wsgi_app, observe, transport=self._transport)

    def traced(self, wsgi: Wsgi) -> Wsgi:
        """The same WSGI callable, with a span around each request where spans are asked for."""
        return wsgi if self._tracing is None else self._tracing.middleware(wsgi)

    def _trace(
        self, store: Store, observer: Instrumentation, tracers: Any, meters: Any
    ) -> "tuple[Tracing, Callable[[float], None]]":
        """Have statements and pages traced; the tracing, and what takes the seconds from an end to its refusal."""
        # Imported only where it is asked for: the packages are an extra.
        from authserver.telemetry.otel.configure import stop  # noqa: PLC0415
        from authserver.telemetry.otel.metrics import OtelMetrics  # noqa: PLC0415
        from authserver.telemetry.otel.tracing import Tracing  # noqa: PLC0415

        metrics = OtelMetrics(meters.get_meter("authserver", VERSION), observer.metrics.families, observer.gauges)
        tracing = self._tracing = Tracing(tracers.get_tracer("authserver", VERSION), metrics.measure)
        observe_statements(store.engine, store.thread_connections, tracing.begin_statement)

        def page(response: Response) -> Response:
            tracing.route(request.url_rule.rule if request.url_rule else "", {})
            return response

        self._closers.append(lambda: stop((tracers, meters)))
        self._app.after_request_funcs.setdefault(None, []).append(page)

        def denied(seconds: float) -> None:
            observer.metrics.denied(seconds)
            metrics.denied(seconds)

        return tracing, denied

    def pushes(self, send: Send) -> Pushes:
        """What pushes security events to their receivers, by ``send``."""
        store = self.store()
        return Pushes(
            streams=store.event_streams,
            send=send,
            sign=self.keys().sign_answer,
            issuer=self.config.issuer,
            epoch=lambda: store.changes.head("").epoch,
            now=lambda: self.database_now(store),
            count=self._count_security_events,
        )

    def _count_security_events(self, delivery: str, outcome: str, number: int) -> None:
        if self._observer is not None and number:
            self._observer.metrics.security_events(delivery, outcome, number)

    def _access_log_renderer(self) -> Callable[[Line], str] | None:
        return text_renderer(colours=colours()) if as_text(self.config.log_format) else None

    def resolve_peer(self, environ: Mapping[str, Any]) -> tuple[str, bool]:
        """The caller's address, and whether the connection from there is private."""
        return self._transport.resolve_peer(environ)

    def observe_console_request(self, status: int, seconds: float) -> None:
        """Count a response of the console, in a serving process."""
        if self._observer is not None:
            self._observer.metrics.observe("console", status, "", "console", seconds)

    def observe_api_request(self, status: int, seconds: float) -> None:
        """Count a response of the management API, in a serving process."""
        if self._observer is not None:
            self._observer.metrics.observe("api", status, "", "api", seconds)

    def observe_console_login(self, method: str, outcome: str) -> None:
        """Count an attempt to sign in to the console, in a serving process."""
        if self._observer is not None:
            self._observer.metrics.login(method, outcome)

    def record_refusal(self, reason: str, *, subject: str, peer: str) -> None:
        """Record that the console refused somebody; the first of each kind in a minute reaches the audit."""
        with self._opening:
            if self._security_log is None and self._store is not None:
                store = self._store
                self._security_log = SecurityLog(store.accounts, lambda: self.database_now(store))
                self._closers.append(self._security_log.close)
        if self._security_log is not None:
            self._security_log.record("console", reason, client=subject, peer=peer, minute=int(time.monotonic()) // 60)

    def ready(self) -> dict[str, str]:
        """What keeps this node from serving, by part; empty when nothing does."""
        faults: dict[str, str] = {}
        try:
            store = self.store()
            store.accounts.ping()
            self.database_now(store)
            self.keys().self_test(store.accounts.general().token_alg)
            if store.usage.late:
                faults["usage"] = "uses cannot be recorded now"
        except Unavailable as error:
            faults["database"] = str(error)
        return faults

    def _start_background_tasks(self, store: Store) -> None:
        def sweep() -> None:
            keep = retention_seconds(store.accounts.general().session_retention_days)
            count = store.sessions.sweep(self.database_now(store), keep, SWEEP_FOR_SECONDS)
            store.one_time_ids.sweep(self.database_now(store))
            if count:
                logger().info("sessions_swept", count=count)

        def tidy() -> None:
            now = self.database_now(store)
            store.jwks_fetchers.sweep(now)
            store.sign_ins.sweep(now - KEEP_SIGN_INS_SECONDS)
            store.login_attempts.sweep(now - ATTEMPTS_FORGOTTEN)
            store.statistics.sweep(now)

        def look() -> None:
            store.statistics.look(self.database_now(store))

        guard = RollbackGuard(store.thread_connections, self.config.state, store.pepper)

        def check_and_record() -> None:
            self._check_rollback(store)
            guard.record()

        def checkpoint() -> None:
            now = self.database_now(store)
            audit_checkpoints.take_if_due(store.checkpoints, self.sign_checkpoint, issuer=self.issuer, now=now)

        tasks = PeriodicTasks(
            [
                PeriodicTask("check rollback", ROLLBACK_CHECK_SECONDS, check_and_record),
                PeriodicTask(
                    "record watermark", WATERMARK_SECONDS, lambda: guard.record(count_at=self.database_now(store))
                ),
                PeriodicTask("sweep sessions", SWEEP_SECONDS, sweep),
                PeriodicTask("sweep sign-ins", TIDY_SECONDS, tidy),
                PeriodicTask("rotate keys", TICK_SECONDS, lambda: self.tick(store)),
                PeriodicTask("write fetches", FLUSH_SECONDS, store.jwks_fetchers.flush),
                PeriodicTask("write fetches of the change feed", FLUSH_SECONDS, store.feed_fetches.flush),
                PeriodicTask("write statistics", STATISTICS_SECONDS, store.statistics.flush),
                PeriodicTask("look how it stands", LOOK_SECONDS, look),
                PeriodicTask("sign checkpoint", CHECKPOINT_SECONDS, checkpoint),
                PeriodicTask("forget keys", FLUSH_SECONDS, self.keys().forget_retired),
            ]
        )
        tasks.start()
        self._closers.append(tasks.stop)
        self._start_delivery(store)

    def _start_delivery(self, store: Store) -> None:
        """Tell events outside, on a thread of its own: who answers slowly holds up nothing else."""
        relay = self.outbox_relay(store)
        telling = PeriodicTasks([PeriodicTask("tell events", DELIVERY_SECONDS, relay.once)])
        telling.start()
        self._closers.append(relay.sender.close)
        self._closers.append(telling.stop)

    def outbox_relay(self, store: Store) -> OutboxRelay:
        """What tells events outside, a round at a time."""

        def watch(told: bool) -> None:  # noqa: FBT001 - the one thing it is told
            store.usage.on_issued = store.secret_networks.issued if told else None

        mail = self.config.mail
        return OutboxRelay(
            store=store,
            sender=WebhookSender(store, self.config.webhook_networks),
            networks=store.secret_networks,
            mailer=MailSender(store.outbox, mail) if mail is not None else None,
            mail=0 if mail is None else OWNERS | (SECURITY if mail.security else 0),
            now=lambda: self.database_now(store),
            watch=watch,
        )

    def tick(self, store: Store) -> tuple[Step, ...]:
        """Do what the rotation of keys makes due; safe from many processes at once."""
        store.keys.destroy_spent()
        key_context = signing_keys.key_context(store.accounts, store.keys, self.key_store, store.jwks_fetchers)
        done = signing_keys.tick(key_context, actor="system", now=self.database_now(store))
        for step in done:
            logger().info(
                "key_step", step=type(step).__name__, key=step.alg if isinstance(step, Generate) else step.kid
            )
        return done


class DatabaseClock:
    """The clock for changes: the database's, which all nodes share, where there is one."""

    def __init__(self, services: Services, system: Clock) -> None:
        self._services, self._system = services, system

    def now(self, database: Instant | None = None) -> Instant:
        """Whole seconds of UTC."""
        if database is not None:
            return self._system.now(database)
        return self._services.database_now(self._services.store())


def _observed(
    tracing: "Tracing", observer: Instrumentation
) -> Callable[[http.Request, http.Response, float], http.Response]:
    """Tell the span what the log line tells, and the log line the id of its trace."""

    def observe(asked: http.Request, answer: http.Response, began: float) -> http.Response:
        trace_id = tracing.route(asked.path, answer.log_fields)
        if trace_id:
            answer = answer._replace(log_fields={**answer.log_fields, "trace_id": trace_id})
        return observer.observe(asked, answer, began)

    return observe


def _provider(settings: ProviderSettings) -> "Provider":
    # Imported only where a provider is configured.
    from authserver.console.openid.client import Provider  # noqa: PLC0415

    return Provider(settings)


def _write_once(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        # A link succeeds for one process only, and its file is complete.
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()

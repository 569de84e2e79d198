"""The objects of one process: store, signing service, endpoints, console, periodic tasks.

``app.py`` reads the configuration and passes it as ``ServicesConfig``. The store is opened once, by the first request
or command that needs it; the machine endpoints are mounted as bare WSGI in front of Flask.
One module, because what is opened, closed and opened again is one state.
"""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, TextIO
from urllib.parse import urlsplit

from flask import Flask, Response, request

from authserver.actions import restore, signing_keys
from authserver.actions.introspect import Presented, Verify
from authserver.actions.issue_token import Issued
from authserver.actions.security_log import SecurityLog
from authserver.audit_export import checkpoints as audit_checkpoints
from authserver.background import PeriodicTask, PeriodicTasks
from authserver.console.openid.identity import ProviderSettings
from authserver.delivery.mail_sender import MailSender
from authserver.delivery.outbox_relay import OutboxRelay
from authserver.delivery.webhook_sender import WebhookSender
from authserver.instrumentation import VERSION, Instrumentation, UnrecordedUsage
from authserver.oauth import http
from authserver.oauth.dispatcher import Dispatcher, Wsgi
from authserver.oauth.metadata import MutualTls
from authserver.oauth.proxies.client_certificate import MalformedCertificate, certificate_of
from authserver.oauth.proxies.peer import ProxyTrust
from authserver.oauth.shared_signals.pushes import Pushes, Send
from authserver.oauth.verified_tokens import VerifiedTokens
from authserver.outbound.event_push import PushClient
from authserver.outbound.key_sets import FetchedKeySets
from authserver.ports.client_authentication import RemoteKeys
from authserver.ports.clock import Clock
from authserver.ports.errors import Conflict, Unavailable
from authserver.rules.events.mail import OWNERS, SECURITY
from authserver.rules.facts import Instant
from authserver.rules.token_hash import token_hash_key
from authserver.services.clocks import DatabaseClock
from authserver.services.config import ServicesConfig
from authserver.services.key_stores import key_stores, master_key
from authserver.services.machine_endpoints import EndpointContext, machine_routes
from authserver.services.periodic_tasks import TaskContext, serving_tasks
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
from keys.certificates import Authorities
from keys.key_stores import KeyStore
from keys.master import MasterKey
from keys.rotation import Generate, Step

if TYPE_CHECKING:
    from authserver.console.openid.client import Provider
    from authserver.telemetry.otel.tracing import Tracing


DELIVERY_SECONDS = 1.0


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
        self._transport = ProxyTrust(config.trusted_proxies, config.client_cert_header)
        self._authorities = Authorities(config.client_ca) if config.client_ca else None
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
    def clock(self) -> DatabaseClock:
        """The clock for changes: the database's where there is one that all nodes share."""
        return DatabaseClock(self._system_clock, lambda: self.database_now(self.store()))

    def master(self) -> MasterKey:
        """The master key from the settings, else from the instance folder, made there for the embedded database.

        Raises:
            WrongMasterKey: there is none, or it is malformed.
        """
        return master_key(self.config)

    @cached_property
    def key_stores(self) -> dict[str, KeyStore]:
        """Everywhere that a private key may be kept, by its name in the key ring."""
        return key_stores(self.config, self.master())

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
        store, signing_service = self.store(), self.keys()
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

        push_client = PushClient(self.config.push_networks)
        context = EndpointContext(
            store=store,
            issuer=self.config.issuer,
            verified_tokens=self.verified_tokens(),
            remote_keys=self.remote_keys,
            sign=sign,
            sign_answer=sign_answer,
            clock=self.clock,
            fetch_clock=self._system_clock,
            push_url_fault=push_client.url_fault,
            count_security_events=self._count_security_events,
            most_waiting=self.config.most_waiting,
            publish_scopes=self.config.publish_scopes,
            dpop_nonce_seconds=self.config.dpop_nonce_seconds,
            authorities=self._authorities,
            mtls=MutualTls(bool(self.config.client_cert_header), self._authorities is not None, self.config.mtls_url),
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
        return Dispatcher(machine_routes(context), self._app.wsgi_app, observe, transport=self._transport)

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

    def certificate_thumbprint(self, environ: Mapping[str, Any]) -> str:
        """``x5t#S256`` of the TLS certificate that the caller came with; empty for none that can be read."""
        text = self._transport.client_certificate(environ)
        try:
            return certificate_of(text).thumbprint if text else ""
        except MalformedCertificate:
            return ""

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
        context = TaskContext(
            store=store,
            now=lambda: self.database_now(store),
            guard=RollbackGuard(store.thread_connections, self.config.state, store.pepper),
            check_rollback=lambda: self._check_rollback(store),
            tick=lambda: self.tick(store),
            sign_checkpoint=self.sign_checkpoint,
            forget_retired_keys=self.keys().forget_retired,
            issuer=self.issuer,
        )
        tasks = PeriodicTasks(serving_tasks(context))
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

        def watch(active: bool) -> None:  # noqa: FBT001 - its only parameter
            store.usage.on_issued = store.secret_networks.issued if active else None

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

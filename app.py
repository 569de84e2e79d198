"""Builds everything once and starts the production server: ``python app.py``.

WSGI servers find the application as ``app:wsgi`` (a factory); ``flask`` finds
``create_app`` for the command line.
"""

import atexit
import gc
import multiprocessing.util
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from flask import Flask

from authserver import api, cli, console, demo
from authserver.config import PREFIX, Config, InvalidConfig, load, networks
from authserver.console.openid.identity import ProviderSettings
from authserver.delivery.mail_sender import MailSettings
from authserver.instrumentation import VERSION
from authserver.oauth.dispatcher import Wsgi
from authserver.ports.clock import Clock
from authserver.ports.errors import Refusal, Unavailable
from authserver.server import CannotServe, check_port, report_start, run
from authserver.services.clocks import SystemClock
from authserver.services.config import ServicesConfig
from authserver.services.container import Services
from authserver.store.engine.connections import engine_options, prepare
from authserver.store.engine.maintenance import Maintenance
from authserver.store.engine.schema import MIGRATIONS
from authserver.store.engine.sqlite_library import journal_cost
from authserver.store.tables import db
from authserver.telemetry.logs import configure, logger
from authserver.telemetry.otel import configure as otel
from authserver.web import error_pages
from authserver.web.health import health
from authserver.web.path_prefix import below
from keys.master import WrongMasterKey

HERE = Path(__file__).resolve().parent


@cli.one_sentence(InvalidConfig, Unavailable)
def create_app(config: Config | None = None, *, clock: Clock | None = None, background: bool = True) -> Flask:
    """Build the application; the database is opened by the first request or command that needs it.

    Args:
        config: read from the environment when not given.
        clock: seconds of UTC; the database's or this machine's when not given.
        background: whether uses are written by a thread of their own.

    Raises:
        InvalidConfig: the environment cannot be used.
    """
    config = config or load()
    instance = HERE / "instance"
    if config.embedded:
        instance.mkdir(mode=0o700, exist_ok=True)
    url = config.database_url or f"sqlite:///{instance / 'authserver.db'}"
    app = Flask(__name__, instance_path=str(instance), static_folder=None)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(url)
    db.init_app(app)
    services_config = ServicesConfig(
        issuer=config.issuer or f"http://{config.bind}",
        master_key=config.master_key.get_secret_value(),
        instance=instance,
        embedded=config.embedded,
        trusted_proxies=networks(config.trusted_proxies),
        metrics_peers=networks(config.metrics_peers),
        fetch_networks=networks(config.fetch_networks),
        webhook_networks=networks(config.webhook_networks),
        mail=_mail(config),
        other_master_key=config.other_master_key.get_secret_value(),
        state=Path(config.state_directory) if config.state_directory else instance,
        key_store=config.key_store,
        pkcs11=(config.pkcs11_module, config.pkcs11_token, config.pkcs11_pin.get_secret_value()),
        provider=ProviderSettings(
            issuer=config.oidc_issuer,
            client_id=config.oidc_client_id,
            client_secret=config.oidc_client_secret.get_secret_value(),
            label=config.oidc_label,
        )
        if config.oidc_issuer
        else None,
        log_level=config.log_level,
        log_format=config.log_format,
        publish_scopes=config.publish_scopes,
        push_networks=networks(config.push_networks),
        dpop_nonce_seconds=config.dpop_nonce_seconds,
        client_cert_header=config.client_cert_header,
        client_ca=config.client_ca,
        mtls_url=config.mtls_url,
        threads=config.serving_threads,
    )
    with app.app_context():
        prepare(db.engine, config.database_pooler)
        cli.register(app, Maintenance(db.engine, MIGRATIONS))
    app.extensions["services"] = Services(services_config, app, clock or SystemClock(), background=background)
    console.install(app)
    api.install(app, config.api_requests_per_minute)
    error_pages.install(
        app, own_errors=[(console.is_console_path, console.error_response), (api.is_ours, api.error_response)]
    )
    app.register_blueprint(health)
    app.wsgi_app = below(urlsplit(config.issuer).path.rstrip("/"), app.wsgi_app)  # type: ignore[method-assign, assignment]
    return app


CANNOT_START = (InvalidConfig, CannotServe, WrongMasterKey, Unavailable, Refusal)
"""What an operator can mend, each with a text that says how."""


def _mail(config: Config) -> MailSettings | None:
    if not config.smtp_server:
        return None
    host, _, port = config.smtp_server.rpartition(":")
    issuer = config.issuer or f"http://{config.bind}"
    return MailSettings(
        host=host.strip("[]"),
        port=int(port),
        tls=config.smtp_tls,
        user=config.smtp_user,
        password=config.smtp_password.get_secret_value(),
        sender=config.mail_from,
        security=tuple(each.strip() for each in config.mail_security.split(",") if each.strip()),
        language=config.mail_language,
        console=f"{issuer}/console",
    )


def wsgi() -> Wsgi:
    """Make the WSGI callable of one serving process; one that cannot start says why and exits with 1."""
    try:
        dispatcher = _serving()
    except CANNOT_START as error:
        if not report_start(str(error)):
            logger().error("worker_cannot_start", reason=str(error))
        sys.exit(1)
    report_start()
    return dispatcher


def _serving() -> Wsgi:
    config = load()
    configure(config.log_level, config.log_format)
    services: Services = create_app(config).extensions["services"]
    services.otel_providers = otel.started(VERSION)
    served = services.traced(services.wsgi())
    # Buffered uses are written when the process ends normally; the second hook is for children of
    # multiprocessing, which never run the first.
    atexit.register(services.close)
    multiprocessing.util.Finalize(services, services.close, exitpriority=1)
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        # The master key must not be in a request's environment, where WSGI servers copy it.
        del os.environ[name]
    _spare_the_collector()
    logger().info("serving", issuer=services.issuer, pid=os.getpid())
    return served


def _spare_the_collector() -> None:
    """Keep what was loaded out of each garbage collection, and collect less often.

    Requests leave next to no reference cycles, but buffered uses and log lines live long enough to be looked at by
    every generation, and the modules a hundred times as many objects: full collections were what made p99.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def main() -> int:
    """Prepare the database, then serve until told to stop; the exit code."""
    try:
        config = load()
        configure(config.log_level, config.log_format)
        check_port(config.host, config.port)
        otel.check(os.environ)
        shown = _prepare(config)
    except CANNOT_START as error:
        return _cannot_start(error)

    def announce() -> None:
        url = f"http://{config.bind}"
        sys.stdout.write(f"Listening on {url}, issuer {config.issuer or url}. Stop with Ctrl+C.\n")
        if shown is not None:
            sys.stdout.write("\n" + demo.lines(shown, url, config.database_url))
        sys.stdout.flush()

    try:
        run(
            "app:wsgi",
            host=config.host,
            port=config.port,
            workers=config.workers,
            threads=config.serving_threads,
            announce=announce,
        )
    except CannotServe as error:
        return _cannot_start(error)
    return 0


def _cannot_start(error: Exception) -> int:
    sys.stderr.write(f"Cannot start: {error}\n")
    return 1


def _prepare(config: Config) -> demo.DemoSecrets | None:
    services: Services = create_app(config, background=False).extensions["services"]
    try:
        if config.migrate:
            services.migrate()
        cost = journal_cost() if config.embedded else ""
        if cost:
            logger().warning("slow_journal_mode", reason=cost)
        store = services.store()
        fault = services.pooler_fault()
        if fault:
            logger().warning("pooler_without_limits", reason=fault)
        if config.demo and config.embedded and config.on_loopback:
            return demo.seed(store.accounts, store.pepper, services.clock.now())
        return None
    finally:
        services.close()


if __name__ == "__main__":
    sys.exit(main())

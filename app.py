"""Builds everything once and starts the production server: ``python app.py``.

WSGI servers find the application as ``app:wsgi`` (a factory); ``flask`` finds
``create_app`` for the command line.
"""

import atexit
import multiprocessing.util
import os
import sys
from pathlib import Path

from flask import Flask

from authserver import cli, demo
from authserver.house import House, Plan, SystemClock
from authserver.oauth.mount import Doors
from authserver.ports import Clock, Refusal, Unavailable
from authserver.serve import CannotServe, check_port, run
from authserver.settings import PREFIX, BadSettings, Settings, load, networks
from authserver.store.engine import engine_options, prepare
from authserver.store.schema import MIGRATIONS
from authserver.store.tables import db
from authserver.store.upkeep import Upkeep
from authserver.telemetry.logs import configure, logger
from authserver.web.console.elsewhere import ProviderSettings
from authserver.web.health import health
from authserver.web.pages import install
from keys.master import WrongMasterKey

HERE = Path(__file__).resolve().parent


@cli.one_sentence(BadSettings, Unavailable)
def create_app(settings: Settings | None = None, *, clock: Clock | None = None, background: bool = True) -> Flask:
    """Build the application; the database is opened by the first request or command that needs it.

    Args:
        settings: read from the environment when not given.
        clock: seconds of UTC; the database's or this machine's when not given.
        background: whether uses are written by a thread of their own.

    Raises:
        BadSettings: the environment cannot be used.
    """
    settings = settings or load()
    instance = HERE / "instance"
    if settings.embedded:
        instance.mkdir(mode=0o700, exist_ok=True)
    url = settings.database_url or f"sqlite:///{instance / 'authserver.db'}"
    app = Flask(__name__, instance_path=str(instance), static_folder=None)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(url)
    db.init_app(app)
    plan = Plan(
        issuer=settings.issuer or f"http://{settings.bind}",
        master_key=settings.master_key.get_secret_value(),
        instance=instance,
        embedded=settings.embedded,
        trusted_proxies=networks(settings.trusted_proxies),
        metrics_peers=networks(settings.metrics_peers),
        other_master_key=settings.other_master_key.get_secret_value(),
        state=Path(settings.state_directory) if settings.state_directory else instance,
        key_store=settings.key_store,
        pkcs11=(settings.pkcs11_module, settings.pkcs11_token, settings.pkcs11_pin.get_secret_value()),
        provider=ProviderSettings(
            issuer=settings.oidc_issuer,
            client_id=settings.oidc_client_id,
            client_secret=settings.oidc_client_secret.get_secret_value(),
            label=settings.oidc_label,
        )
        if settings.oidc_issuer
        else None,
        log_level=settings.log_level,
    )
    with app.app_context():
        prepare(db.engine)
        cli.register(app, Upkeep(db.engine, MIGRATIONS))
    app.extensions["house"] = House(plan, app, clock or SystemClock(), background=background)
    install(app)
    app.register_blueprint(health)
    return app


def wsgi() -> Doors:
    """Make the WSGI callable of one serving process."""
    settings = load()
    configure(settings.log_level)
    house: House = create_app(settings).extensions["house"]
    doors = house.wsgi()
    # What is noted in memory is written when the process ends in peace; the second hook is
    # for children of multiprocessing, which never run the first.
    atexit.register(house.close)
    multiprocessing.util.Finalize(house, house.close, exitpriority=1)
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        # The master key has no business in a request's environment, where WSGI servers copy it.
        del os.environ[name]
    logger().info("serving", issuer=house.issuer, pid=os.getpid())
    return doors


def main() -> int:
    """Prepare the database, then serve until told to stop; the exit code."""
    try:
        settings = load()
        configure(settings.log_level)
        check_port(settings.host, settings.port)
        shown = _prepare(settings)
    except (BadSettings, CannotServe, WrongMasterKey, Unavailable, Refusal) as error:
        sys.stderr.write(f"Cannot start: {error}\n")
        return 1

    def announce() -> None:
        url = f"http://{settings.bind}"
        sys.stdout.write(f"Listening on {url}, issuer {settings.issuer or url}. Stop with Ctrl+C.\n")
        if shown is not None:
            sys.stdout.write("\n" + demo.lines(shown, url, settings.database_url))
        sys.stdout.flush()

    run(
        "app:wsgi",
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        threads=settings.serving_threads,
        announce=announce,
    )
    return 0


def _prepare(settings: Settings) -> demo.Shown | None:
    house: House = create_app(settings, background=False).extensions["house"]
    try:
        if settings.migrate:
            house.migrate()
        store = house.store()
        if settings.demo and settings.embedded and settings.on_loopback:
            return demo.furnish(store.accounts, store.pepper, house.clock.now())
        return None
    finally:
        house.close()


if __name__ == "__main__":
    sys.exit(main())

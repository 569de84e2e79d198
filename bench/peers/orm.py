"""The database of the ORM peers: the same library and durability as ours, else as Flask-SQLAlchemy comes."""

import os
from typing import Any

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine, event

from authserver.store.engine.sqlite_library import sqlite

VARIABLE = "BENCH_DATABASE_URL"


def app_over(db: SQLAlchemy, url: str = "") -> Flask:
    """Make an application over the database of ``url``, else of the environment; its tables are there."""
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # loopback, without TLS
    url = url or os.environ[VARIABLE]
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    if url.startswith("sqlite"):
        app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"module": sqlite, "connect_args": {"timeout": 5}}
    db.init_app(app)
    with app.app_context():
        if url.startswith("sqlite"):
            _durable(db.engine)
        db.create_all()
    return app


def _durable(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: object) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

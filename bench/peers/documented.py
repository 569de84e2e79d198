"""Flask + Authlib + ORM in the shape of Authlib's documentation.

Its models are Authlib's mixins, its functions those Authlib makes for SQLAlchemy.
"""

import time
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.integrations.sqla_oauth2 import (
    OAuth2ClientMixin,
    OAuth2TokenMixin,
    create_query_client_func,
    create_query_token_func,
    create_save_token_func,
)
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Column, Integer

from bench.peers.fixtures import API, SECRET, PeerFixtures, fetch_tokens
from bench.peers.orm import app_over

db = SQLAlchemy()
_Model: Any = db.Model


class Client(_Model, OAuth2ClientMixin):  # type: ignore[misc]
    """A client; its secret stands here in plain text."""

    id = Column(Integer, primary_key=True)


class Token(_Model, OAuth2TokenMixin):  # type: ignore[misc]
    """A token, found by its text."""

    id = Column(Integer, primary_key=True)
    user_id = Column(Integer)


class Introspection(IntrospectionEndpoint):  # type: ignore[misc]
    """RFC 7662 for one client that may ask."""

    def query_token(self, text: str, hint: str | None) -> Token | None:
        """Find the row."""
        found: Token | None = create_query_token_func(db.session, Token)(text, hint)
        return found

    def check_permission(self, _token: Token, client: Client, _request: object) -> bool:
        """Whether the caller may know."""
        return bool(client.client_id == API)

    def introspect_token(self, token: Token) -> dict[str, Any]:
        """Tell what the row says."""
        return {
            "active": True,
            "client_id": token.client_id,
            "token_type": token.token_type,
            "scope": token.get_scope(),
            "sub": token.client_id,
            "iss": "https://server.example.com/",
            "exp": token.issued_at + token.expires_in,
            "iat": token.issued_at,
        }


def wsgi(url: str = "") -> Flask:
    """Make the application."""
    app = app_over(db, url)
    server = AuthorizationServer(
        app, create_query_client_func(db.session, Client), create_save_token_func(db.session, Token)
    )
    server.register_grant(grants.ClientCredentialsGrant)
    server.register_endpoint(Introspection)

    @app.post("/oauth/token")
    def token() -> Any:
        return server.create_token_response()

    @app.post("/oauth/introspect")
    def introspect() -> Any:
        return server.create_endpoint_response("introspection")

    return app


def seed(url: str, clients: int, tokens: int) -> PeerFixtures:
    """Make clients, and tokens over the application's own door."""
    app = wsgi(url)
    names = [f"client-{number}" for number in range(clients)]
    with app.app_context():
        for name in (*names, API):
            client = Client(client_id=name, client_secret=SECRET, client_id_issued_at=int(time.time()))
            client.set_client_metadata(
                {
                    "grant_types": ["client_credentials"],
                    "scope": "reports.read invoices.read",
                    "token_endpoint_auth_method": "client_secret_basic",
                }
            )
            db.session.add(client)
        db.session.commit()
    made = fetch_tokens(app, names, tokens, scope="reports.read invoices.read")
    with app.app_context():
        db.engine.dispose()
    return made

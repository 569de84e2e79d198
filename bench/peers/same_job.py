"""Flask + Authlib + ORM doing our job, by the plain means of the three.

Secrets are hashed, tokens are RFC 9068 JWTs signed with ES256, roles are those
of the credential that the owner holds, a token dies of the idle timeout and of
a change of its owner's role version, and each use is in the database before it
is told. Left out: audit, throttling, key rotation, signed answers, logs, metrics.
"""

import hashlib
import hmac
import time
import uuid
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, InvalidScopeError, grants
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from flask import Flask, g
from flask_sqlalchemy import SQLAlchemy
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, import_key
from sqlalchemy import Column, ForeignKey, Integer, LargeBinary, String, Table, Text
from sqlalchemy.orm import relationship

from bench.peers.fixtures import API, SECRET, PeerFixtures, fetch_tokens
from bench.peers.orm import app_over

ISSUER = "https://server.example.com"
AUDIENCE = "https://api.example.com"
_PEPPER = b"a pepper of the peers only, 32 b"

db = SQLAlchemy()
_Model: Any = db.Model
_column: Any = Column  # the ORM's attributes are no columns to the type checker otherwise

held = Table(
    "held",
    db.metadata,
    Column("person_id", Integer, ForeignKey("person.id"), primary_key=True),
    Column("role_id", Integer, ForeignKey("role.id"), primary_key=True),
)
chosen = Table(
    "chosen",
    db.metadata,
    Column("credential_id", String(64), ForeignKey("credential.client_id"), primary_key=True),
    Column("role_id", Integer, ForeignKey("role.id"), primary_key=True),
)


class Role(_Model):  # type: ignore[misc]
    """A named set of access."""

    id = _column(Integer, primary_key=True)
    name = _column(String(64), nullable=False)


class Person(_Model):  # type: ignore[misc]
    """An owner."""

    id = _column(Integer, primary_key=True)
    role_version = _column(Integer, nullable=False)
    disabled_at = _column(Integer)
    roles = relationship(Role, secondary=held)


class _Secretive(ClientMixin):  # type: ignore[misc]
    __allow_unmapped__ = True
    client_id: Any
    secret_hash: Any

    def get_client_id(self) -> str:
        """Its id."""
        return str(self.client_id)

    def check_client_secret(self, secret: str) -> bool:
        """Whether the secret is right."""
        return hmac.compare_digest(self.secret_hash, hashed(secret))

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        """Basic only."""
        return method == "client_secret_basic"

    def check_grant_type(self, grant_type: str) -> bool:
        """One grant."""
        return grant_type == "client_credentials"


class Credential(_Model, _Secretive):  # type: ignore[misc]
    """An application credential."""

    client_id = _column(String(64), primary_key=True)
    secret_hash = _column(LargeBinary, nullable=False)
    owner_id = _column(Integer, ForeignKey("person.id"), nullable=False)
    expires_at = _column(Integer, nullable=False)
    disabled_at = _column(Integer)
    owner = relationship(Person)
    roles = relationship(Role, secondary=chosen)

    def get_allowed_scope(self, scope: str) -> str:
        """The roles asked for that were chosen and that the owner holds."""
        may = {role.name for role in self.roles} & {role.name for role in self.owner.roles}
        return " ".join(sorted(may & set(scope.split()) if scope else may))

    def alive(self, now: int) -> bool:
        """Neither disabled nor expired, nor is its owner disabled."""
        return bool(self.disabled_at is None and self.owner.disabled_at is None and now < self.expires_at)


class Api(_Model, _Secretive):  # type: ignore[misc]
    """A resource server."""

    client_id = _column(String(64), primary_key=True)
    secret_hash = _column(LargeBinary, nullable=False)
    audience = _column(String(255), nullable=False)


class Session(_Model):  # type: ignore[misc]
    """The record of one token."""

    jti = _column(String(64), primary_key=True)
    client_id = _column(String(64), ForeignKey("credential.client_id"), nullable=False)
    role_version = _column(Integer, nullable=False)
    issued_at = _column(Integer, nullable=False)
    expires_at = _column(Integer, nullable=False)
    last_used_at = _column(Integer, nullable=False)
    ended_at = _column(Integer)
    scope = _column(Text, nullable=False)
    credential = relationship(Credential)

    def is_expired(self) -> bool:
        """Past its end."""
        return bool(self.expires_at <= time.time())

    def is_revoked(self) -> bool:
        """Ended before its time."""
        return self.ended_at is not None


class Setting(_Model):  # type: ignore[misc]
    """The general settings; ``key`` is the private signing key."""

    id = _column(Integer, primary_key=True)
    idle_seconds = _column(Integer, nullable=False)
    key = _column(Text, nullable=False)


def hashed(secret: str) -> bytes:
    """A keyed hash, as ours."""
    return hmac.digest(_PEPPER, secret.encode(), hashlib.sha256)


class Tokens(JWTBearerTokenGenerator):  # type: ignore[misc]
    """RFC 9068."""

    def __init__(self, key: ECKey) -> None:
        super().__init__(ISSUER, "ES256", expires_generator=lambda _client, _grant: 12 * 3600)
        self._key = key

    def get_jwks(self) -> ECKey:
        """The key that signs."""
        return self._key

    def get_audiences(self, _client: object, _user: object, _scope: str) -> str:
        """The one API."""
        return AUDIENCE

    def get_jti(self, _client: object, _grant: str, _user: object, _scope: str) -> str:
        """A new id, kept for the row."""
        g.jti = uuid.uuid4().hex
        return str(g.jti)

    def get_extra_claims(self, client: Credential, _grant: str, _user: object, scope: str) -> dict[str, Any]:
        """Roles and their version."""
        return {"roles": scope.split(), "role_version": client.owner.role_version}


class Grant(grants.ClientCredentialsGrant):  # type: ignore[misc]
    """client_credentials with the credential's life and roles."""

    def validate_token_request(self) -> None:
        """Authenticate and judge."""
        super().validate_token_request()
        client = self.request.client
        if not client.alive(int(time.time())) or not client.get_allowed_scope(self.request.payload.scope or ""):
            raise InvalidScopeError

    def generate_token(self, *args: Any, **values: Any) -> Any:
        """A token with the roles that can be had."""
        scope = self.request.client.get_allowed_scope(self.request.payload.scope or "")
        return super().generate_token(*args, **{**values, "scope": scope})


class Introspection(IntrospectionEndpoint):  # type: ignore[misc]
    """RFC 7662 with idleness and role version."""

    key: ECKey

    def query_token(self, text: str, _hint: str | None) -> Session | None:
        """Verify the text, then find its row."""
        try:
            claims = jwt.decode(text, self.key, algorithms=["ES256"]).claims
        except (JoseError, ValueError):
            return None
        found: Session | None = db.session.get(Session, claims["jti"])
        return found if claims["aud"] == AUDIENCE else None

    def check_permission(self, token: Session, client: Api, _request: object) -> bool:
        """Alive by every rule, and for this caller; a good one is used now."""
        now = int(time.time())
        idle = db.session.get_one(Setting, 1).idle_seconds
        credential = token.credential
        good = bool(
            client.audience == AUDIENCE
            and credential.alive(now)
            and credential.owner.role_version == token.role_version
            and token.ended_at is None
            and now < token.last_used_at + idle
        )
        if good:
            token.last_used_at = now
        else:
            token.ended_at = token.ended_at or now
        db.session.commit()
        return good

    def introspect_token(self, token: Session) -> dict[str, Any]:
        """Tell what is known."""
        return {
            "active": True,
            "client_id": token.client_id,
            "token_type": "Bearer",
            "scope": token.scope,
            "roles": token.scope.split(),
            "role_version": token.role_version,
            "sub": str(token.credential.owner_id),
            "aud": AUDIENCE,
            "iss": ISSUER,
            "jti": token.jti,
            "exp": token.expires_at,
            "iat": token.issued_at,
        }


def _save(token: dict[str, Any], request: Any) -> None:
    now = int(time.time())
    db.session.add(
        Session(
            jti=g.jti,
            client_id=request.client.client_id,
            role_version=request.client.owner.role_version,
            issued_at=now,
            expires_at=now + token["expires_in"],
            last_used_at=now,
            scope=token["scope"],
        )
    )
    db.session.commit()


def wsgi(url: str = "") -> Flask:
    """Make the application; the database has its key."""
    app = app_over(db, url)
    with app.app_context():
        setting = db.session.get(Setting, 1)
        if setting is None:
            fresh = ECKey.generate_key("P-256", private=True)
            setting = Setting(id=1, idle_seconds=1800, key=fresh.as_pem(private=True).decode())
            db.session.add(setting)
            db.session.commit()
        key = import_key(setting.key, "EC")
    tokens = AuthorizationServer(app, lambda client_id: db.session.get(Credential, client_id), _save)
    tokens.register_grant(Grant)
    tokens.register_token_generator("default", Tokens(key))
    answers = AuthorizationServer(app, lambda client_id: db.session.get(Api, client_id), _save)
    Introspection.key = key
    answers.register_endpoint(Introspection)

    @app.post("/oauth/token")
    def token() -> Any:
        return tokens.create_token_response()

    @app.post("/oauth/introspect")
    def introspect() -> Any:
        return answers.create_endpoint_response("introspection")

    return app


def seed(url: str, clients: int, tokens: int) -> PeerFixtures:
    """Make owners and credentials, and tokens over the application's own door."""
    app = wsgi(url)
    names = [str(uuid.uuid4()) for _ in range(clients)]
    with app.app_context():
        roles = [Role(name=name) for name in ("reports.read", "invoices.read", "orders.read")]
        owners = [Person(role_version=1, roles=roles) for _ in range(8)]
        db.session.add_all([*roles, *owners, Api(client_id=API, secret_hash=hashed(SECRET), audience=AUDIENCE)])
        for number, name in enumerate(names):
            db.session.add(
                Credential(
                    client_id=name,
                    secret_hash=hashed(SECRET),
                    owner=owners[number % len(owners)],
                    expires_at=int(time.time()) + 90 * 86400,
                    roles=roles[:2],
                )
            )
        db.session.commit()
    made = fetch_tokens(app, names, tokens)
    with app.app_context():
        db.engine.dispose()
    return made

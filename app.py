"""Builds everything once and starts the production server: ``python app.py``."""

import os
import time
from pathlib import Path

from flask import Flask
from flask_migrate import Migrate, upgrade

from authserver.actions.issue_token import Issued
from authserver.oauth.introspection import IntrospectionDoor, RevocationDoor
from authserver.oauth.metadata import jwks_door, metadata_door
from authserver.oauth.mount import Doors, routes
from authserver.oauth.token import TokenServer
from authserver.store.engine import engine_options, prepare
from authserver.store.opening import Store, open_store
from authserver.store.tables import db
from keys.master import MasterKey
from keys.material import ALGORITHMS
from keys.signing import TokenReader, TokenSigner

HERE = Path(__file__).resolve().parent


class SystemClock:
    """The database's clock where it told it, else this machine's."""

    def now(self, database: int | None = None) -> int:
        """Whole seconds of UTC."""
        return database if database is not None else int(time.time())


class KeyRoom:
    """Signs with the active key and reads what any of our keys signed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._signers: dict[str, TokenSigner] = {}
        self._reader = TokenReader(store.keys.public())

    def sign(self, issued: Issued) -> str:
        """Sign an access token with the key that was active when its facts were read."""
        return self._signer(issued.kid).sign(issued.claims)

    def sign_answer(self, claims: dict[str, object]) -> str:
        """Sign an introspection answer (RFC 9701)."""
        active = next(key for key in self._store.keys.ring() if key.state == "active")
        return self._signer(active.kid).sign(claims, "token-introspection+jwt")

    def read(self, text: str) -> tuple[str, dict[str, object]] | None:
        """Read an access token; a key made since is fetched once it is seen."""
        kid = self._reader.peek_kid(text)
        if kid is not None and kid not in self._reader and kid in self._store.keys.public(kid):
            self._reader = TokenReader(self._store.keys.public())
        return self._reader.read(text)  # type: ignore[return-value]

    def _signer(self, kid: str) -> TokenSigner:
        signer = self._signers.get(kid)
        if signer is None:
            alg, sign = self._store.keys.signer(kid)
            signer = self._signers[kid] = TokenSigner(kid, alg, sign)
        return signer

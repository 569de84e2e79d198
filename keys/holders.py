"""Where private keys live, behind one small port: in the database, in a directory of PEM files, or in a token.

A holder makes keys and turns what the ring remembers of them into a function
that signs. What the ring remembers (``NewKey.sealed_private``) is the sealed
key itself, or only the name to find it by.
"""

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives import serialization

from keys.master import MasterKey
from keys.material import (
    NewKey,
    PrivateKey,
    Signer,
    UnusableKey,
    describe,
    generate,
    reseal,
    seal,
    signer_of,
    unseal,
)

_KID = re.compile(r"[A-Za-z0-9_-]{43}")


class KeyHolder(Protocol):
    """Makes keys, opens them, and destroys them."""

    name: str
    """What the ring calls this holder."""

    def make(self, alg: str) -> NewKey:
        """Make a key; ``ValueError`` when ``alg`` is not offered here."""
        ...

    def adopt(self, private: PrivateKey, alg: str) -> NewKey:
        """Take in a key made elsewhere; ``UnusableKey`` when it cannot."""
        ...

    def signer(self, kid: str, alg: str, reference: bytes) -> Signer:
        """Open a key; it has passed its self-test. ``UnusableKey`` when it cannot."""
        ...

    def destroy(self, reference: bytes) -> None:
        """Destroy the private part; nothing happens when it is gone already."""
        ...

    def reseal(self, kid: str, reference: bytes) -> bytes | None:
        """Seal it under the present master key; what the ring must remember now, None when nothing had to be done."""
        ...


class DatabaseHolder:
    """Keys sealed under the master key; the ring's own row is the only copy."""

    name = "database"

    def __init__(self, master: MasterKey) -> None:
        self._master = master

    def make(self, alg: str) -> NewKey:
        """Make and seal a key."""
        return self.adopt(generate(alg), alg)

    def adopt(self, private: PrivateKey, alg: str) -> NewKey:
        """Seal a key."""
        return seal(private, alg, self._master)

    def signer(self, kid: str, alg: str, reference: bytes) -> Signer:
        """Unseal a key."""
        return unseal(kid, alg, reference, self._master)

    def destroy(self, reference: bytes) -> None:
        """Leave it to the ring, which empties the row in the same transaction."""

    def reseal(self, kid: str, reference: bytes) -> bytes | None:
        """Seal the row's value anew."""
        return reseal(kid, reference, self._master)


class PemHolder:
    """One encrypted PEM file (PKCS #8) a key, named ``<kid>.pem``; its password is derived from the master key."""

    name = "pem"

    def __init__(self, directory: Path, master: MasterKey) -> None:
        self._directory, self._master = directory, master

    def make(self, alg: str) -> NewKey:
        """Make a key and write its file."""
        return self.adopt(generate(alg), alg)

    def adopt(self, private: PrivateKey, alg: str) -> NewKey:
        """Write the file of a key; it is whole on disk before this returns."""
        kid, jwk = describe(alg, private.public_key())
        signer_of(kid, alg, private)
        self._write(kid, private)
        return NewKey(kid, alg, jwk, kid.encode(), self.name)

    def _write(self, kid: str, private: PrivateKey) -> None:
        sealing = serialization.BestAvailableEncryption(self._master.password(f"signing-key-file:{kid}"))
        pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealing)
        path = self._path(kid)
        fresh = path.with_suffix(f".{os.getpid()}.new")
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(pem)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
            self._sync()
        except OSError as error:
            msg = f"cannot write {path}: {error.strerror}"
            raise UnusableKey(msg) from error

    def signer(self, kid: str, alg: str, reference: bytes) -> Signer:
        """Read the file of a key; an unencrypted one that was put there by hand is read as well."""
        private, _ = self._read(kid, reference)
        return signer_of(kid, alg, private)

    def reseal(self, kid: str, reference: bytes) -> bytes | None:
        """Write the file anew under the present master key's password."""
        private, settled = self._read(kid, reference)
        if settled or not isinstance(private, PrivateKey):
            return None
        self._write(kid, private)
        return reference

    def _read(self, kid: str, reference: bytes) -> tuple[object, bool]:
        """The key, and whether it is sealed as it should be."""
        path = self._path(reference.decode())
        try:
            pem = path.read_bytes()
        except OSError as error:
            msg = f"cannot read {path}: {error.strerror}"
            raise UnusableKey(msg) from error
        passwords = self._master.passwords(f"signing-key-file:{kid}") if b"ENCRYPTED" in pem else (None,)
        for password in passwords:
            with suppress(ValueError):
                private = serialization.load_pem_private_key(pem, password)
                return private, password is not None and password == passwords[0]
        msg = f"{path} does not open; it was written under another master key, or is broken"
        raise UnusableKey(msg)

    def destroy(self, reference: bytes) -> None:
        """Overwrite and remove the file."""
        path = self._path(reference.decode())
        with suppress(FileNotFoundError):
            length = path.stat().st_size
            with path.open("r+b") as file:
                file.write(os.urandom(length))
                file.flush()
                os.fsync(file.fileno())
            path.unlink()
            self._sync()

    def _path(self, kid: str) -> Path:
        if not _KID.fullmatch(kid):
            msg = "the name of a key file is the kid of its key"
            raise UnusableKey(msg)
        return self._directory / f"{kid}.pem"

    def _sync(self) -> None:
        folder = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

"""Private keys in a directory of PEM files, each sealed under the master key."""

import os
import re
from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from keys.master import MasterKey
from keys.material import NewKey, PrivateKey, Signer, UnusableKey, describe, generate, signer_of

_KID = re.compile(r"[A-Za-z0-9_-]{43}")


class PemKeyStore:
    """One encrypted PEM file (PKCS #8) a key, named ``<kid>.pem``; its password is derived from the master key."""

    name = "pem"

    def __init__(self, directory: Path, master: MasterKey) -> None:
        self._directory, self._master = directory, master

    def make(self, alg: str) -> NewKey:
        """Make a key and write its file."""
        return self.import_key(generate(alg), alg)

    def import_key(self, private: PrivateKey, alg: str) -> NewKey:
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

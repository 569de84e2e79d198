"""The master key and the key stores that the configuration names."""

import os
from pathlib import Path

from authserver.services.config import ServicesConfig
from keys.key_stores import KeyStore
from keys.key_stores.database import DatabaseKeyStore
from keys.key_stores.pem import PemKeyStore
from keys.key_stores.pkcs11 import Pkcs11KeyStore
from keys.master import MasterKey


def master_key(config: ServicesConfig) -> MasterKey:
    """The master key from the settings, else from the instance folder, made there for the embedded database.

    Raises:
        WrongMasterKey: there is none, or it is malformed.
    """
    text, path = config.master_key, config.instance / "master.key"
    if not text and config.embedded:
        if not path.exists():
            _write_once(path, MasterKey.fresh())
        text = path.read_text(encoding="ascii")
    return MasterKey(text, config.other_master_key)


def key_stores(config: ServicesConfig, master: MasterKey) -> dict[str, KeyStore]:
    """Everywhere that a private key may be kept, by its name in the key ring."""
    found: dict[str, KeyStore] = {
        "database": DatabaseKeyStore(master),
        "pem": PemKeyStore(config.state / "keys", master),
    }
    if config.pkcs11[0]:
        found["pkcs11"] = Pkcs11KeyStore(*config.pkcs11)
    return found


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

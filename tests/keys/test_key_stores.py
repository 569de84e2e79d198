"""Where private keys live: every key_store makes, opens and destroys keys, and none gives one away."""

import os
import shutil
import stat
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from keys.key_stores.database import DatabaseKeyStore
from keys.key_stores.pem import PemKeyStore
from keys.key_stores.pkcs11 import Pkcs11KeyStore
from keys.master import MasterKey, WrongMasterKey
from keys.material import ALGORITHMS, POST_QUANTUM, UnusableKey, generate, verifier
from keys.signing import TokenReader, TokenSigner
from tests.support.deadlines import wait_child

MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)


@pytest.fixture
def master():
    return MasterKey(MasterKey.fresh())


@pytest.fixture(scope="session")
def token(tmp_path_factory):
    """A SoftHSM token: the real library, with its objects in a folder of the tests."""
    module = next((path for path in MODULES if Path(path).exists()), None)
    if module is None or shutil.which("softhsm2-util") is None:
        if os.environ.get("CI"):
            pytest.fail("SoftHSM 2 is needed in CI: apt-get install softhsm2")
        pytest.skip("SoftHSM 2 is not installed: apt-get install softhsm2")
    home = tmp_path_factory.mktemp("softhsm")
    (home / "tokens").mkdir()
    (home / "conf").write_text(f"directories.tokendir = {home}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(home / "conf")
    made = ["softhsm2-util", "--init-token", "--free", "--label", "test", "--pin", "1234", "--so-pin", "5678"]
    subprocess.run(made, check=True, capture_output=True, timeout=300)
    return module


@pytest.fixture(params=["database", "pem", "pkcs11"])
def key_store(request, master, tmp_path):
    if request.param == "pkcs11":
        return Pkcs11KeyStore(request.getfixturevalue("token"), "test", "1234")
    return DatabaseKeyStore(master) if request.param == "database" else PemKeyStore(tmp_path / "keys", master)


def signs(key_store, alg):
    import json

    new = key_store.make(alg)
    assert new.key_store == key_store.name
    signed = TokenSigner(new.kid, alg, key_store.signer(new.kid, alg, new.sealed_private)).sign({"iat": 1})
    return new, TokenReader({new.kid: json.loads(new.public_jwk)}).read(signed)


@pytest.mark.parametrize("alg", ["ES256", "RS256", "PS256"])
def test_what_a_holder_makes_signs(key_store, alg):
    new, read = signs(key_store, alg)
    assert read == (new.kid, {"iat": 1})


@pytest.mark.parametrize("alg", ["EdDSA"])
def test_software_holders_make_the_others_too(master, tmp_path, alg):
    for key_store in (DatabaseKeyStore(master), PemKeyStore(tmp_path, master)):
        new, read = signs(key_store, alg)
        assert read == (new.kid, {"iat": 1})


def test_two_keys_are_two(key_store):
    one, two = key_store.make("ES256"), key_store.make("ES256")
    assert one.kid != two.kid
    with pytest.raises((UnusableKey, WrongMasterKey)):
        key_store.signer(one.kid, "ES256", two.sealed_private)


def test_a_destroyed_key_signs_no_more(key_store):
    new = key_store.make("ES256")
    key_store.destroy(new.sealed_private)
    key_store.destroy(new.sealed_private)
    if key_store.name != "database":  # there the ring empties the row
        with pytest.raises(UnusableKey):
            key_store.signer(new.kid, "ES256", new.sealed_private)


def test_unknown_algorithms_are_refused(key_store):
    with pytest.raises(ValueError, match="HS256"):
        key_store.make("HS256")


def test_what_the_ring_remembers_is_no_key(key_store):
    new = key_store.make("ES256")
    assert b"PRIVATE KEY" not in new.sealed_private
    assert '"d"' not in new.public_jwk


def test_pem_files_are_for_their_owner_and_sealed(master, tmp_path):
    key_store = PemKeyStore(tmp_path / "keys", master)
    new = key_store.make("ES256")
    path = tmp_path / "keys" / f"{new.kid}.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"ENCRYPTED PRIVATE KEY" in path.read_bytes()
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    with pytest.raises(UnusableKey, match="another master key"):
        PemKeyStore(tmp_path / "keys", MasterKey(MasterKey.fresh())).signer(new.kid, "ES256", new.sealed_private)


def test_a_swapped_pem_file_is_noticed(master, tmp_path):
    key_store = PemKeyStore(tmp_path, master)
    one, two = key_store.make("ES256"), key_store.make("ES256")
    (tmp_path / f"{one.kid}.pem").write_bytes((tmp_path / f"{two.kid}.pem").read_bytes())
    with pytest.raises(UnusableKey):
        key_store.signer(one.kid, "ES256", one.sealed_private)


def test_pem_names_cannot_leave_the_directory(master, tmp_path):
    with pytest.raises(UnusableKey, match="kid"):
        PemKeyStore(tmp_path, master).signer("../../etc/passwd", "ES256", b"../../etc/passwd")


def test_a_directory_that_cannot_be_written_is_named(master, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnusableKey, match="cannot write"):
        PemKeyStore(tmp_path / "file", master).make("ES256")


def test_imported_keys_are_adopted_by_software_holders(master, tmp_path):
    private = ec.generate_private_key(ec.SECP256R1())
    for key_store in (DatabaseKeyStore(master), PemKeyStore(tmp_path, master)):
        new = key_store.import_key(private, "ES256")
        signature = key_store.signer(new.kid, "ES256", new.sealed_private)(b"data")
        assert len(signature) == 64
        with pytest.raises(UnusableKey):
            key_store.import_key(private, "RS256")


def test_a_token_takes_no_key_from_outside(token):
    with pytest.raises(UnusableKey, match="no key from outside"):
        Pkcs11KeyStore(token, "test", "1234").import_key(generate("ES256"), "ES256")


def test_a_token_that_does_not_open_is_told(token):
    with pytest.raises(UnusableKey, match="cannot be opened"):
        Pkcs11KeyStore(token, "nobody", "1234").make("ES256")
    # Being logged in is a matter of the process, so a wrong PIN needs one of its own.
    program = (
        f"from keys.key_stores.pkcs11 import Pkcs11KeyStore; Pkcs11KeyStore({token!r}, 'test', '0000').make('ES256')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=300)
    assert "cannot be opened: PinIncorrect" in done.stderr


def test_a_key_made_before_a_fork_signs_behind_it(token):
    key_store = Pkcs11KeyStore(token, "test", "1234")
    new = key_store.make("ES256")
    child = os.fork()
    if child == 0:
        try:
            signature = key_store.signer(new.kid, "ES256", new.sealed_private)(b"data")
            os._exit(0 if len(signature) == 64 else 1)
        except BaseException:  # noqa: BLE001 - a child must not run the parent's tests
            traceback.print_exc()
            os._exit(2)
    assert wait_child(child, "signing in a child") == 0
    assert len(key_store.signer(new.kid, "ES256", new.sealed_private)(b"data")) == 64


def test_a_key_another_process_made_is_found(token):
    mine = Pkcs11KeyStore(token, "test", "1234")
    mine.make("ES256")
    program = (
        f"from keys.key_stores.pkcs11 import Pkcs11KeyStore; "
        f"made = Pkcs11KeyStore({token!r}, 'test', '1234').make('ES256');"
        "print(made.kid, made.sealed_private.hex())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=300)
    kid, reference = done.stdout.split()
    assert len(mine.signer(kid, "ES256", bytes.fromhex(reference))(b"data")) == 64
    with pytest.raises(UnusableKey, match="NoSuchKey"):
        mine.signer(kid, "ES256", bytes(16))
    assert len(mine.signer(kid, "ES256", bytes.fromhex(reference))(b"data")) == 64


def test_several_threads_sign_with_one_token(token):
    from concurrent.futures import ThreadPoolExecutor

    key_store = Pkcs11KeyStore(token, "test", "1234")
    new = key_store.make("ES256")
    sign = key_store.signer(new.kid, "ES256", new.sealed_private)
    with ThreadPoolExecutor(8) as pool:
        assert {len(each) for each in pool.map(sign, [b"data"] * 200)} == {64}


@pytest.mark.parametrize("alg", POST_QUANTUM)
def test_RFC_9964_keys_verify_with_another_library(master, alg):
    import json

    from jwcrypto.jwk import JWK
    from jwcrypto.jws import JWS

    key_store = DatabaseKeyStore(master)
    new = key_store.make(alg)
    jwk = json.loads(new.public_jwk)
    assert jwk["kty"] == "AKP"
    assert jwk["alg"] == alg
    signed = TokenSigner(new.kid, alg, key_store.signer(new.kid, alg, new.sealed_private)).sign({"iat": 1})
    foreign = JWK(**jwk)
    assert foreign.thumbprint() == new.kid
    read = JWS()
    read.allowed_algs = [alg]
    read.deserialize(signed, foreign)
    assert json.loads(read.payload) == {"iat": 1}
    head, body, signature = signed.split(".")
    with pytest.raises(Exception, match=r"(?i)verif|invalid"):
        read.deserialize(f"{head}.{body}.{'A' * len(signature)}", foreign)


def test_every_software_algorithm_opens_again(master):
    key_store = DatabaseKeyStore(master)
    for alg in (*ALGORITHMS, *POST_QUANTUM):
        new = key_store.make(alg)
        assert key_store.signer(new.kid, alg, new.sealed_private)(b"data")


def test_a_verifier_refuses_what_was_not_signed():
    verify = verifier("ES256", ec.generate_private_key(ec.SECP256R1()).public_key())
    with pytest.raises(InvalidSignature):
        verify(b"\1" * 64, b"data")

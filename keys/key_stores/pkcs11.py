"""Signing keys inside a PKCS #11 token (an HSM): they are made there, sign there, and never leave.

Needs the package ``python-pkcs11``, which only this file knows. One session of
the process is logged in and does all the work, one call at a time: login is a
matter of the process, tokens differ in how many threads they bear, and a module
must be started anew behind a fork.
"""

import hashlib
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from keys.material import (
    RSA_BITS,
    NewKey,
    PrivateKey,
    PublicKey,
    Signer,
    UnusableKey,
    describe,
    low_s,
    self_test,
    verifier,
)

ALGORITHMS = ("ES256", "RS256", "PS256")
_LABEL = "authserver signing key"
_HALF = 32


class Pkcs11KeyStore:
    """``key_stores.KeyHolder`` over one token."""

    name = "pkcs11"

    def __init__(self, module: str, token: str, pin: str) -> None:
        """Take the path of the module, the token's label and its user PIN; nothing is opened yet."""
        self._module, self._token, self._pin = module, token, pin
        self._lock = threading.Lock()
        self._session: Any = None
        self._private: dict[bytes, Any] = {}
        self._pid = 0

    def make(self, alg: str) -> NewKey:
        """Make a key pair in the token; the private half is sensitive and not extractable."""
        if alg not in ALGORITHMS:
            msg = f"a token holds keys for {', '.join(ALGORITHMS)}, not for {alg}"
            raise ValueError(msg)
        p11, name = _library(), secrets.token_bytes(16)
        attributes = {p11.Attribute.SENSITIVE: True, p11.Attribute.EXTRACTABLE: False, p11.Attribute.PRIVATE: True}
        with self._token_session("make a key") as session:
            if alg == "ES256":
                curve = {p11.Attribute.EC_PARAMS: p11.util.ec.encode_named_curve_parameters("secp256r1")}
                domain = session.create_domain_parameters(p11.KeyType.EC, curve, local=True)
                public, _ = domain.generate_keypair(
                    mechanism=p11.Mechanism.EC_KEY_PAIR_GEN,
                    store=True,
                    id=name,
                    label=_LABEL,
                    private_template=attributes,
                )
            else:
                public, _ = session.generate_keypair(
                    p11.KeyType.RSA, RSA_BITS, store=True, id=name, label=_LABEL, private_template=attributes
                )
            kid, jwk = describe(alg, _public(public))
        self.signer(kid, alg, name)
        return NewKey(kid, alg, jwk, name, self.name)

    def import_key(self, private: PrivateKey, alg: str) -> NewKey:  # noqa: ARG002 - the port's signature
        """Refuse: a key that was outside once is not what a token is for."""
        msg = "a token takes no key from outside; generate one in it, or keep imported keys in the database"
        raise UnusableKey(msg)

    def signer(self, kid: str, alg: str, reference: bytes) -> Signer:
        """Find a key in the token; what it signs is checked against ``kid`` once."""
        p11 = _library()
        with self._token_session(f"find key {kid}") as session:
            query = {"object_class": p11.ObjectClass.PUBLIC_KEY, "id": reference}
            try:
                found = session.get_key(**query)
            except p11.NoSuchKey:
                # A library may know an older state of its token: SoftHSM was seen to miss a key right behind a fork.
                found = self._opened(p11, anew=True).get_key(**query)
            public = _public(found)
        if describe(alg, public)[0] != kid:
            msg = f"the key in the token is not {kid}"
            raise UnusableKey(msg)

        def sign(data: bytes) -> bytes:
            with self._token_session("sign") as session:
                if reference not in self._private:
                    found = session.get_key(object_class=p11.ObjectClass.PRIVATE_KEY, id=reference)
                    self._private[reference] = found
                key = self._private[reference]
                if alg == "ES256":
                    raw: bytes = key.sign(hashlib.sha256(data).digest(), mechanism=p11.Mechanism.ECDSA)
                    return low_s(int.from_bytes(raw[:_HALF], "big"), int.from_bytes(raw[_HALF:], "big"))
                if alg == "RS256":
                    return bytes(key.sign(data, mechanism=p11.Mechanism.SHA256_RSA_PKCS))
                form = (p11.Mechanism.SHA256, p11.MGF.SHA256, _HALF)
                return bytes(key.sign(data, mechanism=p11.Mechanism.SHA256_RSA_PKCS_PSS, mechanism_param=form))

        self_test(kid, sign, verifier(alg, public))
        return sign

    def destroy(self, reference: bytes) -> None:
        """Destroy both halves in the token."""
        with self._token_session("destroy a key") as session:
            self._private.pop(reference, None)
            for found in list(session.get_objects({_library().Attribute.ID: reference})):
                found.destroy()

    def reseal(self, kid: str, reference: bytes) -> bytes | None:  # noqa: ARG002 - the port's signature
        """Leave it: what is in the token was never sealed under a master key."""
        return None

    @contextmanager
    def _token_session(self, what: str) -> Iterator[Any]:
        """The session, for one call at a time; after a fault the next call logs in anew."""
        p11 = _library()
        with self._lock:
            session = self._opened(p11)
            try:
                yield session
            except p11.PKCS11Error as error:
                self._session, self._private = None, {}
                msg = f"the token did not {what}: {type(error).__name__}"
                raise UnusableKey(msg) from error

    def _opened(self, p11: Any, *, anew: bool = False) -> Any:
        if self._session is not None and self._pid == os.getpid() and not anew:
            return self._session
        try:
            library = p11.lib(self._module)
            if anew or self._pid not in {0, os.getpid()}:
                library.reinitialize()
                self._private = {}
            token = library.get_token(token_label=self._token)
            try:
                self._session = token.open(user_pin=self._pin, rw=True)
            except p11.UserAlreadyLoggedIn:
                self._session = token.open(rw=True)
        except (p11.PKCS11Error, RuntimeError) as error:
            why = type(error).__name__
            msg = f"the PKCS #11 token {self._token!r} cannot be opened: {why}; check module, label and PIN"
            raise UnusableKey(msg) from error
        self._pid = os.getpid()
        return self._session


def _library() -> Any:
    try:
        import pkcs11  # noqa: PLC0415 - an extra: only those who have a token install it
        import pkcs11.util.ec  # noqa: PLC0415
        import pkcs11.util.rsa  # noqa: PLC0415
    except ImportError as error:
        msg = "PKCS #11 needs the package python-pkcs11: pip install python-pkcs11"
        raise UnusableKey(msg) from error
    return pkcs11


def _public(key: Any) -> PublicKey:
    p11 = _library()
    if key.key_type == p11.KeyType.EC:
        public = serialization.load_der_public_key(p11.util.ec.encode_ec_public_key(key))
    else:
        exponent, modulus = key[p11.Attribute.PUBLIC_EXPONENT], key[p11.Attribute.MODULUS]
        public = rsa.RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big")).public_key()
    if not isinstance(public, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        msg = "the token holds a key of another type"
        raise UnusableKey(msg)
    return public

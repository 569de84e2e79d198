"""Proofs that whoever sends a bound token holds its key (DPoP, RFC 9449 §7).

A bound token without a good proof is no better than none: it is refused as a bearer token, in every mode and every
framework, before anything is asked or counted.
"""

import base64
import hashlib
import hmac
import json
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import jwt
from jwt.algorithms import OKPAlgorithm
from jwt.api_jws import PyJWS

from resource_server.errors import InvalidProof, InvalidToken, UseNonce
from resource_server.jose import strict_object
from resource_server.settings import ALGORITHMS
from resource_server.token import Token

OLDEST = 60
"""Seconds that a proof may be old."""
SKEW = 10
_MAX_TEXT = 8192
_MAX_JTI = 255
_REMEMBERED = 100_000
_PARTS = 3
_PORTS = {"https": 443, "http": 80}
_REFUSED = frozenset({"jku", "x5u", "x5c", "crit", "b64", "zip", "enc", "cty"})
_REQUIRED = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})
_SAME_AS = {"Ed25519": "EdDSA"}
"""RFC 9864 §2.2 names the same algorithm anew, fully specified."""

PROOF_ALGORITHMS = (*ALGORITHMS, *_SAME_AS)
"""What proofs may be signed with."""

_JWS = PyJWS(algorithms=list(ALGORITHMS))
for _name in _SAME_AS:
    if _name not in _JWS.get_algorithms():
        _JWS.register_algorithm(_name, OKPAlgorithm())


@dataclass(frozen=True, slots=True)
class Proof:
    """What came with a call: the ``DPoP`` header, and the method and address of the call as its client wrote them.

    Attributes:
        text: the value of the one ``DPoP`` header.
        method: the HTTP method.
        url: the address; query and fragment do not count. Behind a proxy it is the one that the client sent to.
    """

    text: str
    method: str
    url: str


class SeenProofs:
    """Which proofs were used in this process; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: OrderedDict[bytes, float] = OrderedDict()

    def first(self, key: bytes, ends_at: float, now: float) -> bool:
        """Whether this is the first use; it is remembered until ``ends_at``, or while there is room for it."""
        with self._lock:
            known = self._seen.get(key)
            if known is not None and known > now:
                return False
            self._seen[key] = ends_at
            self._seen.move_to_end(key)
            while len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
            return True


class Nonces:
    """Nonces that proofs must have (RFC 9449 §9): each is given for some seconds, and taken for as long again.

    Made from the time and the secret that all processes of an API share, so one takes what another gave.
    """

    def __init__(self, secret: str, seconds: int) -> None:
        self._key = hmac.digest(secret.encode(), b"resource server dpop nonce 1", "sha256")
        self._seconds = seconds

    def check(self, nonce: object, now: float) -> None:
        """Refuse what was not given lately.

        Raises:
            UseNonce: with the nonce that is given now.
        """
        window = int(now // self._seconds)
        taken = isinstance(nonce, str) and any(
            hmac.compare_digest(nonce.encode("utf-8", "surrogatepass"), self._of(each).encode())
            for each in (window, window - 1)
        )
        if not taken:
            raise UseNonce(self._of(window))

    def _of(self, window: int) -> str:
        return base64.urlsafe_b64encode(hmac.digest(self._key, str(window).encode(), "sha256")[:18]).decode()


def check_binding(
    token: Token, text: str, proof: Proof | None, now: float, *, seen: SeenProofs, nonces: Nonces | None = None
) -> None:
    """Refuse a bound token without a good proof of its key, and a proof with a token that is bound to none.

    Args:
        token: verified.
        text: of the token.
        proof: what came with the call; None: it came as a bearer token.
        now: seconds since the epoch.
        seen: the proofs of this process.
        nonces: judges the nonce of the proof; None: none is asked for.

    Raises:
        InvalidToken: it came as a bearer token and is bound, or the other way round (RFC 9449 §7.2).
        InvalidProof: the proof is not of this call, token and key, or was used before.
        UseNonce: it has no nonce, or an old one.
    """
    if token.jkt and proof is None:
        raise InvalidToken("bound")
    if proof is None:
        return
    if not token.jkt:
        raise InvalidToken("not_bound")
    header, claims = _read(proof.text)
    if not hmac.compare_digest(_thumbprint(header["jwk"]), token.jkt):
        raise InvalidProof("proof_key")
    issued, jti = _of_this_call(claims, text, proof, now)
    if nonces is not None:
        nonces.check(claims.get("nonce"), now)
    key = hashlib.sha256(f"{token.jkt}:{jti}".encode("utf-8", "surrogatepass")).digest()
    if not seen.first(key, issued + OLDEST + 1, now):
        raise InvalidProof("proof_replayed")


def _of_this_call(claims: dict[str, Any], text: str, proof: Proof, now: float) -> tuple[float, str]:
    """``iat`` and ``jti`` of a proof that was made for this call and this token, just now (RFC 9449 §4.3)."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode("ascii")).digest()).decode().rstrip("=")
    issued, jti, target = claims.get("iat"), claims.get("jti"), target_uri(proof.url)
    if claims.get("htm") != proof.method:
        raise InvalidProof("proof_method")
    if not target or not isinstance(claims.get("htu"), str) or target_uri(claims["htu"]) != target:
        raise InvalidProof("proof_uri")
    if isinstance(issued, bool) or not isinstance(issued, int | float) or not now - OLDEST < issued <= now + SKEW:
        raise InvalidProof("proof_time")
    if claims.get("ath") != digest:
        raise InvalidProof("proof_token")
    if not isinstance(jti, str) or not 0 < len(jti) <= _MAX_JTI:
        raise InvalidProof("proof_id")
    return issued, jti


def _read(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, the signature verified by the key in the header (RFC 9449 §4.3)."""
    parts = text.split(".")
    if len(text) > _MAX_TEXT or len(parts) != _PARTS or not text.isascii():
        raise InvalidProof("malformed_proof")
    try:
        header, claims = (strict_object(_decoded(part)) for part in parts[:2])
    except InvalidToken as error:
        raise InvalidProof("malformed_proof") from error
    members, alg = header.get("jwk"), header.get("alg")
    if not _REFUSED.isdisjoint(header) or header.get("typ") != "dpop+jwt":
        raise InvalidProof("malformed_proof")
    if alg not in PROOF_ALGORITHMS or not isinstance(members, dict) or not _PRIVATE.isdisjoint(members):
        raise InvalidProof("proof_key")
    try:
        key = jwt.PyJWK({name: value for name, value in members.items() if name != "alg"}, _SAME_AS.get(alg, alg))
        if key.Algorithm.check_key_length(key.key):
            raise InvalidProof("proof_key")
        _JWS.decode_complete(text, key=key.key if alg in _SAME_AS else key, algorithms=[alg])
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise InvalidProof("proof_signature") from error
    return header, claims


def _decoded(part: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise InvalidProof("malformed_proof") from None


def _thumbprint(members: dict[str, Any]) -> str:
    """RFC 7638."""
    required = _REQUIRED.get(str(members.get("kty")), ())
    try:
        text = json.dumps({name: members[name] for name in required}, sort_keys=True, separators=(",", ":"))
    except KeyError:
        raise InvalidProof("proof_key") from None
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


def target_uri(text: str) -> str:
    """An address as two are compared (RFC 9449 §4.3 no. 9): no query, no fragment; "" for what is none."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return ""
    scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
    if scheme not in _PORTS or not host or parts.username is not None:
        return ""
    place = f"[{host}]" if ":" in host else host
    if port is not None and port != _PORTS[scheme]:
        place += f":{port}"
    return f"{scheme}://{place}{parts.path or '/'}"

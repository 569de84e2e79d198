"""Judges proofs of possession (DPoP, RFC 9449); shared by issuing and forward-auth."""

from dataclasses import dataclass, replace

from authserver.ports.client_authentication import OneTimeIds
from authserver.ports.errors import InvalidDpopProof, UseDpopNonce
from authserver.rules.client_authentication.assertion import one_time_key
from authserver.rules.client_authentication.nonce import Nonces
from authserver.rules.client_authentication.proof import TYPE, proof_window
from authserver.rules.facts import Instant
from keys.import_key import WeakKey
from keys.jws import Jws, MalformedJws, parse
from keys.public_keys import ALGORITHMS, SAME_AS, of_jwk, registered


@dataclass(frozen=True, slots=True, repr=False)
class PresentedProof:
    """A proof in the right form, not judged yet; ``jkt`` is the thumbprint of the key it carries (RFC 7638).

    ``jwk`` is that key in the form of ``keys.public_keys``. ``used_up`` says that its ``jti`` was recorded for this
    very request already.
    """

    jws: Jws
    jwk: str
    jkt: str
    used_up: bool = False

    def again(self) -> "PresentedProof":
        """The same, for facts that are read a second time within one request."""
        return replace(self, used_up=True)


def presented_proof(text: str) -> PresentedProof:
    """Read a ``DPoP`` header.

    Raises:
        InvalidDpopProof: several or malformed ones (RFC 9449 §4.3 no. 1, 2), another ``typ`` (no. 4), an algorithm
            that is not asymmetric or not offered (no. 5), or a ``jwk`` that is private (no. 7) or weak.
    """
    try:
        jws = parse(text, frozenset({"jwk"}))
    except MalformedJws as error:
        raise InvalidDpopProof("malformed_proof") from error
    members, alg = jws.header.get("jwk"), SAME_AS.get(jws.alg, jws.alg)
    if jws.typ != TYPE:
        raise InvalidDpopProof("proof_type")
    if alg not in ALGORITHMS or not isinstance(members, dict):
        raise InvalidDpopProof("proof_key")
    try:
        key = of_jwk(members, alg)
    except WeakKey as error:
        raise InvalidDpopProof("proof_key") from error
    return PresentedProof(jws, key.jwk, key.thumbprint)


def require_proof(
    proof: PresentedProof,
    *,
    method: str,
    uris: frozenset[str],
    now: Instant,
    one_time_ids: OneTimeIds,
    token_hash: str | None = None,
    nonces: Nonces | None = None,
) -> None:
    """Verify a proof and use it up; see ``rules.client_authentication.proof`` for the arguments.

    Its ``jti`` is recorded last, under the key that signed: nobody but the holder of that key can use one up
    (RFC 9449 §11.1).

    Raises:
        InvalidDpopProof: the signature (RFC 9449 §4.3 no. 6), a claim, or a second use.
        UseDpopNonce: it is good, but for the nonce (no. 10).
        Unavailable: its id cannot be recorded.
    """
    if not registered(proof.jwk).verifies(proof.jws.signature, proof.jws.signed):
        raise InvalidDpopProof("proof_signature")
    found = proof_window(proof.jws.claims, method=method, uris=uris, now=now, token_hash=token_hash, nonces=nonces)
    if found == "proof_nonce" and nonces is not None:
        raise UseDpopNonce(nonces.current(now))
    if isinstance(found, str):
        raise InvalidDpopProof(found)
    id_hash = one_time_key("proof", proof.jkt, found.jti)
    if not proof.used_up and not one_time_ids.claim(id_hash, found.ends_at, now, found.made_at):
        raise InvalidDpopProof("proof_replayed")

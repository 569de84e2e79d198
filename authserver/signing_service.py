"""Signs with the active keys and reads what any of our keys signed; one for each process."""

import threading
from collections.abc import Mapping
from typing import Any, Protocol

from authserver.ports.errors import KeyGone, Unavailable
from keys.keyring import KeyInfo, State
from keys.material import Signer
from keys.signing import TokenReader, TokenSigner


class KeySource(Protocol):
    """Where keys come from."""

    def ring(self) -> tuple[KeyInfo, ...]:
        """All keys, oldest first."""
        ...

    def public(self, kid: str | None = None) -> dict[str, dict[str, Any]]:
        """Public JWKs by ``kid`` of every key that may have signed a token."""
        ...

    def signer(self, kid: str) -> tuple[str, Signer]:
        """The algorithm of a key and the function that signs with it."""
        ...


class SigningService:
    """Opened keys, kept for the life of the process; which key signs is read from the database each time."""

    def __init__(self, keys: KeySource) -> None:
        self._keys = keys
        self._signers: dict[str, TokenSigner] = {}
        self._leaving: set[str] = set()
        self._reader = TokenReader(keys.public())
        self._lock = threading.Lock()

    def sign(self, kid: str, claims: Mapping[str, Any], typ: str = "at+jwt") -> str:
        """Sign an access token with the key that was active when its facts were read.

        Raises:
            Unavailable: the key's private part is gone by now.
        """
        return self._signer(kid).sign(claims, typ)

    def sign_answer(self, claims: Mapping[str, Any], alg: str, typ: str = "token-introspection+jwt") -> str:
        """Sign an answer to a resource server, an introspection (RFC 9701) by default, with the active key for ``alg``.

        Raises:
            Unavailable: no key is active for ``alg``.
        """
        for last in (False, True):
            active = [key for key in self._keys.ring() if key.state is State.ACTIVE and key.alg == alg]
            if not active:
                break
            try:
                return self._signer(active[0].kid).sign(claims, typ)
            except KeyGone:
                # It retired since the ring was read; the one that followed it is there already.
                if last:
                    raise
        msg = f"no signing key is active for {alg}"
        raise Unavailable(msg)

    def read(self, text: str, typ: str = "at+jwt") -> tuple[str, Mapping[str, Any]] | None:
        """Read an access token of that ``typ``: its ``kid`` and verified claims, or None when it is not ours.

        A key that another node made is fetched when its ``kid`` is first seen, so
        that no node calls a good token inactive.
        """
        found = self._reader.read(text, typ)
        if found is None:
            kid = self._reader.peek_kid(text)
            if kid is not None and kid not in self._reader:
                fresh = self._keys.public()
                if kid in fresh:
                    with self._lock:
                        self._reader = TokenReader(fresh)
                    found = self._reader.read(text, typ)
        return found

    def self_test(self, alg: str) -> None:
        """Sign and read once with the active key for ``alg``.

        Raises:
            Unavailable: there is none, or it does not work.
        """
        signed = self.sign_answer({"test": True}, alg)
        fresh = TokenReader(self._keys.public())
        if fresh.read(signed, "token-introspection+jwt") is None:
            msg = f"the active signing key for {alg} does not verify what it signs"
            raise Unavailable(msg)

    def forget_retired(self) -> None:
        """Let go of keys that sign no more.

        One that is found retired for the first time stays for one more round: a request
        with its ``kid`` may still be in flight. A compromised key goes at once.
        """
        states = {key.kid: key.state for key in self._keys.ring()}
        for kid in list(self._signers):
            state = states.get(kid)
            if state is State.ACTIVE:
                continue
            if kid in self._leaving or state is not State.RETIRED:
                self._signers.pop(kid, None)
                self._leaving.discard(kid)
            else:
                self._leaving.add(kid)

    def _signer(self, kid: str) -> TokenSigner:
        signer = self._signers.get(kid)
        if signer is None:
            alg, sign = self._keys.signer(kid)
            signer = self._signers[kid] = TokenSigner(kid, alg, sign)
        return signer

"""The compromise of a key: a rehearsal on a copy of the state, and a stopwatch for the real command."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from authserver.cli.context import CommandContext
from authserver.cli.output import iso
from authserver.ports.errors import Unavailable
from authserver.ports.hot_path import TokenKeys
from authserver.ports.sessions import Session
from authserver.ports.signing_keys import TokensOfKey
from authserver.ports.store import Store
from authserver.rules.facts import Token
from authserver.rules.liveness import decide
from keys.keyring import USABLE, KeyInfo, State
from keys.watch import fetch

MAX_PROBED = 20
"""How many live tokens of the key are checked repeatedly until none is alive."""

MAX_WAIT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The outcome of a rehearsal: what a compromise now would do."""

    tokens: int
    credentials: Sequence[TokensOfKey]
    judged: int
    survivors: int
    successor: KeyInfo | None
    successor_is_young: bool

    @property
    def successor_text(self) -> str:
        """The key that would sign then, as a sentence."""
        if self.successor is None:
            return "a key made in that moment would sign, which no verifier has seen"
        return f"the staged key {self.successor.kid} would sign" + (
            ", before its time" if self.successor_is_young else ""
        )

    def document(self) -> dict[str, object]:
        """As JSON."""
        return {
            "drill": True,
            "live_tokens": self.tokens,
            "judged": self.judged,
            "survivors": self.survivors,
            "successor": self.successor.kid if self.successor else None,
            "successor_before_its_time": self.successor_is_young,
        }


def rehearse(at: CommandContext, key: KeyInfo) -> Rehearsal:
    """Compromise ``key`` in a copy of the key states, and judge its recorded live tokens by it."""
    ring, credentials = at.store.keys.ring(), at.store.keys.signed_for(key.kid, at.now)
    states = {each.kid: State.COMPROMISED if each.kid == key.kid else each.state for each in ring}
    judged = survivors = 0
    for session in _live(at.store, credentials, key.kid, at.now):
        facts = at.store.hot_path.introspection_facts("", _keys_of(session))
        if facts.standing is None:
            continue
        judged += 1
        standing = facts.standing._replace(key_usable=states[session.kid] in USABLE)
        survivors += decide(_token(session), at.now, standing).alive
    staged = [each for each in ring if each.alg == key.alg and each.state is State.STAGED and each.kid != key.kid]
    successor = staged[0] if staged and key.state is State.ACTIVE else None
    hours = at.accounts.general().key_announcement_hours
    is_young = successor is not None and at.now < successor.created_at + hours * 3600
    return Rehearsal(sum(each.tokens for each in credentials), credentials, judged, survivors, successor, is_young)


@dataclass(slots=True)
class Measured:
    """Durations in milliseconds since the command was started."""

    acknowledged_ms: int
    dead_after_ms: int | None
    probed: int
    dead_at: int
    nodes: dict[str, int | None] = field(default_factory=dict)

    def document(self) -> dict[str, object]:
        """As JSON; null means not within ``MAX_WAIT_SECONDS``."""
        return {
            "acknowledged_after_ms": self.acknowledged_ms,
            "dead_after_ms": self.dead_after_ms,
            "dead_at": iso(self.dead_at),
            "tokens_probed": self.probed,
            "jwks_without_it_after_ms": self.nodes,
        }


class Stopwatch:
    """Measures from its construction, at the start of the command."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def _elapsed(self) -> int:
        return round((time.monotonic() - self._began) * 1000)

    def measure(
        self, at: CommandContext, kid: str, credentials: Sequence[TokensOfKey], nodes: Sequence[str]
    ) -> Measured:
        """Find the first instant from which no node accepts a token of ``kid``.

        Every node decides by one statement on the one database; this runs the same statement,
        on a connection of its own, for live tokens of the key. The JWKS is fetched from each node.
        """
        acknowledged, store = self._elapsed(), at.store
        probes = [_keys_of(session) for session in _live(store, credentials, kid, 0)] or [TokenKeys("", "", "", kid)]
        end = time.monotonic() + MAX_WAIT_SECONDS
        dead_after = None
        while dead_after is None and time.monotonic() < end:
            if all(_dead(store, probe) for probe in probes):
                dead_after = self._elapsed()
        measured = Measured(acknowledged, dead_after, len(probes), at.services.clock.now())
        for url in nodes:
            measured.nodes[url] = self._withdrawn_from(url, kid, end)
        return measured

    def _withdrawn_from(self, url: str, kid: str, end: float) -> int | None:
        address = url if url.endswith(".json") else f"{url.rstrip('/')}/.well-known/jwks.json"
        while True:
            try:
                published = cast("dict[str, list[dict[str, object]]]", fetch(address))["keys"]
                if kid not in {key.get("kid") for key in published}:
                    return self._elapsed()
            except (OSError, ValueError, KeyError, TypeError):
                pass
            if time.monotonic() > end:
                return None
            time.sleep(0.05)


def _dead(store: Store, probe: TokenKeys) -> bool:
    try:
        standing = store.hot_path.introspection_facts("", probe).standing
    except Unavailable:
        return False
    return standing is None or not standing.key_usable


def _live(store: Store, credentials: Sequence[TokensOfKey], kid: str, now: int) -> list[Session]:
    sessions: list[Session] = []
    for each in credentials:
        of_key = [row for row in store.sessions.of_credential(each.client_id) if row.kid == kid]
        sessions += [row for row in of_key if row.ended_at is None and row.expires_at > now]
        if len(sessions) >= MAX_PROBED:
            break
    return sessions[:MAX_PROBED]


def _keys_of(session: Session) -> TokenKeys:
    return TokenKeys(session.jti, session.client_id, session.secret_id, session.kid)


def _token(session: Session) -> Token:
    return Token(
        jti=session.jti,
        issued_at=session.issued_at,
        expires_at=session.expires_at,
        last_used_at=session.last_used_at,
        role_version=session.role_version,
        credential_version=session.credential_version,
        epoch=session.epoch,
    )

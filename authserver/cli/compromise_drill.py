"""The compromise of a key in words, and a stopwatch: from the command until no node accepts a token of it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from authserver.actions.signing_keys import Rehearsal, keys_of, live_sessions
from authserver.cli.context import CommandContext
from authserver.cli.output import iso
from authserver.ports.errors import Unavailable
from authserver.ports.hot_path import TokenKeys
from authserver.ports.signing_keys import TokensOfKey
from authserver.ports.store import Store
from keys.watch import fetch

MAX_WAIT_SECONDS = 30.0


def successor_text(found: Rehearsal) -> str:
    """The key that would sign then, as a sentence."""
    if found.successor is None:
        return "a key made in that moment would sign, which no verifier has seen"
    return f"the staged key {found.successor.kid} would sign" + (
        ", before its time" if found.successor_is_young else ""
    )


def rehearsal_document(found: Rehearsal) -> dict[str, object]:
    """As JSON."""
    return {
        "drill": True,
        "live_tokens": found.tokens,
        "judged": found.judged,
        "survivors": found.survivors,
        "successor": found.successor.kid if found.successor else None,
        "successor_before_its_time": found.successor_is_young,
    }


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
        self, context: CommandContext, kid: str, credentials: Sequence[TokensOfKey], nodes: Sequence[str]
    ) -> Measured:
        """Find the first instant from which no node accepts a token of ``kid``.

        Every node decides by one statement on the one database; this runs the same statement,
        on a connection of its own, for live tokens of the key. The JWKS is fetched from each node.
        """
        acknowledged, store = self._elapsed(), context.store
        sessions = live_sessions(store.sessions, credentials, kid, 0)
        probes = [keys_of(session) for session in sessions] or [TokenKeys("", "", "", kid)]
        end = time.monotonic() + MAX_WAIT_SECONDS
        dead_after = None
        while dead_after is None and time.monotonic() < end:
            if all(_is_dead(store, probe) for probe in probes):
                dead_after = self._elapsed()
        measured = Measured(acknowledged, dead_after, len(probes), context.services.clock.now())
        for url in nodes:
            measured.nodes[url] = self._wait_until_withdrawn(url, kid, end)
        return measured

    def _wait_until_withdrawn(self, url: str, kid: str, end: float) -> int | None:
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


def _is_dead(store: Store, probe: TokenKeys) -> bool:
    try:
        standing = store.hot_path.introspection_facts("", probe).standing
    except Unavailable:
        return False
    return standing is None or not standing.key_usable

"""From which networks a secret was used: told to this module behind the writing of sessions, never in a request.

Kept only where somebody is told (``SqlUsageBuffer.on_issued``). The first network of a secret is no news; each further
one is an event once. A process remembers what it wrote, so a client that stays costs a look into a set.
"""

import threading
from collections.abc import Iterable
from functools import lru_cache

from sqlalchemy import Engine, func, select

from authserver.rules.claims import SessionStart
from authserver.rules.events.addresses import network_of
from authserver.rules.events.catalogue import RaisedEvent, network_event
from authserver.store.engine.batch_statements import insert_for
from authserver.store.engine.connections import writing
from authserver.store.events.raising import raise_now
from authserver.store.tables import secret_networks

MAX_NETWORKS = 50
"""Of one secret that are kept and told; a client that roams more widely has no home to leave."""

MAX_PENDING = 5_000
_MAX_KNOWN = 100_000
_ROW = secret_networks.c

_Seen = tuple[str, str]
"""A secret's id and a network."""


class SqlSecretNetworks:
    """Collects where secrets are used from, and raises an event for what is new."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._known: set[_Seen] = set()
        self._pending: dict[_Seen, tuple[str, int]] = {}

    def issued(self, sessions: Iterable[tuple[SessionStart, str]]) -> None:
        """Take the sessions that were written, with the address each was requested from."""
        with self._lock:
            for start, peer in sessions:
                key = (start.secret_id, _network(peer))
                if key[1] and key not in self._known and len(self._pending) < MAX_PENDING:
                    self._pending.setdefault(key, (start.client_id, start.issued_at))

    def flush(self) -> int:
        """Keep what is new and raise its events; how many events.

        Raises:
            Unavailable: the database does not take it; it is tried again the next time.
        """
        with self._lock:
            pending = dict(sorted(self._pending.items()))
        if not pending:
            return 0
        raised: list[RaisedEvent] = []
        add = insert_for(self._engine.dialect.name)(secret_networks).on_conflict_do_nothing()
        with writing(self._engine) as connection:
            for (secret_id, network), (client_id, at) in pending.items():
                count = select(func.count()).where(_ROW.secret_id == secret_id)
                before = connection.execute(count).scalar_one()
                if before >= MAX_NETWORKS:
                    continue
                new = connection.execute(add, {"secret_id": secret_id, "network": network, "first_seen_at": at})
                if new.rowcount and before:
                    raised.append(network_event(client_id, secret_id, network, at))
            number = raise_now(connection, raised) if raised else 0
        with self._lock:
            if len(self._known) + len(pending) > _MAX_KNOWN:
                self._known.clear()
            self._known.update(pending)
            for key in pending:
                self._pending.pop(key, None)
        return number

    def after_fork(self) -> None:
        """Start empty in a child process: the parent writes what is pending."""
        self._lock, self._pending = threading.Lock(), {}


@lru_cache(maxsize=4096)
def _network(peer: str) -> str:
    return network_of(peer)

"""The signing keys on disk: states by compare-and-swap, private parts sealed."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, insert, select, update

from authserver.audit import Event
from authserver.ports import Conflict, NotFound, Unavailable
from authserver.rules.facts import Instant, over
from authserver.store.accounts import SqlAccounts, SqlTransaction
from authserver.store.engine import HeldConnections, Prepared, reading
from authserver.store.tables import signing_keys
from keys.keyring import IllegalMove, KeyInfo, State, check_move
from keys.master import MasterKey
from keys.material import NewKey, Signer, unseal


class _Settled(Exception):
    """Nothing is left to do; undoes the change that was begun, audit record and all."""


class SqlSigningKeys:
    """The key ring; the private part of a key is destroyed when it retires."""

    def __init__(self, engine: Engine, held: HeldConnections, accounts: SqlAccounts, master: MasterKey) -> None:
        self._engine, self._accounts, self._master = engine, accounts, master
        self._all = Prepared(held, select(*_COLUMNS).order_by(signing_keys.c.created_at, signing_keys.c.kid))
        self._signers: dict[str, tuple[str, Signer]] = {}

    def ring(self) -> tuple[KeyInfo, ...]:
        """All keys, oldest first, in one statement."""
        return tuple(_info(row) for row in self._all.rows({}))

    def public(self, kid: str | None = None) -> dict[str, dict[str, Any]]:
        """Public JWKs by ``kid`` of every key that may have signed a token."""
        return {key.kid: json.loads(key.public_jwk) for key in self.ring() if kid is None or key.kid == kid}

    def signer(self, kid: str) -> tuple[str, Signer]:
        """The algorithm of a key and the function that signs with it.

        Whether the key is the active one is not asked here: the caller has its ``kid``
        from the one statement that read everything else, at the same instant.

        Raises:
            Unavailable: the private part is gone or does not open.
        """
        known = self._signers.get(kid)
        if known is None:
            with reading(self._engine) as connection:
                query = select(signing_keys.c.alg, signing_keys.c.sealed_private).where(signing_keys.c.kid == kid)
                row = connection.execute(query).first()
            if row is None or row.sealed_private is None:
                msg = "the active signing key has no private part"
                raise Unavailable(msg)
            known = (row.alg, unseal(kid, row.alg, bytes(row.sealed_private), self._master))
            # The key it takes the place of need not stay in memory.
            kept = {other: (alg, sign) for other, (alg, sign) in self._signers.items() if alg != row.alg}
            self._signers = {**kept, kid: known}
        return known

    def add(self, key: NewKey, actor: str, at: Instant) -> KeyInfo:
        """Stage a new key."""
        with self._accounts.change(Event("key.generated", actor, key.kid, {"alg": key.alg}), at) as tx:
            insert_key(tx, key, State.STAGED, at)
        return self.get(key.kid)

    def ensure_active(self, key: NewKey, actor: str, at: Instant) -> bool:
        """Let ``key`` sign if no key does for its algorithm; False, and no trace, when one was first (INV-16)."""
        try:
            with self._change("key.activated", key.kid, actor, at) as (tx, ring):
                if any(other.alg == key.alg and other.state is State.ACTIVE for other in ring):
                    raise _Settled  # noqa: TRY301 - leaving the block is what undoes it
                insert_key(tx, key, State.ACTIVE, at)
                tx.detail(alg=key.alg, first=True)
        except _Settled:
            return False
        return True

    def get(self, kid: str) -> KeyInfo:
        """One key; the start of its ``kid`` is enough when it is the only one.

        Raises:
            NotFound: no key, or more than one.
        """
        found = [key for key in self.ring() if key.kid.startswith(kid)] if kid else []
        if len(found) != 1:
            msg = f"there is no signing key {kid!r}; `flask keys list` shows them"
            raise NotFound(msg)
        return found[0]

    @contextmanager
    def _change(self, name: str, kid: str, actor: str, at: Instant) -> Iterator[tuple[SqlTransaction, list[KeyInfo]]]:
        with self._accounts.change(Event(name, actor, kid), at) as tx:
            rows = tx.connection.execute(select(*_COLUMNS).order_by(signing_keys.c.created_at, signing_keys.c.kid))
            yield tx, [_info(tuple(row)) for row in rows]

    def activate(self, kid: str, actor: str, at: Instant) -> None:
        """Make a staged key the one that signs for its algorithm; the one before retires."""
        with self._change("key.activated", kid, actor, at) as (tx, ring):
            key = _movable(ring, kid, State.ACTIVE)
            _retire_active(tx, ring, key.alg, at)
            _activate(tx, key, at)

    def rotate(self, alg: str, spare: NewKey, actor: str, at: Instant) -> str:
        """Let the oldest staged key sign, or the spare where none is staged; the new ``kid``."""
        with self._change("key.rotated", alg, actor, at) as (tx, ring):
            staged = [key for key in ring if key.alg == alg and key.state is State.STAGED]
            _retire_active(tx, ring, alg, at)
            if staged:
                _activate(tx, staged[0], at)
            else:
                _use_spare(tx, spare, alg, at)
            kid = staged[0].kid if staged else spare.kid
            tx.detail(activated=kid)
        return kid

    def retire(self, kid: str, actor: str, at: Instant) -> None:
        """Take an active key out of signing; a staged one takes over, ``Conflict`` when one is needed and none is."""
        with self._change("key.retired", kid, actor, at) as (tx, ring):
            key = _movable(ring, kid, State.RETIRED)
            _move(tx, key, State.RETIRED, retired_at=at, sealed_private=None)
            if not _promote(tx, ring, key, at) and key.alg in tx.algorithms_in_use():
                msg = f"{key.alg} is in use and no other key for it is staged; `flask keys rotate` replaces the key"
                raise Conflict(msg)

    def compromise(self, kid: str, actor: str, at: Instant, spare: NewKey | None) -> None:
        """Kill a key and every token it signed; an active one is replaced in the same transaction."""
        with self._change("key.compromised", kid, actor, at) as (tx, ring):
            key = _movable(ring, kid, State.COMPROMISED)
            _move(tx, key, State.COMPROMISED, ended_at=at, sealed_private=None)
            tx.kill("key", kid, at)
            if key.state is not State.ACTIVE or _promote(tx, ring, key, at):
                return
            if spare is not None:
                _use_spare(tx, spare, key.alg, at)
                tx.detail(activated=spare.kid)
            elif key.alg in tx.algorithms_in_use():
                msg = f"{key.alg} is in use and no other key for it is staged; give a spare one"
                raise Conflict(msg)

    def remove(self, kid: str, actor: str, at: Instant) -> None:
        """Withdraw a retired key from the JWKS; ``Conflict`` while a token it signed may be alive (INV-14)."""
        with self._change("key.removed", kid, actor, at) as (tx, ring):
            key = _movable(ring, kid, State.REMOVED)
            last = (key.retired_at or key.created_at) + key.token_life
            if not over(at, last):
                msg = f"tokens signed by {kid} may live for another {last - at} seconds; remove it then"
                raise Conflict(msg)
            _move(tx, key, State.REMOVED, ended_at=at)


def insert_key(tx: SqlTransaction, key: NewKey, state: State, at: Instant) -> None:
    """Write a new key in a state to begin with."""
    tx.connection.execute(
        insert(signing_keys).values(
            kid=key.kid,
            alg=key.alg,
            state=state.value,
            public_jwk=key.public_jwk,
            sealed_private=key.sealed_private,
            created_at=at,
            activated_at=at if state is State.ACTIVE else None,
            token_life=_token_life(tx) if state is State.ACTIVE else 0,
        )
    )


def _token_life(tx: SqlTransaction) -> int:
    """The longest life of what a key that signs now will sign, until the setting is raised."""
    return tx.general().max_token_lifetime_minutes * 60


_COLUMNS = (
    signing_keys.c.kid,
    signing_keys.c.alg,
    signing_keys.c.state,
    signing_keys.c.public_jwk,
    signing_keys.c.created_at,
    signing_keys.c.activated_at,
    signing_keys.c.retired_at,
    signing_keys.c.ended_at,
    signing_keys.c.token_life,
)


def _info(row: tuple[Any, ...]) -> KeyInfo:
    return KeyInfo(row[0], row[1], State(row[2]), *row[3:])


def _movable(ring: Sequence[KeyInfo], kid: str, to: State) -> KeyInfo:
    key = next((each for each in ring if each.kid == kid), None)
    if key is None:
        msg = f"there is no signing key {kid!r}; `flask keys list` shows them"
        raise NotFound(msg)
    try:
        check_move(key, to)
    except IllegalMove as error:
        raise Conflict(str(error)) from error
    return key


def _activate(tx: SqlTransaction, key: KeyInfo, at: Instant) -> None:
    _move(tx, key, State.ACTIVE, activated_at=at, token_life=_token_life(tx))


def _use_spare(tx: SqlTransaction, spare: NewKey, alg: str, at: Instant) -> None:
    if spare.alg != alg:
        msg = f"a key for {spare.alg} cannot take the place of one for {alg}"
        raise Conflict(msg)
    insert_key(tx, spare, State.ACTIVE, at)


def _retire_active(tx: SqlTransaction, ring: Sequence[KeyInfo], alg: str, at: Instant) -> None:
    for key in ring:
        if key.alg == alg and key.state is State.ACTIVE:
            _move(tx, key, State.RETIRED, retired_at=at, sealed_private=None)
            tx.detail(retired=key.kid)


def _promote(tx: SqlTransaction, ring: Sequence[KeyInfo], gone: KeyInfo, at: Instant) -> bool:
    staged = [key for key in ring if key.alg == gone.alg and key.state is State.STAGED and key.kid != gone.kid]
    if not staged or gone.state is not State.ACTIVE:
        return False
    _activate(tx, staged[0], at)
    tx.detail(activated=staged[0].kid)
    return True


def _move(tx: SqlTransaction, key: KeyInfo, to: State, **values: Any) -> None:
    tx.connection.execute(update(signing_keys).where(signing_keys.c.kid == key.kid).values(state=to.value, **values))

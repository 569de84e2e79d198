"""The signing keys on disk: states by compare-and-swap, private parts sealed."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from functools import lru_cache
from typing import Any

from sqlalchemy import Engine, and_, func, insert, literal_column, select, update

from authserver.audit import Event
from authserver.ports.errors import Conflict, KeyGone, NotFound, Unavailable
from authserver.ports.signing_keys import MaySign, TokensOfKey, always
from authserver.rules.facts import Instant, over
from authserver.store.accounts import SqlAccounts
from authserver.store.engine.connections import reading, writing
from authserver.store.engine.prepared import PreparedStatement, ThreadConnections
from authserver.store.tables import credentials, sessions, settings, signing_keys, users, vault
from authserver.store.transaction import SqlTransaction
from keys.key_stores import KeyStore
from keys.key_stores.database import DatabaseKeyStore
from keys.keyring import LIVE, POST_QUANTUM, IllegalMove, KeyInfo, State, check_move
from keys.master import MasterKey, WrongMasterKey
from keys.material import NewKey, Signer, UnusableKey
from keys.rotation import published_until

DATABASE = DatabaseKeyStore.name


class _AlreadyDone(Exception):
    """Nothing is left to do; undoes the change that was begun, audit record and all."""


class SqlSigningKeys:
    """The key ring; the private part of a key is destroyed when it retires.

    In a database row it goes in the same transaction. A file or an object in a token is
    destroyed right behind the commit, and by ``destroy_spent`` where that was cut short.
    """

    def __init__(
        self,
        engine: Engine,
        held: ThreadConnections,
        accounts: SqlAccounts,
        master: MasterKey,
        key_stores: Mapping[str, KeyStore],
    ) -> None:
        self._engine, self._accounts, self._master, self._key_stores = engine, accounts, master, key_stores
        self._all = PreparedStatement(held, select(*_COLUMNS).order_by(signing_keys.c.created_at, signing_keys.c.kid))

    def requested_from(self, accounts: SqlAccounts) -> "SqlSigningKeys":
        """The same; its changes are written by ``accounts``, which knows the address of the request."""
        mine = copy(self)
        mine._accounts = accounts  # noqa: SLF001 - a copy of our own
        return mine

    def ring(self) -> tuple[KeyInfo, ...]:
        """All keys, oldest first, in one statement."""
        return tuple(map(_info, self._all.rows({})))

    def public(self, kid: str | None = None) -> dict[str, dict[str, Any]]:
        """Public JWKs by ``kid`` of every key that may have signed a token."""
        return {key.kid: json.loads(key.public_jwk) for key in self.ring() if kid is None or key.kid == kid}

    def signer(self, kid: str) -> tuple[str, Signer]:
        """The algorithm of a key and the function that signs with it.

        Whether the key is the active one is not checked here: the caller has its ``kid``
        from the one statement that read everything else, at the same instant.

        Raises:
            Unavailable: the private part is gone or does not open.
        """
        with reading(self._engine) as connection:
            query = select(*_PRIVATE).where(signing_keys.c.kid == kid)
            row = connection.execute(query).first()
        if row is None or row.sealed_private is None or State(row.state) not in LIVE:
            msg = "the signing key has no private part any more"
            raise KeyGone(msg)
        try:
            return row.alg, self._key_store(row.holder).signer(kid, row.alg, bytes(row.sealed_private))
        except (UnusableKey, WrongMasterKey) as error:
            msg = f"signing key {kid} does not open: {error}"
            raise Unavailable(msg) from error

    def _key_store(self, name: str) -> KeyStore:
        if name not in self._key_stores:
            msg = f"signing keys are kept in {name!r}, which is not set up here; see AUTHSERVER_KEY_STORE"
            raise UnusableKey(msg)
        return self._key_stores[name]

    def destroy_spent(self) -> int:
        """Destroy what is left of keys that sign no more, in key_stores outside the database; how many there were.

        Raises:
            Unavailable: the database or a key_store cannot be reached; the next call tries again.
        """
        query = select(*_PRIVATE).where(
            signing_keys.c.holder != DATABASE,
            signing_keys.c.sealed_private.is_not(None),
            signing_keys.c.state.not_in([state.value for state in LIVE]),
        )
        with reading(self._engine) as connection:
            spent = connection.execute(query).all()
        for row in spent:
            try:
                self._key_store(row.holder).destroy(bytes(row.sealed_private))
            except UnusableKey as error:
                msg = f"the private part of {row.kid} is not destroyed yet: {error}"
                raise Unavailable(msg) from error
            with writing(self._engine) as connection:
                gone = update(signing_keys).where(signing_keys.c.kid == row.kid).values(sealed_private=None)
                connection.execute(gone)
        return len(spent)

    def _destroy_spent_quietly(self) -> None:
        """Right behind a move; a key_store that is away must not make the move fail, which has happened."""
        with suppress(Unavailable):
            self.destroy_spent()

    def signed_for(self, kid: str, now: Instant) -> Sequence[TokensOfKey]:
        """The credentials with live recorded tokens of a key, the one with the most first; one snapshot."""
        live = (sessions.c.kid == kid, sessions.c.ended_at.is_(None), sessions.c.expires_at > now)
        tokens = func.count().label("tokens")
        query = (
            select(
                sessions.c.client_id,
                users.c.username,
                credentials.c.name,
                tokens,
                func.max(sessions.c.last_used_at),
                func.max(sessions.c.expires_at),
            )
            .join(credentials, credentials.c.client_id == sessions.c.client_id)
            .join(users, users.c.id == credentials.c.owner_id)
            .where(*live)
            .group_by(sessions.c.client_id, users.c.username, credentials.c.name)
            .order_by(tokens.desc(), sessions.c.client_id)
        )
        with reading(self._engine) as connection:
            return [TokensOfKey(*row) for row in connection.execute(query)]

    def reseal(self, actor: str, at: Instant) -> int:
        """Seal everything that the master key seals under the present one; how much was not.

        One transaction, and nothing to wait for: nodes that know both master keys read either seal.
        What is sealed is the vault, and every key whose private part exists.

        Raises:
            WrongMasterKey: something opens under neither master key; nothing was changed.
        """
        count = 0
        try:
            with self._accounts.change(Event("master_key.resealed", actor, "database"), at) as tx:
                for purpose, sealed in tx.connection.execute(select(vault.c.purpose, vault.c.sealed)).all():
                    name = f"vault:{purpose}"
                    if not self._master.opens_alone(name, bytes(sealed)):
                        fresh = self._master.seal(name, self._master.open(name, bytes(sealed)))
                        tx.connection.execute(update(vault).where(vault.c.purpose == purpose).values(sealed=fresh))
                        count += 1
                for row in tx.connection.execute(select(*_PRIVATE)).all():
                    if row.sealed_private is None or State(row.state) not in LIVE or row.holder not in self._key_stores:
                        continue
                    fresh_key = self._key_stores[row.holder].reseal(row.kid, bytes(row.sealed_private))
                    if fresh_key is not None:
                        changed = update(signing_keys).where(signing_keys.c.kid == row.kid)
                        tx.connection.execute(changed.values(sealed_private=fresh_key))
                        count += 1
                if not count:
                    raise _AlreadyDone  # noqa: TRY301 - leaving the block is what undoes it
                tx.detail(resealed=count)
        except _AlreadyDone:
            return 0
        except UnusableKey as error:
            raise Unavailable(str(error)) from error
        return count

    def add(self, key: NewKey, actor: str, at: Instant) -> KeyInfo:
        """Stage a new key."""
        with self._accounts.change(Event("key.generated", actor, key.kid, {"alg": key.alg}), at) as tx:
            insert_key(tx, key, State.STAGED, at)
        return self.get(key.kid)

    def ensure_staged(self, key: NewKey, actor: str, at: Instant) -> bool:
        """Stage ``key`` if none is for its algorithm; False, and no trace, when one was first (INV-16)."""
        try:
            with self._change("key.generated", key.kid, actor, at) as (tx, ring):
                if any(other.alg == key.alg and other.state is State.STAGED for other in ring):
                    raise _AlreadyDone  # noqa: TRY301 - leaving the block is what undoes it
                insert_key(tx, key, State.STAGED, at)
                tx.detail(alg=key.alg)
        except _AlreadyDone:
            return False
        return True

    def ensure_active(self, key: NewKey, actor: str, at: Instant) -> bool:
        """Let ``key`` sign if no key does for its algorithm; False, and no trace, when one was first (INV-16)."""
        try:
            with self._change("key.activated", key.kid, actor, at) as (tx, ring):
                if any(other.alg == key.alg and other.state is State.ACTIVE for other in ring):
                    raise _AlreadyDone  # noqa: TRY301 - leaving the block is what undoes it
                insert_key(tx, key, State.ACTIVE, at)
                tx.detail(alg=key.alg, first=True)
        except _AlreadyDone:
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
    def _change(
        self, name: str, kid: str, actor: str, at: Instant, reason: str = ""
    ) -> Iterator[tuple[SqlTransaction, list[KeyInfo]]]:
        with self._accounts.change(Event(name, actor, kid, {"reason": reason} if reason else {}), at) as tx:
            rows = tx.connection.execute(select(*_COLUMNS).order_by(signing_keys.c.created_at, signing_keys.c.kid))
            yield tx, [_info(tuple(row)) for row in rows]

    def activate(self, kid: str, actor: str, at: Instant, *, may_sign: MaySign = always, reason: str = "") -> None:
        """Make a staged key the one that signs for its algorithm; the one before retires."""
        with self._change("key.activated", kid, actor, at, reason) as (tx, ring):
            key = _movable(ring, kid, State.ACTIVE)
            if not may_sign(key):
                raise Conflict(_TOO_YOUNG)
            _retire_active(tx, ring, key.alg, at)
            _activate(tx, key, at)
        self._destroy_spent_quietly()

    def rotate(
        self, alg: str, spare: NewKey | None, actor: str, at: Instant, *, may_sign: MaySign = always, reason: str = ""
    ) -> str:
        """Let the oldest staged key sign, or the spare where none is staged; the new ``kid``."""
        with self._change("key.rotated", alg, actor, at, reason) as (tx, ring):
            staged = [key for key in ring if key.alg == alg and key.state is State.STAGED]
            if staged and not may_sign(staged[0]):
                raise Conflict(_TOO_YOUNG)
            _retire_active(tx, ring, alg, at)
            if staged:
                _activate(tx, staged[0], at)
                kid = staged[0].kid
            elif spare is not None:
                _use_spare(tx, spare, alg, at)
                kid = spare.kid
            else:
                msg = f"no key for {alg} is staged any more; `flask keys rotate` stages one"
                raise Conflict(msg)
            tx.detail(activated=kid)
        self._destroy_spent_quietly()
        return kid

    def retire(self, kid: str, actor: str, at: Instant, *, may_sign: MaySign = always, reason: str = "") -> None:
        """Take an active key out of signing; a staged one takes over, ``Conflict`` when one is needed and none is."""
        with self._change("key.retired", kid, actor, at, reason) as (tx, ring):
            key = _movable(ring, kid, State.RETIRED)
            _move(tx, key, State.RETIRED, retired_at=at, **_without_private_part(key))
            if not _promote(tx, ring, key, at, may_sign) and key.alg in tx.algorithms_in_use():
                msg = f"{key.alg} is in use and no other key for it is staged; `flask keys rotate` replaces the key"
                raise Conflict(msg)
        self._destroy_spent_quietly()

    def compromise(self, kid: str, actor: str, at: Instant, spare: NewKey | None, *, reason: str = "") -> None:
        """Kill a key and every token it signed; an active one is replaced in the same transaction."""
        with self._change("key.compromised", kid, actor, at, reason) as (tx, ring):
            key = _movable(ring, kid, State.COMPROMISED)
            _move(tx, key, State.COMPROMISED, ended_at=at, **_without_private_part(key))
            tx.append_revocation("key", kid, at)
            if key.state is State.ACTIVE and not _promote(tx, ring, key, at):
                if spare is not None:
                    _use_spare(tx, spare, key.alg, at)
                    tx.detail(activated=spare.kid)
                elif key.alg in tx.algorithms_in_use():
                    msg = f"{key.alg} is in use and no other key for it is staged; give a spare one"
                    raise Conflict(msg)
        self._destroy_spent_quietly()

    def remove(self, kid: str, actor: str, at: Instant) -> None:
        """Withdraw a retired key from the JWKS; ``Conflict`` while a token it signed may be alive (INV-14)."""
        with self._change("key.removed", kid, actor, at) as (tx, ring):
            key = _movable(ring, kid, State.REMOVED)
            last = published_until(key)
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
            holder=key.key_store,
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
    signing_keys.c.holder,
    and_(
        signing_keys.c.alg.in_([literal_column(f"'{alg}'") for alg in POST_QUANTUM]),
        select(settings.c.post_quantum).scalar_subquery() == literal_column("0"),
    ).label("apart"),
)
_PRIVATE = (
    signing_keys.c.kid,
    signing_keys.c.alg,
    signing_keys.c.state,
    signing_keys.c.holder,
    signing_keys.c.sealed_private,
)
_TOO_YOUNG = "the staged key has not been published for its announcement yet"


@lru_cache(maxsize=256)
def _info(row: tuple[Any, ...]) -> KeyInfo:  # cached, because the ring is read for each request of the JWKS
    return KeyInfo(row[0], row[1], State(row[2]), *row[3:10], *map(bool, row[10:]))


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
            _move(tx, key, State.RETIRED, retired_at=at, **_without_private_part(key))
            tx.detail(retired=key.kid)


def _without_private_part(key: KeyInfo) -> dict[str, None]:
    """A sealed row is emptied; the name of what lies elsewhere is needed to destroy that."""
    return {"sealed_private": None} if key.key_store == DATABASE else {}


def _promote(
    tx: SqlTransaction, ring: Sequence[KeyInfo], gone: KeyInfo, at: Instant, may_sign: MaySign = always
) -> bool:
    staged = [key for key in ring if key.alg == gone.alg and key.state is State.STAGED and key.kid != gone.kid]
    staged = [key for key in staged if may_sign(key)]
    if not staged or gone.state is not State.ACTIVE:
        return False
    _activate(tx, staged[0], at)
    tx.detail(activated=staged[0].kid)
    return True


def _move(tx: SqlTransaction, key: KeyInfo, to: State, **values: Any) -> None:
    tx.connection.execute(update(signing_keys).where(signing_keys.c.kid == key.kid).values(state=to.value, **values))

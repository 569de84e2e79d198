"""Tries to sign in, counted for all processes of all nodes together. Only hashes of names are kept."""

from collections.abc import Callable, Sequence

from sqlalchemy import Engine, delete, select, update

from authserver.ports.sign_in import LoginAttempts
from authserver.rules.facts import Instant
from authserver.store.engine.batch_statements import insert_for
from authserver.store.engine.connections import reading, writing
from authserver.store.tables import sign_in_tries


class SqlLoginAttemptCounter:
    """``ports.SignInTries``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def past(self, key: str) -> LoginAttempts:
        """What is known about one key."""
        query = select(sign_in_tries.c.failures, sign_in_tries.c.last_at).where(sign_in_tries.c.key == key)
        with reading(self._engine) as connection:
            row = connection.execute(query).first()
        return LoginAttempts() if row is None else LoginAttempts(row.failures, row.last_at)

    def count(self, keys: Sequence[str], at: Instant, judge: Callable[[Sequence[LoginAttempts]], int]) -> int:
        """Judge what is known about some keys, and count a try for each unless it has to wait."""
        those = sign_in_tries.c.key.in_(keys)
        new = insert_for(self._engine.dialect.name)(sign_in_tries).on_conflict_do_nothing()
        rows = [{"key": key, "failures": 0, "last_at": 0} for key in sorted(keys)]
        # All transactions lock the rows in the same order, so there is no deadlock.
        held = select(sign_in_tries).where(those).order_by(sign_in_tries.c.key).with_for_update()
        with writing(self._engine) as connection:
            connection.execute(new, rows)
            found = {row.key: LoginAttempts(row.failures, row.last_at) for row in connection.execute(held)}
            wait = judge([found[key] for key in keys])
            if not wait:
                for key in sorted(keys):
                    past = found[key].at(at)
                    mine = sign_in_tries.c.key == key
                    values = {"failures": past.failures + 1, "last_at": max(at, past.last_at)}
                    connection.execute(update(sign_in_tries).where(mine).values(**values))
        return wait

    def take_back(self, key: str) -> None:
        """Uncount one try."""
        mine = (sign_in_tries.c.key == key, sign_in_tries.c.failures > 0)
        with writing(self._engine) as connection:
            connection.execute(update(sign_in_tries).where(*mine).values(failures=sign_in_tries.c.failures - 1))

    def forget(self, key: str) -> None:
        """Forget all tries of a key."""
        with writing(self._engine) as connection:
            connection.execute(delete(sign_in_tries).where(sign_in_tries.c.key == key))

    def sweep(self, before: Instant) -> int:
        """Forget what was last tried before an instant; how many keys."""
        with writing(self._engine) as connection:
            return int(connection.execute(delete(sign_in_tries).where(sign_in_tries.c.last_at < before)).rowcount)

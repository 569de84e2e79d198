"""Prepared statements on SQLite, and the base class for both databases: a driver connection of one thread, unpooled."""

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

_CLOSING_SECONDS = 5.0

Rows = Sequence[tuple[Any, ...]]


class PreparedConnection(ABC):
    """Runs statements in autocommit; closes with the thread that held it, and only in the process that opened it."""

    def __init__(self, connection: Any, *, pooled: bool = False) -> None:
        """Use a driver connection; ``pooled``: there is a connection pooler before the database."""
        self._connection, self._pooled = connection, pooled
        self._process = os.getpid()
        self._lock = threading.Lock()

    @abstractmethod
    def run(self, sql: str, arguments: Sequence[Any]) -> tuple[Rows, int]:
        """Run a statement; returns its rows, and how many were read or changed."""

    @abstractmethod
    def is_broken_by(self, error: BaseException) -> bool:
        """Whether the connection cannot be used any more after ``error``."""

    def close(self) -> None:
        """Wait for the running statement, then close: libpq crashes when its connection is closed under it."""
        if os.getpid() != self._process:
            # After a fork the connection belongs to the parent: closing it here would end the parent's session.
            _PARENT_CONNECTIONS.append(self._connection)
            return
        if self._lock.acquire(timeout=_CLOSING_SECONDS):
            with suppress(Exception):
                self._connection.close()
            self._lock.release()

    def __del__(self) -> None:
        self.close()


class SqlitePreparedConnection(PreparedConnection):
    """On SQLite; pysqlite3 keeps the prepared statements, and one cursor serves them all."""

    def __init__(self, connection: Any, *, pooled: bool = False) -> None:
        super().__init__(connection, pooled=pooled)
        self._cursor = connection.cursor()

    def run(self, sql: str, arguments: Sequence[Any]) -> tuple[Rows, int]:
        """Run a statement in a transaction of its own, durable on return."""
        with self._lock:
            cursor = self._cursor.execute(sql, arguments)
            return cursor.fetchall(), cursor.rowcount

    def is_broken_by(self, error: BaseException) -> bool:  # noqa: ARG002 - what the base names it
        """Never: a file has no connection to lose."""
        return False


_PARENT_CONNECTIONS: list[Any] = []
"""Connections of the parent process; kept so that nothing closes them here."""

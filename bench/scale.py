"""Many credentials, sessions and audit records, made by the database itself in a few statements.

The rows are like real ones for every index and statement of the hot paths. The
audit records are not chained: nothing that is measured reads them.
"""

import secrets
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from authserver.rules.secret_format import CREDENTIAL_PREFIX, keyed_hash, mint
from bench.authserver_under_test import ROLES, AuthserverUnderTest

_LOADED_CREDENTIALS = 2_000
"""Filled credentials the load is spread over."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many rows."""

    credentials: int
    sessions: int
    audit: int


def fill(ours: AuthserverUnderTest, sizes: Sizes) -> None:
    """Add the rows, and let the load use some of the credentials; they share one secret, each with a row of its own."""
    store, now = ours.store, int(time.time())
    secret = mint(CREDENTIAL_PREFIX, secrets.choice)
    values = {"now": now, "end": now + 90 * 86400, "hash": keyed_hash(store.pepper, secret)}
    postgres = store.engine.dialect.name == "postgresql"
    with store.engine.connect().execution_options(write=True) as connection, connection.begin():
        if postgres:
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")

        def run(statement: str, count: int, **more: Any) -> None:
            _generated(connection, statement, count, {**values, **more}, among=sizes.credentials, postgres=postgres)

        run(
            "INSERT INTO credentials (client_id, owner_id, name, expires_at, created_at, version) "
            "SELECT {id}, (SELECT min(id) FROM users), {name}, :end, :now, 1 FROM series",
            sizes.credentials,
        )
        for role in ROLES[:2]:
            run(
                "INSERT INTO credential_roles (client_id, role_id) "
                "SELECT {id}, (SELECT id FROM roles WHERE name = :role) FROM series",
                sizes.credentials,
                role=role,
            )
        run(
            "INSERT INTO secrets (id, client_id, hash, hint, created_at) "
            "SELECT {secret}, {id}, :hash, 'acs_abcd', :now FROM series",
            sizes.credentials,
        )
        run(
            "INSERT INTO sessions (jti, client_id, secret_id, kid, audience, roles, role_version, credential_version, "
            "epoch, issued_at, expires_at, last_used_at) "
            "SELECT {jti}, {id}, {secret}, 'kid', 'https://es256.example.com', 'invoices.read reports.read', 1, 1, 1, "
            ":now - n % 1000, :now + 43200 - n % 1000, :now FROM series",
            sizes.sessions,
        )
        run(
            "INSERT INTO audit (seq, at, actor, event, target, detail, previous_hash, hash) "
            "SELECT 1000000 + n, :now, 'bench', 'credential.created', {id}, '{{}}', {digest}, {digest} FROM series",
            sizes.audit,
        )
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE" if postgres else "ANALYZE")
    step = max(1, sizes.credentials // _LOADED_CREDENTIALS)
    loaded = [f"00000000-0000-4000-8000-{number:012d}" for number in range(1, sizes.credentials + 1, step)]
    ours.clients = [(name, secret) for name in loaded]


def fill_overdue(ours: AuthserverUnderTest, rows: int, *, ended: int) -> None:
    """Add sessions whose tokens expired before ``ended``, one after the other a millisecond apart."""
    postgres = ours.store.engine.dialect.name == "postgresql"
    with ours.store.engine.connect().execution_options(write=True) as connection, connection.begin():
        if postgres:
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        _generated(
            connection,
            "INSERT INTO sessions (jti, client_id, secret_id, kid, audience, roles, role_version, credential_version, "
            "epoch, issued_at, expires_at, last_used_at) "
            "SELECT {jti}, {id}, {secret}, 'kid', 'https://es256.example.com', 'invoices.read reports.read', 1, 1, 1, "
            ":ended - n / 1000 - 3700, :ended - n / 1000 - 100, :ended - n / 1000 - 3700 FROM series",
            rows,
            {"ended": ended},
            among=_LOADED_CREDENTIALS,
            postgres=postgres,
        )
        connection.exec_driver_sql("ANALYZE sessions")


def _generated(
    connection: Connection, statement: str, count: int, values: dict[str, Any], *, among: int, postgres: bool
) -> None:
    """Run an INSERT … SELECT over ``series(n)``, 1 to ``count``.

    Ids of rows are spread like random ones; those of credentials and secrets are of the first ``among``, in turn.
    """
    if count < 1:
        return
    # A number of ours and no text of anybody's: nothing can be injected.
    counted = "SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < "
    if postgres:
        series = f"WITH series(n) AS (SELECT generate_series(1, {count}))"
    else:
        series = f"WITH RECURSIVE series(n) AS ({counted}{count})"
    spread = "md5(n::text)" if postgres else "lower(hex(randomblob(16)))"
    owner = f"(n - 1) % {among} + 1"
    digits = f"lpad(({owner})::text, 12, '0')" if postgres else f"printf('%012d', {owner})"
    filled = statement.format(
        id=f"'00000000-0000-4000-8000-' || {digits}",
        secret=f"'s_' || {digits}",
        name=f"'credential ' || {digits}",
        jti=f"substr({spread}, 1, 24)",
        digest=f"{spread} || {spread}",
    )
    head, _, select = filled.partition(" SELECT ")
    sql = f"{series} {head} SELECT {select}" if not postgres else f"{head} {series} SELECT {select}"
    used = {name: value for name, value in values.items() if f":{name}" in sql}
    connection.execute(text(sql.replace("::", r"\:\:")), used)

"""``flask doctor``: checks everything a healthy server needs; each finding names its fix."""

import ipaddress
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import click
from flask import current_app
from rich.text import Text

from authserver.audit_export.checkpoints import LATE_AFTER
from authserver.cli.command import Answer, Command, fault_of
from authserver.cli.context import Schema, maintenance, services
from authserver.cli.output import HumanText, iso, plain
from authserver.ports.general_settings import retention_seconds
from authserver.ports.store import Store
from authserver.rules.facts import over
from keys.keyring import State
from keys.rotation import published_until
from keys.signing import TokenReader, TokenSigner

GOOD, WARNING, BAD = "ok", "warning", "failed"
_MARKS = {GOOD: ("✓", "green"), WARNING: ("!", "yellow"), BAD: ("✗", "red")}

SKEW_WARNING = 2
SKEW_FAILURE = 30
"""Seconds; a node with more clock skew than this stops serving."""

TYPE = "at+jwt"

_MOST = 300


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    check: str
    status: str
    message: str
    fix: str = ""


def _finding(check: str, good: object, message: str, fix: str, otherwise: str = BAD) -> Finding:
    return Finding(check, GOOD, message) if good else Finding(check, otherwise, message, fix)


def database() -> Iterator[Finding]:
    """Whether the database answers, its durability, and its schema."""
    database = maintenance()
    schema = database.schema()
    yield Finding("database", GOOD, f"{database.place} answers" if schema.revision else f"{database.place}")
    fault = _schema_fault(schema)
    yield _finding("schema", fault is None, f"{schema.state}, {schema.revision}", fault or "")
    differences = database.differences() if schema.state == "current" else ()
    if differences:
        text = f"differs from this program's tables in {len(differences)} places, first {differences[0]}"
        yield Finding("tables", BAD, text[:_MOST], "restore a backup, or mend what `flask db check` lists")
    if schema.revision is not None:
        for fact in database.facts():
            yield _finding(fact.name, fact.good, fact.value, fact.fix)


def _schema_fault(schema: Schema) -> str | None:
    """What is wrong with the schema and how to fix it, or None."""
    return {
        "missing": "the database is not set up yet; `flask db upgrade` or `make run` sets it up",
        "older": f"the database has the older schema {schema.revision}; `flask db upgrade` brings it to {schema.head}",
        "newer": f"the database has the schema {schema.revision} of a newer program; this one knows {schema.head} at"
        " most, so install the newer program",
    }.get(schema.state)


def clock() -> Iterator[Finding]:
    """Whether this machine and the database agree about the time."""
    database_time = maintenance().time()
    if database_time is None:
        year = time.gmtime().tm_year
        yield _finding("clock", year >= _BUILT, f"this machine's clock, the year {year}", "set the clock right (NTP)")
        return
    skew = abs(int(time.time()) - database_time)
    status = GOOD if skew <= SKEW_WARNING else WARNING if skew <= SKEW_FAILURE else BAD
    yield Finding("clock", status, f"{skew} s away from the database's", "" if status == GOOD else "run NTP on both")


_BUILT = 2026


def master_key() -> Iterator[Finding]:
    """Whether the master key decrypts the sealed values of the database."""
    services().store()
    yield Finding("master key", GOOD, "opens the vault")


def signing_keys() -> Iterator[Finding]:
    """Whether every algorithm in use has a key that signs what can be verified."""
    store = services().store()
    algs = {store.accounts.general().token_alg}
    algs |= {each.token_alg for each in store.accounts.resource_servers() if each.token_alg and not each.disabled_at}
    active = {key.alg: key.kid for key in store.keys.ring() if key.state is State.ACTIVE}
    for alg in sorted(algs):
        check = f"signing key {alg}"
        if alg not in active:
            yield Finding(check, BAD, "no key is active", f"flask keys rotate --alg {alg}")
            continue
        kid = active[alg]
        message = f"{kid} signs and verifies, kept in {store.keys.get(kid).key_store}"
        yield _finding(check, _signs(store, kid), message, f"flask keys rotate --alg {alg}")
    yield from _spent_keys(store)


def _signs(store: Store, kid: str) -> bool:
    alg, sign = store.keys.signer(kid)
    text = TokenSigner(kid, alg, sign).sign({"doctor": True}, TYPE)
    return TokenReader(store.keys.public(kid)).read(text, TYPE) is not None


def _spent_keys(store: Store) -> Iterator[Finding]:
    """Retired keys whose last token has ended."""
    now = services().clock.now()
    for key in store.keys.ring():
        if key.state is State.RETIRED and over(now, published_until(key)):
            yield Finding("retired key", WARNING, f"{key.kid} has no live tokens left", f"flask keys remove {key.kid}")


def audit_chain() -> Iterator[Finding]:
    """Whether the audit chain is intact."""
    verdict = services().store().accounts.audit_verify()
    text = f"record {verdict.first_bad}: {verdict.fault}" if verdict.fault else f"{verdict.records} records hold"
    yield _finding(
        "audit", not verdict.fault, text, "keep a copy of the database as evidence; find out who wrote to it"
    )


def audit_watch() -> Iterator[Finding]:
    """What the serving processes found of the audit chain, and whether they sign checkpoints of it."""
    store, now = services().store(), services().clock.now()
    watched = store.outbox.state().chain
    if watched.fault:
        fix = "keep a copy of the database as evidence; the finding goes when the whole chain was walked and holds"
        yield Finding("audit watch", BAD, f"a serving process found {watched.fault}", fix)
    newest = store.checkpoints.newest()
    begun = newest.at if newest else next((each.at for each in store.accounts.audit_records(0, limit=1)), now)
    text = (
        f"number {newest.number} of {iso(newest.at)}" if newest else "none yet; a serving process signs one each hour"
    )
    fix = "`flask audit checkpoint` signs one now, or says why not; the log has periodic_task_failed"
    yield _finding("audit checkpoint", now - begun <= LATE_AFTER, text, fix, WARNING)


def settings() -> Iterator[Finding]:
    """Whether tokens can be issued under the present settings."""
    accounts = services().store().accounts
    general = accounts.general()
    live = [each.audience for each in accounts.resource_servers() if each.disabled_at is None]
    chosen = general.default_audience
    if chosen is not None:
        fix = "flask settings set default_audience URI, or enable that resource server"
        yield _finding("default audience", chosen in live, chosen, fix)
    elif len(live) == 1:
        yield Finding("default audience", GOOD, f"{live[0]}, the only one")
    else:
        fix = "flask settings set default_audience URI" if live else "flask resource-servers create NAME --audience URI"
        message = f"none is set and {len(live)} resource servers are enabled"
        yield Finding("default audience", WARNING, message, fix)
    idle, max_lifetime = general.idle_timeout_minutes, general.max_token_lifetime_minutes
    yield _finding(
        "idle timeout",
        idle < max_lifetime,
        f"{idle} min of {max_lifetime} min at most",
        "tokens end before they could idle; flask settings set idle_timeout_minutes N",
        WARNING,
    )


def key_rotation() -> Iterator[Finding]:
    """Whether keys rotate by themselves."""
    days = services().store().accounts.general().key_rotation_days
    interval = f"every {days} days" if days else "off: a key signs until somebody rotates it"
    yield _finding("key rotation", days, interval, "flask settings set key_rotation_days 90", WARNING)


def sessions() -> Iterator[Finding]:
    """Whether the background sweep keeps up with ended sessions."""
    store, days = services().store(), services().store().accounts.general().session_retention_days
    backlog = store.sessions.backlog(services().clock.now(), retention_seconds(days))
    message = f"about {backlog.rows} on record, kept for {days} days behind their end"
    late = backlog.lag > _LATE_SWEEP
    message += f"; the oldest is {backlog.lag // 3600} h overdue" if late else ""
    fix = "a running server deletes them in the background; let it run, or lower session_retention_days"
    yield _finding("sessions", not late, message, fix, WARNING)


_LATE_SWEEP = 6 * 3600


def unused() -> Iterator[Finding]:
    """Which clients request far more tokens than they use."""
    found = services().store().token_reads.unused(services().clock.now())
    for each in found[:_MOST_CLIENTS]:
        message = (
            f"{each.name!r} ({each.client_id}) of {each.owner} got {each.tokens:,} tokens yesterday,"
            f" and {each.uses:,} uses of them are known"
        )
        yield Finding("unused tokens", WARNING, message[:_MOST], _KEEP_TOKENS)
    if not found:
        yield Finding("unused tokens", GOOD, "no client got far more tokens yesterday than were used")


_MOST_CLIENTS = 5
_KEEP_TOKENS = (
    "let the client keep its token until expires_in is nearly over (docs/clients.md);"
    " nothing is wrong where its API checks tokens by itself and reports no use"
)


def issuer() -> Iterator[Finding]:
    """Whether the issuer is an https URL."""
    parts = urlsplit(services().issuer)
    loopback = _is_loopback(parts.hostname or "")
    fix = "set AUTHSERVER_ISSUER to the https URL that clients use"
    yield _finding("issuer", parts.scheme == "https" or loopback, services().issuer, fix)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def files() -> Iterator[Finding]:
    """Whether other accounts of this machine can read keys and data."""
    folder, database_file = Path(current_app.instance_path), maintenance().file
    paths = [folder, folder / "master.key"]
    if database_file is not None:
        paths += [database_file, database_file.with_name(f"{database_file.name}-wal")]
    for path in paths:
        if not path.exists():
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        # A folder that others cannot enter protects the files in it.
        closed = not mode & 0o077 or (path.parent == folder and not stat.S_IMODE(folder.stat().st_mode) & 0o077)
        status = BAD if path.name == "master.key" else WARNING
        fix = f"chmod {'700' if path.is_dir() else '600'} {path}"
        yield _finding("permissions", closed, f"{path} has mode {mode:o}", fix, status)


CHECKS: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
    ("database", database),
    ("master key", master_key),
    ("signing key", signing_keys),
    ("key rotation", key_rotation),
    ("clock", clock),
    ("issuer", issuer),
    ("settings", settings),
    ("sessions", sessions),
    ("unused tokens", unused),
    ("audit", audit_chain),
    ("audit watch", audit_watch),
    ("permissions", files),
)
"""In the order of dependence: an early failure explains later ones."""

_NEEDS_STORE = {
    "master key",
    "signing key",
    "key rotation",
    "settings",
    "sessions",
    "unused tokens",
    "audit",
    "audit watch",
}


def examine() -> Iterator[Finding]:
    """Run every check; an exception in one is a finding too."""
    context = click.get_current_context()
    usable = False
    for name, check in CHECKS:
        if name in _NEEDS_STORE and not usable:
            continue
        try:
            findings = list(check())
        except Exception as error:  # noqa: BLE001 - a doctor reports what goes wrong
            fault = fault_of(error, context)
            message = fault.text if fault else type(error).__name__
            findings = [Finding(name, BAD, message, _REMEDIES.get(name, ""))]
        yield from findings
        if name in {"database", "master key"}:
            usable = all(each.status != BAD for each in findings)


_REMEDIES = {
    "database": "start the database, or correct AUTHSERVER_DATABASE_URL",
    "master key": "give the master key this database was made with",
}


def _lines(findings: list[Finding]) -> HumanText:
    lines: list[Text] = []
    for finding in findings:
        mark, style = _MARKS[finding.status]
        lines.append(Text.assemble((f"{mark} ", style), (f"{finding.check}: ", "bold"), plain(finding.message)))
        if finding.fix:
            lines.append(Text(f"  fix: {plain(finding.fix)}"))
    return lines


@click.command("doctor", cls=Command, examples=("flask doctor", "flask doctor --json"))
def doctor() -> Answer:
    """Look at database, schema, keys, clock, settings, audit and files; name the fix for all that is not right.

    The exit code is 1 when something failed; warnings leave it 0.
    """
    findings = list(examine())
    failed = sum(finding.status == BAD for finding in findings)
    document = {
        "ok": not failed,
        "checks": [
            {"check": each.check, "status": each.status, "message": each.message, "fix": each.fix or None}
            for each in findings
        ],
    }
    fault = f"{failed} of {len(findings)} checks failed" if failed else ""
    return Answer(document, _lines(findings), fault=fault)

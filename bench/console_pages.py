"""Measures every page of the console over a full database, in this process and without HTTP.

Server time is what passes between the call of the WSGI application and the last
byte of its answer; of a download, the first. Beside the wall clock stands what
it costs: processor time of the serving thread, which other programs disturb
less, and what it waits for statements of PostgreSQL.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import Engine, event, select
from werkzeug.test import Client, EnvironBuilder

from app import create_app
from authserver.actions import sign_in as sign_in_actions
from authserver.config import Config
from authserver.rules.credential_status import Status
from authserver.store import tables
from authserver.store.tables import db
from authserver.telemetry.logs import configure
from bench import authserver_under_test
from bench.dataset import ADMINISTRATOR, BUILDER

BOUND_MS = 50
_WARMING = 2
_DAY = 86400
_OK = "200 OK"


class UnexpectedResponse(Exception):
    """A page was answered with another status than 200."""


@dataclass(frozen=True, slots=True)
class PageRequest:
    """One page: who asks, and for what; of a ``download`` only the first byte is waited for."""

    name: str
    path: str
    who: str = ADMINISTRATOR
    form: Mapping[str, str] | None = None
    download: bool = False


@dataclass(slots=True)
class PageTimings:
    """All answers of one page in milliseconds, and how many statements one takes."""

    name: str
    wall: list[float] = field(default_factory=list)
    cost: list[float] = field(default_factory=list)
    statements: int = 0

    def reached(self) -> str:
        """Whether the cost keeps within the bound: nearly always, half of the time, or not."""
        if percentile_95(self.cost) < BOUND_MS:
            return "yes"
        return "median" if median(self.cost) < BOUND_MS else "**no**"


def percentile_95(some: Sequence[float]) -> float:
    """The 95th percentile, by rank."""
    return sorted(some)[-(-len(some) * 95 // 100) - 1]


class _Clock:
    """Adds up what a thread works, and what it waits for a database that works elsewhere."""

    def __init__(self, engine: Engine) -> None:
        self.statements = 0
        self._waited = self._began = self._worked = 0.0
        self._waits_for_database = engine.dialect.name != "sqlite"
        event.listen(engine, "before_cursor_execute", self._before)
        event.listen(engine, "after_cursor_execute", self._after)

    def _before(self, *_arguments: object) -> None:
        self._began = time.perf_counter()

    def _after(self, *_arguments: object) -> None:
        self.statements += 1
        if self._waits_for_database:
            # What the driver works meanwhile counts twice; to ask for that costs more on some machines.
            self._waited += time.perf_counter() - self._began

    def start(self) -> None:
        """Begin at nothing."""
        self.statements, self._waited, self._worked = 0, 0.0, time.thread_time()

    def cost(self) -> float:
        """Seconds since ``start``."""
        return time.thread_time() - self._worked + self._waited


class ConsoleClient:
    """The application over a database, and two people signed in."""

    def __init__(self, made: authserver_under_test.AuthserverUnderTest) -> None:
        settings = Config.model_validate(
            {"database_url": made.url, "master_key": made.master, "issuer": authserver_under_test.ISSUER}
        )
        self._app = create_app(settings, background=False)
        with self._app.app_context():
            self.engine: Engine = db.engine
        self._services = self._app.extensions["services"]
        self._clock = _Clock(self.engine)
        self._cookies: dict[str, str] = {}
        self._tokens: dict[str, str] = {}

    def sign_in(self) -> None:
        """Give both a fresh proof, so that no page asks for one."""
        accounts, now = self._services.store().accounts, int(time.time())
        for name in (ADMINISTRATOR, BUILDER):
            user = accounts.user(name)
            session = sign_in_actions.begin(accounts, user, method="password", peer="127.0.0.1", agent="bench", now=now)
            self._cookies[name] = f"console={session.id}"
            page = (
                Client(self._app, use_cookies=False).get("/console/help", headers={"Cookie": self._cookies[name]}).text
            )
            self._tokens[name] = page.partition('name="_csrf" value="')[2].partition('"')[0]

    def ask(self, page: PageRequest, timed: PageTimings) -> None:
        """Ask for a page once, and time it.

        Raises:
            BadPage: it was another answer than 200.
        """
        environ = self._environ(page)
        statuses: list[str] = []

        def start(status: str, *_more: object) -> Any:
            statuses.append(status)

        self._clock.start()
        began = time.perf_counter()
        answer = self._app.wsgi_app(environ, start)
        parts = iter(answer)
        text = next(parts, b"")
        if not page.download:
            text += b"".join(parts)
        took, cost = time.perf_counter() - began, self._clock.cost()
        getattr(answer, "close", lambda: None)()
        if statuses != [_OK] or not text:
            msg = f"{page.name}: {statuses}"
            raise UnexpectedResponse(msg)
        timed.wall.append(1000 * took)
        timed.cost.append(1000 * cost)
        timed.statements = self._clock.statements

    def _environ(self, page: PageRequest) -> dict[str, Any]:
        sent = None if page.form is None else {**page.form, "_csrf": self._tokens[page.who]}
        builder = EnvironBuilder(
            page.path,
            method="GET" if sent is None else "POST",
            data=sent,
            headers=[("Cookie", self._cookies[page.who])],
            environ_base={"REMOTE_ADDR": "127.0.0.1"},
        )
        return dict(builder.get_environ())

    def close(self) -> None:
        """Let go of the database."""
        self._services.close()


@contextmanager
def logging_into(path: Path) -> Iterator[None]:
    """Log as a served console does, JSON lines into a file, and leave the terminal to the report."""
    root = logging.getLogger()
    before, level = root.handlers, root.level
    with path.open("a", encoding="utf-8") as file:
        with redirect_stderr(file):
            configure("info")
        try:
            yield
        finally:
            root.handlers = before
            root.setLevel(level)


def measure(made: authserver_under_test.AuthserverUnderTest, rounds: int) -> list[PageTimings]:
    """Ask for all pages in turn, round by round."""
    client = ConsoleClient(made)
    try:
        client.sign_in()
        pages = list(page_requests(client.engine))
        timed = {page.name: PageTimings(page.name) for page in pages}
        for number in range(_WARMING + rounds):
            if number:
                client.sign_in()
            for page in pages:
                client.ask(page, timed[page.name] if number >= _WARMING else PageTimings(page.name))
    finally:
        client.close()
    return list(timed.values())


def page_requests(engine: Engine) -> Iterator[PageRequest]:
    """Every page of the console over the data set."""
    rows = _SampleRows(engine)
    yield from _credential_pages(rows)
    yield from _user_pages(rows)
    yield from _operation_pages(rows)
    yield from _inventory_pages(rows)
    yield from _audit_pages(rows)


class _SampleRows:
    """Rows of the data set that the pages are about."""

    def __init__(self, engine: Engine) -> None:
        with engine.connect() as connection:
            builder = select(tables.users.c.id).where(tables.users.c.username == BUILDER).scalar_subquery()
            mine = select(tables.credentials.c.client_id).where(
                tables.credentials.c.owner_id == builder, tables.credentials.c.disabled_at.is_(None)
            )
            used = mine.where(tables.credentials.c.client_id.in_(select(tables.credential_use.c.client_id)))
            self.client = connection.execute(used.limit(1)).scalar_one()
            self.roles = {row.name: row.id for row in connection.execute(select(tables.roles))}
            self.server = connection.execute(select(tables.resource_servers.c.id).limit(1)).scalar_one()
            self.key = connection.execute(select(tables.signing_keys.c.kid).limit(1)).scalar_one()
            records = select(tables.audit.c.at, tables.audit.c.seq, tables.audit.c.actor).order_by(tables.audit.c.seq)
            number = connection.execute(select(tables.audit_head.c.seq)).scalar_one()
            middle = connection.execute(records.where(tables.audit.c.seq >= number // 2).limit(1)).one()
            oldest = connection.execute(records.limit(1).offset(60)).one()
            self.middle, self.oldest = f"{middle.at}.{middle.seq}", f"{oldest.at}.{oldest.seq}"
            self.actor = middle.actor

    def role(self, name: str) -> str:
        """The id of a role."""
        return str(self.roles[name])


def _credential_pages(rows: _SampleRows) -> Iterator[PageRequest]:
    def page(name: str, path: str, **query: str) -> PageRequest:
        return PageRequest(name, _url(path, **query), BUILDER)

    one = f"/console/credentials/{rows.client}"
    yield page("own list", "/console/credentials")
    yield page("own list, last page", "/console/credentials", page="2")
    yield page("own list, search", "/console/credentials", q="export")
    yield page("own list, by name", "/console/credentials", sort="name")
    yield page("own list, by last use", "/console/credentials", sort="-used")
    yield page("own list, active", "/console/credentials", status="active")
    yield page("own list, reduced", "/console/credentials", status="reduced")
    yield page("own list, search for nothing known", "/console/credentials", q="zzz")
    yield page("credential", one)
    yield page("credential: edit", f"{one}/edit")
    yield page("credential: regenerate", f"{one}/regenerate")
    yield page("credential: delete", f"{one}/delete")
    yield page("create a credential", "/console/credentials/new")
    yield page("profile", "/console/profile")
    yield page("profile: password", "/console/profile/password")
    yield page("help", "/console/help")
    yield page("help: Postman", "/console/help/postman")


def _user_pages(rows: _SampleRows) -> Iterator[PageRequest]:
    one = f"/console/users/u/{BUILDER}"
    yield PageRequest("users", "/console/users")
    yield PageRequest("users, last page", _url("/console/users", page="20"))
    yield PageRequest("users, search", _url("/console/users", q="owner0001"))
    yield PageRequest("users, of a role", _url("/console/users", role="prices.read"))
    yield PageRequest("users, inactive", _url("/console/users", state="inactive"))
    yield PageRequest("user", one)
    yield PageRequest("create a user", "/console/users/new")
    yield PageRequest("user: deactivate", f"{one}/deactivate")
    yield PageRequest("user: assign a role", f"{one}/roles/add")
    yield PageRequest("user: remove a role", f"{one}/roles/{rows.role('prices.read')}/remove")
    yield PageRequest("roles", "/console/users/roles")
    yield PageRequest("create a role", "/console/users/roles/new")
    yield PageRequest("role of everybody: delete", f"/console/users/roles/{rows.role('reports.read')}/delete")
    yield PageRequest("role of 4 in 10: delete", f"/console/users/roles/{rows.role('prices.read')}/delete")


def _operation_pages(rows: _SampleRows) -> Iterator[PageRequest]:
    idle, server = "/console/settings/idle_timeout_minutes", f"/console/resource-servers/{rows.server}"
    key = f"/console/security/keys/k/{rows.key}"
    yield PageRequest("settings", "/console/settings")
    yield PageRequest("setting", idle)
    yield PageRequest("setting: change", f"{idle}/change")
    # With another value before, nothing can come of it, whatever lives.
    yield PageRequest("setting: what a change ends", f"{idle}/change", form={"value": "1", "was": "none"})
    yield PageRequest("resource servers", "/console/resource-servers")
    yield PageRequest("register a resource server", "/console/resource-servers/new")
    yield PageRequest("resource server", server)
    yield PageRequest("resource server: regenerate", f"{server}/regenerate")
    yield PageRequest("resource server: algorithm", f"{server}/algorithm")
    yield PageRequest("resource server: disable", f"{server}/disable")
    yield PageRequest("security", "/console/security")
    yield PageRequest("keys", "/console/security/keys")
    yield PageRequest("keys: generate", "/console/security/keys/new")
    yield PageRequest("keys: rotate", "/console/security/keys/rotate/ES256")
    yield PageRequest("keys: compromise", f"{key}/compromise")


def _inventory_pages(rows: _SampleRows) -> Iterator[PageRequest]:
    path = "/console/security/credentials"
    yield PageRequest("inventory", path)
    yield PageRequest("inventory, last page", _url(path, page="200"))
    yield PageRequest("inventory, search for a part of many names", _url(path, q="export"))
    yield PageRequest("inventory, search for nothing known", _url(path, q="zzz"))
    yield PageRequest("inventory, search for a role", _url(path, q="prices.read"))
    yield PageRequest("inventory, search for a client id", _url(path, q=rows.client[:8]))
    for status in Status:
        yield PageRequest(f"inventory, {status.value}", _url(path, status=status.value))
    for name, label in (("never", "never used"), ("old", "old"), ("unused", "unused"), ("left", "owner disabled")):
        yield PageRequest(f"inventory, {label}", _url(path, **{name: "on"}))
    for sort in ("name", "owner", "expires", "-used"):
        yield PageRequest(f"inventory, by {sort}", _url(path, sort=sort))
    yield PageRequest("inventory as CSV, first byte", f"{path}.csv", download=True)
    yield PageRequest("inventory as JSON, first byte", f"{path}.json", download=True)
    yield PageRequest("inventory as CSV, reduced, first byte", _url(f"{path}.csv", status="reduced"), download=True)


def _audit_pages(rows: _SampleRows) -> Iterator[PageRequest]:
    path = "/console/security/audit"
    today = time.time() // _DAY * _DAY
    last_week, day_before = (time.strftime("%Y-%m-%d", time.gmtime(today - days * _DAY)) for days in (7, 1))
    actor = rows.actor
    filters: dict[str, dict[str, str]] = {
        "of an actor": {"actor": actor},
        "of nobody known": {"actor": "zzz"},
        "of a frequent event": {"event": "console.signed_in"},
        "of a rare event": {"event": "settings.changed"},
        "of an actor and an event": {"actor": actor, "event": "session.ended"},
        "of an actor and a rare event": {"actor": actor, "event": "settings.changed"},
        "of a credential": {"target": rows.client},
        "of a credential and an event": {"target": rows.client, "event": "credential.edited"},
        "search for a part of a target": {"target": "owner00"},
        "search for nothing known": {"target": "zzz"},
        "search with an event": {"target": "owner00", "event": "console.signed_in"},
        "since a week": {"since": last_week},
        "until yesterday": {"until": day_before},
        "of an actor since a week": {"actor": actor, "since": last_week},
        "in the middle": {"after": rows.middle},
        "of an event in the middle": {"event": "console.signed_in", "after": rows.middle},
        "last page": {"after": rows.oldest},
    }
    yield PageRequest("audit", path)
    for label, query in filters.items():
        yield PageRequest(f"audit, {label}", _url(path, **query))
    filters["of an event since a week"] = {"event": "console.signed_in", "since": last_week}
    for label in ("of an actor", "of a rare event", "of a credential", "of an event since a week"):
        yield PageRequest(
            f"audit as JSONL, {label}, first byte", _url(f"{path}.jsonl", **filters[label]), download=True
        )
    yield PageRequest("audit as JSONL, first byte", f"{path}.jsonl", download=True)


def _url(path: str, **query: str) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def table(measured: Mapping[str, Sequence[PageTimings]]) -> str:
    """Markdown: all pages of all databases side by side."""
    head, rule = ["page"], ["---"]
    for database in measured:
        head += [f"{database}: cost, least ms", "median", "p95", "wall, median ms", "p95", "statements"]
        head.append(f"< {BOUND_MS} ms")
        rule += ["---"] * 7
    rows = [head, rule]
    for side_by_side in zip(*measured.values(), strict=True):
        row = [side_by_side[0].name]
        for timed in side_by_side:
            figures = [min(timed.cost)]
            figures += [each(some) for some in (timed.cost, timed.wall) for each in (median, percentile_95)]
            row += [*(f"{figure:.1f}" for figure in figures), str(timed.statements), timed.reached()]
        rows.append(row)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)

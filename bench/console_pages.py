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
_GOOD = "200 OK"


class BadPage(Exception):
    """A page did not answer with a page."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One page: who asks, and for what; of a ``download`` only the first byte is waited for."""

    name: str
    path: str
    who: str = ADMINISTRATOR
    form: Mapping[str, str] | None = None
    download: bool = False


@dataclass(slots=True)
class Timed:
    """All answers of one page in milliseconds, and how many statements one takes."""

    name: str
    wall: list[float] = field(default_factory=list)
    cost: list[float] = field(default_factory=list)
    statements: int = 0

    def reached(self) -> str:
        """Whether the cost keeps within the bound: nearly always, half of the time, or not."""
        if nearly_all(self.cost) < BOUND_MS:
            return "yes"
        return "median" if median(self.cost) < BOUND_MS else "**no**"


def nearly_all(some: Sequence[float]) -> float:
    """The 95th percentile, by rank."""
    return sorted(some)[-(-len(some) * 95 // 100) - 1]


class _Clock:
    """Adds up what a thread works, and what it waits for a database that works elsewhere."""

    def __init__(self, engine: Engine) -> None:
        self.statements = 0
        self._waited = self._began = self._worked = 0.0
        self._elsewhere = engine.dialect.name != "sqlite"
        event.listen(engine, "before_cursor_execute", self._before)
        event.listen(engine, "after_cursor_execute", self._after)

    def _before(self, *_told: object) -> None:
        self._began = time.perf_counter()

    def _after(self, *_told: object) -> None:
        self.statements += 1
        if self._elsewhere:
            # What the driver works meanwhile counts twice; to ask for that costs more on some machines.
            self._waited += time.perf_counter() - self._began

    def start(self) -> None:
        """Begin at nothing."""
        self.statements, self._waited, self._worked = 0, 0.0, time.thread_time()

    def cost(self) -> float:
        """Seconds since ``start``."""
        return time.thread_time() - self._worked + self._waited


class Desk:
    """The application over a database, and two people signed in."""

    def __init__(self, made: authserver_under_test.Ours) -> None:
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
            begun = sign_in_actions.begin(accounts, user, method="password", peer="127.0.0.1", agent="bench", now=now)
            self._cookies[name] = f"console={begun.id}"
            page = (
                Client(self._app, use_cookies=False).get("/console/help", headers={"Cookie": self._cookies[name]}).text
            )
            self._tokens[name] = page.partition('name="_csrf" value="')[2].partition('"')[0]

    def ask(self, page: Wanted, timed: Timed) -> None:
        """Ask for a page once, and time it.

        Raises:
            BadPage: it was another answer than 200.
        """
        environ = self._environ(page)
        told: list[str] = []

        def start(status: str, *_more: object) -> Any:
            told.append(status)

        self._clock.start()
        began = time.perf_counter()
        answer = self._app.wsgi_app(environ, start)
        parts = iter(answer)
        text = next(parts, b"")
        if not page.download:
            text += b"".join(parts)
        took, cost = time.perf_counter() - began, self._clock.cost()
        getattr(answer, "close", lambda: None)()
        if told != [_GOOD] or not text:
            msg = f"{page.name}: {told}"
            raise BadPage(msg)
        timed.wall.append(1000 * took)
        timed.cost.append(1000 * cost)
        timed.statements = self._clock.statements

    def _environ(self, page: Wanted) -> dict[str, Any]:
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


def measure(made: authserver_under_test.Ours, rounds: int) -> list[Timed]:
    """Ask for all pages in turn, round by round."""
    desk = Desk(made)
    try:
        desk.sign_in()
        pages = list(wanted(desk.engine))
        timed = {page.name: Timed(page.name) for page in pages}
        for number in range(_WARMING + rounds):
            if number:
                desk.sign_in()
            for page in pages:
                desk.ask(page, timed[page.name] if number >= _WARMING else Timed(page.name))
    finally:
        desk.close()
    return list(timed.values())


def wanted(engine: Engine) -> Iterator[Wanted]:
    """Every page of the console that can be asked for over a crowd."""
    known = _Known(engine)
    yield from _of_a_builder(known)
    yield from _of_people(known)
    yield from _of_operation(known)
    yield from _of_the_inventory(known)
    yield from _of_the_book(known)


class _Known:
    """Whom and what the pages are about."""

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
            book = select(tables.audit.c.at, tables.audit.c.seq, tables.audit.c.actor).order_by(tables.audit.c.seq)
            number = connection.execute(select(tables.audit_head.c.seq)).scalar_one()
            middle = connection.execute(book.where(tables.audit.c.seq >= number // 2).limit(1)).one()
            oldest = connection.execute(book.limit(1).offset(60)).one()
            self.middle, self.oldest = f"{middle.at}.{middle.seq}", f"{oldest.at}.{oldest.seq}"
            self.actor = middle.actor

    def role(self, name: str) -> str:
        """The id of a role."""
        return str(self.roles[name])


def _of_a_builder(known: _Known) -> Iterator[Wanted]:
    def page(name: str, path: str, **query: str) -> Wanted:
        return Wanted(name, _at(path, **query), BUILDER)

    one = f"/console/credentials/{known.client}"
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


def _of_people(known: _Known) -> Iterator[Wanted]:
    one = f"/console/users/u/{BUILDER}"
    yield Wanted("users", "/console/users")
    yield Wanted("users, last page", _at("/console/users", page="20"))
    yield Wanted("users, search", _at("/console/users", q="owner0001"))
    yield Wanted("users, of a role", _at("/console/users", role="prices.read"))
    yield Wanted("users, inactive", _at("/console/users", state="inactive"))
    yield Wanted("user", one)
    yield Wanted("create a user", "/console/users/new")
    yield Wanted("user: deactivate", f"{one}/deactivate")
    yield Wanted("user: assign a role", f"{one}/roles/add")
    yield Wanted("user: remove a role", f"{one}/roles/{known.role('prices.read')}/remove")
    yield Wanted("roles", "/console/users/roles")
    yield Wanted("create a role", "/console/users/roles/new")
    yield Wanted("role of everybody: delete", f"/console/users/roles/{known.role('reports.read')}/delete")
    yield Wanted("role of 4 in 10: delete", f"/console/users/roles/{known.role('prices.read')}/delete")


def _of_operation(known: _Known) -> Iterator[Wanted]:
    idle, server = "/console/settings/idle_timeout_minutes", f"/console/resource-servers/{known.server}"
    key = f"/console/security/keys/k/{known.key}"
    yield Wanted("settings", "/console/settings")
    yield Wanted("setting", idle)
    yield Wanted("setting: change", f"{idle}/change")
    # With another value before, nothing can come of it, whatever lives.
    yield Wanted("setting: what a change ends", f"{idle}/change", form={"value": "1", "was": "none"})
    yield Wanted("resource servers", "/console/resource-servers")
    yield Wanted("register a resource server", "/console/resource-servers/new")
    yield Wanted("resource server", server)
    yield Wanted("resource server: regenerate", f"{server}/regenerate")
    yield Wanted("resource server: algorithm", f"{server}/algorithm")
    yield Wanted("resource server: disable", f"{server}/disable")
    yield Wanted("security", "/console/security")
    yield Wanted("keys", "/console/security/keys")
    yield Wanted("keys: generate", "/console/security/keys/new")
    yield Wanted("keys: rotate", "/console/security/keys/rotate/ES256")
    yield Wanted("keys: compromise", f"{key}/compromise")


def _of_the_inventory(known: _Known) -> Iterator[Wanted]:
    path = "/console/security/credentials"
    yield Wanted("inventory", path)
    yield Wanted("inventory, last page", _at(path, page="200"))
    yield Wanted("inventory, search for a part of many names", _at(path, q="export"))
    yield Wanted("inventory, search for nothing known", _at(path, q="zzz"))
    yield Wanted("inventory, search for a role", _at(path, q="prices.read"))
    yield Wanted("inventory, search for a client id", _at(path, q=known.client[:8]))
    for status in Status:
        yield Wanted(f"inventory, {status.value}", _at(path, status=status.value))
    for name, said in (("never", "never used"), ("old", "old"), ("unused", "unused"), ("left", "owner disabled")):
        yield Wanted(f"inventory, {said}", _at(path, **{name: "on"}))
    for sort in ("name", "owner", "expires", "-used"):
        yield Wanted(f"inventory, by {sort}", _at(path, sort=sort))
    yield Wanted("inventory as CSV, first byte", f"{path}.csv", download=True)
    yield Wanted("inventory as JSON, first byte", f"{path}.json", download=True)
    yield Wanted("inventory as CSV, reduced, first byte", _at(f"{path}.csv", status="reduced"), download=True)


def _of_the_book(known: _Known) -> Iterator[Wanted]:
    path = "/console/security/audit"
    today = time.time() // _DAY * _DAY
    last_week, yesterday = (time.strftime("%Y-%m-%d", time.gmtime(today - days * _DAY)) for days in (7, 1))
    actor = known.actor
    filters: dict[str, dict[str, str]] = {
        "of an actor": {"actor": actor},
        "of nobody known": {"actor": "zzz"},
        "of a frequent event": {"event": "console.signed_in"},
        "of a rare event": {"event": "settings.changed"},
        "of an actor and an event": {"actor": actor, "event": "session.ended"},
        "of an actor and a rare event": {"actor": actor, "event": "settings.changed"},
        "of a credential": {"target": known.client},
        "of a credential and an event": {"target": known.client, "event": "credential.edited"},
        "search for a part of a target": {"target": "owner00"},
        "search for nothing known": {"target": "zzz"},
        "search with an event": {"target": "owner00", "event": "console.signed_in"},
        "since a week": {"since": last_week},
        "until yesterday": {"until": yesterday},
        "of an actor since a week": {"actor": actor, "since": last_week},
        "in the middle": {"after": known.middle},
        "of an event in the middle": {"event": "console.signed_in", "after": known.middle},
        "last page": {"after": known.oldest},
    }
    yield Wanted("audit", path)
    for said, query in filters.items():
        yield Wanted(f"audit, {said}", _at(path, **query))
    filters["of an event since a week"] = {"event": "console.signed_in", "since": last_week}
    for said in ("of an actor", "of a rare event", "of a credential", "of an event since a week"):
        yield Wanted(f"audit as JSONL, {said}, first byte", _at(f"{path}.jsonl", **filters[said]), download=True)
    yield Wanted("audit as JSONL, first byte", f"{path}.jsonl", download=True)


def _at(path: str, **query: str) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def table(measured: Mapping[str, Sequence[Timed]]) -> str:
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
            figures += [each(some) for some in (timed.cost, timed.wall) for each in (median, nearly_all)]
            row += [*(f"{figure:.1f}" for figure in figures), str(timed.statements), timed.reached()]
        rows.append(row)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)

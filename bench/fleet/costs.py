"""What a request of each kind costs the server, counted on a real one in this process.

Statements are those that the request itself waits for; what is written behind it, in batches, is told apart.
"""

import json
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import event

from authserver.actions import resource_servers, users
from authserver.ports.shared_signals.streams import POLL, PUSH, Outcome
from authserver.store.engine.prepared import ThreadConnections
from tests.support import wsgi_client

opened: Any = wsgi_client.opened
basic: Any = wsgi_client.basic
parts: Any = wsgi_client.parts

ENTRIES = 100
"""Role changes in the delta that is measured."""


@dataclass(frozen=True, slots=True)
class Cost:
    """One request: statements and transactions before its answer, bytes both ways without those of TLS and TCP."""

    statements: float
    commits: float
    bytes_in: float
    bytes_out: float


class _Counter:
    def __init__(self, engine: Any) -> None:
        self.statements = self.commits = 0
        event.listen(engine, "before_cursor_execute", self._executed)
        event.listen(engine, "commit", self._committed)

    def _executed(self, *_: Any) -> None:
        self.statements += 1

    def _committed(self, *_: Any) -> None:
        self.commits += 1


@contextmanager
def _prepared_counted(counter: _Counter) -> Iterator[None]:
    """Prepared statements do not go through the engine."""
    run = ThreadConnections.run

    def counted(self: ThreadConnections, sql: str, arguments: Any) -> Any:
        counter.statements += 1
        return run(self, sql, arguments)

    ThreadConnections.run = counted  # type: ignore[method-assign]
    try:
        yield
    finally:
        ThreadConnections.run = run  # type: ignore[method-assign]


def measure(database: str = "sqlite") -> dict[str, Cost]:
    """Ask a real server, a few times each so that nothing is met for the first time; the cost of one request."""
    with tempfile.TemporaryDirectory(prefix="fleet-") as folder:
        for world in opened(database, Path(folder)):
            return _measured(world)
    raise AssertionError


def _measured(world: Any) -> dict[str, Cost]:
    counter = _Counter(world.store.engine)
    api = {"Authorization": basic(*world.api)}
    name = next(each.name for each in world.accounts.resource_servers() if each.client_id == world.api[0])
    resource_servers.bound_staleness(world.accounts, name, 30, **world.who)
    tokens = [world.access_token() for _ in range(100)]
    world.store.usage.flush()
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    def introspect() -> Any:
        body = f"token={tokens[0]}&token_type_hint=access_token&http_method=GET&http_route=/orders"
        return _ask(world, "POST", "/oauth/introspect", body, api | form)

    def report(number: int) -> Callable[[], Any]:
        def send() -> Any:
            uses = [_use(tokens[each % len(tokens)], world.clock.at, each // len(tokens)) for each in range(number)]
            body = json.dumps({"report_id": str(uuid.uuid4()), "uses": uses}, separators=(",", ":"))
            return _ask(world, "POST", "/oauth/usage", body, api | {"Content-Type": "application/json"})

        return send

    def token() -> Any:
        grant = {"grant_type": "client_credentials", "resource": parts(tokens[0])[1]["aud"]}
        body = "&".join(f"{key}={value}" for key, value in grant.items())
        return _ask(world, "POST", "/oauth/token", body, form | {"Authorization": basic(*world.client)})

    with _prepared_counted(counter):
        costs = {
            "token request": _cost(counter, token),
            "introspection": _cost(counter, introspect),
            "report of 1": _cost(counter, report(1)),
            "report of 100": _cost(counter, report(100)),
            "report of 10000": _cost(counter, report(10_000), times=1),
        }
        streams = {name: _stream(world, api, delivery) for name, delivery in _DELIVERIES.items()}
        poll_stream = _poll(world, api, streams["poll"])
        costs["stream poll, nothing"] = _cost(counter, poll_stream)
        first = world.http.get("/oauth/changes", headers=api)
        cursor = parts(first.text)[1]["cursor"]
        poll = api | {"If-None-Match": first.headers["ETag"]}
        later = f"/oauth/changes?after={cursor}"
        costs["feed, unchanged"] = _cost(counter, lambda: _ask(world, "GET", later, "", poll))
        costs["feed, whole"] = _cost(counter, lambda: _ask(world, "GET", "/oauth/changes", "", api))
        for number in range(ENTRIES):
            users.create_user(world.accounts, f"fleet{number}", ["reader", "writer"], **world.who)
            users.revoke(world.accounts, f"fleet{number}", "writer", **world.who)
        costs["feed, delta"] = _cost(counter, lambda: _ask(world, "GET", later, "", poll))
        costs["stream poll of 100"] = _cost(counter, poll_stream)
        taken = _poll(world, api, streams["poll"], ack=_events(world, api, streams["poll"]))
        costs["stream poll, 100 acknowledged"] = _cost(counter, taken, times=1, repeated=False)
        costs["push of 100 events"] = _pushed(world, counter)
        costs["keys"] = _cost(counter, lambda: _ask(world, "GET", "/.well-known/jwks.json", "", {}))
    return costs


_DELIVERIES = {
    "poll": {"method": POLL},
    "push": {"method": PUSH, "endpoint_url": "https://receiver.example.com/events"},
}


def _stream(world: Any, api: dict[str, str], delivery: dict[str, str]) -> str:
    """The id of a new stream of security events."""
    answer = world.http.post("/ssf/streams", json={"delivery": delivery}, headers=api)
    if answer.status_code != 201:
        raise AssertionError(answer.text)
    return str(answer.json["stream_id"])


def _poll(world: Any, api: dict[str, str], stream: str, ack: Sequence[str] = ()) -> Callable[[], Any]:
    body = json.dumps({"returnImmediately": True, "maxEvents": ENTRIES, "ack": list(ack)}, separators=(",", ":"))
    headers = api | {"Content-Type": "application/json"}
    return lambda: _ask(world, "POST", f"/ssf/poll?stream_id={stream}", body, headers)


def _events(world: Any, api: dict[str, str], stream: str) -> list[str]:
    told = {"returnImmediately": True, "maxEvents": ENTRIES}
    return list(world.http.post(f"/ssf/poll?stream_id={stream}", json=told, headers=api).json["sets"])


def _pushed(world: Any, counter: _Counter) -> Cost:
    """All events of the stream that is pushed, to a receiver that takes each; bytes of the bodies alone."""
    sizes: list[int] = []

    def send(_url: str, event_text: str, _authorization: str) -> Outcome:
        sizes.append(len(event_text))
        return Outcome(accepted=True)

    pushes = world.services.pushes(send)
    try:
        statements, commits = counter.statements, counter.commits
        pushes.step()
        pushes.drain(60)
    finally:
        pushes.stop()
    if len(sizes) != ENTRIES:
        msg = f"{len(sizes)} events were pushed"
        raise AssertionError(msg)
    return Cost(counter.statements - statements, counter.commits - commits, 0, sum(sizes))


def _use(token: str, at: int, route: int) -> dict[str, Any]:
    return {"jti": parts(token)[1]["jti"], "at": at, "count": 10, "method": "GET", "route": f"/orders/{route}/{{id}}"}


def _ask(world: Any, method: str, path: str, body: str, headers: dict[str, str]) -> tuple[int, int]:
    answer = world.http.open(path, method=method, data=body or None, headers=headers)
    if answer.status_code not in {200, 304}:
        msg = f"{method} {path} was answered {answer.status_code}"
        raise AssertionError(msg)
    sent = {"Host": "auth.example.com", "Accept": "*/*", "Content-Length": str(len(body)), **headers}
    asked = len(f"{method} {path} HTTP/1.1\r\n\r\n") + _size(sent.items()) + len(body.encode())
    given = len("HTTP/1.1 200 OK\r\n\r\n") + _size(answer.headers) + len(answer.get_data())
    return asked, given


def _size(headers: Any) -> int:
    return sum(len(f"{name}: {value}\r\n") for name, value in headers)


def _cost(counter: _Counter, ask: Callable[[], tuple[int, int]], times: int = 3, *, repeated: bool = True) -> Cost:
    if repeated:
        ask()  # what is met for the first time costs more
    statements, commits, sizes = counter.statements, counter.commits, (0, 0)
    for _ in range(times):
        sizes = ask()
    return Cost((counter.statements - statements) / times, (counter.commits - commits) / times, *sizes)

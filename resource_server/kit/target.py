"""The API that is tested: how it is called, and how it is started with the issuer's settings."""

import contextlib
import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx

from resource_server.kit.issuer import Issuer

_POLL = 0.1
_END_SECONDS = 10
_STDERR = 2


class CannotTest(Exception):
    """The kit cannot do its work; the text says what to mend."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the API answered; status 0 stands for no answer at all."""

    status: int
    challenge: str = ""

    @property
    def accepted(self) -> bool:
        """Whether the call was served."""
        return 200 <= self.status < 300  # noqa: PLR2004 - RFC 9110 §15.3

    @property
    def broke(self) -> bool:
        """Whether the API failed instead of refusing."""
        return self.status == 0 or self.status >= 500  # noqa: PLR2004 - RFC 9110 §15.6

    def __str__(self) -> str:
        return f"status {self.status}" if self.status else "no answer: the connection broke"


@dataclass(slots=True)
class Target:
    """One URL of the API.

    Args:
        url: what is called.
        method: HTTP method.
        timeout: seconds for one call.
    """

    url: str
    method: str = "GET"
    timeout: float = 10.0
    calls: int = 0
    _client: httpx.Client = field(default_factory=lambda: httpx.Client(follow_redirects=False, trust_env=False))

    def call(self, token: str | None, *, scheme: str = "Bearer", query: str = "") -> Reply:
        """Call it with a token in the header, or in the query."""
        headers = [] if token is None else [("Authorization", f"{scheme} {token}".encode("utf-8", "surrogatepass"))]
        return self.send([(name, value) for name, value in headers], query)

    def send(self, headers: list[tuple[str, bytes]], query: str = "") -> Reply:
        """Call it with these headers."""
        self.calls += 1
        url = httpx.URL(self.url)
        if query:
            url = url.copy_with(query="&".join(each for each in (url.query.decode(), query) if each).encode())
        try:
            sent = [(name.encode(), value) for name, value in headers]
            answer = self._client.request(self.method, url, headers=sent, timeout=self.timeout)
        except httpx.TransportError:
            return Reply(0)
        return Reply(answer.status_code, answer.headers.get("www-authenticate", ""))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def environment(issuer: Issuer) -> dict[str, str]:
    """The settings of an API that trusts the issuer, as ``Verifier.from_environment`` reads them."""
    return {
        "RESOURCE_SERVER_ISSUER": issuer.url,
        "RESOURCE_SERVER_AUDIENCE": issuer.audience,
        "RESOURCE_SERVER_CLIENT_ID": issuer.api[0],
        "RESOURCE_SERVER_CLIENT_SECRET": issuer.api[1],
    }


@contextlib.contextmanager
def started(command: str, issuer: Issuer) -> "Iterator[subprocess.Popen[bytes]]":
    """Run the API while the context lasts, with the issuer's settings in its environment."""
    environ = {**os.environ, **environment(issuer)}
    try:
        # What the API prints goes to standard error: standard output is the report's alone.
        process = subprocess.Popen(  # noqa: S603 - the user's own command
            shlex.split(command), env=environ, start_new_session=True, stdout=_STDERR
        )
    except (OSError, ValueError) as error:
        raise CannotTest(f"--start-command cannot be run: {error}") from None
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_END_SECONDS)


def wait_until_accepted(
    target: Target, issuer: Issuer, seconds: float, process: "subprocess.Popen[bytes] | None" = None
) -> None:
    """Wait until the API, which may be a process that the kit started, serves a good token.

    Raises:
        CannotTest: it does not.
    """
    end = time.monotonic() + seconds
    while True:
        reply = target.call(issuer.mint())
        if reply.accepted:
            return
        if process is not None and process.poll() is not None:
            raise CannotTest(
                f"--start-command ended by itself, with exit code {process.returncode}; see what it said above."
            )
        if time.monotonic() > end:
            raise CannotTest(
                f"The API does not serve a good token ({reply}, after {seconds:g} s)."
                " Is it started with the issuer's settings (see --start-command), does the URL answer to"
                f" {target.method}, and does the call need another role than the token has (--role)?"
            )
        time.sleep(_POLL)

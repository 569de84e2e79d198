"""Sends the requests: one httpx client per process for threads, one per event loop for asyncio.

Redirects are not followed, answers are bounded, certificates are verified, and errors never hold credentials.
"""

import asyncio
import contextlib
import threading
import time
import weakref
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx

from resource_server.clocks import ServerTime
from resource_server.errors import Unavailable
from resource_server.network.steps import Answer, Call, Steps, Wait
from resource_server.settings import Settings

MAX_ANSWER = 16 * 1024 * 1024
T = TypeVar("T")


class Transport:
    """Runs steps, doing what they ask for.

    Args:
        settings: whose ``timeout`` bounds each request.
        server_time: learns the server's time from its answers.
        sync_transport, async_transport: httpx transports, for tests and special networks.
    """

    def __init__(
        self,
        settings: Settings,
        server_time: ServerTime,
        *,
        sync_transport: httpx.BaseTransport | None = None,
        async_transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._timeout, self._time = settings.timeout, server_time
        self._sync_transport, self._async_transport = sync_transport, async_transport
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._closed, self._in_flight = False, 0
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = (
            weakref.WeakKeyDictionary()
        )

    # --- threads ------------------------------------------------------------------------

    def run(self, steps: Steps[T]) -> T:
        """Run steps to their end in this thread."""
        try:
            step = next(steps)
            while True:
                try:
                    given = self._send(step) if isinstance(step, Call) else self._wait(step)
                except BaseException as error:  # noqa: BLE001 - it is the steps' to handle
                    step = steps.throw(error)
                else:
                    step = steps.send(given)
        except StopIteration as end:
            result: T = end.value
            return result

    def _wait(self, wait: Wait) -> object:
        try:
            return wait.future.result(self._timeout + 1)
        except TimeoutError:
            raise Unavailable("timeout", "Another request to the server takes too long.") from None

    def _send(self, call: Call) -> Answer:
        try:
            with (
                self._shared_client() as client,
                client.stream(
                    call.method, call.url, headers=call.headers, content=call.content, timeout=self._timeout_of(call)
                ) as response,
            ):
                body, deadline = bytearray(), self._deadline(call)
                for chunk in response.iter_bytes():
                    body += chunk
                    _check_limits(body, deadline)
                return self._answer(response, bytes(body))
        except (httpx.HTTPError, httpx.InvalidURL, RuntimeError) as error:
            raise _unreachable(error) from None

    @contextlib.contextmanager
    def _shared_client(self) -> Iterator[httpx.Client]:
        """The client of the threads; the last who gives it back after ``close`` closes it.

        A client that is closed while a thread still connects would leave that connection open.
        """
        with self._lock:
            if self._closed:
                raise Unavailable("closed", "The verifier is closed.")
            if self._client is None:
                self._client = httpx.Client(transport=self._sync_transport, limits=_LIMITS)
            client = self._client
            self._in_flight += 1
        try:
            yield client
        finally:
            if self._is_last():
                client.close()

    def _is_last(self) -> bool:
        """Count a request as ended; whether it was the last, and the verifier is closed."""
        with self._lock:
            self._in_flight -= 1
            return self._closed and not self._in_flight

    # --- asyncio ------------------------------------------------------------------------

    async def arun(self, steps: Steps[T]) -> T:
        """Run steps to their end in this event loop."""
        try:
            step = next(steps)
            while True:
                try:
                    given = await self._send_async(step) if isinstance(step, Call) else await self._wait_async(step)
                except BaseException as error:  # noqa: BLE001 - it is the steps' to handle, cancellation too
                    step = steps.throw(error)
                else:
                    step = steps.send(given)
        except StopIteration as end:
            result: T = end.value
            return result

    async def _wait_async(self, wait: Wait) -> object:
        try:
            # Shielded: that this waiter is cancelled must not cancel the future that others wait for.
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(wait.future)), self._timeout + 1)
        except TimeoutError:
            raise Unavailable("timeout", "Another request to the server takes too long.") from None

    async def _send_async(self, call: Call) -> Answer:
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None or client.is_closed:
            client = self._clients[loop] = httpx.AsyncClient(transport=self._async_transport, limits=_LIMITS)
        try:
            async with client.stream(
                call.method, call.url, headers=call.headers, content=call.content, timeout=self._timeout_of(call)
            ) as response:
                body, deadline = bytearray(), self._deadline(call)
                async for chunk in response.aiter_bytes():
                    body += chunk
                    _check_limits(body, deadline)
                return self._answer(response, bytes(body))
        except (httpx.HTTPError, httpx.InvalidURL, RuntimeError) as error:
            raise _unreachable(error) from None

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    def close(self) -> None:
        """Close the connections of threads: now, or when the requests in flight have ended."""
        with self._lock:
            self._closed = True
            is_idle = not self._in_flight
        if self._client is not None and is_idle:
            self._client.close()

    # --- both ---------------------------------------------------------------------------

    def _timeout_of(self, call: Call) -> httpx.Timeout:
        return httpx.Timeout(self._timeout, read=self._timeout + call.wait)

    def _deadline(self, call: Call) -> float:
        """When the body must be complete: httpx bounds each read, not their sum."""
        return time.monotonic() + self._timeout + call.wait

    def _answer(self, response: httpx.Response, body: bytes) -> Answer:
        date = response.headers.get("date", "")
        if date:
            with contextlib.suppress(ValueError):
                self._time.observe(parsedate_to_datetime(date).timestamp())
        return Answer(response.status_code, {k.lower(): v for k, v in response.headers.items()}, body)


_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=30)


def _check_limits(body: bytearray, deadline: float) -> None:
    if len(body) > MAX_ANSWER:
        raise Unavailable("too_long", "An answer of the server is longer than 16 MiB.")
    if time.monotonic() > deadline:
        raise Unavailable("timeout", "An answer of the server trickles in too slowly.")


def _unreachable(error: Exception) -> Unavailable:
    reason = "timeout" if isinstance(error, httpx.TimeoutException) else "unreachable"
    return Unavailable(reason, f"The server cannot be reached: {type(error).__name__}.")

"""The trace that the request under way belongs to, for the requests that it sends; nothing where nothing is traced."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar

Begin = Callable[[str, str], AbstractContextManager[Mapping[str, str]]]
"""Method and host -> the headers to send with it, for as long as it takes."""

BEGIN: ContextVar[Begin | None] = ContextVar("begin_outgoing_request", default=None)


@contextmanager
def outgoing_request(method: str, host: str) -> Iterator[Mapping[str, str]]:
    """Headers for a request to another server: ``traceparent`` (W3C Trace Context), or none."""
    begin = BEGIN.get()
    if begin is None:
        yield {}
        return
    with begin(method, host) as headers:
        yield headers

"""gRPC: a server interceptor; the token comes in the metadata ``authorization: Bearer …``.

::

    server = grpc.server(pool, interceptors=[BearerInterceptor(verifier, {"/things.Things/Get": ["reader"]})])

A method that is not named needs the roles of ``others``. ``token_of(context)`` gives the verified token.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import grpc

from resource_server.errors import InsufficientScope, Refused, Unavailable
from resource_server.http import bearer_token
from resource_server.token import Token
from resource_server.verifier import Verifier

_TOKEN = "resource_server_token"  # noqa: S105 - the name of an attribute


class BearerInterceptor(grpc.ServerInterceptor):  # type: ignore[misc] # grpcio ships no types
    """Lets only calls with good tokens through.

    Args:
        verifier: decides.
        roles: full method name -> the roles it needs, or None for no token at all.
        others: roles that all other methods need.
    """

    def __init__(
        self, verifier: Verifier, roles: Mapping[str, Iterable[str] | None], others: Iterable[str] = ()
    ) -> None:
        self._verifier, self._others = verifier, tuple(others)
        self._roles = {name: None if needed is None else tuple(needed) for name, needed in roles.items()}

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        """Check a call before its handler is looked up."""
        needed = self._roles.get(details.method, self._others)
        if needed is None:
            return continuation(details)
        values = [str(value) for name, value in details.invocation_metadata if name == "authorization"]
        try:
            text = bearer_token(values)
            token = self._verifier.verify(text, roles=needed, method="POST", route=details.method)
        except Refused as refused:
            return _refusing(continuation(details), refused)
        return _with_token(continuation(details), token)


def token_of(context: Any) -> Token:
    """The verified token of the call that is being served.

    Raises:
        LookupError: the method needs none.
    """
    token: Token | None = getattr(context, _TOKEN, None)
    if token is None:
        raise LookupError("This method is served without a token.")
    return token


def _status(refused: Refused) -> grpc.StatusCode:
    if isinstance(refused, Unavailable):
        return grpc.StatusCode.UNAVAILABLE
    if isinstance(refused, InsufficientScope):
        return grpc.StatusCode.PERMISSION_DENIED
    return grpc.StatusCode.UNAUTHENTICATED


def _refusing(handler: Any, refused: Refused) -> Any:
    def refuse(_: Any, context: Any) -> None:
        context.abort(_status(refused), refused.description or "Send an access token: authorization: Bearer <token>.")

    return _wrapped(handler, lambda _: refuse)


def _with_token(handler: Any, token: Token) -> Any:
    def wrap(serve: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def served(request: Any, context: Any) -> Any:
            setattr(context, _TOKEN, token)  # bound to the call, whatever thread serves it
            return serve(request, context)

        return served

    return _wrapped(handler, wrap)


def _wrapped(handler: Any, wrap: Callable[[Any], Any]) -> Any:
    """The handler of the same kind around another function."""
    if handler is None:  # no such method: gRPC answers UNIMPLEMENTED
        return None
    kinds = {
        (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
        (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
        (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
        (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
    }
    name, make = kinds[bool(handler.request_streaming), bool(handler.response_streaming)]
    return make(
        wrap(getattr(handler, name)),
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )

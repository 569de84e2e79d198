"""Builds the machine endpoints over an opened store: the table of paths that the dispatcher serves."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from authserver.actions.issue_token import Issued
from authserver.actions.preconditions.client_assertion import AssertionContext
from authserver.oauth.authorization_endpoint import PATH as AUTHORIZE
from authserver.oauth.authorization_endpoint import AuthorizationEndpoint
from authserver.oauth.changes_endpoint import ChangesEndpoint
from authserver.oauth.dispatcher import Route, routes
from authserver.oauth.forward_auth_endpoint import ForwardAuthEndpoint
from authserver.oauth.http import Endpoint
from authserver.oauth.introspection_endpoint import IntrospectionEndpoint
from authserver.oauth.jwks_fetchers import JwksFetchObserver
from authserver.oauth.leaks_endpoint import LeaksEndpoint
from authserver.oauth.metadata import MutualTls, jwks_endpoint, metadata_endpoint, post_quantum_endpoint
from authserver.oauth.revocation_endpoint import RevocationEndpoint
from authserver.oauth.shared_signals import metadata as ssf
from authserver.oauth.shared_signals.poll_endpoint import PollEndpoint
from authserver.oauth.shared_signals.receiver import ReceiverAccess
from authserver.oauth.shared_signals.status_endpoint import StatusEndpoint
from authserver.oauth.shared_signals.stream_endpoint import StreamEndpoint
from authserver.oauth.shared_signals.subject_endpoint import SubjectEndpoint
from authserver.oauth.shared_signals.verification_endpoint import VerificationEndpoint
from authserver.oauth.token_endpoint import TokenEndpoint
from authserver.oauth.usage.endpoint import MAX_BYTES, UsageEndpoint
from authserver.oauth.verified_tokens import VerifiedTokens
from authserver.ports.client_authentication import RemoteKeys
from authserver.ports.clock import Clock
from authserver.rules.client_authentication.nonce import nonces
from authserver.store.factory import Store
from keys.certificates import Authorities


class SignAnswer(Protocol):
    """Makes a JWT of claims."""

    def __call__(self, claims: Mapping[str, Any], alg: str, typ: str = ...) -> str:
        """Sign with the active key of ``alg``; ``typ`` is the header's."""


@dataclass(frozen=True, slots=True)
class EndpointContext:
    """What the machine endpoints share."""

    store: Store
    issuer: str
    verified_tokens: VerifiedTokens
    remote_keys: RemoteKeys
    sign: Callable[[Issued], str]
    """Signs an access token with the key that the statement chose."""
    sign_answer: SignAnswer
    clock: Clock
    """For changes."""
    fetch_clock: Clock
    """For the records of who fetched the JWKS."""
    push_url_fault: Callable[[str], str]
    """Why security events may not be pushed to a URL; empty where they may."""
    count_security_events: Callable[[str, str, int], None]
    most_waiting: int
    """How many requests may wait for changes at a time; no limit where 0."""
    publish_scopes: bool
    dpop_nonce_seconds: int
    """How long a nonce for DPoP proofs is taken; none is asked for where 0."""
    authorities: Authorities | None
    """Whose TLS certificates name clients."""
    mtls: MutualTls

    @property
    def assertions(self) -> AssertionContext:
        """What assertions of calling resource servers are checked with."""
        return AssertionContext(self.issuer, self.store.one_time_ids)

    @property
    def client_assertions(self) -> AssertionContext:
        """What assertions and certificates of clients are checked with."""
        return AssertionContext(self.issuer, self.store.one_time_ids, self.remote_keys, self.authorities)


def machine_routes(context: EndpointContext) -> dict[str, Route]:
    """The table of paths of the machine endpoints."""
    most_waiting = context.most_waiting
    seats = threading.BoundedSemaphore(most_waiting) if most_waiting else None
    store = context.store
    receivers = ReceiverAccess(
        hot_path=store.hot_path,
        assertions=context.assertions,
        streams=lambda peer: store.requested_from(peer).event_streams,
        changes=store.changes,
        issuer=context.issuer,
        pepper=store.pepper,
    )
    usage = UsageEndpoint(
        hot_path=store.hot_path,
        sessions=store.sessions,
        usage=store.usage,
        reports=store.usage_reports,
        assertions=context.assertions,
        pepper=store.pepper,
    )
    return routes(
        _token_endpoints(context) | _event_endpoints(context, receivers, seats),
        _documents(context) | {"/oauth/changes": _changes_endpoint(context, seats)},
        context.issuer,
        {"/oauth/forward-auth": _forward_auth_endpoint(context)},
        {"/oauth/usage": (usage, MAX_BYTES)},
        resources={
            ssf.STREAMS: StreamEndpoint(receivers, context.push_url_fault),
            ssf.STATUS: StatusEndpoint(receivers),
        },
    )


def _token_endpoints(context: EndpointContext) -> dict[str, Endpoint]:
    """Those that issue, introspect and end tokens."""
    store = context.store
    token = TokenEndpoint(
        hot_path=store.hot_path,
        usage=store.usage,
        assertions=context.client_assertions,
        limits=store.token_limits,
        nonces=nonces(store.pepper, "token", context.dpop_nonce_seconds),
        sign=context.sign,
        issuer=context.issuer,
        pepper=store.pepper,
        mtls_url=context.mtls.url,
    )
    introspection = IntrospectionEndpoint(
        hot_path=store.hot_path,
        sessions=store.sessions,
        usage=store.usage,
        verified_tokens=context.verified_tokens,
        assertions=context.assertions,
        sign=context.sign_answer,
        issuer=context.issuer,
        pepper=store.pepper,
    )
    revocation = RevocationEndpoint(
        hot_path=store.hot_path,
        sessions=store.sessions,
        assertions=context.client_assertions,
        verified_tokens=context.verified_tokens,
        pepper=store.pepper,
    )
    return {
        "/oauth/token": token,
        "/auth/oauth/token": token,
        "/oauth/introspect": introspection,
        "/oauth/revoke": revocation,
        "/leaks": LeaksEndpoint(
            accounts=store.accounts,
            leaks=store.leaks,
            sessions=store.sessions,
            verified_tokens=context.verified_tokens,
            clock=context.clock,
            pepper=store.pepper,
        ),
    }


def _forward_auth_endpoint(context: EndpointContext) -> ForwardAuthEndpoint:
    store = context.store
    return ForwardAuthEndpoint(
        hot_path=store.hot_path,
        sessions=store.sessions,
        usage=store.usage,
        verified_tokens=context.verified_tokens,
        assertions=context.assertions,
        nonces=nonces(store.pepper, "forward-auth", context.dpop_nonce_seconds),
        pepper=store.pepper,
    )


def _changes_endpoint(context: EndpointContext, seats: threading.BoundedSemaphore | None) -> ChangesEndpoint:
    store = context.store
    return ChangesEndpoint(
        hot_path=store.hot_path,
        assertions=context.assertions,
        changes=store.changes,
        fetches=store.feed_fetches,
        sign=context.sign_answer,
        issuer=context.issuer,
        pepper=store.pepper,
        seats=seats,
    )


def _event_endpoints(
    context: EndpointContext, receivers: ReceiverAccess, seats: threading.BoundedSemaphore | None
) -> dict[str, Endpoint]:
    """Shared Signals: those that are called by POST."""
    return {
        ssf.POLL: PollEndpoint(receivers, sign=context.sign_answer, count=context.count_security_events, seats=seats),
        ssf.ADD_SUBJECT: SubjectEndpoint(receivers, include=True),
        ssf.REMOVE_SUBJECT: SubjectEndpoint(receivers, include=False),
        ssf.VERIFY: VerificationEndpoint(receivers),
    }


def _documents(context: EndpointContext) -> dict[str, Endpoint]:
    """Key sets and metadata."""
    store, issuer, key_ring = context.store, context.issuer, context.store.keys.ring

    def role_names() -> list[str]:
        return sorted(role.name for role in store.accounts.roles() if role.kind == "operational")

    scopes = role_names if context.publish_scopes else None
    fetches = JwksFetchObserver(
        hot_path=store.hot_path, recorder=store.jwks_fetchers, pepper=store.pepper, clock=context.fetch_clock
    )
    return {
        "/.well-known/jwks.json": jwks_endpoint(key_ring, fetches.observe),
        "/.well-known/jwks-pq.json": post_quantum_endpoint(key_ring),
        "/.well-known/oauth-authorization-server": metadata_endpoint(
            issuer, key_ring, openid=False, scopes=scopes, mtls=context.mtls
        ),
        "/.well-known/openid-configuration": metadata_endpoint(
            issuer, key_ring, openid=True, scopes=scopes, mtls=context.mtls
        ),
        ssf.CONFIGURATION: ssf.configuration_endpoint(issuer),
        AUTHORIZE: AuthorizationEndpoint(issuer),
    }

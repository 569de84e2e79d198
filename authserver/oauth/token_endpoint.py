"""POST token (RFC 6749 §3.2, §4.4) on Authlib's authorization-server and grant classes.

Authlib dispatches and shapes; what it does not enforce is enforced before it
(``request.read_form``), and who the client is, which roles it gets and which
key signs is decided by ``actions/issue_token``.

Checked in this order; the first error is the response:

1. the request alone: form, each parameter once, one way to authenticate (``invalid_request``),
   the grant (``invalid_request`` when missing, ``unsupported_grant_type``). Nothing of this
   depends on who calls, so it tells nothing about any client;
2. the caller (``invalid_client``, the same response for every reason), and how often it asks, where that is limited
   (429 ``temporarily_unavailable``);
3. what it asks for, told to the rightful client alone: ``scope`` (``invalid_scope``), ``resource``
   (``invalid_target``). ``audience``, which many client libraries send, means ``resource`` where that is absent.

Without ``scope`` the client gets all roles it can have: those chosen for the
credential that its owner holds now. The answer always names them.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from authlib.oauth2 import OAuth2Request
from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin
from authlib.oauth2.rfc6749.errors import UnsupportedGrantTypeError
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload

from authserver.actions.issue_token import Authenticated, Issued, authenticate, issue
from authserver.actions.preconditions.client_assertion import AssertionContext, PresentedAssertion
from authserver.actions.preconditions.client_certificate import PresentedCertificate
from authserver.actions.preconditions.dpop_proof import PresentedProof, presented_proof, require_proof
from authserver.actions.preconditions.token_limits import admit_session, count_request
from authserver.actions.preconditions.workload_token import PresentedWorkload
from authserver.oauth.client_authentication import (
    NoCredentials,
    UnusableCredentials,
    invalid_client,
    presented_credential,
    refused,
)
from authserver.oauth.form import read_form
from authserver.oauth.http import Request, Response, dump, error_response
from authserver.oauth.parsed_requests import ParsedRequestCache, request_fingerprint
from authserver.oauth.proxies.client_certificate import MalformedCertificate, presented_certificate
from authserver.ports.errors import (
    InvalidClient,
    InvalidDpopProof,
    InvalidScope,
    InvalidTarget,
    KeyGone,
    TooManyRequests,
    UnauthorizedClient,
    UseDpopNonce,
)
from authserver.ports.hot_path import HotPathReads
from authserver.ports.sessions import TokenLimits
from authserver.ports.usage import UsageRecorder
from authserver.rules.client_authentication.nonce import Nonces
from authserver.rules.client_authentication.proof import target_uri
from authserver.rules.presented_secret import PresentedSecret
from authserver.rules.token_hash import token_hash, token_hash_key

Sign = Callable[[Issued], str]
Presented = PresentedSecret | PresentedAssertion | PresentedWorkload | PresentedCertificate

_REPEATABLE = frozenset({"resource"})
"""RFC 8707 §2 lets a client ask for several; a token of ours is for one."""

_FORM_FIELDS = ("grant_type", "scope", "resource")
"""The fields of a form that are used after parsing; the secret is not among them."""

_CACHE_SIZE = 4_096
_PATHS = ("/oauth/token", "/auth/oauth/token", "/OAuth/Token", "/Auth/OAuth/Token")
"""What clients call this endpoint; a proof names the one that it was made for, at the issuer or its mTLS alias."""


_AUTHLIB_DEFAULTS: Mapping[str, Any] = vars(OAuth2Request("POST", "https://token.invalid/"))


class TokenRequest(NamedTuple):
    """What one request asks, read from its bytes alone."""

    who: Presented
    form: Mapping[str, str]


class AuthlibRequest(OAuth2Request):  # type: ignore[misc]
    """An Authlib request over a form that was read strictly already; no URL takes part."""

    client: "AuthenticatedClient"
    issued: Issued

    def __init__(self, http_request: Request, form: Mapping[str, str]) -> None:
        # Not the parent's, which judges a URL each time; the way the request came was checked by the dispatcher.
        self.__dict__.update(_AUTHLIB_DEFAULTS)
        self.payload = BasicOAuth2Payload(form)
        self.http_request = http_request


class AuthenticatedClient(ClientMixin):  # type: ignore[misc]
    """A client that proved its secret or key, in the shape Authlib's grants expect."""

    def __init__(self, who: Authenticated) -> None:
        self.who = who

    def get_client_id(self) -> str:
        """The client id."""
        return self.who.facts.client_id

    def check_grant_type(self, grant_type: str) -> bool:
        """Every application credential is made for one grant."""
        return grant_type == DelegatedClientCredentialsGrant.GRANT_TYPE


class DelegatedClientCredentialsGrant(ClientCredentialsGrant):  # type: ignore[misc]
    """client_credentials on behalf of the credential's owner."""

    GRANT_TYPE: str = ClientCredentialsGrant.GRANT_TYPE

    server: "TokenEndpoint"
    request: AuthlibRequest
    who: Presented
    proof: PresentedProof | None = None
    counted = False

    def validate_token_request(self) -> None:
        """Authenticate, then decide roles, audience and end; all from one statement."""
        client = self.server.authenticate_client(self.request, self.who)
        self.request.client = AuthenticatedClient(client)
        if self.proof is not None:
            self.server.check_proof(self.request, self.proof)
        if client.facts.restrictions is not None and not self.counted:
            self.server.count_request(client)
        self.request.issued = self.server.issue_token(self.request, self.proof)

    def create_token_response(self) -> tuple[int, dict[str, Any], str]:
        """RFC 6749 §5.1; signed, then recorded: what is not recorded is not active on other nodes (INV-33)."""
        issued = self.request.issued
        text = self.server.sign(issued)
        self.server.record(issued, text, self.request)
        token = {
            "access_token": text,
            "token_type": "Bearer" if self.proof is None else "DPoP",
            "expires_in": issued.expires_in,
            "scope": issued.scope,
        }
        return 200, token, self.request.client.get_client_id()


class TokenEndpoint(AuthorizationServer):  # type: ignore[misc]
    """Authlib's server over plain values: the same endpoint under Flask and bare WSGI."""

    def __init__(
        self,
        *,
        hot_path: HotPathReads,
        usage: UsageRecorder,
        assertions: AssertionContext,
        limits: TokenLimits,
        sign: Sign,
        issuer: str,
        pepper: bytes,
        nonces: Nonces | None = None,
        mtls_url: str = "",
    ) -> None:
        super().__init__()
        self._assertions = assertions
        bases = (issuer, mtls_url) if mtls_url else (issuer,)
        self._uris = frozenset(target_uri(f"{base}{path}") for base in bases for path in _PATHS)
        self._hot_path, self._usage, self.sign, self._issuer, self._pepper = hot_path, usage, sign, issuer, pepper
        self._hash_key, self._limits, self._nonces = token_hash_key(pepper), limits, nonces
        self._parsed_requests: ParsedRequestCache[TokenRequest] = ParsedRequestCache(_CACHE_SIZE)
        self.register_grant(DelegatedClientCredentialsGrant)

    def handle_response(self, status: int, body: Any, headers: Any) -> Response:
        """Make the grant's triple a ``Response``; where Authlib has headers stands the client's id."""
        return Response(status, dump(body), log_fields={"outcome": "granted", "client": headers})

    def authenticate_client(self, request: AuthlibRequest, who: Presented) -> Authenticated:
        """Authenticate the client; raises the refusals of the action."""
        resource = request.payload.data.get("resource")
        return authenticate(
            who,
            resource,
            hot_path=self._hot_path,
            assertions=self._assertions,
            usage=self._usage,
            peer=request.http_request.peer,
        )

    def count_request(self, client: Authenticated) -> None:
        """Count a request of a restricted client; raises the refusals of the action."""
        count_request(client.facts, self._limits, self._usage)

    def check_proof(self, request: AuthlibRequest, proof: PresentedProof) -> None:
        """Check the proof of a request, and use it up; raises the refusals of the action."""
        require_proof(
            proof,
            method="POST",
            uris=self._uris,
            now=request.client.who.facts.now,
            one_time_ids=self._assertions.one_time_ids,
            nonces=self._nonces,
        )

    def issue_token(self, request: AuthlibRequest, proof: PresentedProof | None) -> Issued:
        """What it gets; a token that comes with a proof is bound to the key of that proof (RFC 9449 §5).

        Without one it may be bound to the certificate of the connection (RFC 8705 §3).
        """
        form = request.payload.data
        try:
            certificate = presented_certificate(request.http_request)
        except MalformedCertificate as error:  # never an unbound token instead of a bound one
            raise InvalidClient("malformed_certificate") from error
        return issue(
            request.client.who,
            form.get("scope", ""),
            form.get("resource", ""),
            issuer=self._issuer,
            usage=self._usage,
            jkt="" if proof is None else proof.jkt,
            x5t="" if certificate is None else certificate.thumbprint,
        )

    def record(self, issued: Issued, text: str, request: AuthlibRequest) -> None:
        """Buffer the new session with the keyed hash of its token's text, once it is admitted where it must be."""
        hashed, http_request, facts = token_hash(self._hash_key, text), request.http_request, request.client.who.facts
        if facts.restrictions is not None:
            admit_session(facts, issued.start, hashed, self._limits, self._usage)
        self._usage.issued(
            issued.start,
            token_hash=hashed,
            peer=http_request.peer,
            agent=http_request.headers.get("user-agent", ""),
        )

    def __call__(self, request: Request) -> Response:
        """POST token.

        Clients send the same bytes again for each new token. The parsed request is cached
        under a hash of them; client, roles and audience are checked each time.
        """
        fingerprint = request_fingerprint(request)
        cached = self._parsed_requests.get(fingerprint)
        token_request = cached or self._parse(request)
        if isinstance(token_request, Response):
            return token_request
        try:
            header = request.headers.get("dpop", "")
            proof = presented_proof(header) if header else None
            grant = self.get_token_grant(AuthlibRequest(request, token_request.form))
            response = self._granted(grant, token_request.who, proof)
            if proof is not None and self._nonces is not None:  # RFC 9449 §8.2
                nonce = self._nonces.current(grant.request.client.who.facts.now)
                response = response._replace(headers=(*response.headers, ("DPoP-Nonce", nonce)))
        except InvalidClient as error:
            if cached is not None:
                self._parse(request)  # a secret that was right once is refused no faster than any other (INV-29)
            return invalid_client(error.reason, token_request.who.client_id)
        except InvalidDpopProof as error:
            fields = {"reason": error.reason, "client": token_request.who.client_id}
            headers = (("DPoP-Nonce", error.nonce),) if isinstance(error, UseDpopNonce) else ()
            return error_response(error.code, str(error), headers=headers, log_fields=fields)
        except TooManyRequests as error:
            fields = {"outcome": "throttled", "reason": error.reason, "client": token_request.who.client_id}
            return error_response(error.code, str(error), 429, (("Retry-After", str(error.wait)),), fields)
        except (InvalidScope, InvalidTarget, UnauthorizedClient) as error:
            return error_response(error.code, str(error), log_fields={"client": token_request.who.client_id})
        # An assertion is used once.
        if cached is None and isinstance(token_request.who, PresentedSecret | PresentedCertificate):
            self._parsed_requests.put(fingerprint, token_request)
        return response

    def _parse(self, request: Request) -> TokenRequest | Response:
        form = read_form(request, _REPEATABLE)
        audience = form.get("audience", "")
        if audience and form.setdefault("resource", audience) != audience:
            form["resource"] += f" {audience}"  # two targets, as if resource had been sent twice
        if "grant_type" not in form:
            return error_response("invalid_request", "grant_type is missing; send grant_type=client_credentials.")
        try:
            self.get_token_grant(AuthlibRequest(request, form))
            who = presented_credential(request, form, self._pepper)
        except UnsupportedGrantTypeError:
            return error_response(
                "unsupported_grant_type", "Send grant_type=client_credentials; no other grant is offered."
            )
        except (NoCredentials, UnusableCredentials) as error:
            return refused(error)
        return TokenRequest(who, {name: form[name] for name in _FORM_FIELDS if name in form})

    def _granted(
        self,
        grant: DelegatedClientCredentialsGrant,
        who: Presented,
        proof: PresentedProof | None,
    ) -> Response:
        grant.who, grant.proof = who, proof
        grant.validate_token_request()
        try:
            return self.handle_response(*grant.create_token_response())
        except KeyGone:
            # Another key took over between the facts and the signature: once more, from the facts of now.
            grant.who = who if isinstance(who, PresentedSecret) else who.again()
            grant.proof = proof.again() if proof is not None else None
            grant.counted = True
            grant.validate_token_request()
            return self.handle_response(*grant.create_token_response())

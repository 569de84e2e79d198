"""POST token (RFC 6749 §3.2, §4.4) on Authlib's authorization-server and grant classes.

Authlib dispatches and shapes; what it does not enforce is enforced before it
(``request.read_form``), and who the client is, which roles it gets and which
key signs is decided by ``actions/issue_token``.

What is looked at, in this order; the first fault is the answer:

1. the request alone: form, each parameter once, one way to authenticate (``invalid_request``),
   the grant (``invalid_request`` when missing, ``unsupported_grant_type``). Nothing of this
   depends on who calls, so it tells nothing about any client;
2. the caller (``invalid_client``, one face);
3. what it asks for, told to the rightful client alone: ``scope`` (``invalid_scope``), ``resource``
   (``invalid_target``).

Without ``scope`` the client gets all roles it can have: those chosen for the
credential that its owner holds now. The answer always names them.
"""

from collections.abc import Callable
from typing import Any

from authlib.oauth2 import OAuth2Request
from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin
from authlib.oauth2.rfc6749.errors import UnsupportedGrantTypeError
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload

from authserver.actions.issue_token import Authenticated, Issued, authenticate, issue
from authserver.oauth.client_auth import NoCredentials, Presented, invalid_client, presented, unauthenticated
from authserver.oauth.request import Ask, Reply, dump, read_form, refusal
from authserver.ports import ActivityClock, HotReads, InvalidClient, InvalidScope, InvalidTarget, KeyGone

Sign = Callable[[Issued], str]

_REPEATABLE = frozenset({"resource"})
"""RFC 8707 §2 lets a client ask for several; a token of ours is for one."""


class StrictRequest(OAuth2Request):  # type: ignore[misc]
    """An Authlib request over a form that was read strictly already; no URL takes part."""

    who: Presented
    client: "Client"
    issued: Issued

    def __init__(self, ask: Ask, form: dict[str, str]) -> None:
        super().__init__(ask.method, "https://token.invalid/")
        self.payload = BasicOAuth2Payload(form)
        self.peer, self.agent = ask.peer, ask.headers.get("user-agent", "")


class Client(ClientMixin):  # type: ignore[misc]
    """A client that proved its secret, in the shape Authlib's grants ask."""

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

    server: "TokenServer"
    request: StrictRequest

    def validate_token_request(self) -> None:
        """Authenticate, then decide roles, audience and end; all from one statement."""
        self.request.client = Client(self.server.prove(self.request))
        self.request.issued = self.server.decide(self.request)

    def create_token_response(self) -> tuple[int, dict[str, Any], str]:
        """RFC 6749 §5.1; the signature comes last."""
        issued = self.request.issued
        token = {
            "access_token": self.server.sign(issued),
            "token_type": "Bearer",
            "expires_in": issued.expires_in,
            "scope": issued.scope,
        }
        return 200, token, self.request.client.get_client_id()


class TokenServer(AuthorizationServer):  # type: ignore[misc]
    """Authlib's server over plain values: the same door under Flask and bare WSGI."""

    def __init__(self, *, hot: HotReads, activity: ActivityClock, sign: Sign, issuer: str, pepper: bytes) -> None:
        super().__init__()
        self._hot, self._activity, self.sign, self._issuer, self._pepper = hot, activity, sign, issuer, pepper
        self.register_grant(DelegatedClientCredentialsGrant)

    def handle_response(self, status: int, body: Any, headers: Any) -> Reply:
        """Make the grant's triple a ``Reply``; where Authlib has headers stands the client's id."""
        return Reply(status, dump(body).encode(), note={"outcome": "granted", "client": headers})

    def prove(self, request: StrictRequest) -> Authenticated:
        """Who is calling; raises the verbs' refusals."""
        who, resource = request.who, request.payload.data.get("resource")
        return authenticate(
            who.client_id, who.secret, resource, hot=self._hot, pepper=self._pepper, activity=self._activity
        )

    def decide(self, request: StrictRequest) -> Issued:
        """What it gets."""
        form = request.payload.data
        return issue(
            request.client.who,
            form.get("scope", ""),
            form.get("resource", ""),
            issuer=self._issuer,
            activity=self._activity,
            peer=request.peer,
            agent=request.agent,
        )

    def door(self, ask: Ask) -> Reply:
        """POST token."""
        form = read_form(ask, _REPEATABLE)
        if "grant_type" not in form:
            return refusal("invalid_request", "grant_type is missing; send grant_type=client_credentials.")
        request = StrictRequest(ask, form)
        try:
            grant = self.get_token_grant(request)
            request.who = who = presented(ask, form)
            return self._granted(grant)
        except UnsupportedGrantTypeError:
            return refusal("unsupported_grant_type", "Send grant_type=client_credentials; no other grant is offered.")
        except NoCredentials as error:
            return unauthenticated(error)
        except InvalidClient as error:
            return invalid_client(error.reason, who.client_id)
        except (InvalidScope, InvalidTarget) as error:
            return refusal(error.code, str(error), note={"client": who.client_id})

    def _granted(self, grant: DelegatedClientCredentialsGrant) -> Reply:
        grant.validate_token_request()
        try:
            return self.handle_response(*grant.create_token_response())
        except KeyGone:
            # Another key took over between the facts and the signature: once more, from the facts of now.
            grant.validate_token_request()
            return self.handle_response(*grant.create_token_response())

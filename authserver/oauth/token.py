"""POST token (RFC 6749 §3.2) on Authlib's authorization-server and grant classes.

Authlib dispatches and shapes; what it does not enforce is enforced before it
(``request.read_form``), and who the client is, which roles it gets and which
key signs is decided by ``actions/issue_token``.
"""

from collections.abc import Callable
from typing import Any

from authlib.oauth2 import OAuth2Error, OAuth2Request
from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin
from authlib.oauth2.rfc6749.errors import InvalidRequestError, UnsupportedGrantTypeError
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload

from authserver.actions.issue_token import Authenticated, Issued, authenticate, issue
from authserver.oauth.client_auth import NoCredentials, invalid_client, presented
from authserver.oauth.request import NO_STORE, Ask, Malformed, Reply, json_reply, read_form, refusal
from authserver.ports import ActivityClock, HotReads, InvalidClient, InvalidScope, InvalidTarget

Sign = Callable[[Issued], str]


class StrictRequest(OAuth2Request):
    """An Authlib request over a form that was read strictly already; no URL takes part."""

    def __init__(self, ask: Ask, form: dict[str, str]) -> None:
        super().__init__(ask.method, "https://token.invalid/")
        self.ask = ask
        self.payload = BasicOAuth2Payload(form)
        self.issued: Issued | None = None


class Client(ClientMixin):  # type: ignore[misc]
    """A client that proved its secret, in the shape Authlib's grants ask."""

    def __init__(self, who: Authenticated) -> None:
        self.who = who

    def get_client_id(self) -> str:
        """The client id."""
        return self.who.facts.client_id

    def check_grant_type(self, grant_type: str) -> bool:
        """Every application credential is made for one grant."""
        return grant_type == ClientCredentialsGrant.GRANT_TYPE


class DelegatedClientCredentialsGrant(ClientCredentialsGrant):  # type: ignore[misc]
    """client_credentials on behalf of the credential's owner."""

    server: "TokenServer"

    def validate_token_request(self) -> None:
        """Authenticate, then decide roles, audience and end; all from one statement."""
        self.request.client = Client(self.server.prove(self.request))
        self.request.issued = self.server.decide(self.request)

    def create_token_response(self) -> tuple[int, dict[str, Any], tuple[tuple[str, str], ...]]:
        """RFC 6749 §5.1; the signature comes last."""
        issued: Issued = self.request.issued
        token = {
            "access_token": self.server.sign(issued),
            "token_type": "Bearer",
            "expires_in": issued.expires_in,
            "scope": issued.scope,
        }
        return 200, token, NO_STORE


class TokenServer(AuthorizationServer):  # type: ignore[misc]
    """Authlib's server over plain values: the same door under Flask and bare WSGI."""

    def __init__(self, *, hot: HotReads, activity: ActivityClock, sign: Sign, issuer: str, pepper: bytes) -> None:
        super().__init__()
        self._hot, self._activity, self.sign, self._issuer, self._pepper = hot, activity, sign, issuer, pepper
        self.register_grant(DelegatedClientCredentialsGrant)

    def create_oauth2_request(self, request: StrictRequest) -> StrictRequest:
        """Ours already has Authlib's shape."""
        return request

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Nobody listens."""

    def handle_response(self, status: int, body: Any, headers: Any) -> Reply:
        """Make Authlib's triple a ``Reply``."""
        reply = json_reply(body, status, tuple(headers))
        note = {"outcome": "granted"} if status == 200 else {"outcome": str(dict(body).get("error"))}  # noqa: PLR2004
        return Reply(reply.status, reply.body, headers=reply.headers, note=note)

    def prove(self, request: StrictRequest) -> Authenticated:
        """Who is calling; raises the verbs' refusals."""
        form = request.payload.data
        who = presented(request.ask, form)
        return authenticate(who.client_id, who.secret, form.get("resource"), hot=self._hot, pepper=self._pepper)

    def decide(self, request: StrictRequest) -> Issued:
        """What it gets."""
        scope = request.payload.scope or ""
        return issue(request.client.who, scope, issuer=self._issuer, activity=self._activity)

    def door(self, ask: Ask) -> Reply:
        """POST token."""
        try:
            form = read_form(ask)
            if "grant_type" not in form:
                raise InvalidRequestError("grant_type is missing; send grant_type=client_credentials.")
            request = StrictRequest(ask, form)
            grant = self.get_token_grant(request)
            grant.validate_token_request()
            return self.handle_response(*grant.create_token_response())
        except Malformed as error:
            return refusal("invalid_request", str(error), error.status)
        except (NoCredentials, InvalidClient):
            return invalid_client()
        except (InvalidScope, InvalidTarget) as error:
            return refusal(error.code, str(error))
        except UnsupportedGrantTypeError:
            return refusal("unsupported_grant_type", "Send grant_type=client_credentials; no other grant is offered.")
        except OAuth2Error as error:
            return refusal(error.error or "invalid_request", error.description or "", 400)

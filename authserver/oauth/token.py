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

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from authlib.oauth2 import OAuth2Request
from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin
from authlib.oauth2.rfc6749.errors import UnsupportedGrantTypeError
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload

from authserver.actions.issue_token import Authenticated, Issued, authenticate, issue
from authserver.oauth.client_auth import NoCredentials, invalid_client, presented, unauthenticated
from authserver.oauth.request import Ask, Readings, Reply, dump, mark_of, read_form, refusal
from authserver.ports import ActivityClock, HotReads, InvalidClient, InvalidScope, InvalidTarget, KeyGone
from authserver.rules.claimant import Claimant, NotWhole, claimant
from authserver.rules.secret_format import CREDENTIAL_PREFIX

Sign = Callable[[Issued], str]

_REPEATABLE = frozenset({"resource"})
"""RFC 8707 §2 lets a client ask for several; a token of ours is for one."""

_JUDGED = ("grant_type", "scope", "resource")
"""What of a form is looked at after it was read; the secret is not among it."""

_REMEMBERED = 4_096


_BLANK: Mapping[str, Any] = vars(OAuth2Request("POST", "https://token.invalid/"))


class Asked(NamedTuple):
    """What one request asks, read from its bytes alone."""

    who: Claimant
    form: Mapping[str, str]


class StrictRequest(OAuth2Request):  # type: ignore[misc]
    """An Authlib request over a form that was read strictly already; no URL takes part."""

    client: "Client"
    issued: Issued

    def __init__(self, ask: Ask, form: Mapping[str, str]) -> None:
        # Not the parent's, which judges a URL each time; the way the request came was judged at the door.
        self.__dict__.update(_BLANK)
        self.payload = BasicOAuth2Payload(form)
        self.ask = ask


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
    who: Claimant

    def validate_token_request(self) -> None:
        """Authenticate, then decide roles, audience and end; all from one statement."""
        self.request.client = Client(self.server.prove(self.request, self.who))
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
        self._read_before: Readings[Asked] = Readings(_REMEMBERED)
        self.register_grant(DelegatedClientCredentialsGrant)

    def handle_response(self, status: int, body: Any, headers: Any) -> Reply:
        """Make the grant's triple a ``Reply``; where Authlib has headers stands the client's id."""
        return Reply(status, dump(body), note={"outcome": "granted", "client": headers})

    def prove(self, request: StrictRequest, who: Claimant) -> Authenticated:
        """Who is calling; raises the verbs' refusals."""
        resource = request.payload.data.get("resource")
        return authenticate(who, resource, hot=self._hot, activity=self._activity)

    def decide(self, request: StrictRequest) -> Issued:
        """What it gets."""
        form, ask = request.payload.data, request.ask
        return issue(
            request.client.who,
            form.get("scope", ""),
            form.get("resource", ""),
            issuer=self._issuer,
            activity=self._activity,
            peer=ask.peer,
            agent=ask.headers.get("user-agent", ""),
        )

    def door(self, ask: Ask) -> Reply:
        """POST token.

        Clients send the same bytes again for each new token. How such a request reads is remembered,
        under a hash of them; whether the client is good, and for what, is judged each time.
        """
        mark = mark_of(ask)
        before = self._read_before.get(mark)
        asked = before or self._read(ask)
        if isinstance(asked, Reply):
            return asked
        try:
            reply = self._granted(self.get_token_grant(StrictRequest(ask, asked.form)), asked.who)
        except InvalidClient as error:
            if before is not None:
                self._read(ask)  # so that a secret that was right once is refused no faster than any other (INV-29)
            return invalid_client(error.reason, asked.who.client_id)
        except (InvalidScope, InvalidTarget) as error:
            return refusal(error.code, str(error), note={"client": asked.who.client_id})
        if before is None:
            self._read_before.keep(mark, asked)
        return reply

    def _read(self, ask: Ask) -> Asked | Reply:
        form = read_form(ask, _REPEATABLE)
        if "grant_type" not in form:
            return refusal("invalid_request", "grant_type is missing; send grant_type=client_credentials.")
        try:
            self.get_token_grant(StrictRequest(ask, form))
            who = presented(ask, form)
            asking = claimant(who.client_id, who.secret, prefix=CREDENTIAL_PREFIX, pepper=self._pepper)
        except UnsupportedGrantTypeError:
            return refusal("unsupported_grant_type", "Send grant_type=client_credentials; no other grant is offered.")
        except NoCredentials as error:
            return unauthenticated(error)
        except NotWhole as error:
            return invalid_client(error.reason, who.client_id)
        return Asked(asking, {name: form[name] for name in _JUDGED if name in form})

    def _granted(self, grant: DelegatedClientCredentialsGrant, who: Claimant) -> Reply:
        grant.who = who
        grant.validate_token_request()
        try:
            return self.handle_response(*grant.create_token_response())
        except KeyGone:
            # Another key took over between the facts and the signature: once more, from the facts of now.
            grant.validate_token_request()
            return self.handle_response(*grant.create_token_response())

"""POST revoke (RFC 7009): a client ends its own token."""

from authserver.actions.introspect import FOREIGN_TOKEN
from authserver.actions.issue_token import authenticate
from authserver.actions.preconditions.client_assertion import AssertionContext
from authserver.actions.revoke_token import revoke
from authserver.oauth.client_authentication import (
    NoCredentials,
    UnusableCredentials,
    invalid_client,
    presented_credential,
    refused,
)
from authserver.oauth.form import read_form
from authserver.oauth.http import Request, Response, error_response
from authserver.oauth.verified_tokens import VerifiedTokens
from authserver.ports.errors import InvalidClient, InvalidGrant
from authserver.ports.hot_path import HotPathReads
from authserver.ports.sessions import Sessions


class RevocationEndpoint:
    """RFC 7009 §2: a client ends its own token."""

    def __init__(
        self,
        *,
        hot_path: HotPathReads,
        sessions: Sessions,
        assertions: AssertionContext,
        verified_tokens: VerifiedTokens,
        pepper: bytes,
    ) -> None:
        self._hot_path, self._sessions, self._pepper = hot_path, sessions, pepper
        self._assertions, self._verified_tokens = assertions, verified_tokens

    def __call__(self, request: Request) -> Response:
        """POST revoke."""
        form = read_form(request)
        try:
            presented = presented_credential(request, form, self._pepper)
            proven = authenticate(
                presented, None, hot_path=self._hot_path, assertions=self._assertions, peer=request.peer
            )
            if "token" not in form:
                return error_response(
                    "invalid_request", "token is missing.", log_fields={"client": presented.client_id}
                )
            start = self._verified_tokens.verified_start(form["token"])
            revoke(proven.facts.client_id, start, proven.facts.now, sessions=self._sessions)
        except (NoCredentials, UnusableCredentials) as error:
            return refused(error)
        except InvalidClient as error:
            return invalid_client(error.reason, presented.client_id)
        except InvalidGrant as error:
            return error_response(
                "invalid_grant", str(error), log_fields={"reason": FOREIGN_TOKEN, "client": presented.client_id}
            )
        return Response(200, b"{}", log_fields={"outcome": "revoked", "client": presented.client_id})

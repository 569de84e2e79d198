"""Who calls: the owner, the credential, the token."""

from pydantic import Field

from authserver.api.context import ApiContext
from authserver.api.operations import TOKEN, Answer, operation
from authserver.api.schemas import InstantOut, Model
from authserver.rules import permission


class TokenOfCaller(Model):
    """The token of this request."""

    jti: str
    expires_at: InstantOut
    idle_expires_at: InstantOut = Field(description="When it dies unless it is used before.")


class Me(Model):
    """In whose name the caller acts, and what its token opens."""

    user_id: str
    username: str
    client_id: str
    roles: list[str] = Field(description="The roles of the token.")
    permissions: list[str] = Field(description="What the builder roles among them open.")
    token: TokenOfCaller


@operation("GET", "/me", access=TOKEN, tag="me", answer=Me)
def get_me(context: ApiContext) -> Answer:
    """Show who calls.

    The call is a use of the token, as every call is.
    """
    caller = context.caller
    opened = sorted(caller.permissions & set(permission.PERMISSIONS)) if caller.may_enter else []
    return Answer(
        Me(
            user_id=caller.user.id,
            username=caller.user.username,
            client_id=caller.client_id,
            roles=sorted(caller.roles),
            permissions=opened,
            token=TokenOfCaller(jti=caller.jti, expires_at=caller.expires_at, idle_expires_at=caller.idle_expires_at),
        )
    )

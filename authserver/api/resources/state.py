"""The whole state as a document: read it, and make it so, all or nothing."""

from typing import Any

from pydantic import Field

from authserver.api.context import ApiContext
from authserver.api.operations import STATE, Answer, operation
from authserver.api.preconditions import etag_of
from authserver.api.schemas import Model, Query
from authserver.desired_state import apply as desired_state
from authserver.desired_state.document import StateDocument


class ApplyQuery(Query):
    """How to make it so."""

    dry_run: bool = Field(default=False, description="Show the steps and change nothing.")
    prune: bool = Field(default=False, description="Let go what a section does not name.")


class StateStep(Model):
    """One change."""

    action: str
    target: str
    values: dict[str, Any]
    ends_tokens: int = Field(description="Live tokens that it ends; 500 stands for so many or more.")


class SecretOfServer(Model):
    """The secret of a resource server that was made."""

    resource_server: str
    client_id: str
    client_secret: str


class AppliedDocument(Model):
    """What was changed, or would be."""

    dry_run: bool
    steps: list[StateStep]
    secrets: list[SecretOfServer] = Field(description="Of new resource servers; shown this once.")


def _etag(context: ApiContext) -> str:
    return etag_of(desired_state.export(context.opened.accounts).model_dump(mode="json"))


@operation("GET", "/state", access=STATE, tag="state", answer=StateDocument, etag=True)
def read_state(context: ApiContext) -> Answer:
    """Show the state: roles, users, resource servers, settings, credentials.

    Secrets and passwords are never in it.
    """
    return Answer(desired_state.export(context.accounts), etag=_etag(context))


@operation(
    "PUT",
    "/state",
    access=STATE,
    tag="state",
    answer=AppliedDocument,
    query=ApplyQuery,
    body=StateDocument,
    edits=True,
)
def put_state(context: ApiContext, query: ApplyQuery, body: StateDocument) -> Answer:
    """Make it so, all of it or nothing.

    A section that is left out is not touched; the roles of a user that is named become exactly these. If-Match names
    the state that was read.
    """
    done = desired_state.apply(
        context.editing(lambda _tx: _etag(context)),
        body,
        prune=query.prune,
        dry_run=query.dry_run,
        as_user=context.caller.user.username,
        **context.who,
    )
    return Answer(
        AppliedDocument(
            dry_run=query.dry_run,
            steps=[
                StateStep(action=each.action, target=each.target, values=each.values, ends_tokens=each.ends)
                for each in done.steps
            ],
            secrets=[
                SecretOfServer(resource_server=name, client_id=client_id, client_secret=secret)
                for name, (client_id, secret) in done.secrets.items()
            ],
        )
    )

"""The document of a preview: what a change would end."""

from pydantic import Field

from authserver.api.schemas import Model
from authserver.ports.console_reads.users import Preview


class LossDocument(Model):
    """What one credential would lose."""

    client_id: str
    name: str
    owner: str
    lost_roles: list[str]
    left_roles: list[str]
    live_tokens: int


class PreviewDocument(Model):
    """What a change would end. Nothing is changed by asking."""

    users: int = Field(description="How many users it touches.")
    credentials: int = Field(description="How many credentials lose roles or tokens.")
    live_tokens: int = Field(description="How many tokens would end.")
    at_least: bool = Field(description="Whether both numbers are lower bounds: the count stopped.")
    losses: list[LossDocument] = Field(description="The first 100, the most tokens first.")

    @classmethod
    def of(cls, preview: Preview) -> "PreviewDocument":
        """As the store counted it."""
        losses = [
            LossDocument(
                client_id=each.client_id,
                name=each.name,
                owner=each.owner,
                lost_roles=list(each.lost),
                left_roles=list(each.left),
                live_tokens=each.live_tokens,
            )
            for each in preview.losses
        ]
        return cls(
            users=preview.users,
            credentials=preview.credentials,
            live_tokens=preview.live_tokens,
            at_least=preview.at_least,
            losses=losses,
        )

"""General settings: whoever may enter reads them; a change of one shows first what it would end."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

from pydantic import Field

from authserver.actions import general_settings
from authserver.api.context import ApiContext
from authserver.api.operations import BUILDER, SETTINGS, Answer, operation
from authserver.api.preconditions import etag_of
from authserver.api.schemas import InstantOut, Items, Model, Query
from authserver.ports.console_reads.audit import SettingRow
from authserver.ports.errors import Invalid, NotFound
from authserver.ports.transaction import Transaction

Value = Annotated[int, Field(ge=0, le=999_999_999)] | Annotated[str, Field(max_length=255)] | None


class SettingDocument(Model):
    """A general setting, and the change that gave it its value."""

    name: str
    value: int | str | None
    minimum: int | None
    maximum: int | None
    changed_by: str | None = Field(description="Null where it is as it was at first.")
    changed_at: InstantOut | None


class SettingChange(Model):
    """A change of a setting on record."""

    before: int | str | None
    after: int | str | None
    changed_by: str | None
    changed_at: InstantOut | None


class NewValue(Model):
    """What a setting shall be: a whole number, a text, or null for none."""

    value: Value


class ValueQuery(Query):
    """The value to preview."""

    value: Annotated[int, Field(ge=0, le=999_999_999)]


class EndedTokens(Model):
    """What a value would end."""

    live_tokens: int = Field(description="Live tokens that would end; 500 stands for so many or more.")


def _document(row: SettingRow) -> SettingDocument:
    low, high = general_settings.BOUNDS.get(row.name, (None, None))
    return SettingDocument(
        name=row.name,
        value=_plain(row.value),
        minimum=low,
        maximum=high,
        changed_by=row.changed_by,
        changed_at=row.changed_at,
    )


def _plain(value: object) -> int | str | None:
    return value if isinstance(value, (int, str)) or value is None else str(value)


def _etag(name: str, value: object) -> str:
    return etag_of(name, _plain(value))


def _row(context: ApiContext, name: str) -> SettingRow:
    for row in context.store.audit_reads.setting_rows():
        if row.name == name:
            return row
    raise NotFound(name)


def _etag_in(name: str) -> Callable[[Transaction], str]:
    return lambda tx: _etag(name, asdict(tx.general())[name])


@operation("GET", "/settings", access=BUILDER, tag="settings", answer=Items[SettingDocument])
def list_settings(context: ApiContext) -> Answer:
    """List all general settings."""
    return Answer(Items[SettingDocument](items=[_document(row) for row in context.store.audit_reads.setting_rows()]))


@operation("GET", "/settings/<name>", access=BUILDER, tag="settings", answer=SettingDocument, etag=True)
def read_setting(context: ApiContext, name: str) -> Answer:
    """Show one setting."""
    row = _row(context, name)
    return Answer(_document(row), etag=_etag(name, row.value))


@operation("GET", "/settings/<name>/history", access=BUILDER, tag="settings", answer=Items[SettingChange])
def read_setting_history(context: ApiContext, name: str) -> Answer:
    """List the last changes of a setting, the newest first."""
    _row(context, name)
    items = [
        SettingChange(
            before=_plain(each.before),
            after=_plain(each.value),
            changed_by=each.changed_by,
            changed_at=each.changed_at,
        )
        for each in context.store.audit_reads.setting_history(name, 200)
    ]
    return Answer(Items[SettingChange](items=items))


@operation("GET", "/settings/<name>/preview", access=SETTINGS, tag="settings", answer=EndedTokens, query=ValueQuery)
def preview_setting(context: ApiContext, name: str, query: ValueQuery) -> Answer:
    """Show how many tokens a value would end."""
    _row(context, name)
    if name not in general_settings.ENDS_TOKENS:
        return Answer(EndedTokens(live_tokens=0))
    low, high = general_settings.BOUNDS[name]
    if not low <= query.value <= high:
        msg = f"{name} is a whole number from {low} to {high}"
        raise Invalid(msg)
    return Answer(EndedTokens(live_tokens=context.store.token_reads.ended_by(context.now, **{name: query.value})))


@operation(
    "PUT",
    "/settings/<name>",
    access=SETTINGS,
    tag="settings",
    answer=SettingDocument,
    body=NewValue,
    edits=True,
    etag=True,
)
def change_setting(context: ApiContext, name: str, body: NewValue) -> Answer:
    """Change a setting.

    It holds for live tokens at once.
    """
    _row(context, name)
    if (name in general_settings.BOUNDS) != isinstance(body.value, int):
        msg = f"{name} is {'a whole number' if name in general_settings.BOUNDS else 'a text'}"
        raise Invalid(msg)
    general_settings.set_general(
        context.editing(_etag_in(name)).accounts, name, "" if body.value is None else str(body.value), **context.who
    )
    row = _row(context, name)
    return Answer(_document(row), etag=_etag(name, row.value))

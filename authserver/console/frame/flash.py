"""Flash messages ("Saved.") and the draft of a form, kept for the next page.

Both are stored with the session on the server, as one text: ``{"notices": [...],
"draft": {"path": ..., "fields": ...}}``. So they need no cookie, and they are
gone with the sign-in.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from flask import Response, g

from authserver.actions.sign_in import hashed
from authserver.console.context import console_context
from authserver.console.frame import cookies

Kind = Literal["status", "alert"]
_MAX_MESSAGES: Final = 5


@dataclass(frozen=True, slots=True)
class FlashMessage:
    """One sentence for the next page; ``undo`` is where a form to take it back is sent, with its button's text."""

    text: str
    kind: Kind = "status"
    undo: tuple[str, str] | None = None


def flash(text: str, *, kind: Kind = "status", undo: tuple[str, str] | None = None) -> None:
    """Show a message on the next page, be it this one or the one after a redirect."""
    _new_messages().append(FlashMessage(text, kind, undo))


def take_messages() -> list[FlashMessage]:
    """Take all messages, to be shown now."""
    pending = _pending()
    stored = [_message_from(each) for each in pending.pop("notices", [])]
    if stored:
        g.console_pending_changed = True
    new, g.console_messages = _new_messages(), []
    return [*stored, *new]


def draft(path: str) -> dict[str, list[str]] | None:
    """What somebody had typed into the form at ``path`` before they had to sign in again; given out once."""
    pending = _pending()
    found = pending.get("draft")
    if not isinstance(found, dict) or found.get("path") != path:
        return None
    del pending["draft"]
    g.console_pending_changed = True
    fields: dict[str, list[str]] = found["fields"]
    return fields


def put_draft(path: str, fields: dict[str, list[str]]) -> None:
    """Keep a form for the page at ``path``."""
    _pending()["draft"] = {"path": path, "fields": fields}
    g.console_pending_changed = True


def pending_draft(path: str, fields: dict[str, list[str]]) -> str:
    """A form for the page at ``path``, to be kept with a sign-in that begins."""
    return json.dumps({"draft": {"path": path, "fields": fields}})


def store_pending(_response: Response) -> None:
    """Store what this request added or showed; writes only if something changed."""
    new = _new_messages()
    if console_context().current_user is None or not (new or g.get("console_pending_changed")):
        return
    pending = _pending()
    pending["notices"] = [*pending.get("notices", []), *(asdict(each) for each in new)][-_MAX_MESSAGES:]
    console_context().store.sign_ins.set_pending(hashed(cookies.browser_id()), json.dumps(pending))


def _new_messages() -> list[FlashMessage]:
    found: list[FlashMessage] = g.setdefault("console_messages", [])
    return found


def _pending() -> dict[str, Any]:
    known: dict[str, Any] | None = g.get("console_pending")
    if known is None:
        current_user = console_context().current_user
        known = json.loads(current_user.pending) if current_user and current_user.pending else {}
        g.console_pending = known
    return known


def _message_from(stored: dict[str, Any]) -> FlashMessage:
    undo = stored.get("undo")
    return FlashMessage(stored["text"], stored["kind"], tuple(undo) if undo else None)

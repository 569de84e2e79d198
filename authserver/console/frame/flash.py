"""What waits for the next page: notices ("Saved."), and a form that was being filled in.

Both stand with the sign-in on the server, in one text: ``{"notices": [...],
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
_MOST: Final = 5


@dataclass(frozen=True, slots=True)
class FlashMessage:
    """One sentence for the next page; ``undo`` is where a form to take it back is sent, with its button's text."""

    text: str
    kind: Kind = "status"
    undo: tuple[str, str] | None = None


def flash(text: str, *, kind: Kind = "status", undo: tuple[str, str] | None = None) -> None:
    """Tell something on the next page that is shown, be it this one or the one behind a redirect."""
    _new_messages().append(FlashMessage(text, kind, undo))


def take_messages() -> list[FlashMessage]:
    """All notices, to be shown now."""
    waiting = _pending()
    kept = [_notice(each) for each in waiting.pop("notices", [])]
    if kept:
        g.console_waiting_changed = True
    told, g.console_notices = _new_messages(), []
    return [*kept, *told]


def draft(path: str) -> dict[str, list[str]] | None:
    """What somebody had typed into the form at ``path`` before they had to sign in again; given out once."""
    waiting = _pending()
    found = waiting.get("draft")
    if not isinstance(found, dict) or found.get("path") != path:
        return None
    del waiting["draft"]
    g.console_waiting_changed = True
    fields: dict[str, list[str]] = found["fields"]
    return fields


def put_draft(path: str, fields: dict[str, list[str]]) -> None:
    """Keep a form for the page at ``path``."""
    _pending()["draft"] = {"path": path, "fields": fields}
    g.console_waiting_changed = True


def pending_draft(path: str, fields: dict[str, list[str]]) -> str:
    """A form for the page at ``path``, to be kept with a sign-in that begins."""
    return json.dumps({"draft": {"path": path, "fields": fields}})


def store_pending(_response: Response) -> None:
    """Write down what this request added or showed; once, and only if it did."""
    told = _new_messages()
    if console_context().current_user is None or not (told or g.get("console_waiting_changed")):
        return
    waiting = _pending()
    waiting["notices"] = [*waiting.get("notices", []), *(asdict(each) for each in told)][-_MOST:]
    console_context().store.sign_ins.set_pending(hashed(cookies.browser_id()), json.dumps(waiting))


def _new_messages() -> list[FlashMessage]:
    found: list[FlashMessage] = g.setdefault("console_notices", [])
    return found


def _pending() -> dict[str, Any]:
    known: dict[str, Any] | None = g.get("console_waiting")
    if known is None:
        current_user = console_context().current_user
        known = json.loads(current_user.pending) if current_user and current_user.pending else {}
        g.console_waiting = known
    return known


def _notice(kept: dict[str, Any]) -> FlashMessage:
    undo = kept.get("undo")
    return FlashMessage(kept["text"], kept["kind"], tuple(undo) if undo else None)

"""Who made a change, and from where, as its audit record says."""

import json

from authserver.audit import PEER, Record
from authserver.console.i18n.messages import _

_CONSOLE, _SHELL, _PEER, _SYSTEM = "console:", "cli:", "peer:", "system"


def actor_of(record: Record) -> str:
    """The display name of the client; empty where only an address is known."""
    if record.actor == _SYSTEM:
        return _("the server itself")
    return "" if record.actor.startswith(_PEER) else record.actor.removeprefix(_CONSOLE).removeprefix(_SHELL)


def actor_name(actor: str) -> str:
    """Who it was, where only the name on record is at hand."""
    if actor.startswith(_SHELL):
        return f"{actor.removeprefix(_SHELL)}, {_('on the command line')}"
    return actor.removeprefix(_CONSOLE)


def origin(record: Record) -> str:
    """From where it was asked for; empty where that is not on record, as in those of an older version."""
    if record.actor.startswith(_SHELL):
        return _("on the command line")
    address = record.actor.removeprefix(_PEER) if record.actor.startswith(_PEER) else _recorded_peer(record)
    return _("from %(address)s", address=address) if address else ""


def _recorded_peer(record: Record) -> str:
    try:
        found = json.loads(record.detail)
    except (TypeError, ValueError):
        return ""
    return str(found.get(PEER, "")) if isinstance(found, dict) else ""

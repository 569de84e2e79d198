"""Audit records as a SIEM reads them: OCSF 1.5, CEF, and the frame of syslog (RFC 5424).

Nothing is left out: whatever has no member of its own in a format is in ``unmapped`` (OCSF) or ``cs3`` (CEF), and
number and hash of the record are in each, so that a SIEM can be compared with an export.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from authserver.audit import CLIENT, PEER, Record
from authserver.audit_export.lines import iso, json_line
from authserver.audit_export.vocabulary import EVENTS, NOTICE, VERSION, WARNING, EventType

VENDOR: Final = "authserver"
PRODUCT: Final = "audit trail"
"""With the version of the vocabulary, since that is what a parser depends on."""

OCSF_VERSION: Final = "1.5.0"

_UNKNOWN: Final = EventType("an event of a newer version of the vocabulary", "")
_ACCOUNT, _AUTHENTICATION, _ENTITY, _ACCESS = 3001, 3002, 3004, 3005
"""Classes of OCSF's category Identity & Access Management."""

_OTHER: Final = 99
_CLASSES: Final[Mapping[str, tuple[int, int]]] = {
    "user.created": (_ACCOUNT, 1),
    "user.enabled": (_ACCOUNT, 2),
    "user.password_set": (_ACCOUNT, 3),
    "user.disabled": (_ACCOUNT, 5),
    "user.role_granted": (_ACCESS, 1),
    "user.role_revoked": (_ACCESS, 2),
    "console.signed_in": (_AUTHENTICATION, 1),
    "console.session_ended": (_AUTHENTICATION, 2),
    "console.other_sessions_ended": (_AUTHENTICATION, 2),
}
"""Class and activity of what has a class of its own; a refusal is a failed logon, everything else an entity."""

_ACTIVITIES: Final[Mapping[str, int]] = {
    "created": 1,
    "generated": 1,
    "key_added": 1,
    "certificate_added": 1,
    "link_made": 1,
    "deleted": 4,
    "key_removed": 4,
    "certificate_removed": 4,
    "removed": 4,
    "ended": 4,
    "enabled": 8,
    "disabled": 9,
    "activated": 10,
    "retired": 11,
    "compromised": 11,
}
"""Activities of OCSF's Entity Management by the verb of an event; 3, an update, for all others."""

_NAMES: Final[Mapping[tuple[int, int], str]] = {
    (_ACCOUNT, 1): "Create",
    (_ACCOUNT, 2): "Enable",
    (_ACCOUNT, 3): "Password Change",
    (_ACCOUNT, 5): "Disable",
    (_ACCESS, 1): "Assign Privileges",
    (_ACCESS, 2): "Revoke Privileges",
    (_AUTHENTICATION, 1): "Logon",
    (_AUTHENTICATION, 2): "Logoff",
    (_ENTITY, 1): "Create",
    (_ENTITY, 3): "Update",
    (_ENTITY, 4): "Delete",
    (_ENTITY, 8): "Enable",
    (_ENTITY, 9): "Disable",
    (_ENTITY, 10): "Activate",
    (_ENTITY, 11): "Deactivate",
}
_CLASS_NAMES: Final[Mapping[int, str]] = {
    _ACCOUNT: "Account Change",
    _AUTHENTICATION: "Authentication",
    _ENTITY: "Entity Management",
    _ACCESS: "User Access Management",
}


def ocsf(record: Record) -> str:
    """A record as one line of JSON by the Open Cybersecurity Schema Framework."""
    detail = json.loads(record.detail)
    refused = record.event.endswith(".refused")
    kind, activity = (_AUTHENTICATION, 1) if refused else _CLASSES.get(record.event, (_ENTITY, 0))
    noun, _, verb = record.event.partition(".")
    activity = activity or _ACTIVITIES.get(verb, 3)
    warning = _type(record).severity == WARNING
    document: dict[str, Any] = {
        "metadata": {
            "version": OCSF_VERSION,
            "product": {"name": PRODUCT, "vendor_name": VENDOR, "version": str(VERSION)},
            "uid": record.hash,
            "sequence": record.seq,
            "event_code": record.event,
            "log_name": "audit",
        },
        "category_uid": 3,
        "category_name": "Identity & Access Management",
        "class_uid": kind,
        "class_name": _CLASS_NAMES[kind],
        "activity_id": activity,
        "activity_name": _NAMES[kind, activity],
        "type_uid": kind * 100 + activity,
        "type_name": f"{_CLASS_NAMES[kind]}: {_NAMES[kind, activity]}",
        "severity_id": 3 if warning else 1,
        "severity": "Medium" if warning else "Informational",
        "status_id": 2 if refused else 1,
        "status": "Failure" if refused else "Success",
        "time": record.at * 1000,
        "message": _type(record).meaning,
        "actor": {"user": {"name": record.actor}, **_of(detail, CLIENT, "app_uid")},
        **({"src_endpoint": {"ip": detail[PEER]}} if PEER in detail else {}),
        **({"status_detail": str(detail["reason"])} if refused and "reason" in detail else {}),
        **_object(kind, noun, record, detail),
        "unmapped": {"target": record.target, "detail": detail, "previous_hash": record.previous_hash},
    }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=True) + "\n"


def _object(kind: int, noun: str, record: Record, detail: Mapping[str, Any]) -> dict[str, Any]:
    """What a class demands beside the members of all: the user, and with it the role, or the entity."""
    if kind == _ENTITY:
        return {"entity": {"type": noun, "uid": record.target, "name": str(detail.get("name", record.target))}}
    user = {"name": str(detail.get("username", record.target)), **_of(detail, "user", "uid")}
    if kind == _ACCESS:
        return {"user": user, "privileges": [str(detail.get("role", ""))]}
    return {"user": user}


def _of(detail: Mapping[str, Any], name: str, as_name: str) -> dict[str, str]:
    return {as_name: str(detail[name])} if name in detail else {}


def cef(record: Record) -> str:
    """A record as one line of ArcSight's Common Event Format, revision 25."""
    detail = json.loads(record.detail)
    severity = "6" if _type(record).severity == WARNING else "3"
    header = "|".join(
        _escaped(text, "|") for text in (VENDOR, PRODUCT, str(VERSION), record.event, _type(record).meaning, severity)
    )
    extension = {
        "rt": str(record.at * 1000),
        "externalId": str(record.seq),
        "act": record.event,
        "outcome": "failure" if record.event.endswith(".refused") else "success",
        "suser": record.actor,
        **({"src": str(detail[PEER])} if PEER in detail and ":" not in str(detail[PEER]) else {}),
        **({"c6a2Label": "source", "c6a2": str(detail[PEER])} if ":" in str(detail.get(PEER, "")) else {}),
        **({"reason": str(detail["reason"])} if "reason" in detail else {}),
        "cs1Label": "target",
        "cs1": record.target,
        "cs2Label": "hash",
        "cs2": record.hash,
        "cs3Label": "detail",
        "cs3": record.detail,
    }
    return f"CEF:0|{header}|" + " ".join(f"{name}={_escaped(text, '=')}" for name, text in extension.items()) + "\n"


def _escaped(text: str, separator: str) -> str:
    """CEF's escapes; a line end inside a header has none, and becomes a blank."""
    plain = text.replace("\\", "\\\\").replace(separator, f"\\{separator}")
    if separator == "|":
        return plain.replace("\r", " ").replace("\n", " ")
    return plain.replace("\r", "\\r").replace("\n", "\\n")


def jsonl(record: Record) -> str:
    """A record as a line of an export."""
    return json_line(record)


FORMATS: Final[Mapping[str, Callable[[Record], str]]] = {"jsonl": jsonl, "ocsf": ocsf, "cef": cef}
"""The formats by name; each makes one line with its end."""

_LOG_AUDIT: Final = 13
"""RFC 5424 §6.2.1: the facility "log audit"."""

_SYSLOG_SEVERITIES: Final[Mapping[str, int]] = {WARNING: 4, NOTICE: 5}
_MAX_MSGID: Final = 32
_MAX_SEQUENCE: Final = 2_147_483_647


def syslog(record: Record, text: str, *, host: str, process: str) -> bytes:
    """A record in a message of RFC 5424, without the framing of a transport.

    ``meta sequenceId`` (§7.3.1) is the number of the record, so that a collector sees what it lacks.
    """
    priority = _LOG_AUDIT * 8 + _SYSLOG_SEVERITIES[_type(record).severity]
    name = _printable(record.event)[:_MAX_MSGID] or "-"
    sequence = (record.seq - 1) % _MAX_SEQUENCE + 1
    head = (
        f"<{priority}>1 {iso(record.at)} {_printable(host)[:255] or '-'} authserver {_printable(process)[:128]} {name}"
    )
    return f'{head} [meta sequenceId="{sequence}"] '.encode("ascii") + b"\xef\xbb\xbf" + text.rstrip("\n").encode()


def _printable(text: str) -> str:
    return "".join(char for char in text if "!" <= char <= "~")


def _type(record: Record) -> EventType:
    return EVENTS.get(record.event, _UNKNOWN)

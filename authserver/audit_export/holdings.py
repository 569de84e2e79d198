"""Who held which role, credential and key at an instant, rebuilt from an export alone.

One pass in the order of the chain, over the records whose instant is not behind the one that is asked for; the memory
is that of the answer, however long the export. What the records do not say, such as a secret's hash, is not in it.
Names that a newer version of the vocabulary added are passed over.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from authserver.audit import Record
from authserver.ports.errors import Invalid
from authserver.rules.facts import Instant

Detail = Mapping[str, Any]


@dataclass(slots=True)
class HeldRole:
    """A role. Deleted ones stay, since credentials go on naming them."""

    id: str
    name: str
    kind: str
    permissions: list[str]
    deleted: bool = False


@dataclass(slots=True)
class Person:
    """A user; ``roles`` are ids."""

    id: str
    username: str
    roles: set[str]
    role_version: int = 1
    disabled: bool = False


@dataclass(slots=True)
class Proof:
    """A secret, trust or condition on certificates (by its id) or a public key (by its thumbprint).

    No ``ends_at``: no end is set.
    """

    id: str | None
    kind: str
    created_at: Instant
    ends_at: Instant | None = None


@dataclass(slots=True)
class HeldCredential:
    """An application credential and what it could be used with; ``roles`` are ids of those that were chosen."""

    client_id: str
    owner: str
    name: str
    roles: list[str]
    expires_at: Instant
    created_at: Instant
    disabled: bool = False
    deleted: bool = False
    restrictions: str | None = None
    jwks_uri: str | None = None
    proofs: list[Proof] = field(default_factory=list)


@dataclass(slots=True)
class HeldServer:
    """A resource server and its public keys."""

    id: str
    name: str
    audience: str
    disabled: bool = False
    keys: list[Proof] = field(default_factory=list)


@dataclass(slots=True)
class HeldKey:
    """A signing key and its state."""

    kid: str
    alg: str
    state: str


@dataclass(slots=True)
class Holdings:
    """What there was; ``records`` were applied, the last with number ``seq``."""

    roles: dict[str, HeldRole] = field(default_factory=dict)
    users: dict[str, Person] = field(default_factory=dict)
    credentials: dict[str, HeldCredential] = field(default_factory=dict)
    servers: dict[str, HeldServer] = field(default_factory=dict)
    keys: dict[str, HeldKey] = field(default_factory=dict)
    records: int = 0
    seq: int = 0

    def role(self, name: str) -> HeldRole:
        """The live role of a name."""
        return next(each for each in self.roles.values() if each.name == name and not each.deleted)

    def user(self, record: Record, detail: Detail) -> Person:
        """The user of a record, by id where it is given."""
        if "user" in detail:
            return self.users[detail["user"]]
        return next(each for each in self.users.values() if each.username.casefold() == record.target.casefold())

    def server(self, record: Record, detail: Detail) -> HeldServer:
        """The resource server of a record, by id where it is given."""
        if "resource_server" in detail:
            return self.servers[detail["resource_server"]]
        return next(each for each in self.servers.values() if record.target in {each.id, each.name, each.audience})


def rebuild(records: Iterable[Record], at: Instant | None = None) -> Holdings:
    """What there was at an instant; None: after the last record.

    Args:
        records: the whole trail from number 1 on, in its order.
        at: seconds of UTC; a record of that very second counts.

    Raises:
        Invalid: the export does not begin at 1, has a gap, or a record speaks of what no record before it made.
    """
    found = Holdings()
    for number, record in enumerate(records, 1):
        if record.seq != number:
            raise Invalid(f"record {number} is missing; export the whole trail, from its beginning")
        apply = _APPLY.get(record.event)
        if at is not None and record.at > at:
            continue
        found.records, found.seq = found.records + 1, record.seq
        if apply is None:
            continue
        try:
            apply(found, record, json.loads(record.detail))
        except (KeyError, StopIteration, TypeError, ValueError):
            raise Invalid(f"record {number} speaks of what no record before it has made") from None
    return found


def document(found: Holdings, at: Instant | None) -> dict[str, Any]:
    """The same for people and machines: names instead of ids, and what was in force at ``at``."""
    names = {each.id: each.name for each in found.roles.values()}
    owners = {each.id: each.username for each in found.users.values()}
    return {
        "records": found.records,
        "last": found.seq,
        "roles": [_without(asdict(each), "deleted") for each in found.roles.values() if not each.deleted],
        "users": [
            {**asdict(each), "roles": sorted(names[role] for role in each.roles)}
            for each in sorted(found.users.values(), key=lambda each: each.username)
        ],
        "credentials": [
            {
                **_without(asdict(each), "deleted", "proofs"),
                "owner": owners.get(each.owner, each.owner),
                "roles": sorted(names[role] for role in each.roles),
                "expired": at is not None and at >= each.expires_at,
                "secrets": [_proof(proof, at) for proof in each.proofs if proof.kind == "secret"],
                "keys": [_proof(proof, at) for proof in each.proofs if proof.kind == "key"],
                "trusts": [_proof(proof, at) for proof in each.proofs if proof.kind == "trust"],
                "certificates": [_proof(proof, at) for proof in each.proofs if proof.kind == "certificate"],
            }
            for each in found.credentials.values()
            if not each.deleted
        ],
        "resource_servers": [
            {**asdict(each), "keys": [_proof(proof, at) for proof in each.keys]} for each in found.servers.values()
        ],
        "signing_keys": [asdict(each) for each in found.keys.values()],
    }


def _proof(proof: Proof, at: Instant | None) -> dict[str, Any]:
    works = proof.ends_at is None or (at is not None and at < proof.ends_at)
    return {**_without(asdict(proof), "kind"), "works": works}


def _without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _user_created(found: Holdings, record: Record, detail: Detail) -> None:
    roles = {found.role(name).id for name in detail["roles"]}
    found.users[record.target] = Person(record.target, detail["username"], roles)


def _role_assigned(found: Holdings, record: Record, detail: Detail) -> None:
    user = found.user(record, detail)
    user.role_version = detail["role_version"]
    if record.event == "user.role_granted":
        user.roles.add(detail["role_id"])
    else:
        user.roles.remove(detail["role_id"])


def _user_switched(found: Holdings, record: Record, detail: Detail) -> None:
    user = found.user(record, detail)
    user.role_version, user.disabled = detail["role_version"], record.event == "user.disabled"


def _role_created(found: Holdings, record: Record, detail: Detail) -> None:
    found.roles[record.target] = HeldRole(record.target, detail["name"], detail["kind"], detail["permissions"])


def _role_deleted(found: Holdings, _record: Record, detail: Detail) -> None:
    found.roles[detail["role"]].deleted = True
    for user in found.users.values():
        if detail["role"] in user.roles:
            user.roles.remove(detail["role"])
            user.role_version += 1


def _credential_created(found: Holdings, record: Record, detail: Detail) -> None:
    roles = [found.role(name).id for name in detail["roles"]]
    made = HeldCredential(record.target, detail["owner"], detail["name"], roles, detail["expires_at"], record.at)
    found.credentials[record.target] = made
    if "key" in detail or detail.get("secret", "") is not None:
        made.proofs.append(_new_proof(record, detail))


def _credential_edited(found: Holdings, record: Record, detail: Detail) -> None:
    credential = found.credentials[record.target]
    credential.name = detail["after"].get("name", credential.name)
    credential.expires_at = detail["after"].get("expires_at", credential.expires_at)


def _regenerated(found: Holdings, record: Record, detail: Detail) -> None:
    credential = found.credentials[record.target]
    _end_secrets(credential, record.at, record.at + detail["overlap_seconds"])
    credential.proofs.append(_new_proof(record, detail))


def _old_secret_moved(found: Holdings, record: Record, detail: Detail) -> None:
    for proof in found.credentials[record.target].proofs:
        if proof.kind == "secret" and proof.ends_at is not None and proof.ends_at > record.at:
            proof.ends_at = detail["after"]


def _leak_reported(found: Holdings, record: Record, detail: Detail) -> None:
    for proof in found.credentials[record.target].proofs:
        if detail["ended"] and proof.id == detail["secret"]:
            proof.ends_at = record.at


def _keys_published(found: Holdings, record: Record, detail: Detail) -> None:
    found.credentials[record.target].jwks_uri = detail.get("jwks_uri")


def _secrets_ended(found: Holdings, record: Record, _detail: Detail) -> None:
    _end_secrets(found.credentials[record.target], record.at, record.at)


def _key_added(found: Holdings, record: Record, detail: Detail) -> None:
    found.credentials[record.target].proofs.append(_new_proof(record, detail))


def _key_removed(found: Holdings, record: Record, detail: Detail) -> None:
    _end(found.credentials[record.target].proofs, "key", record, detail)


def _trust_added(kind: str) -> "Apply":
    def apply(found: Holdings, record: Record, detail: Detail) -> None:
        found.credentials[record.target].proofs.append(Proof(detail[kind], kind, record.at))

    return apply


def _trust_removed(kind: str) -> "Apply":
    def apply(found: Holdings, record: Record, detail: Detail) -> None:
        _end(found.credentials[record.target].proofs, kind, record, detail)

    return apply


def _restricted(found: Holdings, record: Record, detail: Detail) -> None:
    found.credentials[record.target].restrictions = detail["after"]


def _credential_switched(found: Holdings, record: Record, _detail: Detail) -> None:
    found.credentials[record.target].disabled = record.event == "credential.disabled"


def _credential_deleted(found: Holdings, record: Record, _detail: Detail) -> None:
    credential = found.credentials[record.target]
    credential.deleted = True
    _end_secrets(credential, record.at, record.at)


def _server_created(found: Holdings, record: Record, detail: Detail) -> None:
    found.servers[record.target] = HeldServer(record.target, detail["name"], detail["audience"])


def _server_switched(found: Holdings, record: Record, detail: Detail) -> None:
    found.server(record, detail).disabled = record.event == "resource_server.disabled"


def _server_key_added(found: Holdings, record: Record, detail: Detail) -> None:
    found.server(record, detail).keys.append(_new_proof(record, detail))


def _server_key_removed(found: Holdings, record: Record, detail: Detail) -> None:
    _end(found.server(record, detail).keys, "key", record, detail)


def _key_generated(found: Holdings, record: Record, detail: Detail) -> None:
    found.keys[record.target] = HeldKey(record.target, detail["alg"], "staged")


def _keys_moved(state: str) -> "Apply":
    """Moves the key that a record is about, and those that it activated and retired."""

    def apply(found: Holdings, record: Record, detail: Detail) -> None:
        if record.event == "key.rotated":
            alg = record.target
        else:
            alg = found.keys[record.target].alg if record.target in found.keys else detail["alg"]
            found.keys.setdefault(record.target, HeldKey(record.target, alg, state)).state = state
        if "retired" in detail:
            found.keys[detail["retired"]].state = "retired"
        if "activated" in detail:
            found.keys.setdefault(detail["activated"], HeldKey(detail["activated"], alg, "")).state = "active"

    return apply


def _new_proof(record: Record, detail: Detail) -> Proof:
    """A key where the record names one, else a secret; records of an older version do not name its id."""
    if "key" in detail:
        return Proof(detail["key"], "key", record.at)
    return Proof(detail.get("secret"), "secret", record.at)


def _end_secrets(credential: HeldCredential, at: Instant, ends_at: Instant) -> None:
    """As the server does: one in overlap already ends at once, the other at ``ends_at``."""
    for proof in credential.proofs:
        if proof.kind != "secret":
            continue
        if proof.ends_at is None:
            proof.ends_at = ends_at
        elif proof.ends_at > at:
            proof.ends_at = at


def _end(proofs: list[Proof], kind: str, record: Record, detail: Detail) -> None:
    live = next(each for each in proofs if each.kind == kind and each.id == detail[kind] and each.ends_at is None)
    live.ends_at = record.at


Apply = Callable[[Holdings, Record, Detail], None]

_APPLY: Final[Mapping[str, Apply]] = {
    "user.created": _user_created,
    "user.role_granted": _role_assigned,
    "user.role_revoked": _role_assigned,
    "user.disabled": _user_switched,
    "user.enabled": _user_switched,
    "role.created": _role_created,
    "role.deleted": _role_deleted,
    "credential.created": _credential_created,
    "credential.edited": _credential_edited,
    "credential.regenerated": _regenerated,
    "credential.old_secret_moved": _old_secret_moved,
    "credential.leak_reported": _leak_reported,
    "credential.keys_published": _keys_published,
    "credential.keys_withdrawn": _keys_published,
    "credential.secrets_ended": _secrets_ended,
    "credential.key_added": _key_added,
    "credential.key_removed": _key_removed,
    "credential.trust_added": _trust_added("trust"),
    "credential.trust_removed": _trust_removed("trust"),
    "credential.certificate_added": _trust_added("certificate"),
    "credential.certificate_removed": _trust_removed("certificate"),
    "credential.restricted": _restricted,
    "credential.disabled": _credential_switched,
    "credential.enabled": _credential_switched,
    "credential.deleted": _credential_deleted,
    "resource_server.created": _server_created,
    "resource_server.disabled": _server_switched,
    "resource_server.enabled": _server_switched,
    "resource_server.key_added": _server_key_added,
    "resource_server.key_removed": _server_key_removed,
    "key.generated": _key_generated,
    "key.activated": _keys_moved("active"),
    "key.rotated": _keys_moved(""),
    "key.retired": _keys_moved("retired"),
    "key.compromised": _keys_moved("compromised"),
    "key.removed": _keys_moved("removed"),
}

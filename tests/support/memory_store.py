"""The store as plain dictionaries: what ``authserver/ports.py`` promises, in a minute's reading.

No SQL, no threads, no batches. A change works on a copy that takes the place of
the original when it went well, audit record included.
"""

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

from authserver.audit import GENESIS, Record, canonical, seal, seal_head, verify
from authserver.ports.errors import AlreadyDone, Conflict, NotFound
from authserver.ports.general_settings import GeneralSettings
from authserver.ports.hot_path import CallingResourceServer, IntrospectionFacts, IssueFacts, LiveSecret, SessionRecord
from authserver.ports.sessions import Session, SessionBacklog
from authserver.ports.signing_keys import always
from authserver.rules.client_authentication.certificate import is_certificate
from authserver.rules.facts import Reason, Standing
from keys.keyring import USABLE, IllegalMove, KeyInfo, State, check_move

KEY = b"model"
OWN_ENDS = {Reason.REVOKED, Reason.ENDED_BY_OWNER, Reason.IDLE, Reason.TYP_CHANGED, Reason.SESSION_LIMIT, Reason.LEAKED}


@dataclass
class Tables:
    settings: GeneralSettings = field(
        default_factory=lambda: GeneralSettings(30, 720, 365, 50, None, "ES256", 1, 0, 0, 90)
    )
    users: dict = field(default_factory=dict)  # id -> User
    roles: dict = field(default_factory=dict)  # id -> Role
    credentials: dict = field(default_factory=dict)  # client id -> Credential
    hashes: dict = field(default_factory=dict)  # secret id -> hash
    servers: dict = field(default_factory=dict)  # id -> (ResourceServer, hash)
    sessions: dict = field(default_factory=dict)  # jti -> Session
    usage: Counter = field(default_factory=Counter)
    keys: dict = field(default_factory=dict)  # kid -> KeyInfo
    audit: list = field(default_factory=list)
    kills: list = field(default_factory=list)  # (kind, subject, value)
    forms: dict = field(default_factory=dict)  # (scope, form key) -> subject

    def copy(self):
        return Tables(self.settings, *(value.copy() for name, value in vars(self).items() if name != "settings"))

    def find(self, table, what, **wanted):
        for row in getattr(self, table).values():
            if all(getattr(row, name) == value for name, value in wanted.items()):
                return row
        raise NotFound(f"there is no {what} {wanted}")

    def user(self, username):
        return next(
            (u for u in self.users.values() if u.username.casefold() == username.casefold()), None
        ) or self.find("users", "user", username=username)

    def role(self, name):
        return self.find("roles", "role", name=name)

    def credential(self, client_id, owner_id=None):
        wanted = {"client_id": client_id, "deleted_at": None} | ({"owner_id": owner_id} if owner_id is not None else {})
        return self.find("credentials", "credential", **wanted)

    def general(self):
        return self.settings

    def resource_server(self, name):
        for part in ("name", "client_id", "audience"):
            for server, _ in self.servers.values():
                if getattr(server, part) == name:
                    return server
        raise NotFound(name)


class Change:
    """``ports.Transaction`` on a copy."""

    def __init__(self, tables):
        self.t = tables
        self.user, self.role, self.credential = tables.user, tables.role, tables.credential
        self.general, self.resource_server = tables.general, tables.resource_server

    def begin(self, event, at):
        self.event, self.at, self.more, self.target = event, at, {}, None

    def next_event(self, event):
        self.write_record()
        self.begin(event, self.at)

    def write_record(self):
        previous = self.t.audit[-1].hash if self.t.audit else GENESIS
        event, target = self.event, self.target or self.event.target
        body = {"at": self.at, "actor": event.actor, "event": event.name, "target": target}
        body |= {"seq": len(self.t.audit) + 1, "detail": canonical({**event.detail, **self.more})}
        self.t.audit.append(Record(**body, previous_hash=previous, hash=seal(KEY, **body, previous=previous)))

    def detail(self, **more):
        self.more |= more

    def set_target(self, target):
        self.target = target

    def claim_form_key(self, scope, form_key, subject, at):
        if (scope, form_key) in self.t.forms:
            raise AlreadyDone(self.t.forms[scope, form_key])
        self.t.forms[scope, form_key] = subject

    def append_revocation(self, kind, subject, at, value=0):
        self.t.kills.append((kind, subject, value))

    def insert_role(self, role, at):
        if any(other.name == role.name for other in self.t.roles.values()):
            raise Conflict(role.name)
        self.t.roles[role.id] = role

    def delete_role(self, role, at):
        holders = sorted(user.id for user in self.t.users.values() if role in user.roles)
        for each in holders:
            self.revoke(self.t.users[each], role, at)
        del self.t.roles[role.id]
        return len(holders)

    def only_operational(self, role):
        return tuple(
            user.username
            for user in sorted(self.t.users.values(), key=lambda each: each.username.casefold())
            if [each.id for each in user.roles if each.kind == "operational"] == [role.id]
        )

    def insert_user(self, user, password_hash):
        if any(other.username.casefold() == user.username.casefold() for other in self.t.users.values()):
            raise Conflict(user.username)
        self.t.users[user.id] = user

    def _raise(self, user, at, **changes):
        now = self.t.users[user.id]
        self.t.users[user.id] = replace(now, role_version=now.role_version + 1, **changes)
        self.append_revocation("role_version", user.id, at, now.role_version + 1)
        return now.role_version + 1

    def grant(self, user, role, at):
        held = self.t.users[user.id].roles
        if role in held:
            raise Conflict(role.name)
        return self._raise(user, at, roles=tuple(sorted((*held, role), key=lambda each: each.name)))

    def users_with_permission(self, permission):
        return frozenset(
            user.id
            for user in self.t.users.values()
            if user.disabled_at is None
            and any(role.kind == "builder" for role in user.roles)
            and any(permission in role.permissions for role in user.roles)
        )

    def revoke(self, user, role, at):
        return self._raise(user, at, roles=tuple(r for r in self.t.users[user.id].roles if r.id != role.id))

    def switch_user(self, user, disabled_at, at):
        return self._raise(user, at, disabled_at=disabled_at)

    def set_password(self, user, password_hash):
        pass  # nothing that this model answers depends on it

    def end_console_sessions(self, user_id, but=""):
        return 0  # nobody signs in here

    def insert_resource_server(self, server, secret_hash, hint):
        if any(server.name == s.name or server.audience == s.audience for s, _ in self.t.servers.values()):
            raise Conflict(server.name)
        self.t.servers[server.id] = (server, secret_hash)

    def update_resource_server(self, server_id, *, secret_hash=None, secret_hint=None, **values):
        server, known = self.t.servers[server_id]
        self.t.servers[server_id] = (replace(server, **values), secret_hash or known)

    def count_credentials(self, owner_id, at):
        mine = [c for c in self.t.credentials.values() if c.owner_id == owner_id and c.deleted_at is None]
        return sum(c.expires_at > at for c in mine)

    def insert_credential(self, credential, role_ids):
        self.t.credentials[credential.client_id] = credential

    def update_credential(self, client_id, **values):
        self.t.credentials[client_id] = replace(self.t.credentials[client_id], **values)

    def insert_secret(self, client_id, secret, secret_hash):
        known = (secret, *self.t.credentials[client_id].secrets)
        self.update_credential(client_id, secrets=tuple(sorted(known, key=lambda each: (-each.created_at, each.id))))
        self.t.hashes[secret.id] = secret_hash

    def end_secrets(self, client_id, ends_at, at):
        def ended(secret):
            if secret.ends_at is None:
                return replace(secret, ends_at=ends_at)
            return replace(secret, ends_at=min(secret.ends_at, at))

        self.update_credential(client_id, secrets=tuple(map(ended, self.t.credentials[client_id].secrets)))
        self.append_revocation("secret", client_id, at, ends_at)

    def insert_client_key(self, client_id, key):
        self.update_credential(client_id, keys=(key, *self.t.credentials[client_id].keys))

    def insert_trust(self, client_id, trust):
        kind = "trusts" if trust.issuer else "certificates" if is_certificate(trust.text) else "key_addresses"
        self.update_credential(client_id, **{kind: (trust, *getattr(self.t.credentials[client_id], kind))})

    def end_trust(self, client_id, trust_id, at):
        for kind in ("trusts", "key_addresses", "certificates"):
            kept = getattr(self.t.credentials[client_id], kind)
            ended = (replace(e, ends_at=at) if e.id == trust_id and e.ends_at is None else e for e in kept)
            self.update_credential(client_id, **{kind: tuple(ended)})

    def end_client_key(self, client_id, key_id, at):
        kept = self.t.credentials[client_id].keys
        ended = (replace(each, ends_at=at) if each.id == key_id and each.ends_at is None else each for each in kept)
        self.update_credential(client_id, keys=tuple(ended))
        self.append_revocation("secret", client_id, at, at)

    def move_old_secret(self, client_id, ends_at, at):
        kept = self.t.credentials[client_id].secrets
        old = {each.id: each.ends_at for each in kept if each.ends_at is not None and each.ends_at > at}
        if not old:
            return None
        moved = (replace(each, ends_at=ends_at) if each.id in old else each for each in kept)
        self.update_credential(client_id, secrets=tuple(moved))
        self.append_revocation("secret", client_id, at, ends_at)
        return max(old.values())

    def algorithms_in_use(self):
        chosen = {s.token_alg for s, _ in self.t.servers.values() if s.token_alg and s.disabled_at is None}
        return frozenset({self.t.settings.token_alg} | chosen)

    def algorithms_ready(self):
        return frozenset(key.alg for key in self.t.keys.values() if key.state is State.ACTIVE)

    def key_state(self, kid):
        return self.t.keys[kid].state.value if kid in self.t.keys else ""

    def update_settings(self, **values):
        self.t.settings = replace(self.t.settings, **values)
        for key in list(self.t.keys.values()):
            if key.state is State.ACTIVE:
                self.move(key, token_life=max(key.token_life, self.t.settings.max_token_lifetime_minutes * 60))

    def end_session(self, jti, reason, at, owner_id=None):
        known = self.t.sessions.get(jti)
        if known is None or known.ended_at is not None:
            return False
        if owner_id is not None:
            credential = self.t.credentials.get(known.client_id)
            if credential is None or credential.deleted_at is not None or credential.owner_id != owner_id:
                return False
        self.t.sessions[jti] = replace(known, ended_at=at, end_reason=reason.value)
        self.append_revocation("session", jti, at)
        return True

    def end_sessions(self, client_id, reason, at):
        live = [
            each
            for each in self.t.sessions.values()
            if each.client_id == client_id and each.ended_at is None and each.expires_at > at
        ]
        for each in live:
            self.t.sessions[each.jti] = replace(each, ended_at=at, end_reason=reason.value)
        return len(live)

    def move(self, key, state=None, **values):
        if state is not None:
            try:
                check_move(key, state)
            except IllegalMove as error:
                raise Conflict(str(error)) from error
            values["state"] = state
        self.t.keys[key.kid] = replace(self.t.keys[key.kid], **values)

    def retire_active(self, alg, at):
        for key in list(self.t.keys.values()):
            if key.alg == alg and key.state is State.ACTIVE:
                self.move(key, State.RETIRED, retired_at=at)
                self.detail(retired=key.kid)

    def activate(self, key, at):
        self.move(key, State.ACTIVE, activated_at=at, token_life=self.t.settings.max_token_lifetime_minutes * 60)

    def insert_key(self, key, at):
        if key.kid in self.t.keys:
            raise Conflict(key.kid)
        self.t.keys[key.kid] = KeyInfo(key.kid, key.alg, State.STAGED, key.public_jwk, at)
        return self.t.keys[key.kid]


class ModelStore:
    """All ports over one ``Tables``."""

    def __init__(self, clock):
        self.t, self.clock = Tables(), clock
        self.hashes = {}
        self.accounts = self.sessions = self.usage = self.hot_path = self.keys = self

    # Accounts

    @contextmanager
    def change(self, event, at):
        tx = Change(self.t.copy())
        tx.begin(event, at)
        yield tx
        tx.write_record()
        self.t = tx.t

    def __getattr__(self, name):
        if name in {"user", "credential", "general"}:
            return getattr(self.t, name)
        raise AttributeError(name)

    def users(self):
        return tuple(sorted(self.t.users.values(), key=lambda each: each.username.casefold()))

    def roles(self):
        return tuple(sorted(self.t.roles.values(), key=lambda each: each.name))

    def credentials(self, owner_id=None):
        kept = [c for c in self.t.credentials.values() if c.deleted_at is None and owner_id in {None, c.owner_id}]
        return tuple(sorted(kept, key=lambda each: (-each.created_at, each.client_id)))

    def resource_servers(self):
        return tuple(sorted((server for server, _ in self.t.servers.values()), key=lambda each: each.name))

    def audit_records(self, after=0, limit=None, **only):
        found = [r for r in self.t.audit if r.seq > after and all(getattr(r, k) == v for k, v in only.items())]
        return iter(found[:limit])

    def audit_newest(self, limit, **only):
        return tuple(self.audit_records(**only))[-limit:]

    def audit_verify(self):
        last = self.t.audit[-1].hash if self.t.audit else GENESIS
        return verify(KEY, self.t.audit, len(self.t.audit), last, seal_head(KEY, len(self.t.audit), last))

    def ping(self):
        pass

    # Sessions and ActivityClock: every note is written at once

    def _row(self, start, **values):
        parts = {name: getattr(start, name) for name in start._fields if name != "roles"}
        fresh = {**parts, "roles": tuple(start.roles.split()), "ended_at": None, "end_reason": None}
        row = self.t.sessions.get(start.jti) or Session(**fresh, last_used_at=start.issued_at)
        self.t.sessions[start.jti] = replace(row, **values) if row.ended_at is None else row

    def end(self, start, reason, at):
        if reason in OWN_ENDS and (start.jti not in self.t.sessions or self.t.sessions[start.jti].ended_at is None):
            self.t.kills.append(("session", start.jti, 0))
        self._row(start, ended_at=at, end_reason=reason.value)

    def end_all(self, ends, at):
        for start, reason in ends:
            self.end(start, reason, at)

    def end_known(self, jti, reason, at):
        return Change(self.t).end_session(jti, reason, at)

    def find(self, jti):
        return self.t.sessions.get(jti)

    def of_credential(self, client_id):
        mine = [each for each in self.t.sessions.values() if each.client_id == client_id]
        return tuple(sorted(mine, key=lambda each: (-each.issued_at, each.jti)))

    def recent_of_credential(self, client_id, now, limit):
        mine = self.of_credential(client_id)
        living = sorted((s for s in mine if s.ended_at is None and s.expires_at > now), key=lambda s: -s.expires_at)
        wanted = {each.jti for each in (*mine[:limit], *living[:limit])}
        return tuple(each for each in mine if each.jti in wanted)

    def backlog(self, now, keep):
        ends = [each.expires_at for each in self.t.sessions.values()]
        return SessionBacklog(len(ends), max(0, now - keep - min(ends, default=now)))

    def sweep(self, now, keep, seconds=0.0, *, usage_days=400):
        gone = [jti for jti, each in self.t.sessions.items() if each.expires_at < now - keep]
        old = [key for key in self.t.usage if key[0] < now - usage_days * 86400]
        for table, names in ((self.t.sessions, gone), (self.t.usage, old)):
            for name in names:
                del table[name]
        return len(gone) + len(old)

    def refused(self, client_id, reason, at):
        pass  # nothing that this model answers depends on it

    def seen_inactive(self, by, at):
        self._note_asker(by, at)

    def _note_asker(self, by, at):
        if by in self.t.servers:
            server, known = self.t.servers[by]
            self.t.servers[by] = (replace(server, last_asked_at=max(at, server.last_asked_at or 0)), known)

    def issued(self, start, *, token_hash="", peer="", agent=""):
        known = self.t.sessions.get(start.jti)
        used = max(start.issued_at, known.last_used_at) if known else start.issued_at  # a use may be written first
        self._row(start, issued_peer=peer or None, last_used_at=used)
        self.hashes[start.jti] = token_hash
        credential = self.t.credentials.get(start.client_id)
        if credential:
            mine = tuple(
                replace(
                    s,
                    last_used_at=start.issued_at,
                    last_used_peer=peer or None,
                    last_used_agent=agent or None,
                )
                if s.id == start.secret_id and start.issued_at > (s.last_used_at or 0)
                else s
                for s in credential.secrets
            )
            self.t.credentials[start.client_id] = replace(credential, secrets=mine)

    def used(self, start, at, *, by, method, route, peer="", recorded=False):
        if recorded and start.jti not in self.t.sessions:
            self._count(start, at, by, method, route)
            return
        known = self.t.sessions.get(start.jti)
        newer = known is None or at > known.last_used_at or known.last_used_peer is None
        seen = (peer or None) if newer else known.last_used_peer
        self._row(start, last_used_at=max(at, known.last_used_at if known else at), last_used_peer=seen)
        self._count(start, at, by, method, route)

    def _count(self, start, at, by, method, route):
        self._note_asker(by, at)
        day = at - at % 86400
        routes = {key[4:] for key in self.t.usage if key[:2] == (day, start.client_id)} - {("", "other")}
        shown = (method[:16], route[:200])
        if shown not in routes and len(routes) >= 200:
            shown = ("", "other")
        self.t.usage[day, start.client_id, start.secret_id, by, *shown] += 1

    def issued_hash(self, jti):
        return self.hashes.get(jti, "")

    def last_used(self, jti):
        return self.t.sessions[jti].last_used_at if jti in self.t.sessions else None

    def flush(self):
        pass

    def close(self):
        pass

    # HotReads

    def issue_facts(self, client_id, resource):
        mine = self.t.credentials.get(client_id)
        if mine is None:
            return None
        owner, general = self.t.users[mine.owner_id], self.t.settings
        servers = [server for server, _ in self.t.servers.values() if server.disabled_at is None]
        others = [server for server in servers if not server.purpose]
        wanted = resource or general.default_audience or (others[0].audience if len(others) == 1 else None)
        server = next((each for each in servers if each.audience == wanted), None)
        alg = (server and server.token_alg) or general.token_alg
        signing = [k.kid for k in self.t.keys.values() if k.alg == alg and k.state is State.ACTIVE]
        names = {role.name for role in self.t.roles.values()}
        return IssueFacts(
            now=self.clock.now(),
            client_id=client_id,
            owner_id=owner.id,
            owner_disabled=owner.disabled_at is not None,
            role_version=owner.role_version,
            credential_version=mine.version,
            credential_disabled=mine.disabled_at is not None,
            credential_deleted=mine.deleted_at is not None,
            credential_expires_at=mine.expires_at,
            chosen=frozenset(mine.roles) & names,
            held=frozenset(owner.role_names),
            secrets=tuple(LiveSecret(s.id, self.t.hashes[s.id], s.ends_at) for s in mine.secrets),
            max_lifetime=general.max_token_lifetime_minutes * 60,
            idle_timeout=general.idle_timeout_minutes * 60,
            epoch=general.epoch,
            audience=server and server.audience,
            token_alg=alg,
            active_kid=signing[0] if signing else None,
            token_typ=server.token_typ if server else "at+jwt",
        )

    def introspection_facts(self, caller, keys):
        general, standing, recorded = self.t.settings, None, None
        asking = next(((s, h) for s, h in self.t.servers.values() if s.client_id == caller), None)
        who = asking and CallingResourceServer(
            asking[0].id,
            caller,
            asking[0].audience,
            asking[1],
            disabled=asking[0].disabled_at is not None,
            alg=asking[0].token_alg or general.token_alg,
            max_staleness=asking[0].max_staleness,
            token_typ=asking[0].token_typ,
        )
        mine = keys and self.t.credentials.get(keys.client_id)
        secret = mine and next((each for each in mine.secrets if each.id == keys.secret_id), None)
        if secret and keys.kid in self.t.keys:
            owner = self.t.users[mine.owner_id]
            standing = Standing(
                idle_timeout=general.idle_timeout_minutes * 60,
                max_lifetime=general.max_token_lifetime_minutes * 60,
                used_since=general.used_since,
                issued_since=general.issued_since,
                epoch=general.epoch,
                key_usable=self.t.keys[keys.kid].state in USABLE,
                owner_disabled=owner.disabled_at is not None,
                role_version=owner.role_version,
                credential_deleted=mine.deleted_at is not None,
                credential_disabled=mine.disabled_at is not None,
                credential_version=mine.version,
                credential_expires_at=mine.expires_at,
                secret_ends_at=secret.ends_at,
            )
        if keys and keys.jti in self.t.sessions:
            row = self.t.sessions[keys.jti]
            ended = Reason(row.end_reason) if row.end_reason else None
            recorded = SessionRecord(row.last_used_at, ended, self.hashes.get(row.jti, ""))
        return IntrospectionFacts(self.clock.now(), who, standing, recorded)

    # SigningKeys

    def ring(self):
        return tuple(sorted(self.t.keys.values(), key=lambda each: (each.created_at, each.kid)))

    def get(self, kid):
        found = [key for key in self.ring() if kid and key.kid.startswith(kid)]
        if len(found) != 1:
            raise NotFound(kid)
        return found[0]

    @contextmanager
    def _keys(self, name, kid, actor, at, reason=""):
        detail = {"reason": reason} if reason else {}
        with self.change(SimpleNamespace(name=name, actor=actor, target=kid, detail=detail), at) as tx:
            yield tx, tx.t.keys

    def _known(self, keys, kid):
        if kid not in keys:
            raise NotFound(kid)
        return keys[kid]

    def _in(self, state, alg, keys):
        return sorted(
            (k for k in keys.values() if k.alg == alg and k.state is state), key=lambda k: (k.created_at, k.kid)
        )

    def add(self, key, actor, at):
        with self._keys("key.generated", key.kid, actor, at) as (tx, _):
            tx.detail(alg=key.alg)
            return tx.insert_key(key, at)

    def ensure_staged(self, key, actor, at):
        if self._in(State.STAGED, key.alg, self.t.keys):
            return False
        self.add(key, actor, at)
        return True

    def ensure_active(self, key, actor, at):
        if self._in(State.ACTIVE, key.alg, self.t.keys):
            return False
        with self._keys("key.activated", key.kid, actor, at) as (tx, _):
            tx.activate(tx.insert_key(key, at), at)
            tx.detail(alg=key.alg, first=True)
        return True

    def activate(self, kid, actor, at, *, may_sign=always, reason=""):
        with self._keys("key.activated", kid, actor, at, reason) as (tx, keys):
            key = self._known(keys, kid)
            if key.state is State.STAGED:
                if not may_sign(key):
                    raise Conflict("too young")
                tx.retire_active(key.alg, at)
            tx.activate(key, at)

    def rotate(self, alg, spare, actor, at, *, may_sign=always, reason=""):
        with self._keys("key.rotated", alg, actor, at, reason) as (tx, keys):
            staged = self._in(State.STAGED, alg, keys)
            if (staged and not may_sign(staged[0])) or not (staged or spare):
                raise Conflict("no may_sign key")
            tx.retire_active(alg, at)
            return self._take_over(tx, keys, alg, spare, at)

    def _take_over(self, tx, keys, alg, spare, at, *, may_sign=always):
        staged = [key for key in self._in(State.STAGED, alg, keys) if may_sign(key)]
        if not staged and spare is not None and spare.alg != alg:
            raise Conflict(spare.alg)
        if staged or spare is not None:
            key = staged[0] if staged else tx.insert_key(spare, at)
            tx.activate(key, at)
            tx.detail(activated=key.kid)
            return key.kid
        if alg in tx.algorithms_in_use():
            raise Conflict(f"{alg} needs a key")
        return None

    def retire(self, kid, actor, at, *, may_sign=always, reason=""):
        with self._keys("key.retired", kid, actor, at, reason) as (tx, keys):
            key = self._known(keys, kid)
            tx.move(key, State.RETIRED, retired_at=at)
            self._take_over(tx, keys, key.alg, None, at, may_sign=may_sign)

    def compromise(self, kid, actor, at, spare, *, reason=""):
        with self._keys("key.compromised", kid, actor, at, reason) as (tx, keys):
            key = self._known(keys, kid)
            tx.move(key, State.COMPROMISED, ended_at=at)
            tx.append_revocation("key", kid, at)
            if key.state is State.ACTIVE:
                self._take_over(tx, keys, key.alg, spare, at)

    def remove(self, kid, actor, at):
        with self._keys("key.removed", kid, actor, at) as (tx, keys):
            key = self._known(keys, kid)
            tx.move(key, State.REMOVED, ended_at=at)
            if at < (key.retired_at or key.created_at) + key.token_life + 60:
                raise Conflict("a token may live")

"""Any life: random changes, tokens, sleeps and crashes over the real doors, beside a model of plain dictionaries.

The model says of every token that it must be active, that it must not, or that it may be
either: within ε of its idle end, or while a crash has lost its last use. It never forgives:
what had to be dead once must be dead ever after, whatever is changed back (INV-05).

``LIFE_EXAMPLES`` makes the run longer; it then takes new dice each time.
"""

import os
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from werkzeug.test import Client

from app import create_app
from authserver.actions import credentials, general_settings
from authserver.actions import resource_servers as resource_server_actions
from authserver.actions import roles as role_actions
from authserver.actions import sessions as session_actions
from authserver.actions import users as user_actions
from authserver.config import Config
from authserver.oauth.throttle import Throttle
from authserver.ports.errors import Conflict, Invalid, NotFound
from authserver.rules.facts import Reason
from authserver.rules.idle import USE_TOLERANCE
from keys.material import make
from tests.conftest import FixedClock
from tests.support.stores import MASTER, MASTER_TEXT, NOW, fresh
from tests.support.wsgi_client import BACKENDS, basic, parts

EXAMPLES = int(os.environ.get("LIFE_EXAMPLES", "0"))
RUN = settings(
    max_examples=EXAMPLES or 20,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    stateful_step_count=50,
    suppress_health_check=list(HealthCheck),
)

OPERATIONAL = ("reader", "writer", "auditor")
USERS = ("ada", "bob")
AUDIENCES = ("https://one.example.com", "https://two.example.com")
INACTIVE = b'{"active":false}'
CHANGES = (
    *("make_or_delete_role", "grant_or_revoke", "switch_user", "create_credential", "create_credential", "edit_expiry"),
    *("regenerate", "switch_credential", "delete_credential_or_end_its_sessions", "rotate_or_compromise_key"),
)
number = st.integers(0, 11)


@dataclass(eq=False)
class Secret:
    text: str
    ends: int | None = None


@dataclass(eq=False)
class Credential:
    client_id: str
    owner: str
    chosen: frozenset[int]
    expires: int
    on: bool = True
    deleted: bool = False
    version: int = 1
    secrets: list[Secret] = field(default_factory=list)


@dataclass(eq=False)
class Token:
    """``written`` is its last use on disk, ``latest`` the last that may be, ``noted`` one that is in memory."""

    text: str
    jti: str
    kid: str
    credential: Credential
    secret: Secret
    audience: str
    role_version: int
    credential_version: int
    issued: int
    ends: int
    written: int
    latest: int
    noted: int | None = None
    dead: bool = False


@dataclass
class User:
    held: set[int]
    version: int = 1
    on: bool = True


class CredentialLifecycle(RuleBasedStateMachine):
    """One server, two people, two APIs."""

    def __init__(self, place):
        super().__init__()
        self.place, self.clock = place, FixedClock(NOW)
        self.roles: dict[str, int] = {}
        self.role_count = 0
        self.users: dict[str, User] = {}
        self.credentials: list[Credential] = []
        self.tokens: list[Token] = []
        self.bad_keys: set[str] = set()
        self.idle, self.life = 30 * 60, 720 * 60
        self.oldest_note: int | None = None
        self.steps = self.opened = 0
        self.open()

    # --- the services ------------------------------------------------------------------------

    def open(self):
        given = Config(database_url=self.place.url, master_key=MASTER_TEXT, issuer="http://127.0.0.1:8000")
        self.services = create_app(given, clock=self.clock, background=False).extensions["services"]
        self.store = self.services.store()
        self.http = Client(self.services.wsgi())
        self.http.application._throttle = Throttle(per_client=10**9, per_peer=10**9, per_resource_server=10**9)

    @property
    def now(self):
        return self.clock.at

    @property
    def who(self):
        return {"actor": "life", "now": self.now}

    @property
    def accounts(self):
        return self.store.accounts

    def flush(self):
        """What the writing thread does twice a second."""
        self.store.usage.flush()
        for token in self.tokens:
            token.written, token.noted = max(token.written, token.noted or 0), None
        self.oldest_note = None

    def note(self, token):
        token.latest = token.noted = self.now
        self.oldest_note = self.now if self.oldest_note is None else self.oldest_note

    def post(self, path, auth, **form):
        return self.http.post(path, data=form, headers={"Authorization": basic(*auth)})

    def refused(self, kind, act):
        """Do something; it is refused exactly when the model says so. Whether it was done."""
        if kind is None:
            act()
            return True
        with pytest.raises(kind):
            act()
        return False

    # --- the model ---------------------------------------------------------------------------

    def verdict(self, token):
        """True for active, False for inactive, None where both are right."""
        credential, owner = token.credential, self.users[token.credential.owner]
        last = max(token.written, token.noted or 0)
        certain = (
            token.dead,
            token.kid in self.bad_keys,
            token.role_version != owner.version or not owner.on,
            token.credential_version != credential.version or credential.deleted or not credential.on,
            self.now >= min(token.ends, credential.expires, token.issued + self.life),
            token.secret.ends is not None and self.now >= token.secret.ends,
            self.now >= token.latest + self.idle + USE_TOLERANCE,
        )
        if any(certain):
            return False
        return True if self.now < last + self.idle else None

    def reap(self):
        """Inactive is final."""
        for token in self.tokens:
            token.dead = token.dead or self.verdict(token) is False

    def names(self, ids):
        return {name for name, role in self.roles.items() if role in ids}

    def can_authenticate(self, credential, secret):
        owner = self.users[credential.owner]
        ends = (credential.expires, *([] if secret.ends is None else [secret.ends]))
        return owner.on and credential.on and not credential.deleted and self.now < min(ends)

    def pick(self, things, n):
        return things[n % len(things)]

    @rule(act=st.sampled_from(CHANGES), n=number, m=number, which=st.booleans())
    def administer(self, act, n, m, which):
        """One rule, so that changes do not crowd out lives."""
        getattr(self, act)(n, m, which)

    # --- people ----------------------------------------------------------------------------------

    @initialize()
    def seed(self):
        for name in (*OPERATIONAL, "builder"):
            role_actions.create_role(
                self.accounts, name, "builder" if name == "builder" else "operational", (), **self.who
            )
            self.roles[name] = self.role_count = self.role_count + 1
        for name in USERS:
            user_actions.create_user(self.accounts, name, self.roles, **self.who)
            self.users[name] = User(set(self.roles.values()))
        self.apis = []
        for audience in AUDIENCES:
            made = resource_server_actions.register_resource_server(
                self.accounts, audience, audience, pepper=self.store.pepper, **self.who
            )
            self.apis.append((made.server.client_id, made.secret))
        general_settings.set_general(self.accounts, "default_audience", AUDIENCES[0], **self.who)
        self.change_a_setting(idle=True, n=1)
        for n in range(2):
            self.create_credential(n, 3, builder=True)
            self.issue(n, 0, 0, 0)

    def make_or_delete_role(self, n, _m, there):
        name = self.pick(OPERATIONAL, n)
        if there:
            taken = Conflict if name in self.roles else None
            if self.refused(
                taken, lambda: role_actions.create_role(self.accounts, name, "operational", (), **self.who)
            ):
                self.roles[name] = self.role_count = self.role_count + 1
            return
        fault = None if name in self.roles else NotFound
        if fault is None and any(self.names(user.held) - {"builder"} == {name} for user in self.users.values()):
            fault = Conflict
        if self.refused(fault, lambda: role_actions.delete_role(self.accounts, name, **self.who)):
            gone = self.roles.pop(name)
            for user in self.users.values():
                user.version += gone in user.held
                user.held.discard(gone)

    def grant_or_revoke(self, n, m, held):
        name, role = self.pick(USERS, n), self.pick((*OPERATIONAL, "builder"), m)
        user, fault = self.users[name], None
        if role not in self.roles:
            fault = NotFound
        elif (self.roles[role] in user.held) == held:
            fault = Conflict
        elif not held and not self.names(user.held) - {role, "builder"}:
            fault = Invalid
        act = user_actions.grant if held else user_actions.revoke
        if self.refused(fault, lambda: act(self.accounts, name, role, **self.who)):
            (user.held.add if held else user.held.discard)(self.roles[role])
            user.version += 1

    def switch_user(self, n, _m, on):
        name = self.pick(USERS, n)
        user, act = self.users[name], user_actions.enable if on else user_actions.disable
        if self.refused(Conflict if user.on == on else None, lambda: act(self.accounts, name, **self.who)):
            user.on = on
            user.version += 1

    # --- credentials --------------------------------------------------------------------------------

    def create_credential(self, n, m, builder):
        owner = self.pick(USERS, n)
        user = self.users[owner]
        names = [name for bit, name in enumerate(OPERATIONAL, 1) if m & bit] + ["builder"] * builder
        expires = self.now + self.pick((90 * 86400, 7200, 600), m)
        possible = user.on and set(names) <= self.names(user.held) and bool(set(names) - {"builder"})
        made = []

        def create():
            made.append(
                credentials.create(self.accounts, owner, "bot", expires, names, pepper=self.store.pepper, **self.who)
            )

        if self.refused(None if possible else Invalid, create):
            ids = frozenset(self.roles[name] for name in names)
            known = Credential(made[0].credential.client_id, owner, ids, expires)
            known.secrets.append(Secret(made[0].secret))
            self.credentials.append(known)

    def edit_expiry(self, n, m, _on):
        known = self.pick(self.credentials, n)
        expires = self.now + self.pick((90 * 86400, 7200, 300), m)
        fault = NotFound if known.deleted else Invalid if expires == known.expires else None

        def edit():
            credentials.edit(self.accounts, known.client_id, expires_at=expires, **self.who)

        if self.refused(fault, edit):
            known.version += self.now >= known.expires
            known.expires = expires

    def regenerate(self, n, _m, at_once):
        known, made, overlap = self.pick(self.credentials, n), [], 0 if at_once else 3600

        def again():
            made.append(
                credentials.regenerate(self.accounts, known.client_id, overlap, pepper=self.store.pepper, **self.who)
            )

        if self.refused(NotFound if known.deleted else None, again):
            for secret in known.secrets:
                secret.ends = self.now + overlap if secret.ends is None else min(secret.ends, self.now)
            known.secrets.append(Secret(made[0].secret))

    def switch_credential(self, n, _m, on):
        known = self.pick(self.credentials, n)
        act = credentials.enable if on else credentials.disable
        fault = NotFound if known.deleted else Conflict if known.on == on else None
        if self.refused(fault, lambda: act(self.accounts, known.client_id, **self.who)):
            known.on = on
            known.version += not on

    def delete_credential_or_end_its_sessions(self, n, _m, for_good):
        known = self.pick(self.credentials, n)

        def act():
            if for_good:
                credentials.delete(self.accounts, known.client_id, **self.who)
            else:
                session_actions.end_all(self.accounts, known.client_id, Reason.ENDED_BY_OWNER, **self.who)

        if self.refused(NotFound if known.deleted else None, act):
            known.deleted = for_good
            known.version += 1

    # --- the machine doors ----------------------------------------------------------------------------

    @rule(n=number, m=number, scope=st.sampled_from([0, 0, 0, 1, 3, 6, 8]), api=st.sampled_from([0, 0, 0, 1, 2, 3]))
    def issue(self, n, m, scope, api):
        known = self.pick(self.credentials, n)
        secret = self.pick(known.secrets[::-1], m % 3)
        results = {name for bit, name in enumerate((*OPERATIONAL, "builder")) if scope >> bit & 1}
        form = {"grant_type": "client_credentials", "scope": " ".join(sorted(results))}
        audience = (AUDIENCES[0], *AUDIENCES, None)[api]
        if api:
            form["resource"] = audience or "https://nobody.example.com"
        possible = self.names(known.chosen & self.users[known.owner].held)
        answer = self.post("/oauth/token", (known.client_id, secret.text), **form)
        if not self.can_authenticate(known, secret):
            assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")
        elif not results <= possible or not possible:
            assert (answer.status_code, answer.json["error"]) == (400, "invalid_scope")
        elif audience is None:
            assert (answer.status_code, answer.json["error"]) == (400, "invalid_target")
        else:
            assert answer.status_code == 200, answer.text
            header, claims = parts(answer.json["access_token"])
            ends = min(self.now + self.life, known.expires, *([secret.ends] if secret.ends else []))
            assert set(claims["roles"]) == (results or possible)
            assert (claims["aud"], claims["exp"]) == (audience, ends)
            assert claims["role_version"] == self.users[known.owner].version
            assert header["kid"] not in self.bad_keys
            token = Token(
                answer.json["access_token"],
                claims["jti"],
                header["kid"],
                known,
                secret,
                audience,
                claims["role_version"],
                known.version,
                self.now,
                ends,
                self.now,
                self.now,
            )
            self.note(token)
            self.tokens.append(token)

    @precondition(lambda self: self.tokens)
    @rule(n=number, foreign=st.sampled_from([False, False, False, True]))
    def introspect(self, n, *, foreign):
        # Counted from the newest: most of the old ones are dead.
        self.look_at(self.pick(self.tokens[::-1], n), foreign=foreign)

    def look_at(self, token, *, foreign=False):
        caller = self.apis[AUDIENCES.index(token.audience) ^ foreign]
        answer = self.post("/oauth/introspect", caller, token=token.text)
        assert answer.status_code == 200, answer.text
        if foreign:
            assert answer.data == INACTIVE
            return
        expected = self.verdict(token)
        if answer.data == INACTIVE:
            assert expected is not True, token
            token.dead = True
            return
        assert answer.json["active"] is True
        assert expected is not False, token
        assert answer.json["idle_expires_at"] == self.now + self.idle
        self.note(token)

    @precondition(lambda self: self.tokens)
    @rule(n=number, stranger=st.booleans())
    def revoke_token(self, n, *, stranger):
        token = self.pick(self.tokens[::-1], n)
        client = self.pick(self.credentials, n) if stranger else token.credential
        secret = client.secrets[-1]
        answer = self.post("/oauth/revoke", (client.client_id, secret.text), token=token.text)
        if not self.can_authenticate(client, secret):
            assert answer.status_code == 401
        elif client is token.credential:
            assert answer.status_code == 200, answer.text
            token.dead = True
        elif token.kid not in self.bad_keys:
            assert answer.json["error"] == "invalid_grant"

    # --- time, settings, keys, the process -----------------------------------------------------------------

    @rule(
        seconds=st.sampled_from([0, 0, 0, 1, 2, 30, 290, 590, 3590]),
        n=number,
        around=st.integers(-USE_TOLERANCE - 1, USE_TOLERANCE + 1),
    )
    def sleep(self, seconds, n, around):
        """Sleep so long, or until about the idle end of some token."""
        living = [each for each in self.tokens if not each.dead]
        if not seconds and living:
            seconds = max(0, self.pick(living, n).latest + self.idle + around - self.now)
        if self.oldest_note is not None and self.now + seconds - self.oldest_note > USE_TOLERANCE:
            self.flush()
        self.clock.at += seconds

    @rule(idle=st.booleans(), n=number)
    def change_a_setting(self, idle, n):
        if idle:
            minutes = self.pick((1, 5, 30, 60), n)
            if self.set_general("idle_timeout_minutes", minutes, self.idle):
                self.idle = minutes * 60
        else:
            minutes = self.pick((10, 90, 720), n)
            if self.set_general("max_token_lifetime_minutes", minutes, self.life):
                self.life = minutes * 60

    def set_general(self, name, minutes, seconds):
        same = Conflict if minutes * 60 == seconds else None
        return self.refused(same, lambda: general_settings.set_general(self.accounts, name, str(minutes), **self.who))

    def rotate_or_compromise_key(self, n, _m, bad):
        if not bad:
            self.store.keys.rotate("ES256", make("ES256", MASTER), "life", self.now)
            return
        kid = self.pick(self.store.keys.ring(), n).kid
        fault = Conflict if kid in self.bad_keys else None
        fresh_key = make("ES256", MASTER)
        if self.refused(fault, lambda: self.store.keys.compromise(kid, "life", self.now, fresh_key)):
            self.bad_keys.add(kid)

    @precondition(lambda self: self.steps > self.opened + 8)
    @rule(crash=st.booleans())
    def restart(self, *, crash):
        """Begin anew in peace, or without what was noted within ε."""
        if crash:
            self.store.usage.after_fork()
            for token in self.tokens:
                token.noted = None
            self.oldest_note = None
        else:
            self.flush()
        self.services.close()
        self.open()
        self.opened = self.steps

    # --- after each step ----------------------------------------------------------------------------------------

    @invariant()
    def a_list_tells_what_the_model_says(self):
        """One list a step, each in its turn: what came back to life would still be there."""
        self.reap()
        self.steps += 1
        if not self.credentials:
            return
        credential = self.pick(self.credentials, self.steps)
        if credential.deleted:
            with pytest.raises(NotFound):
                self.listed(credential)
            return
        known = {token.jti: token for token in self.tokens}
        for each in self.listed(credential):
            token = known[each.session.jti]
            if token.noted is None or token.dead:
                assert self.verdict(token) in {None, each.live}, (token, each)

    def listed(self, credential):
        return session_actions.inspect_sessions(
            self.accounts, self.store.sessions, self.store.hot_path, credential.client_id
        )

    @invariant()
    def one_of_the_dead_is_asked_for(self):
        """Of every other token only: an answer writes the end down, and who is never asked must stay dead as well."""
        dead = [token for token in self.tokens[::2] if token.dead]
        if dead:
            self.look_at(self.pick(dead, self.steps))

    def teardown(self):
        try:
            for token in self.tokens:
                self.look_at(token)
            assert self.accounts.audit_verify().first_bad is None
        finally:
            self.services.close()


@pytest.mark.parametrize("backend", BACKENDS)
def test_any_life_is_as_the_model_says(backend, tmp_path):
    places = []

    def begin():
        folder = tmp_path / str(len(places))
        folder.mkdir()
        places.append(fresh(backend, folder))
        return CredentialLifecycle(places[-1])

    try:
        run_state_machine_as_test(begin, settings=RUN)
    finally:
        for place in places:
            place.close()

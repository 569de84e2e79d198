"""Administration by the console, through HTTP on both databases: who may, what is shown first, what then happens."""

import csv
import html
import io
import json
import re
import uuid

import pytest
from flask import url_for

from authserver.actions import credentials, general_settings, resource_servers
from authserver.actions import roles as role_actions
from authserver.actions import users as user_actions
from authserver.actions.preconditions import administrators
from authserver.audit_export.checkpoints import LATE_AFTER, take
from authserver.ports.errors import Invalid
from authserver.rules import permission
from authserver.rules.permission import PERMISSIONS, USERS
from keys.material import make
from tests.support.console_browser import Browser, builder, signed_in
from tests.support.wsgi_client import BACKENDS, basic, opened, parts

API = "https://api.example.com"
INVENTORY, DISABLE = "/console/security/credentials", "/console/security/credentials/disable"
NEEDS = {
    permission.USERS: "/console/users",
    permission.RESOURCE_SERVERS: "/console/resource-servers",
    permission.SECURITY: "/console/security",
}
"""Below each of these addresses nothing opens without its permission."""
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module", params=BACKENDS)
def services(request, tmp_path_factory):
    """One standing world for what leaves others alone."""
    yield from opened(request.param, tmp_path_factory.mktemp("admin"))


def administrator(world, username="root", permissions=PERMISSIONS):
    """Somebody who may everything, signed in."""
    builder(world, username, permissions)
    return signed_in(world, username)


@pytest.fixture
def root(world):
    return administrator(world)


def role_id(world, name):
    return next(role.id for role in world.accounts.roles() if role.name == name)


def records(world):
    return list(world.accounts.audit_records())


class AuditBook:
    """What was changed meanwhile, by the book of changes."""

    def __init__(self, world):
        self.world, self.before = world, len(records(world))

    def events(self):
        found = records(self.world)[self.before :]
        self.before += len(found)
        return [record.event for record in found if not record.event.endswith(".refused")]


# --- who may ------------------------------------------------------------------------------------------


def addresses(world):
    """Every route of the console that is no file, filled in with things there are; with its methods."""
    rules = [rule for rule in world.app.url_map.iter_rules() if rule.endpoint.startswith("console.")]
    key = world.store.keys.ring()[0]
    real = {
        "username": "ada",
        "role_id": role_id(world, "reader"),
        "name": "idle_timeout_minutes",
        "server_id": world.accounts.resource_servers()[0].id,
        "kid": key.kid,
        "alg": key.alg,
    }
    for rule in rules:
        if set(rule.arguments) <= set(real):
            path = rule.rule
            for argument in rule.arguments:
                path = re.sub(rf"<(?:[^:>]+:)?{argument}>", real[argument], path)
            yield path, rule.methods & {"GET", "POST"}


def needed(path):
    """The permissions a path asks for."""
    found = {each for each, root in NEEDS.items() if path == root or path.startswith((f"{root}/", f"{root}."))}
    if re.fullmatch(r"/console/security/keys/.+", path):
        found.add(permission.KEYS)
    if path == DISABLE:
        found.add(permission.USERS)
    if re.fullmatch(r"/console/settings/.+/change", path):
        found.add(permission.SETTINGS)
    return found


def test_every_route_opens_to_those_with_its_permission_only(services):
    known = [(path, methods) for path, methods in addresses(services) if needed(path)]
    assert len(known) > 30
    for number, held in enumerate([(), *((each,) for each in PERMISSIONS), PERMISSIONS]):
        builder(services, f"m{number}", held)
        browser = signed_in(services, f"m{number}")
        token = browser.csrf()
        for path, methods in known:
            allowed = needed(path) <= set(held)
            if "GET" in methods:
                page = browser.get(path, follow=False)
                assert (page.status != 403) == allowed, (held, path)
                assert page.status < 500, (held, path)
                if not allowed:
                    assert "None of your roles opens this page" in page.words
            if "POST" in methods and not allowed:
                before = len(records(services))
                assert browser.post(path, {"_csrf": token}, follow=False).status == 403, (held, path)
                assert len(records(services)) == before


def test_a_link_shows_only_where_it_leads_somewhere(services):
    builder(services, "lu", (permission.SECURITY,))
    words = signed_in(services, "lu").get("/console/settings").text
    shown = set(re.findall(r'<li><a href="(/console/[a-z-]+)"', words))
    assert shown == {"/console/credentials", "/console/settings", "/console/security"}
    assert "/change" not in words
    assert "keys/new" not in signed_in(services, "lu").get("/console/security/keys").text


def test_nobody_enters_without_a_sign_in_and_nothing_changes_without_the_forms_own_token(services):
    stranger = Browser(services)
    builder(services, "cy", PERMISSIONS)
    known = signed_in(services, "cy")
    before = len(records(services))
    for path, methods in addresses(services):
        if not needed(path):
            continue
        if "GET" in methods:
            assert "/console/sign-in" in stranger.get(path).path, path
        if "POST" in methods:
            assert stranger.post(path, {"confirm": "x"}, follow=False).status in {401, 403}, path
            assert known.post(path, {"confirm": "x", "value": "5"}, follow=False).status == 403, path
    assert len(records(services)) == before


def test_worst_acts_ask_for_the_password_again_and_keep_what_was_typed(world, root):
    page = root.get("/console/users/new")
    world.clock.at += 601
    response = page.send(username="eve", roles=["reader"])
    assert "/console/confirm" in response.text
    assert [user.username for user in world.accounts.users()] == ["ada", "root"]
    back = response.send("/console/confirm", password="correct horse battery 9")
    assert back.path == "/console/users/new"
    assert back.value("username") == "eve"
    for path in (
        f"/console/users/u/ada/roles/{role_id(world, 'writer')}/remove",
        f"/console/users/roles/{role_id(world, 'writer')}/delete",
        f"/console/security/keys/k/{world.store.keys.ring()[0].kid}/compromise",
    ):
        assert root.get(path).path == path
    world.clock.at += 301
    for path in (f"/console/users/u/ada/roles/{role_id(world, 'writer')}/remove", "/console/users/u/ada/deactivate"):
        assert root.get(path).path.startswith("/console/confirm")


# --- users --------------------------------------------------------------------------------------------


def test_users_are_listed_searched_and_paged_and_the_address_keeps_it(services):
    builder(services, "li", (USERS,))
    for number in range(55):
        user_actions.create_user(services.accounts, f"page-{number:02}", ["reader"], **services.who)
    user_actions.disable(services.accounts, "page-07", **services.who)
    browser = signed_in(services, "li")
    first = browser.get("/console/users?q=PAGE-")
    assert "55 users" in first.words
    assert "page-49" in first.words
    assert "page-50" not in first.words
    link = html.unescape(re.search(r'rel="next" href="([^"]+)"', first.text)[1])
    assert "page-54" in browser.get(link).words
    assert "1 user" in browser.get("/console/users?q=page-&state=inactive").words
    assert "Nobody found" in browser.get("/console/users?q=page-&role=writer").words
    for odd in (
        "page=-1",
        "page=999999999999999999999",
        "page=x",
        "state=odd",
        "role=%00",
        "q=%00%ff",
        "q=" + "x" * 999,
    ):
        assert browser.get(f"/console/users?{odd}").status == 200, odd


def test_a_new_user_gets_a_link_that_works_once_and_is_shown_once(world, root):
    audit_list = AuditBook(world)
    shown = root.get("/console/users/new").send(username="eve", roles=["reader", "builder"])
    assert (shown.status, shown.answer.headers["Cache-Control"]) == (200, "no-store")
    assert audit_list.events() == ["user.created", "console.link_made"]
    link = re.search(r'id="login-link"[^>]*>([^<]+)<', shown.text)[1]
    code = link.partition("code=")[2]
    assert link.startswith("http://127.0.0.1:8000/console/link?code=")
    assert code not in "".join(record.detail for record in records(world))
    eve = Browser(world)
    assert eve.get(f"/console/link?code={code}").send("/console/link").path == "/console/profile"
    assert Browser(world).get(f"/console/link?code={code}").status == 404
    assert root.get("/console/users/new").send(username="EVE", roles=["reader"]).status == 409
    assert [user.username for user in world.accounts.users()] == ["ada", "eve", "root"]
    plain = root.get("/console/users/new").send(username="joe", roles=["reader"])
    assert plain.path == "/console/users/u/joe"
    assert "may enter the console" in plain.words


@pytest.mark.parametrize(
    ("typed", "field", "said"),
    [
        ({"username": "a b", "roles": ["reader"]}, "username", "begin with a letter"),
        ({"username": "ok", "roles": []}, "roles", "at least one operational role"),
        ({"username": "ok", "roles": ["builder"]}, "roles", "at least one operational role"),
        ({"username": HOSTILE, "roles": ["nothing", HOSTILE]}, "username", "begin with a letter"),
    ],
)
def test_a_form_says_what_is_wrong_beside_the_field_and_on_top_and_loses_nothing(services, typed, field, said):
    name = f"fo{abs(hash(str(typed)))}"
    builder(services, name, (USERS,))
    page = signed_in(services, name).get("/console/users/new").send(**typed)
    assert page.status == 400
    assert f'href="#f-{field}"' in page.text
    beside = re.search(rf'id="f-{field}-error">(.*?)</p>', page.text, re.DOTALL)[1]
    assert said in beside
    assert page.value("username") == typed["username"]
    assert HOSTILE not in page.text


def test_what_a_preview_says_is_what_dies_and_one_record_tells(world, root):
    role_actions.create_role(world.accounts, "extra", "operational", (), **world.who)
    user_actions.create_user(world.accounts, "dan", ["reader", "writer"], **world.who)
    hers, his = world.client, world.credential("dan", ("reader", "writer"))
    kept = world.credential("dan", ("reader",))
    world.accounts.general()
    tokens = {
        "ada": [world.access_token(hers, resource=API) for _ in range(2)],
        "dan": [world.access_token(each, resource=API) for each in (his, his, his, kept)],
    }
    world.store.usage.flush()

    def alive():
        return {owner: sum(world.active(each) for each in each_of) for owner, each_of in tokens.items()}

    assert alive() == {"ada": 2, "dan": 4}
    audit_list = AuditBook(world)
    page = root.get(f"/console/users/u/dan/roles/{role_id(world, 'writer')}/remove")
    assert "4 live tokens die at once" in page.words
    assert "2 credentials are affected" in page.words
    assert alive() == {"ada": 2, "dan": 4}
    assert "dan no longer holds writer" in page.send().words
    assert audit_list.events() == ["user.role_revoked"]
    assert alive() == {"ada": 2, "dan": 0}

    tokens["dan"] = [world.access_token(his, resource=API)]
    world.store.usage.flush()
    page = root.get("/console/users/u/dan/roles/add")
    assert "1 live token dies at once" in page.words
    assert "dan holds extra now" in page.send(role="extra").words
    assert audit_list.events() == ["user.role_granted"]
    assert alive() == {"ada": 2, "dan": 0}

    tokens["dan"] = [world.access_token(his, resource=API)]
    world.store.usage.flush()
    page = root.get(f"/console/users/roles/{role_id(world, 'reader')}/delete")
    assert "3 live tokens die at once" in page.words
    assert "3 users hold it" in page.words
    assert page.send(confirm="Reader").status == 400
    assert alive() == {"ada": 2, "dan": 1}
    refused = page.send(confirm="reader")
    assert refused.status == 409
    assert "Left without an operational role: root." in refused.words
    assert alive() == {"ada": 2, "dan": 1}
    user_actions.grant(world.accounts, "root", "extra", **world.who)
    assert audit_list.events() == ["user.role_granted"]
    assert "The role reader is deleted" in page.send(confirm="reader").words
    assert audit_list.events() == ["role.deleted"]
    assert alive() == {"ada": 0, "dan": 0}

    tokens["ada"] = [world.access_token(hers, resource=API)]
    world.store.usage.flush()
    page = root.get("/console/users/u/ada/deactivate")
    assert "1 live token dies at once" in page.words
    assert "ada is deactivated" in page.send().words
    assert audit_list.events() == ["user.disabled"]
    assert alive()["ada"] == 0
    assert page.send().status == 409
    assert "ada is active again" in root.get("/console/users/u/ada/reactivate").send().words
    assert audit_list.events() == ["user.enabled"]
    assert alive()["ada"] == 0


def test_nobody_locks_everybody_out(world, root):
    own = role_id(world, "builder-root")
    audit_list = AuditBook(world)
    said = "Nobody would be left who can manage users"
    page = root.get(f"/console/users/u/root/roles/{own}/remove")
    assert "You will not be able to give it back to yourself" in page.words
    assert said in page.send().words
    assert said in root.get(f"/console/users/roles/{own}/delete").send(confirm="builder-root").words
    assert "You cannot deactivate yourself" in root.get("/console/users/u/root/deactivate").words
    # Somebody without a builder role cannot enter, and somebody deactivated neither: they do not count.
    role_actions.create_role(world.accounts, "power", "operational", (USERS,), **world.who)
    user_actions.create_user(world.accounts, "out", ["reader", "power"], **world.who)
    builder(world, "off", (USERS,))
    user_actions.disable(world.accounts, "off", **world.who)
    audit_list.events()
    assert said in page.send().words
    assert audit_list.events() == []
    second = administrator(world, "second", (USERS,))
    audit_list.events()
    assert "root is deactivated" in second.get("/console/users/u/root/deactivate").send().words
    assert root.get("/console/users").path.startswith("/console/sign-in")
    assert audit_list.events() == ["user.disabled"]


def test_two_administrators_who_rob_each_other_at_once_leave_one(world, root):
    second = administrator(world, "second", (USERS,))
    one = root.get(f"/console/users/u/second/roles/{role_id(world, 'builder-second')}/remove")
    other = second.get(f"/console/users/u/root/roles/{role_id(world, 'builder-root')}/remove")
    first = one.send()
    assert "second no longer holds" in first.words
    assert "sign-in" in other.send().text
    assert [role.name for role in world.accounts.user("root").roles] == ["builder-root", "reader"]
    with pytest.raises(administrators.LastAdministrator):
        user_actions.revoke(world.accounts, "root", "builder-root", keep_administrator=True, **world.who)
    # The shell may, in an emergency.
    user_actions.revoke(world.accounts, "root", "builder-root", **world.who)


def test_roles_are_made_with_their_permissions_and_only_builders_carry_some(world, root):
    audit_list = AuditBook(world)
    page = root.get("/console/users/roles/new")
    for typed, said in (
        ({"name": "a b", "kind": "operational"}, "begin with a letter"),
        ({"name": "ok", "kind": "odd"}, "one of the two kinds"),
        ({"name": "ok", "kind": "operational", "permissions": [USERS]}, "Only builder roles carry"),
        ({"name": "ok", "kind": "builder", "permissions": ["odd:power"]}, "Only builder roles carry"),
    ):
        refused = page.send(**typed)
        assert refused.status == 400
        assert said in refused.words
    assert page.send(name="reader", kind="operational").status == 409
    assert audit_list.events() == []
    made = page.send(name="audit", kind="builder", permissions=[permission.SECURITY])
    assert "The role audit is created" in made.words
    assert audit_list.events() == ["role.created"]
    assert next(role for role in world.accounts.roles() if role.name == "audit").permissions == (permission.SECURITY,)
    gone = root.get(f"/console/users/roles/{role_id(world, 'audit')}/delete").send()
    assert "The role audit is deleted" in gone.words
    assert root.get("/console/users/roles/rol_unknown/delete").status == 404


# --- settings -----------------------------------------------------------------------------------------


def test_a_setting_that_ends_tokens_says_so_first_and_then_holds_at_once(world, root):
    token, other = (world.access_token(resource=API) for _ in range(2))
    world.store.usage.flush()
    world.clock.at += 400
    assert world.active(other)
    world.store.usage.flush()
    audit_list = AuditBook(world)
    page = root.get("/console/settings/idle_timeout_minutes/change")
    first = page.send(value="5")
    assert first.status == 200
    assert "1 live token dies at once" in first.words
    assert "Nothing is changed yet" in first.words
    assert audit_list.events() == []
    saved = first.send()
    assert "Idle timeout is 5 min now" in saved.words
    assert audit_list.events() == ["settings.changed"]
    assert (world.active(token), world.active(other)) == (False, True)
    assert "root 30 min" in saved.words
    longer = root.get("/console/settings/idle_timeout_minutes/change").send(value="60")
    assert "Idle timeout is 1 h now" in longer.words
    assert not world.active(token)


def test_a_setting_changed_meanwhile_is_not_overwritten(world, root):
    page = root.get("/console/settings/max_credential_days/change")
    general_settings.set_general(world.accounts, "max_credential_days", "100", **world.who)
    audit_list = AuditBook(world)
    clash = page.send(value="200")
    assert clash.status == 409
    assert "Somebody else has set this to 100 days meanwhile" in clash.words
    assert (clash.value("value"), clash.value("was")) == ("200", "100")
    assert audit_list.events() == []
    assert "200 days now" in clash.send().words
    never = root.get("/console/settings/key_rotation_days/change")
    assert never.value("was") == "90"
    assert "Key rotation is 60 days now" in never.send(value="60").words
    assert "Somebody else has set this to 60 days meanwhile" in never.send(value="30").words
    assert world.accounts.general().max_credential_days == 200


def test_settings_refuse_what_cannot_be_and_show_everything_to_every_builder(world, root):
    audit_list = AuditBook(world)
    page = root.get("/console/settings/max_token_lifetime_minutes/change")
    for odd in ("0", "43201", "-1", "1.5", "x", "", "٣", "9" * 40):
        refused = page.send(value=odd)
        assert refused.status == 400, odd
        assert "Type a whole number from 1 to 43200" in refused.words
    assert page.send(value="720").status == 409
    audience = root.get("/console/settings/default_audience/change")
    assert audience.send(value="https://other.example").status == 400
    assert f"Default audience is {API} now" in audience.send(value=API).words
    algorithm = root.get("/console/settings/token_alg/change")
    assert algorithm.send(value="odd").status == 400
    assert algorithm.send(value="RS256").status == 409
    assert audit_list.events() == ["settings.changed"]
    builder(world, "looks", ())
    looks = signed_in(world, "looks")
    listed = looks.get("/console/settings")
    assert "You may look" in listed.words
    assert "console:root" not in listed.words
    assert "used_since" not in listed.text
    assert looks.get("/console/settings/default_audience").status == 200
    assert looks.get("/console/settings/nothing").status == 404


# --- resource servers ---------------------------------------------------------------------------------


def test_a_resource_server_shows_its_secret_once_and_the_form_sent_again_makes_no_second(world, root):
    audit_list = AuditBook(world)
    page = root.get("/console/resource-servers/new")
    shown = page.send(name="Orders", audience="https://orders.example.com")
    assert (shown.status, shown.answer.headers["Cache-Control"]) == (200, "no-store")
    assert audit_list.events() == ["resource_server.created"]
    secret = re.search(r'id="client-secret"[^>]*>([^<]+)<', shown.text)[1]
    server = next(each for each in world.accounts.resource_servers() if each.name == "Orders")
    again = page.send(name="Orders", audience="https://orders.example.com")
    assert again.path == f"/console/resource-servers/{server.id}"
    assert "not shown again" in again.words
    assert secret not in again.text
    assert secret not in str(records(world))
    assert audit_list.events() == []
    token = world.access_token(resource="https://orders.example.com")
    assert world.introspect(token, (server.client_id, secret)).json["active"]
    assert root.get("/console/resource-servers/new").send(name="Orders", audience="urn:x:y").status == 409
    assert root.get("/console/resource-servers/new").send(name="Other", audience=API).status == 409

    page = root.get(f"/console/resource-servers/{server.id}/regenerate")
    assert page.send(confirm="orders").status == 400
    renewed = page.send(confirm="Orders")
    fresh = re.search(r'id="client-secret"[^>]*>([^<]+)<', renewed.text)[1]
    assert audit_list.events() == ["resource_server.regenerated"]
    assert "not shown again" in page.send(confirm="Orders").words
    assert audit_list.events() == []
    assert world.introspect(token, (server.client_id, secret)).status_code == 401
    assert world.introspect(token, (server.client_id, fresh)).json["active"]


def test_a_resource_server_is_switched_and_gets_its_own_algorithm(world, root):
    server = world.accounts.resource_servers()[0]
    at = f"/console/resource-servers/{server.id}"
    token = world.access_token(resource=API)
    world.store.usage.flush()
    audit_list = AuditBook(world)
    page = root.get(f"{at}/disable")
    assert "1 live token for it gets no answer" in page.words
    assert "api is disabled" in page.send().words
    assert world.introspect(token).status_code == 401
    assert page.send().status == 400
    assert "api is enabled" in root.get(f"{at}/enable").send().words
    assert world.active(token)
    assert audit_list.events() == ["resource_server.disabled", "resource_server.enabled"]
    page = root.get(f"{at}/algorithm")
    assert page.send(alg="RS256").status == 400
    assert page.send(alg="odd").status == 400
    world.store.keys.ensure_active(make("EdDSA", world.services.master()), "test", world.clock.at)
    audit_list.events()
    assert "Tokens from before stay good" in root.get(f"{at}/algorithm").send(alg="EdDSA").words
    assert audit_list.events() == ["resource_server.edited"]
    assert root.get("/console/resource-servers/rs_unknown").status == 404
    assert "EdDSA" in root.get("/console/resource-servers").words


def test_an_api_gets_tokens_of_the_type_its_verifier_takes(world, root):
    server = world.accounts.resource_servers()[0]
    at = f"/console/resource-servers/{server.id}"
    token = world.access_token(resource=API)
    world.store.usage.flush()
    audit_list = AuditBook(world)
    page = root.get(f"{at}/token-type")
    assert "1 live token" in page.words
    assert page.send(typ="at+jwt").status == 400
    assert page.send(typ="jwt").status == 400
    assert audit_list.events() == []
    shown = page.send(typ="JWT")
    assert (shown.path, "JWT" in shown.words) == (at, True)
    assert audit_list.events() == ["resource_server.edited"]
    assert not world.active(token)
    form = root.get("/console/resource-servers/new")
    assert form.send(name="Spring", audience="https://spring.example.com", typ="odd").status == 400
    assert form.send(name="Spring", audience="https://spring.example.com", typ="JWT").status == 200
    assert {each.name: each.token_typ for each in world.accounts.resource_servers()} == {"api": "JWT", "Spring": "JWT"}


def test_what_token_requests_must_meet_is_chosen_and_holds_at_once(world, root):
    at = f"/console/resource-servers/{world.accounts.resource_servers()[0].id}"
    page = root.get(f"{at}/requirements")
    assert page.send(requires="").status == 400
    assert page.send(requires="luck").status == 400
    shown = page.send(requires="key bound")
    assert (shown.path, "both: proof by a key" in shown.words) == (at, True)
    assert world.accounts.resource_servers()[0].requires == ("key", "bound")
    assert world.token(resource=API).status_code == 400
    assert root.get(f"{at}/requirements").send(requires="").path == at
    assert world.token(resource=API).status_code == 200


# --- keys ---------------------------------------------------------------------------------------------


def states(world):
    return sorted(key.state.value for key in world.store.keys.ring())


def test_a_key_is_published_first_and_signs_only_when_verifiers_had_time(world, root):
    old = world.store.keys.ring()[0]
    token = world.access_token(resource=API)
    world.store.usage.flush()
    audit_list = AuditBook(world)
    assert "1 live token" in root.get("/console/security/keys").words
    page = root.get("/console/security/keys/rotate/ES256")
    assert "No next key is published yet" in page.words
    assert page.send(confirm="es256").status == 409
    assert "will be next" in page.send(confirm="ES256").words
    assert (audit_list.events(), states(world)) == (["key.generated"], ["active", "staged"])
    early = root.get("/console/security/keys/rotate/ES256").send(confirm="ES256")
    assert early.status == 409
    assert "until then verifiers may not know it" in early.words
    assert root.get(f"/console/security/keys/k/{old.kid}/retire").send(confirm=old.kid[:8]).status == 409
    assert audit_list.events() == []
    world.clock.at += 25 * 3600
    later = administrator(world, "later")
    audit_list.events()
    assert "signs now" in later.get("/console/security/keys/rotate/ES256").send(confirm="ES256").words
    assert (audit_list.events(), states(world)) == (["key.rotated"], ["active", "retired"])
    assert not world.active(token)  # of old age, not by the rotation
    at = f"/console/security/keys/k/{old.kid}/withdraw"
    assert "A token it signed may still live" in later.get(at).send(confirm=old.kid[:8]).words
    assert audit_list.events() == []
    world.clock.at += 12 * 3600 + 60
    last = administrator(world, "last")
    audit_list.events()
    gone = last.get(at).send(confirm=old.kid[:8])
    assert f"Key {old.kid[:8]} is withdrawn" in gone.words
    assert audit_list.events() == ["key.removed"]


def test_a_compromised_key_takes_the_tokens_it_signed_with_it(world, root):
    key = world.store.keys.ring()[0]
    token = world.access_token(resource=API)
    world.store.usage.flush()
    audit_list = AuditBook(world)
    at = f"/console/security/keys/k/{key.kid}"
    assert root.get(f"{at}/retire").send(confirm=key.kid[:8]).status == 409
    page = root.get(f"{at}/compromise")
    assert "1 live token dies at once" in page.words
    assert page.send(confirm="").status == 409
    assert page.send(confirm=key.kid[:8], reason="x" * 201).status == 409
    assert world.active(token)
    assert "is dead" in page.send(confirm=key.kid[:8], reason="laptop stolen").words
    assert audit_list.events() == ["key.compromised"]
    assert "laptop stolen" in records(world)[-1].detail
    assert not world.active(token)
    assert states(world) == ["active", "compromised"]
    assert page.send(confirm=key.kid[:8]).status == 409
    assert root.get("/console/security/keys/k/unknown/compromise").status == 404
    assert root.get("/console/security/keys/new").send(alg="odd").status == 409
    assert "will be next" in root.get("/console/security/keys/new").send(alg="EdDSA").words


# --- inventory and audit ------------------------------------------------------------------------------


def test_an_export_holds_what_is_shown_and_no_cell_is_a_formula(services):
    builder(services, "ex", (permission.SECURITY,))
    user_actions.create_user(services.accounts, "owner", ["reader"], **services.who)
    names = ["=1+1", "+cmd", "-2", "@SUM(A1)", HOSTILE, 'a "b", c']
    for name in names:
        credentials.create(
            services.accounts,
            "owner",
            name,
            services.clock.at + 90 * 86400,
            ["reader"],
            pepper=b"p" * 32,
            **services.who,
        )
    browser = signed_in(services, "ex")
    listed = browser.get("/console/security/credentials?q=owner")
    assert "6 credentials" in listed.words
    assert HOSTILE not in listed.text
    assert html.escape(HOSTILE) in listed.text
    answer = browser.get("/console/security/credentials.csv?q=owner")
    assert answer.answer.headers["Content-Disposition"] == 'attachment; filename="credentials.csv"'
    assert answer.answer.headers["Cache-Control"] == "no-store"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert sorted(row["name"].removeprefix("'") for row in rows) == sorted(names)
    for row in rows:
        assert not any(str(cell).startswith(("=", "+", "-", "@")) for cell in row.values())
    exact = browser.get("/console/security/credentials.json?q=owner&sort=name")
    assert sorted(each["name"] for each in json.loads(exact.text)) == sorted(names)
    assert json.loads(browser.get("/console/security/credentials.json?q=nothing-like-it").text) == []
    assert "secret_hash" not in exact.text
    for odd in ("sort=odd", "status=odd", "page=0", "never=on&old=on&unused=on&left=on", "q=%00", "sort=-used"):
        assert browser.get(f"/console/security/credentials?{odd}").status == 200, odd
    link = html.unescape(re.search(r'href="(/console/security/credentials\.csv[^"]*)"', listed.text)[1])
    assert link.endswith("q=owner")


def test_the_inventory_leads_to_the_owner_whatever_the_name(world, root):
    owner = "O.w_n+er@x-1"
    user_actions.create_user(world.accounts, owner, ["reader"], actor="test", now=world.clock.at)
    credentials.create(
        world.accounts, owner, "its", world.clock.at + 86400, ["reader"], pepper=b"p", actor="test", now=world.clock.at
    )
    listed = root.get("/console/security/credentials?q=its")
    with world.app.test_request_context():
        href = url_for("console.user", username=owner)
    assert f'<a href="{href}">{owner}</a>' in listed.text
    assert owner in root.get(href).words


def test_several_are_disabled_together_after_a_look_at_what_dies(world, root):
    user_actions.create_user(world.accounts, "dan", ["reader", "writer"], **world.who)
    off, left, hers = (world.credential("dan", ("reader",)) for _ in range(3))
    mine = world.client
    credentials.disable(world.accounts, off[0], **world.who)
    tokens = {each[0]: world.access_token(each, resource=API) for each in (mine, hers, left)}
    world.store.usage.flush()
    listed = root.get(f"{INVENTORY}?q=dan")
    boxes = re.findall(r'name="chosen" value="([^"]+)" form="disable"', listed.text)
    assert sorted(boxes) == sorted([left[0], hers[0]])
    audit_list = AuditBook(world)
    for nothing in ("", "?chosen=", "?chosen=x&chosen=%00", f"?chosen={HOSTILE}"):
        assert "Choose at least one credential first." in root.get(DISABLE + nothing).words
    asked = f"{DISABLE}?" + "&".join(f"chosen={each[0]}" for each in (mine, hers, off, mine))
    page = root.get(f"{asked}&back=/console/security/credentials%3Fq%3Ddan")
    for said in ("Disable 2 credentials?", "2 live tokens die at once", "2 credentials are affected", "1 of those you"):
        assert said in page.words
    assert all(map(world.active, tokens.values()))
    # Whatever happened since to one of them, none is touched.
    credentials.disable(world.accounts, hers[0], **world.who)
    audit_list.events()
    again = page.send()
    assert again.status == 409
    assert "Nothing was changed" in again.words
    assert "Disable 1 credential?" in again.words
    assert audit_list.events() == []
    credentials.enable(world.accounts, hers[0], **world.who)
    tokens[hers[0]] = world.access_token(hers, resource=API)
    audit_list.events()
    world.clock.at += 301
    confirmed = page.send().send("/console/confirm", password="correct horse battery 9")
    assert confirmed.path == DISABLE
    done = confirmed.send()
    assert "2 credentials are disabled." in done.words
    assert done.path == f"{INVENTORY}?q=dan"
    told = records(world)[-2:]
    assert audit_list.events() == ["credential.disabled"] * 2
    assert {each.target for each in told} == {mine[0], hers[0]}
    assert [(each.actor, json.loads(each.detail)) for each in told] == [("console:root", {"peer": "127.0.0.1"})] * 2
    assert {each: world.active(token) for each, token in tokens.items()} == {
        mine[0]: False,
        hers[0]: False,
        left[0]: True,
    }
    assert world.accounts.audit_verify().fault == ""
    assert "All of them are disabled or deleted already." in root.get(asked).words
    looks = administrator(world, "looks", (permission.SECURITY,))
    assert 'name="chosen"' not in looks.get(INVENTORY).text


def test_no_more_are_disabled_at_once_than_are_shown(world):
    for wrong in ([], [world.client[0]] * 2, [f"{number:036}" for number in range(credentials.MAX_AT_ONCE + 1)]):
        with pytest.raises(Invalid):
            credentials.disable_many(world.accounts, wrong, **world.who)


def test_the_audit_trail_filters_pages_verifies_and_exports(world, root):
    for number in range(60):
        user_actions.create_user(world.accounts, f"u{number}", ["reader"], actor=f"cli:{HOSTILE}", now=world.clock.at)
    page = root.get("/console/security/audit?event=user.created")
    assert HOSTILE not in page.text
    assert html.escape(HOSTILE) in page.text
    assert page.text.count('scope="row"') == 50
    link = html.unescape(re.search(r'rel="next" href="([^"]+)"', page.text)[1])
    rest = root.get(link)
    assert rest.text.count('scope="row"') == 62 - 50
    assert "Nothing found" in root.get("/console/security/audit?actor=nobody").words
    assert "client" not in root.get("/console/security/audit?since=2999-01-01").text.partition("<tbody>")[2]
    for odd in (
        "after=x.y",
        "after=99999999999999999999.1",
        "since=2026-13-77",
        "until=9999-12-31",
        "target=%00",
        "actor=%00",
    ):
        assert root.get(f"/console/security/audit?{odd}").status == 200, odd
    exported = root.get("/console/security/audit.jsonl?event=user.created&target=usr_")
    lines = [json.loads(line) for line in exported.text.splitlines()]
    assert len(lines) == 62
    assert lines == sorted(lines, key=lambda line: line["seq"])
    root.get("/console/security/keys/new").send(alg="RS256")
    assert "console:root from 127.0.0.1" in root.get("/console/security/audit?event=key.generated").words
    whole = [json.loads(line) for line in root.get("/console/security/audit.jsonl").text.splitlines()]
    assert whole[-1]["event"] == "key.generated"
    assert whole[-1]["detail"] == {"alg": "RS256", "peer": "127.0.0.1"}
    assert [line["hash"] for line in whole] == [record.hash for record in records(world)]
    assert "records hold" in root.get("/console/security/audit").send("/console/security/audit/verify").words


def test_the_audit_page_shows_the_newest_checkpoints_their_age_and_how_to_prove_with_them(world, root):
    def checkpoint(at):
        return take(world.store.checkpoints, world.services.sign_checkpoint, issuer="x", now=at)

    assert "No checkpoint yet" in root.get("/console/security/audit").words
    checkpoint(world.clock.at - LATE_AFTER - 1)
    world.store.outbox.chain_broke("record 3: was altered")
    page = root.get("/console/security/audit")
    assert "Checkpoint is late" in page.words
    assert "record 3: was altered" in page.words
    taken = checkpoint(world.clock.at)
    world.store.outbox.chain_held(world.clock.at)
    page = root.get("/console/security/audit")
    assert "Checkpoints are signed" in page.words
    assert "Newest checkpoint #2" in page.words
    assert taken.digest in page.words
    assert "record 3" not in page.words
    assert "flask audit verify --offline audit.jsonl --checkpoint checkpoints.json --jwks jwks.json" in page.text


def test_a_broken_chain_is_told_on_every_page_that_speaks_of_it(world, root):
    with world.store.engine.connect().execution_options(write=True) as connection:
        connection.exec_driver_sql("UPDATE audit SET actor = 'nobody' WHERE seq = 3")
        connection.commit()
    assert "Chain holds at its head" in root.get("/console/security/audit").words
    response = root.get("/console/security/audit").send("/console/security/audit/verify")
    assert "Record 3: was altered" in response.words
    with world.store.engine.connect().execution_options(write=True) as connection:
        connection.exec_driver_sql("UPDATE audit_head SET seal = '0'")
        connection.commit()
    for path in ("/console/security", "/console/security/audit"):
        assert "Chain is broken" in root.get(path).words


def test_every_page_speaks_german(services):
    builder(services, "de", PERMISSIONS)
    browser = signed_in(services, "de")
    for path, methods in addresses(services):
        if "GET" in methods and needed(path) and not path.endswith((".csv", ".json", ".jsonl")):
            page = browser.get(path, **{"Accept-Language": "de"})
            assert '<html lang="de"' in page.text, path


def test_a_resource_server_tells_how_it_learns_of_deaths_and_what_it_would_lose(world, root):
    server = next(each for each in world.accounts.resource_servers() if each.client_id == world.api[0])
    at, authorization = f"/console/resource-servers/{server.id}", {"Authorization": basic(*world.api)}
    quiet = root.get(at)
    assert "exact" in quiet.words
    assert "From the first second on each call is refused with 503." in quiet.words
    lines = f'Verifier("{world.services.issuer}", "{server.audience}", ("{server.client_id}", API_SECRET))'
    assert lines in html.unescape(quiet.words)
    resource_servers.bound_staleness(world.accounts, server.name, 20, **world.who)
    assert "go on for up to 20 s" in root.get(at).words
    token = world.access_token()
    use = {"jti": parts(token)[1]["jti"], "at": world.clock.at, "count": 700, "method": "GET", "route": "/x"}
    body = json.dumps({"report_id": str(uuid.uuid4()), "uses": [use]})
    sent = world.http.post("/oauth/usage", data=body, headers=authorization, content_type="application/json")
    assert sent.json["accepted"] == 700
    assert world.http.get("/oauth/changes", headers=authorization).status_code == 200
    followed = root.get(at)
    assert "up to date" in followed.words
    assert "1 in the last hour" in followed.words
    assert 'mode="feed", max_staleness=20' in html.unescape(followed.words)
    user_actions.revoke(world.accounts, "ada", "writer", **world.who)
    assert "up to date" not in root.get(at).words
    world.clock.at += 400
    assert "go on for up to 20 s" in root.get(at).words  # nobody follows the feed any more


def test_a_resource_server_shows_its_streams_of_security_events(world, root):
    server = next(each for each in world.accounts.resource_servers() if each.client_id == world.api[0])
    at, headers = f"/console/resource-servers/{server.id}", {"Authorization": basic(*world.api)}
    assert "Shared Signals" not in root.get(at).words
    told = json.dumps({"description": "Ledger"})
    made = world.http.post("/ssf/streams", data=told, headers=headers, content_type="application/json")
    assert made.status_code == 201
    page = root.get(at).words
    assert made.json["stream_id"] in page
    assert "fetched by the receiver" in page
    assert "up to date" in page
    user_actions.revoke(world.accounts, "ada", "writer", **world.who)
    assert "1 entry" in root.get(at).words
    german = root.get(at, **{"Accept-Language": "de"}).words
    assert "vom Empfänger abgeholt" in german

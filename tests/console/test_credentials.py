"""A person with their own application credentials: list, make, see the secret once, change, and look at each."""

import gzip
import json
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from html import unescape
from ipaddress import ip_network
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import update

from authserver.actions import credentials, general_settings
from authserver.actions import resource_servers as resource_server_actions
from authserver.actions import roles as role_actions
from authserver.actions import sessions as session_actions
from authserver.actions import users as user_actions
from authserver.console.credentials import snippets
from authserver.console.credentials.detail import OUTCOMES, REASONS
from authserver.console.frame.assets import STATIC
from authserver.oauth.proxies.peer import ProxyTrust
from authserver.ports.errors import Conflict, Invalid
from authserver.ports.sign_in import Preferences
from authserver.rules.facts import Reason
from authserver.store.tables import credential_use
from authserver.store.tables import credentials as rows
from tests.support import clients_js_plugin, powershell
from tests.support.console_browser import PASSWORD, builder, signed_in
from tests.support.processes import ROOT
from tests.support.wsgi_client import wasted

DAY = 86400
LIST, NEW = "/console/credentials", "/console/credentials/new"
UNKNOWN = "00000000-0000-4000-8000-000000000000"
SECRET = re.compile(r"acs_[0-9A-Za-z]{46}")
EVIL = """<script>alert(1)</script>'"&{{7*7}}"""


def of(client_id, act=""):
    return f"{LIST}/{client_id}{act}"


def make(world, owner="ada", name="bot", roles=("reader",), days=90):
    made = credentials.create(
        world.accounts, owner, name, world.clock.at + days * DAY, roles, pepper=world.store.pepper, **world.who
    )
    return made.credential.client_id, made.secret


def created(browser, **fields):
    """Create one by the form; the page with the secret, its client id and its secret."""
    page = browser.get(NEW).send(NEW, **{"name": "Payroll bot", **fields})
    assert page.status == 200, page.words
    found = SECRET.search(page.text)
    assert found, page.words
    return page, re.search(r'id="client-id"[^>]*>([0-9a-f-]{36})<', page.text)[1], found[0]


def mine(world, owner="ada"):
    return {each.client_id: each for each in world.accounts.credentials(world.accounts.user(owner).id)}


def prove_again(browser):
    """Prove again who it is, as the page asks."""
    page = browser.get("/console/confirm?next=/console/credentials").send("/console/confirm", password=PASSWORD)
    assert page.path == LIST


def said(page, text):
    """The page without its marks, for texts that hold some."""
    return text in re.sub(r"\s+([.,])", r"\1", page.words)


# --- the list -----------------------------------------------------------------------------------------------


def test_whoever_has_none_gets_one_sentence_one_button_and_one_link(world):
    builder(world)
    browser = signed_in(world, "bob")
    page = browser.get(LIST)
    assert (
        "No application credentials yet. A credential lets another system act for you, with only the roles you choose."
        in page.words
    )
    assert f'href="{NEW}"' in page.text
    assert "<table" not in page.text
    guide = browser.get("/console/help/postman")
    assert guide.status == 200
    assert "http://127.0.0.1:8000/oauth/token" in guide.words


def test_the_list_shows_what_it_is_whether_it_lives_and_whether_it_is_used(browser):
    world = browser.world
    builder(world)
    make(world, "bob", "not yours", ["reader"])
    soon, _ = make(world, name="soon", days=9)
    off, _ = make(world, name="off")
    credentials.disable(world.accounts, off, **world.who)
    world.access_token()
    world.post("/oauth/token", {"grant_type": "client_credentials"}, (world.client[0], world.api[1]))
    world.store.usage.flush()
    page = browser.get(LIST)
    assert "not yours" not in page.text
    for text in ("Active", "Expiring", "Disabled", "soon", world.client[0], "reader", "writer", "just now"):
        assert text in page.words, text
    assert "Token requests in 30 days: 1 granted" in page.text
    assert f'href="{of(soon)}"' in page.text
    assert "style=" not in page.text


def test_an_owner_is_told_before_it_breaks(browser):
    world, (kept, secret) = browser.world, browser.world.client
    make(world, name="Later", days=31)
    make(world, "ada", EVIL, days=20)
    off, _ = make(world, name="Off", days=5)
    credentials.disable(world.accounts, off, **world.who)
    user_actions.create_user(world.accounts, "carl", ["reader"], **world.who)
    make(world, owner="carl", name="Not hers", days=3)
    rotated = credentials.regenerate(world.accounts, kept, 7 * DAY, pepper=world.store.pepper, **world.who)
    page = browser.get(LIST)
    told = page.words.partition("Ends soon")[2].partition("Search by name")[0]
    # The old secret is in nobody's use yet, so it may end as it was meant to.
    assert told.count("expires") == 1
    assert f"{EVIL} expires in 20 days" in told
    assert "<script>alert" not in page.text
    world.clock.at += 60
    world.access_token((kept, rotated.secret))
    world.store.usage.flush()
    assert "and was still used" not in browser.get(LIST).words
    world.access_token((kept, secret))
    world.store.usage.flush()
    world.clock.at += 1200
    told = browser.get(LIST).words.partition("Ends soon")[2].partition("Search by name")[0]
    assert f"The old secret {secret[:8]}… of bot ends in 6 days" in told
    assert "and was still used 20 minutes ago" in told
    for narrowed in ("?q=bot", "?status=active"):
        assert "Ends soon" not in browser.get(LIST + narrowed).words
    for _ in range(6):
        make(world, name="Many", days=10)
    page = browser.get(LIST)
    assert page.words.partition("Search by name")[0].count("Many expires") == 4
    assert "3 more end soon" in page.words
    world.store.sign_ins.set_preferences(
        world.accounts.user("ada").id, Preferences(language="de", zone="Europe/Berlin")
    )
    assert "Many läuft in 10 Tagen" in browser.get(LIST).words


def test_whatever_nobody_used_for_long_is_shown_as_such(browser):
    world = browser.world
    used, new = (make(world, name=name) for name in ("Used", "New"))
    world.access_token(used)
    world.store.usage.flush()
    with world.store.engine.connect().execution_options(write=True) as connection:
        for column in (rows.c.created_at, credential_use.c.last_used_at):
            connection.execute(update(column.table).values({column: column - 50 * DAY}))
        connection.execute(update(rows).where(rows.c.client_id == new[0]).values(created_at=world.clock.at))
        connection.commit()
    page = browser.get(LIST + "?sort=name")
    shown = re.findall(r'<tr role="row">\s*<th role="rowheader".*?</tr>', page.text, re.DOTALL)
    assert ["Unused for 50 days" in row for row in shown] == [True, False, True]
    assert new[0] in shown[1]


def names(page):
    return re.findall(r'<a class="name"[^>]*>([^<]*)</a>', page.text)


def test_search_sort_filter_and_page_stand_in_the_address(browser, monkeypatch):
    monkeypatch.setattr("authserver.console.credentials.listing.ROWS", 3)
    world = browser.world
    for number in range(4):
        make(world, name=f"n{number}", days=100 + number)
    off, _ = make(world, name="off")
    credentials.disable(world.accounts, off, **world.who)
    assert names(browser.get(f"{LIST}?q=N&sort=name")) == ["n0", "n1", "n2"]
    assert names(browser.get(f"{LIST}?q=n&sort=-expires")) == ["n3", "n2", "n1"]
    assert names(browser.get(f"{LIST}?status=disabled")) == ["off"]
    assert names(browser.get(f"{LIST}?q={off[:8]}")) == ["off"]
    first = browser.get(f"{LIST}?sort=name")
    assert names(first) == ["bot", "n0", "n1"]
    following = unescape(re.search(r'href="([^"]+)">Next', first.text)[1])
    assert following == f"{LIST}?sort=name&page=2"
    second = browser.get(following)
    assert names(second) == ["n2", "n3", "off"]
    assert "Page 2 of 2" in second.words
    assert 'aria-sort="ascending"' in second.text
    assert f'href="{LIST}?sort=-name"' in second.text
    nothing = browser.get(f"{LIST}?q=zzz&status=expired")
    assert "Nothing found" in nothing.words
    assert "No application credentials yet" not in nothing.words


def test_an_address_that_cannot_be_is_no_error(browser):
    for query in ("page=0", "page=-1", "page=9999999999", "page=²", "sort=owner", "status=x", "q=%00"):
        assert browser.get(f"{LIST}?{query}").status == 200, query


# --- make one -----------------------------------------------------------------------------------------------


def test_a_secret_is_shown_once_and_the_form_sent_again_makes_nothing(browser, capfd):
    world = browser.world
    before = set(mine(world))
    form = browser.get(NEW)
    page = form.send(NEW, name="Payroll bot", expires="30", roles=["reader"])
    assert page.status == 200
    assert page.path == NEW  # in the body of the answer, not behind a redirect
    assert page.answer.headers["Cache-Control"] == "no-store"
    assert page.answer.headers["Referrer-Policy"] == "no-referrer"
    assert "connect-src 'self'" in page.answer.headers["Content-Security-Policy"]
    assert "Copy your secret key now" in page.words
    assert (
        "This is the only time it can be shown. Only a one-way hash is kept. If you lose it, generate a new one."
        in page.words
    )
    secret = SECRET.search(page.text)[0]
    (client_id,) = set(mine(world)) - before
    kept = mine(world)[client_id]
    assert (kept.name, kept.roles) == ("Payroll bot", ("reader",))
    assert world.token((client_id, secret)).status_code == 200

    again = form.send(NEW, name="Payroll bot", expires="30", roles=["reader"])
    assert again.status == 409
    assert "already created, the secret is not shown again" in again.words
    assert f'href="{of(client_id)}"' in again.text
    assert set(mine(world)) - before == {client_id}

    world.store.usage.flush()
    later = [again, *(browser.get(path) for path in (LIST, NEW, of(client_id), of(client_id, "/edit")))]
    assert not [each.path for each in later if secret[4:] in each.text]
    captured = capfd.readouterr()
    assert secret[4:] not in captured.out + captured.err
    assert secret[4:] not in "".join(str(record) for record in world.accounts.audit_records())


def test_a_form_with_faults_keeps_its_key_and_all_that_was_typed(browser):
    world = browser.world
    before = set(mine(world))
    form = browser.get(NEW)
    bad = form.send(NEW, name="", expires="date", date="2001-01-01", roles=["writer", "nothing-of-mine"])
    assert bad.status == 400
    assert "There are 3 problems" in bad.words
    for field, text in (
        ("name", "Give it a name."),
        ("date", "Choose a day from 15 Jan 2027 to "),
        ("roles", "You do not hold nothing-of-mine. Choose among your roles."),
    ):
        assert f'href="#f-{field}"' in bad.text
        assert f'id="f-{field}-error"' in bad.text
        assert bad.words.count(text) == 2, text
    assert bad.value("date") == "2001-01-01"
    assert re.search(r'value="writer" checked', bad.text)
    assert set(mine(world)) == before
    good = bad.send(NEW, name="now", expires="7", roles=["writer"])
    assert good.status == 200
    assert len(set(mine(world)) - before) == 1


FAULTS = [
    ({"name": "x" * 101}, "A name is 1 to 100 characters."),
    ({"name": "a\u202eb"}, "A name holds no control, invisible or line-breaking characters."),
    ({"name": "x", "roles": []}, "Choose at least one operational role."),
    ({"name": "x", "roles": ["builder"]}, "Choose at least one operational role."),
    ({"name": "x", "expires": "8"}, "Choose when it expires."),
    ({"name": "x", "expires": "date", "date": "tomorrow"}, "Give a date, such as "),
    ({"name": "x", "expires": "date", "date": "9999-12-31"}, "Choose a day from "),
    ({"name": "x", "form_key": "k" * 256}, "A form key has 1 to 255 characters."),
]


def test_each_fault_names_its_fix(browser):
    form = browser.get(NEW)
    for fields, text in FAULTS:
        page = form.send(NEW, **fields)
        assert page.status == 400, fields
        assert text in page.words, fields


def test_the_day_ends_where_the_owner_is(browser):
    world = browser.world
    for zone, preferred in (
        ("Pacific/Auckland", ""),
        ("", ""),
        ("Mars/Base", ""),
        ("Pacific/Auckland", "Europe/Berlin"),
    ):
        world.store.sign_ins.set_preferences(world.accounts.user("ada").id, Preferences(zone=preferred))
        where = ZoneInfo(preferred or (zone if "Pacific" in zone else "UTC"))
        _, client_id, _ = created(browser, expires="30", zone=zone)
        end = datetime.fromtimestamp(mine(world)[client_id].expires_at, UTC).astimezone(where)
        begun = datetime.fromtimestamp(world.clock.at, UTC).astimezone(where)
        assert (end.hour, end.minute, end.second) == (23, 59, 59)
        assert (end.date() - begun.date()).days == 30
        review = browser.get(NEW).send(NEW, name="x", expires="30", zone=zone, step="review")
        assert f"23:59 {where.key}" in review.words
    _, client_id, _ = created(browser, expires="date", date="2027-05-04")
    assert datetime.fromtimestamp(mine(world)[client_id].expires_at, UTC).astimezone(where).date().isoformat() == (
        "2027-05-04"
    )


def test_no_expiry_is_later_than_the_settings_allow(browser):
    world = browser.world
    general_settings.set_general(world.accounts, "max_credential_days", "60", **world.who)
    page = browser.get(NEW)
    assert [each for each in ("30", "60", "90") if f'name="expires" value="{each}"' in page.text] == ["30", "60"]
    assert page.send(NEW, name="x", expires="90").status == 400
    _, client_id, _ = created(browser, expires="60")
    assert mine(world)[client_id].expires_at == world.clock.at + 60 * DAY


def test_what_will_be_is_said_before_it_is_done(browser):
    before = set(mine(browser.world))
    form = browser.get(NEW)
    page = form.send(NEW, name="Payroll bot", roles=["reader", "writer"], expires="90", step="review")
    assert page.status == 200
    assert said(
        page,
        "‘Payroll bot’ will act as you with the roles reader, writer, cannot open Builder,"
        " until 15 Apr 2027, 23:59 UTC.",
    )
    assert "More than 180 days" not in page.words
    assert page.value("name") == "Payroll bot"
    long = form.send(NEW, name="x", roles=["reader", "builder"], expires="365", step="sentence")
    assert said(long, "‘x’ will act as you with the roles reader, builder, can open Builder, until 15 Jan 2028")
    assert "More than 180 days is long." in long.words
    assert "<html" not in long.text
    assert "Choose at least one operational role." in form.send(NEW, roles=[], step="sentence").words
    assert set(mine(browser.world)) == before


def test_a_link_fills_in_the_form_and_sends_nothing(browser):
    before = set(mine(browser.world))
    page = browser.get(f"{NEW}?name=Vendor+app&roles=writer,auditor&expires=180")
    assert page.value("name") == "Vendor app"
    assert (page.value("expires"), page.value("roles")) == ("180", "writer")
    assert said(page, "‘Vendor app’ will act as you with the role writer")
    dated = browser.get(f"{NEW}?expires=2027-05-04")
    assert (dated.value("expires"), dated.value("date")) == ("date", "2027-05-04")
    usual = browser.get(f"{NEW}?expires=never&roles=root")
    assert (usual.value("expires"), usual.value("roles")) == ("90", "reader")
    assert set(mine(browser.world)) == before


def test_only_roles_held_right_now_are_offered(browser):
    world = browser.world
    user_actions.revoke(world.accounts, "ada", "writer", **world.who)
    page = browser.get(NEW)
    assert 'value="reader"' in page.text
    assert 'value="writer"' not in page.text
    assert page.send(NEW, name="x", roles=["reader", "writer"]).status == 400


def test_as_many_as_the_settings_allow(browser):
    general_settings.set_general(browser.world.accounts, "max_credentials_per_user", "1", **browser.world.who)
    page = browser.get(NEW)
    text = "You have 1 live credential, which is the most allowed. Delete one that is not needed first."
    assert text in page.words
    refused = page.send(NEW, name="kept")
    assert (refused.status, refused.value("name")) == (400, "kept")
    assert text in refused.words


def test_a_proof_is_asked_for_and_what_was_typed_stays(browser):
    world = browser.world
    form = browser.get(NEW)
    world.clock.at += 11 * 60
    page = form.send(NEW, name="Long thought about", expires="7", roles=["writer"])
    assert page.status == 401
    assert "Confirm that it is you" in page.words
    back = page.send("/console/confirm", password=PASSWORD)
    assert back.path == NEW
    assert (back.value("name"), back.value("expires"), back.value("roles")) == ("Long thought about", "7", "writer")
    assert SECRET.search(back.send(NEW).text)


def test_worse_acts_ask_sooner(browser):
    world, client_id = browser.world, browser.world.client[0]
    acts = [of(client_id, act) for act in ("/regenerate", "/delete")]
    forms = [browser.get(act) for act in acts]
    world.clock.at += 6 * 60
    for act, form in zip(acts, forms, strict=True):
        assert "Confirm that it is you" in browser.get(act).words
        assert form.send(act).status == 401
    assert client_id in mine(world)
    prove_again(browser)
    assert not [act for act in acts if "Confirm that it is you" in browser.get(act).words]


# --- whose it is --------------------------------------------------------------------------------------------

GETS = ["", "/edit", "/regenerate", "/old-secret", "/delete", "/keys/add", "/keys/x/remove", "/secrets/end"]
POSTS = {
    "/edit": {"name": "taken", "expires": "7"},
    "/regenerate": {"overlap": "0", "form_key": "k"},
    "/old-secret": {"overlap": "0"},
    "/keys/add": {"public_key": "x"},
    "/keys/x/remove": {},
    "/secrets/end": {},
    "/disable": {},
    "/enable": {},
    "/delete": {"name": "bot"},
    "/sessions/end": {"session": "all"},
}


def test_foreign_and_unknown_are_the_same_404_whatever_is_asked(browser):
    world = browser.world
    builder(world, "bob", ("users:manage", "security:view"))
    theirs, secret = make(world, "bob")
    token = world.access_token((theirs, secret))
    before, records = mine(world, "bob"), world.store.audit_reads.chain_status().records
    csrf = browser.csrf()
    results = []
    for client_id in (theirs, UNKNOWN, "%00", "x" * 300, theirs.upper()):
        answers = [browser.get(of(client_id, act)) for act in GETS]
        answers += [browser.post(of(client_id, act), {**data, "_csrf": csrf}) for act, data in POSTS.items()]
        assert {answer.status for answer in answers} == {404}, client_id
        results.append({re.sub(r'value="/console[^"]*"', "", answer.text) for answer in answers})
    assert len(set.union(*results)) == 1
    assert mine(world, "bob") == before
    assert world.store.audit_reads.chain_status().records == records
    assert world.active(token)


def test_ending_a_foreign_session_under_an_own_credential_ends_nothing(browser):
    world = browser.world
    builder(world)
    token = world.access_token(make(world, "bob"))
    world.store.usage.flush()
    jti = json.loads(credentials_claims(token))["jti"]
    page = browser.post(of(world.client[0], "/sessions/end"), {"session": jti, "_csrf": browser.csrf()})
    assert "That session had ended already." in page.words
    assert world.active(token)


def credentials_claims(token):
    from tests.support.wsgi_client import unb64

    return unb64(token.split(".")[1])


def test_nothing_changes_without_the_token_of_the_form(browser):
    world, client_id = browser.world, browser.world.client[0]
    before, records = mine(world), world.store.audit_reads.chain_status().records
    values = {"name": "x", "expires": "7", "roles": "reader", "form_key": "k"}
    for path, data in ((NEW, values), *((of(client_id, act), data) for act, data in POSTS.items())):
        assert {browser.post(path, {**data, "_csrf": sign}).status for sign in ("", "wrong")} == {403}
        assert browser.post(path, {**data, "_csrf": browser.csrf()}, **{"Sec-Fetch-Site": "cross-site"}).status == 403
    assert mine(world) == before
    assert world.store.audit_reads.chain_status().records == records


def test_whoever_is_not_signed_in_sees_nothing(browser):
    client_id = browser.world.client[0]
    browser.client.delete_cookie("console")
    for path in (LIST, NEW, *(of(client_id, act) for act in GETS)):
        page = browser.get(path)
        assert page.path.startswith("/console/sign-in?")
        assert client_id not in page.words


# --- edit ---------------------------------------------------------------------------------------------------


def test_name_and_expiry_are_changed_by_one_form(browser):
    world, client_id = browser.world, browser.world.client[0]
    was = mine(world)[client_id]
    token = world.access_token()
    page = browser.get(of(client_id, "/edit"))
    assert (page.value("name"), page.value("expires")) == ("bot", "keep")
    page = page.send(of(client_id, "/edit"), name="  Payroll  ")
    assert "Saved." in page.words
    assert (mine(world)[client_id].name, mine(world)[client_id].expires_at) == ("Payroll", was.expires_at)
    page = browser.get(of(client_id, "/edit")).send(of(client_id, "/edit"), expires="7")
    now = mine(world)[client_id].expires_at
    assert world.clock.at + 7 * DAY <= now < world.clock.at + 8 * DAY
    assert world.active(token)
    assert "Edited" in page.words
    records = world.store.audit_reads.chain_status().records
    assert "Nothing was changed." in browser.get(of(client_id, "/edit")).send(of(client_id, "/edit")).words
    assert world.store.audit_reads.chain_status().records == records


def test_a_bad_edit_changes_nothing_and_loses_nothing(browser):
    world, client_id = browser.world, browser.world.client[0]
    was = mine(world)[client_id]
    page = browser.get(of(client_id, "/edit")).send(of(client_id, "/edit"), name="", expires="date", date="2001-01-01")
    assert page.status == 400
    assert "There are 2 problems" in page.words
    assert (page.value("expires"), page.value("date")) == ("date", "2001-01-01")
    assert mine(world)[client_id] == was


def test_an_edit_over_somebody_elses_shows_both_first(browser):
    world, client_id = browser.world, browser.world.client[0]
    form = browser.get(of(client_id, "/edit"))
    later = world.clock.at + 40 * DAY
    credentials.edit(world.accounts, client_id, name="theirs", expires_at=later, **world.who)
    page = form.send(of(client_id, "/edit"), name="ours")
    assert page.status == 409
    for text in ("Changed meanwhile", "bot", "theirs", "ours"):
        assert text in page.words
    assert mine(world)[client_id].name == "theirs"
    assert "Saved." in page.send(of(client_id, "/edit")).words
    # The expiry was left alone by the form, so the other's stands.
    assert (mine(world)[client_id].name, mine(world)[client_id].expires_at) == ("ours", later)
    both = browser.get(of(client_id, "/edit"))
    credentials.edit(world.accounts, client_id, name="third", **world.who)
    page = both.send(of(client_id, "/edit"), expires="7")
    assert page.status == 409
    page.send(of(client_id, "/edit"))
    assert mine(world)[client_id].name == "third"
    assert mine(world)[client_id].expires_at < later


def test_an_expired_one_comes_back_only_where_there_is_room(browser):
    world = browser.world
    client_id, _ = make(world, name="old", days=1)
    world.clock.at += 2 * DAY
    browser = signed_in(world)
    general_settings.set_general(world.accounts, "max_credentials_per_user", "1", **world.who)
    assert "It expired, so it gets no tokens." in browser.get(of(client_id)).words
    page = browser.get(of(client_id, "/edit")).send(of(client_id, "/edit"), expires="7")
    assert page.status == 400
    assert "You have as many live credentials as are allowed." in page.words


# --- a new secret -------------------------------------------------------------------------------------------


def test_a_new_secret_leaves_the_old_one_as_long_as_was_chosen(browser):
    world, (client_id, old) = browser.world, browser.world.client
    world.access_token()
    world.store.usage.flush()
    form = browser.get(of(client_id, "/regenerate"))
    assert old[:8] in form.words
    assert "last used just now" in form.words
    assert "The old secret keeps working until 16 Jan 2027, 08:00 UTC" in form.words
    assert form.value("overlap") == "0"
    page = form.send(of(client_id, "/regenerate"), overlap="86400")
    assert page.status == 200
    assert page.answer.headers["Cache-Control"] == "no-store"
    new = SECRET.search(page.text)[0]
    assert "The old secret keeps working until 16 Jan 2027, 08:00 UTC" in page.words
    assert {world.token((client_id, each)).status_code for each in (old, new)} == {200}
    again = form.send(of(client_id, "/regenerate"), overlap="86400")
    assert again.status == 409
    assert "the secret is not shown again" in again.words
    assert world.token((client_id, new)).status_code == 200
    detail = browser.get(of(client_id))
    assert "Rotating (24 h left)" in detail.words
    assert old[:8] in detail.words
    assert new[:8] in detail.words
    assert new not in detail.text
    now = browser.get(of(client_id, "/regenerate")).send(of(client_id, "/regenerate"))
    newest = SECRET.search(now.text)[0]
    assert [world.token((client_id, each)).status_code for each in (old, new, newest)] == [401, 401, 200]
    assert browser.get(of(client_id, "/regenerate")).send(of(client_id, "/regenerate"), overlap="5").status == 400


# --- off, on, gone ------------------------------------------------------------------------------------------


def test_the_old_secret_is_ended_or_given_longer_but_never_brought_back(browser):
    world, (client_id, old) = browser.world, browser.world.client
    path = of(client_id, "/old-secret")
    assert "No old secret works any more." in browser.get(path).words
    new = credentials.regenerate(world.accounts, client_id, 3600, pepper=world.store.pepper, **world.who).secret
    token, kept = world.access_token((client_id, old)), world.access_token((client_id, new))
    page = browser.get(of(client_id))
    assert f'href="{path}"' in page.text
    page = browser.get(path)
    assert "It works until 15 Jan 2027, 09:00 UTC" in page.words
    assert browser.get(path).send(path, overlap="5").status == 400
    assert "The old secret ends when you chose." in page.send(path, overlap="86400").words
    world.clock.at += 290
    world.access_token((client_id, old))
    changed = browser.get(of(client_id)).words.partition("What happened")[2]
    assert "End of the old secret changed" in changed
    assert "15 Jan 2027, 09:00 UTC → 16 Jan 2027, 08:00 UTC" in changed
    assert world.active(token)
    assert "The old secret has ended." in browser.get(path).send(path, overlap="0").words
    assert (world.active(token), world.active(kept)) == (False, True)
    assert world.token((client_id, old)).status_code == 401
    assert "No old secret works any more." in browser.post(path, {"_csrf": browser.csrf(), "overlap": "3600"}).words
    with pytest.raises(Conflict):
        credentials.move_old_secret(world.accounts, client_id, 3600, **world.who)
    with pytest.raises(Invalid):
        credentials.move_old_secret(world.accounts, client_id, 5, **world.who)
    assert len(list(world.accounts.audit_records(event="credential.old_secret_moved"))) == 2
    assert world.token((client_id, old)).status_code == 401


def test_disabling_is_one_click_and_one_to_take_it_back(browser):
    world, client_id = browser.world, browser.world.client[0]
    token = world.access_token()
    page = browser.get(LIST).send(of(client_id, "/disable"))
    assert page.path == LIST
    assert "‘bot’ is disabled." in page.words
    assert not world.active(token)
    assert world.token().status_code == 401
    undone = page.send(f"{of(client_id, '/enable')}?back=/console/credentials")
    assert undone.path == LIST
    assert "‘bot’ is enabled." in undone.words
    assert world.token().status_code == 200
    assert not world.active(token)
    twice = browser.post(of(client_id, "/enable"), {"_csrf": browser.csrf()})
    assert "‘bot’ is enabled already." in twice.words
    away = browser.post(of(client_id, "/disable"), {"_csrf": browser.csrf(), "back": "https://evil.example/"})
    assert away.path == of(client_id)


def test_whatever_was_used_lately_goes_only_with_its_name_typed(browser):
    world, client_id = browser.world, browser.world.client[0]
    token = world.access_token()
    world.store.usage.flush()
    page = browser.get(of(client_id, "/delete"))
    assert "Delete ‘bot’?" in page.words
    assert "It was used just now" in page.words
    assert "1 live token ends now." in page.words
    assert "Type the name to confirm." in page.words
    for wrong in ("", "Bot", "bots"):
        refused = page.send(of(client_id, "/delete"), name=wrong)
        assert refused.status == 400
        assert "Type ‘bot’ to delete it." in refused.words
    assert client_id in mine(world)
    gone = page.send(of(client_id, "/delete"), name="bot")
    assert gone.path == LIST
    assert "‘bot’ is deleted." in gone.words
    assert client_id not in mine(world)
    assert not world.active(token)
    assert browser.get(of(client_id)).status == 404


def test_whatever_was_not_used_for_a_month_goes_without(browser):
    world, client_id = browser.world, browser.world.client[0]
    world.access_token()
    world.store.usage.flush()
    world.clock.at += 30 * DAY
    browser = signed_in(world)
    page = browser.get(of(client_id, "/delete"))
    assert "Type the name" not in page.words
    assert "is deleted." in page.send(of(client_id, "/delete")).words


# --- what is told of one ------------------------------------------------------------------------------------


def test_sessions_are_seen_and_ended_one_by_one_or_all(browser):
    world, client_id = browser.world, browser.world.client[0]
    tokens = [world.access_token() for _ in range(3)]
    world.introspect(tokens[0], http_method="GET", http_route="/reports/{id}")
    world.store.usage.flush()
    page = browser.get(of(client_id))
    assert "Live sessions 3" in page.words
    assert "in 30 minutes" in page.words
    assert "GET /reports/{id}" in page.words
    path = of(client_id, "/sessions/end")
    page = page.send(path)
    assert "That session is ended. The others live on." in page.words
    assert "You ended it." in page.words
    assert sum(world.active(token) for token in tokens) == 2
    page = browser.post(path, {"_csrf": browser.csrf(), "session": "all"})
    assert "2 sessions are ended." in page.words
    assert not any(world.active(token) for token in tokens)
    assert "All sessions ended" in page.words
    assert "That session had ended already." in browser.post(path, {"_csrf": browser.csrf(), "session": "x"}).words


def test_an_owner_is_told_of_tokens_that_nobody_used(browser):
    client_id, _ = make(browser.world)
    wasted(browser.world, client_id, 999)
    assert "it was issued" not in browser.get(of(client_id)).words
    wasted(browser.world, client_id, 8_640_000)
    page = browser.get(of(client_id))
    assert "Yesterday (UTC) it was issued 8640000 tokens, and 0 uses of them are known." in page.words
    assert 'href="/console/help#keep-tokens"' in page.text
    assert 'id="keep-tokens"' in browser.get("/console/help").text


def test_the_page_tells_why_tokens_ended_and_what_happened(browser):
    world, (client_id, secret) = browser.world, browser.world.client
    world.access_token()
    world.post("/oauth/token", {"grant_type": "client_credentials", "scope": "root"}, world.client)
    world.store.usage.flush()
    world.clock.at += 1
    user_actions.revoke(world.accounts, "ada", "writer", **world.who)
    world.clock.at += 1
    page = browser.get(of(client_id))
    assert "Your roles changed." in page.words
    assert "writer role was removed from your account on 15 Jan 2027" in page.words
    assert "New tokens no longer have it." in page.words
    assert "Reduced" in page.words
    assert "A role that it does not have" in page.words
    assert "1 granted, 1 refused" in page.words
    for text in ("A role was removed from you", "Created", "by test", secret[:8]):
        assert text in page.words
    for number in range(30):
        credentials.edit(world.accounts, client_id, name=f"n{number}", **world.who)
    page = browser.get(of(client_id))
    older = unescape(re.search(r'href="([^"]+before=[^"#]+)', page.text)[1])
    assert "Created" in browser.get(older).words.split("What happened")[1]
    assert browser.get(of(client_id, "?before=x")).status == 200
    assert browser.get(of(client_id, f"?before={'9' * 15}-{'9' * 15}")).status == 200


def test_each_change_says_from_where_it_was_asked_for(browser):
    world = browser.world
    world.services._transport = ProxyTrust([ip_network("127.0.0.1/32")])
    browser._peer |= {"HTTP_X_FORWARDED_FOR": "203.0.113.9, 192.0.2.7", "HTTP_X_FORWARDED_PROTO": "https"}
    _, client_id, _ = created(browser)
    credentials.edit(world.accounts, client_id, name="by hand", actor="cli:root", now=world.clock.at)
    role_actions.create_role(world.accounts, "more", "operational", (), **world.who)
    user_actions.grant(world.accounts, "ada", "more", actor="system", now=world.clock.at)
    happened = browser.get(of(client_id)).words.partition("What happened")[2]
    assert "· by ada · from 192.0.2.7" in happened
    assert "· by root · on the command line" in happened
    assert "· by the server itself more" in happened
    assert "203.0.113.9" not in happened
    # Whoever is no proxy of ours may say what they like.
    world.services._transport = ProxyTrust()
    browser.get(of(client_id)).send(of(client_id, "/disable"))
    happened = browser.get(of(client_id)).words.partition("What happened")[2]
    assert "· by ada · from 127.0.0.1" in happened
    # Records without an address, as an older version wrote them, hold beside those with one.
    peers = [json.loads(record.detail).get("peer") for record in world.accounts.audit_records()]
    assert {None, "192.0.2.7", "127.0.0.1"} == set(peers)
    assert world.accounts.audit_verify().fault == ""


def test_of_two_ends_the_first_is_the_reason(world):
    issued = world.clock.at
    world.access_token()
    world.store.usage.flush()
    for later, reason in ((1801, "idle"), (13 * 3600, "idle")):
        world.clock.at = issued + later
        (seen,) = session_actions.inspect_sessions(
            world.accounts, world.store.sessions, world.store.hot_path, world.client[0]
        )
        assert (seen.end_reason, seen.ended_at) == (reason, issued + 1800)


def test_every_reason_and_outcome_has_words():
    assert set(REASONS) == {reason.value for reason in Reason}
    assert {"granted", "wrong_secret", "secret_ended", "invalid_scope", "invalid_target"} <= set(OUTCOMES)


def test_names_are_text_wherever_they_stand(browser):
    world = browser.world
    page, client_id, _ = created(browser, name=EVIL)
    world.access_token(made := make(world, name=EVIL))
    world.store.usage.flush()
    form = browser.get(of(client_id, "/edit"))
    credentials.edit(world.accounts, client_id, name=EVIL + "2", **world.who)
    conflict = form.send(of(client_id, "/edit"), name=EVIL + "3")
    assert conflict.status == 409
    pages = [page, conflict, browser.get(LIST), browser.get(f"{NEW}?name=<script>alert(1)</script>")]
    pages += [browser.get(of(made[0], act)) for act in GETS]
    pages += [browser.get(LIST).send(of(client_id, "/disable")), browser.get(f"{LIST}?q=<script>alert(1)")]
    pages += [browser.get(of(made[0], "/delete")).send(of(made[0], "/delete"), name="x")]
    pages += [browser.get(NEW).send(NEW, name=EVIL, step="review")]
    for each in pages:
        assert "<script>alert" not in each.text, each.path
        assert "49" not in each.words.partition("alert(1)")[2][:20]
        assert "alert(1)" in each.text, each.path


def test_the_pages_speak_german(browser):
    world, client_id = browser.world, browser.world.client[0]
    world.store.sign_ins.set_preferences(
        world.accounts.user("ada").id, Preferences(language="de", zone="Europe/Berlin")
    )
    assert "Zugangsdaten erstellen" in browser.get(LIST).words
    assert "Was geschah" in browser.get(of(client_id)).words
    page = browser.get(NEW).send(NEW, name="Lohn", expires="90", step="review")
    assert said(
        page, "\u201aLohn‘ handelt als Sie mit der Rolle reader, kann Builder nicht öffnen, bis 15. Apr. 2027, 23:59"
    )
    assert "Geben Sie einen Namen an." in browser.get(NEW).send(NEW, name="").words


def test_the_console_is_light():
    weight = sum(len(gzip.compress(path.read_bytes())) for path in STATIC.iterdir() if path.suffix in {".css", ".js"})
    assert weight <= 120_000


# --- snippets -----------------------------------------------------------------------------------------------


def shown_snippets(site, resource=""):
    access = snippets.Access(site.token_url, site.client_id, site.client_secret, "bot", resource)
    return {each.key: each for each in snippets.snippets(access)}


@pytest.mark.parametrize("resource", ["", "https://rs256.example.com"])
@pytest.mark.parametrize("key", ["curl", "python", "node", "powershell", "env", "postman"])
@pytest.mark.parametrize("site", ["sqlite"], indirect=True)  # what they send is the same; the doors have tests on both
def test_snippets_run_as_they_are_shown(site, tmp_path, key, resource):
    pwsh = shutil.which("pwsh")
    if key == "powershell" and not pwsh:
        clients_js_plugin.need("The snippet for PowerShell was", powershell.missing())
    snippet = shown_snippets(site, resource)[key]
    file = tmp_path / snippet.file
    file.write_text(snippet.text, encoding="utf-8")
    asked = f" && curl -sS -d grant_type=client_credentials{' -d resource=$RESOURCE' if resource else ''}"
    asked += ' -d client_id=$CLIENT_ID -d client_secret=$CLIENT_SECRET "$TOKEN_URL"'
    command = {
        "curl": lambda: ["sh", str(file)],
        "python": lambda: [sys.executable, str(file)],
        "node": lambda: ["node", str(file)],
        "powershell": lambda: [
            *([pwsh, "-File"] if pwsh else [sys.executable, "-m", "tests.support.powershell"]),
            str(file),
        ],
        "env": lambda: ["sh", "-c", f". {file}{asked}"],
        "postman": lambda: ["sh", "-c", _as_curl(snippet.text)],
    }[key]()
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    told = run.stdout.strip()
    token = json.loads(told)["access_token"] if told.startswith("{") else told
    assert json.loads(credentials_claims(token))["aud"] == (resource or "https://es256.example.com")


def test_powershell_itself_is_not_forgotten():
    """The grammar has no opinion of its own about what a command does: where there is a ``pwsh``, it runs."""
    if not shutil.which("pwsh"):
        pytest.skip(
            f"PowerShell itself was{clients_js_plugin.LEFT_OUT}pwsh is not installed; a grammar read its snippet"
        )


def _as_curl(collection):
    """What Postman would send for the first request of a collection."""
    document = json.loads(collection)
    values = {each["key"]: each["value"] for each in document["variable"]}
    asked = document["item"][0]["request"]

    def filled(text):
        return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], text)

    pairs = [(each["key"], filled(each["value"])) for each in asked["body"]["urlencoded"]]
    return f"curl -sS {filled(asked['url'])} " + " ".join(f"--data-urlencode '{key}={value}'" for key, value in pairs)


def test_hostile_values_stay_values_in_every_snippet(tmp_path):
    evil = "https://x.example/$(id)`id`'\"\\;${IFS}"
    access = snippets.Access(evil, UNKNOWN, "acs_" + "0" * 40 + "4HXhrH", EVIL, evil)
    shown = {each.key: each.text for each in snippets.snippets(access)}
    assert json.loads(shown["postman"])["info"]["name"] == EVIL
    assert compile(shown["python"], "token.py", "exec")
    env = tmp_path / "credential.env"
    env.write_text(shown["env"])
    result = subprocess.run(
        ["sh", "-c", f'. {env}; printf %s "$TOKEN_URL"'], capture_output=True, text=True, check=True, timeout=300
    )
    assert result.stdout == evil
    argv = subprocess.run(
        ["sh", "-c", f'curl() {{ printf "%s\\n" "$@"; }}; {shown["curl"]}'],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert argv.stdout.splitlines()[-1] == evil


@pytest.mark.parametrize("quote", powershell.QUOTES)
def test_a_quote_of_any_kind_ends_no_string_of_powershell(quote):
    clients_js_plugin.need("The snippet for PowerShell was", powershell.missing())
    evil = f"https://x.example/{quote}; Remove-Item / #{quote}{quote} $(id)"
    access = snippets.Access(evil, UNKNOWN, "acs_" + "0" * 40 + "4HXhrH", EVIL, evil)
    (text,) = [each.text for each in snippets.snippets(access) if each.key == "powershell"]
    session, asked = powershell.Session(), []
    session._command = lambda node: asked.append(node) or {"access_token": "t"}
    assert session.run(text) == ["t"]
    assert session.variables["$body"]["resource"] == evil
    assert len(asked) == 1
    with pytest.raises(SyntaxError):
        powershell.Session().run(f"'{quote}{evil}'")


def test_an_api_is_named_only_where_the_server_would_not_know(browser):
    world = browser.world
    page, _, _ = created(browser)
    assert "resource" not in page.words
    resource_server_actions.register_resource_server(
        world.accounts, "b", "https://b.example.com", pepper=world.store.pepper, **world.who
    )
    page, client_id, secret = created(browser)
    assert "resource=https://api.example.com" in page.words
    assert world.token((client_id, secret), resource="https://api.example.com").status_code == 200
    general_settings.set_general(world.accounts, "default_audience", "https://b.example.com", **world.who)
    assert "resource" not in created(browser)[0].words


def test_an_edit_is_refused_where_it_was_not_seen_as_it_is(world):
    client_id = world.client[0]
    was = mine(world)[client_id]
    with pytest.raises(credentials.Changed) as refused:
        credentials.edit(world.accounts, client_id, name="x", seen=("other", was.expires_at), **world.who)
    assert refused.value.current == was
    assert mine(world)[client_id] == was
    assert session_actions.inspect_sessions(world.accounts, world.store.sessions, world.store.hot_path, client_id) == ()
    credentials.edit(world.accounts, client_id, name="x", seen=(was.name, was.expires_at), **world.who)
    assert mine(world)[client_id].name == "x"

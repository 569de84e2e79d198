"""How a sign-in ends, and what a proof that is not old is asked for."""

import re

import pytest

from authserver.actions import users as user_actions
from authserver.console.sign_in.login_throttle import FREE_ATTEMPTS
from authserver.rules.sign_in import ABSOLUTE, IDLE, JUST_NOW, RECENT
from tests.console.sign_in.support import _numbers, linked, somebody
from tests.support.console_browser import PASSWORD, Browser, signed_in
from tests.support.shell import Shell


def test_it_ends_when_nothing_was_asked_for_half_an_hour(site):
    browser = signed_in(site, somebody(site))
    for _ in range(5):
        site.clock.at += IDLE - 1
        assert browser.path == "/console/credentials"
    site.clock.at += IDLE
    assert browser.path == "/console/sign-in"
    site.clock.at -= IDLE


def test_it_ends_after_twelve_hours_however_busy(site):
    browser, began = signed_in(site, somebody(site)), site.clock.at
    while site.clock.at < began + ABSOLUTE - 1:
        assert browser.path == "/console/credentials"
        site.clock.at = min(site.clock.at + IDLE - 60, began + ABSOLUTE - 1)
    assert browser.path == "/console/credentials"
    site.clock.at = began + ABSOLUTE
    assert browser.path == "/console/sign-in"


def test_the_page_knows_when_it_ends(site):
    browser = signed_in(site, somebody(site))
    ends_in = int(re.search(r'data-ends-in="(\d+)"', browser.get("/console/profile").text)[1])
    assert IDLE - 60 <= ends_in < IDLE
    site.clock.at += ends_in
    stayed = browser.client.post("/console/stay", headers={"X-CSRF-Token": browser.csrf()})
    assert stayed.status_code == 204
    site.clock.at += ends_in
    assert browser.path == "/console/credentials"


def test_signing_out_ends_it_for_good(site):
    browser = signed_in(site, somebody(site))
    kept = browser.cookie
    page = browser.get("/console/profile").send("/console/sign-out")
    assert "You are signed out" in page.words
    assert browser.path == "/console/sign-in"
    browser.client.set_cookie("console", kept)
    assert browser.path == "/console/sign-in"


@pytest.mark.parametrize("end", ["disable", "lose the builder role"])
def test_it_ends_with_the_right_to_enter_and_does_not_come_back(site, end):
    name = somebody(site)
    browser = signed_in(site, name)
    role = f"builder-{name}"
    if end == "disable":
        user_actions.disable(site.accounts, name, **site.who)
    else:
        user_actions.revoke(site.accounts, name, role, **site.who)
    assert browser.path == "/console/sign-in"
    assert Browser(site).sign_in(name).status == 401
    if end == "disable":
        user_actions.enable(site.accounts, name, **site.who)
    else:
        user_actions.grant(site.accounts, name, role, **site.who)
    assert browser.path == "/console/sign-in"
    assert Browser(site).sign_in(name).status == 200


def test_signing_out_elsewhere(site):
    name = somebody(site)
    here, there, other_browser = signed_in(site, name), signed_in(site, name), signed_in(site, name)
    page = here.get("/console/profile")
    assert page.text.count('name="session" value="cs_') == 2
    page.send("/console/profile/sessions/end")  # the last of the list
    assert [each.path for each in (there, other_browser)].count("/console/sign-in") == 1
    signed_in(site, name)
    done = here.post("/console/profile/sessions/end", {"_csrf": here.csrf(), "session": "others"})
    assert "You are signed out everywhere else." in done.words
    assert {each.path for each in (there, other_browser)} == {"/console/sign-in"}
    assert here.path == "/console/credentials"
    assert {"console.session_ended", "console.other_sessions_ended"} <= {
        each.event for each in site.accounts.audit_records(actor=f"console:{name}")
    }


def test_nobody_ends_the_sign_ins_of_others(site):
    mine, theirs = signed_in(site, somebody(site)), somebody(site)
    other = signed_in(site, theirs)
    user = site.accounts.user(theirs)
    handle = site.store.sign_ins.of_user(user.id)[0].handle
    for wrong in (handle, "cs_unknown", "\0", ""):
        done = mine.post("/console/profile/sessions/end", {"_csrf": mine.csrf(), "session": wrong})
        assert done.status in {200, 400}
    assert other.path == "/console/credentials"
    assert handle not in mine.get("/console/profile").text


def test_T_117_whoever_has_no_password_sets_one_right_after_signing_in_only(site):
    user_actions.create_user(site.accounts, (name := f"fresh{next(_numbers)}"), ["reader", "builder"], **site.who)
    browser = Browser(site)
    browser.get(linked(site, name)).send("/console/link")
    site.clock.at += JUST_NOW
    late = browser.get("/console/profile/password").send(password_new=PASSWORD)
    assert late.status == 401
    assert "you have no password to confirm it with" in late.words
    assert site.store.sign_ins.password_of(name)[1] is None
    browser.get(linked(site, name)).send("/console/link")
    site.clock.at += JUST_NOW - 1
    done = browser.get("/console/profile/password").send(password_new=PASSWORD)
    assert (done.path, done.status) == ("/console/profile", 200)
    assert Browser(site).sign_in(name).path == "/console/credentials"


def test_T_117_the_password_is_a_new_proof(site):
    name = somebody(site)
    browser = signed_in(site, name)
    site.clock.at += RECENT
    proof = site.store.sign_ins.of_user(site.accounts.user(name).id)[0].proof_at
    wrong = browser.get("/console/confirm?next=/console/profile").send("/console/confirm", password="wrong password")
    assert wrong.status == 401
    assert "That is not your password." in wrong.words
    assert site.store.sign_ins.of_user(site.accounts.user(name).id)[0].proof_at == proof
    right = wrong.send("/console/confirm", password=PASSWORD)
    assert right.path == "/console/profile"
    assert site.store.sign_ins.of_user(site.accounts.user(name).id)[0].proof_at == site.clock.at


def test_guessing_the_password_again_waits_as_well(site):
    browser = signed_in(site, somebody(site))
    statuses = [
        browser.get("/console/confirm").send("/console/confirm", password="wrong password").status
        for _ in range(FREE_ATTEMPTS + 1)
    ]
    assert statuses == [401] * FREE_ATTEMPTS + [429]


def test_changing_the_password_signs_out_everywhere_else(site):
    name, fresh = somebody(site), "another good horse 7"
    here, there = signed_in(site, name), signed_in(site, name)
    wrong = here.get("/console/profile/password").send(password="wrong password", password_new=fresh)
    assert (wrong.status, "That is not your password." in wrong.words) == (400, True)
    weak = wrong.send(password=PASSWORD, password_new="password1234")
    assert weak.status == 400
    assert 'id="f-password_new-error"' in weak.text
    done = weak.send(password=PASSWORD, password_new=fresh)
    assert (done.path, done.status) == ("/console/profile", 200)
    assert "Your password is changed." in done.words
    assert there.path == "/console/sign-in"
    assert here.path == "/console/credentials"
    assert Browser(site).sign_in(name).status == 401
    assert Browser(site).sign_in(name, fresh).status == 200
    for page in (wrong, weak, done):
        assert PASSWORD not in page.text
        assert fresh not in page.text


def test_a_password_from_the_command_line_ends_all_sign_ins(site):
    name = somebody(site)
    browser = signed_in(site, name)
    assert Shell(site.app)("users", "password", name, "--password-stdin", stdin="another good horse 8").code == 0
    assert browser.path == "/console/sign-in"

"""What administrators do, walked in a real browser, and what it does to live tokens (EXPERIENCE.md 3.6, section 8)."""

import csv
import json
import re

from playwright.sync_api import expect

from tests.support import openid_provider as openid
from tests.support import servers
from tests.support.chromium import axe
from tests.support.console_server import opened, sign_in

FONTS = "https://fonts.googleapis.com"


def downloaded(page, name):
    """Press a link that hands out a file; its name and text."""
    with page.expect_download() as download:
        page.get_by_role("link", name=name).click()
    return download.value.suggested_filename, download.value.path().read_text(encoding="utf-8")


def test_a_setting_holds_at_once(visits, site_with_history):
    """The value, who set it and when; what dies is said first, dies at once, and its owner is told why."""
    site_with_history.person("vera", "reports.read", "administrator")
    client = site_with_history.credential("vera", "Rarely used", "reports.read")
    idle = site_with_history.old_token(client, 600)
    busy = site_with_history.use(client)
    visit = visits(site_with_history.url)
    page = sign_in(visit, "vera")
    page.get_by_role("link", name="Settings").click()
    expect(page.get_by_role("region", name="Idle timeout")).to_contain_text("30 min")
    page.get_by_role("link", name="Change Idle timeout").click()
    page.get_by_label("New value").fill("5")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("1 live token dies at once")
    page.get_by_role("button", name="Save and end these tokens").click()
    expect(page.get_by_text("Idle timeout is 5 min now.")).to_be_visible()
    history = page.get_by_role("row", name="vera")
    expect(history).to_contain_text("30 min")
    expect(history).to_contain_text("5 min")
    expect(history).to_contain_text("Europe/Berlin")
    assert not site_with_history.lives(idle)
    assert site_with_history.lives(busy)
    visit.go(f"/console/credentials/{client[0]}")
    page.get_by_text("Ended lately, and why").click()
    expect(page.locator("#sessions")).to_contain_text("It was not used for the idle timeout.")


def test_a_role_that_is_made_given_and_taken_away(visits, site_with_history):
    """Role, user, one-time link; then the role goes and takes the live token with it, as the preview said."""
    visit = visits(site_with_history.url)
    page = sign_in(visit)
    visit.go("/console/users/roles")
    page.get_by_role("link", name="Create role").click()
    page.get_by_label("Name", exact=True).fill("auditor")
    page.get_by_label("Builder").check()
    page.get_by_role("checkbox", name=re.compile("^Security, reading")).check()
    page.get_by_role("button", name="Create role").click()
    expect(page.get_by_role("row", name="auditor")).to_contain_text("Security, reading")
    page.get_by_role("link", name="Users", exact=True).click()
    page.get_by_role("link", name="Create user").click()
    page.get_by_label("User name").fill("oskar@example.com")
    page.get_by_label("auditor").check()
    page.get_by_label("reports.read").check()
    axe(visit)
    page.get_by_role("button", name="Create user").click()
    link = page.locator("#login-link").text_content()

    theirs = visits(site_with_history.url, theme="dark")
    theirs.go(link.removeprefix(site_with_history.url))
    theirs.page.get_by_role("button", name="Sign in").click()
    expect(theirs.page.get_by_role("heading", level=1)).to_have_text("Your profile")
    theirs.page.get_by_role("link", name="Security").click()
    expect(theirs.page.get_by_role("heading", level=1)).to_have_text("Security")
    with theirs.expecting(403):
        theirs.go("/console/users")

    client = site_with_history.credential("oskar@example.com", "Report mailer", "reports.read")
    token = site_with_history.use(client)
    page.get_by_role("link", name="Done").click()
    page.get_by_role("link", name="Remove auditor").click()
    expect(page.locator(".stats")).to_contain_text("1 live token dies at once")
    expect(page.get_by_role("list", name="What is affected")).to_contain_text("Report mailer")
    assert site_with_history.lives(token)
    page.get_by_role("button", name="Remove the role").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("oskar@example.com")
    assert not site_with_history.lives(token)
    theirs.go("/console/credentials")
    expect(theirs.page.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_keys_are_announced_forced_and_killed(visits, site_with_history):
    """Rotation waits for verifiers and says until when; a reason forces it; a stolen key takes its tokens."""
    site_with_history.person("rosa", "reports.read", "administrator")
    client = site_with_history.credential("rosa", "Signed before", "reports.read")
    token = site_with_history.use(client)
    visit = visits(site_with_history.url)
    page = sign_in(visit, "rosa")
    visit.go("/console/security/keys")
    old = page.locator(".key.active h3 code").text_content()

    def rotate(button):
        page.get_by_role("link", name="Rotate ES256").click()
        page.get_by_label("Type ES256 to confirm").fill("ES256")
        page.get_by_role("button", name=button).click()

    rotate("Publish it")
    expect(page.get_by_text("is published and will be next.")).to_be_visible()
    expect(page.get_by_role("region", name="ES256", exact=True)).to_contain_text("Being announced")
    with visit.expecting(409):
        rotate("Rotate")
        refusal = page.get_by_role("alert")
        expect(refusal).to_contain_text(
            re.compile(r"The next key may sign from \d+ \w+ \d{4}, \d\d:\d\d Europe/Berlin")
        )
        axe(visit)
        page.get_by_label("Sign with it at once").check()
        page.get_by_label("Type ES256 to confirm").fill("ES256")
        page.get_by_role("button", name="Rotate").click()
        expect(page.get_by_role("alert")).to_contain_text("Say why it cannot wait.")
    expect(page.get_by_label("Sign with it at once")).to_be_checked()
    page.get_by_label("Why").fill("The old key was on a stolen laptop")
    page.get_by_role("button", name="Rotate").click()
    expect(page.get_by_text("signs now.")).to_be_visible()
    assert site_with_history.lives(token)
    page.get_by_role("link", name=f"Mark compromised {old}").click()
    page.get_by_label(f"Type {old} to confirm").fill(old)
    page.get_by_role("button", name="Kill the key and its tokens").click()
    expect(page.get_by_text(f"Key {old} is dead, and so is every token it signed.")).to_be_visible()
    assert not site_with_history.lives(token)
    site_with_history.use(client)
    record = site_with_history.accounts.audit_newest(20)
    assert any("stolen laptop" in each.detail for each in record)


def test_the_audit_and_the_inventory_are_searched_and_taken_home(visits, site_with_history):
    """Filters, what a record says, the state of the chain, and files that hold what was shown."""
    visit = visits(site_with_history.url)
    page = sign_in(visit)
    visit.go("/console/security/audit")
    expect(page.get_by_text("Chain holds at its head")).to_be_visible()
    page.get_by_role("button", name="Verify every record").click()
    expect(page.get_by_text(re.compile(r"All \d+ records hold\."))).to_be_visible()
    page.get_by_label("Event").select_option("credential.created")
    page.get_by_label("Who").fill("test")
    page.get_by_label("About").fill(site_with_history.payroll)
    page.get_by_role("button", name="Filter").click()
    rows = page.locator(".records tbody tr")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Payroll bot")
    rows.get_by_text(re.compile(r"\d+ details")).click()
    expect(rows).to_contain_text("payroll.read")
    name, text = downloaded(page, "Export JSONL")
    (record,) = map(json.loads, text.splitlines())
    assert (name, record["event"], record["target"]) == ("audit.jsonl", "credential.created", site_with_history.payroll)
    assert record["hash"]

    page.get_by_role("link", name="All credentials").click()
    page.get_by_role("searchbox").fill("ada")
    page.get_by_label("Never used").check()
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**never=on*")
    shown = sorted(page.locator("tbody th").evaluate_all("(all) => all.map((each) => each.firstChild.textContent)"))
    assert shown == ["Postman on my laptop", "Trial of the new billing system, to be removed"]
    name, text = downloaded(page, "Export CSV")
    assert name == "credentials.csv"
    assert sorted(row["name"] for row in csv.DictReader(text.splitlines())) == shown
    name, text = downloaded(page, "Export JSON")
    assert name == "credentials.json"
    assert sorted(row["name"] for row in json.loads(text)) == shown
    assert "acs_" not in text


def test_sign_in_with_a_provider(visits, node, tmp_path):
    """Through a real provider and back; whoever is not linked stays outside and learns what to tell the operator."""
    port = servers.free_port()
    back = f"http://127.0.0.1:{port}/console/sign-in/provider/return"
    with openid.real(node, back) as issuer:
        values = {
            "AUTHSERVER_OIDC_ISSUER": issuer,
            "AUTHSERVER_OIDC_CLIENT_ID": openid.CLIENT["client_id"],
            "AUTHSERVER_OIDC_CLIENT_SECRET": openid.CLIENT["client_secret"],
            "AUTHSERVER_OIDC_LABEL": "Example ID",
        }
        with opened(tmp_path, port, **values) as site:
            visit = visits(site.url)
            page = visit.page
            # The provider's own pages want a font from elsewhere; it is none of ours.
            visit.context.route(f"{FONTS}/**", lambda route: route.fulfill(body="", content_type="text/css"))
            with visit.expecting(issuer, FONTS, 403):
                through(visit, "ada-there")
                expect(page.get_by_text("not linked to an account here")).to_be_visible()
                expect(page.get_by_text("ada-there")).to_be_visible()
                axe(visit)
            sign_in(visit)
            with visit.expecting(issuer):
                visit.go("/console/profile")
                page.get_by_role("button", name="Link it").click()
                expect(page.get_by_text("Linked. From now on you can sign in that way.")).to_be_visible()
            page.locator("summary", has_text="ada").click()
            page.get_by_role("button", name="Sign out").click()
            visit.context.clear_cookies()
            with visit.expecting(issuer, FONTS):
                through(visit, "ada-there")
                expect(page.get_by_role("heading", level=1)).to_have_text("Application credentials")
            # Before the server goes: the browser may still be asking it for the icon of the page.
            visit.close()


def through(visit, login):
    """Press the provider's button and sign in there."""
    visit.go("/console/sign-in")
    visit.page.get_by_role("button", name="Sign in with Example ID").click()
    at_provider(visit.page, login)


def at_provider(page, login):
    """What a person does at the provider: sign in, then agree."""
    page.wait_for_url("**/interaction/*")
    page.locator("input[name=login]").fill(login)
    page.locator("input[name=password]").fill("anything")
    page.get_by_role("button", name="Sign-in").click()
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url("**/console/**")

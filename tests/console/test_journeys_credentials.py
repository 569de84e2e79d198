"""What people do with their credentials, walked in a real browser (EXPERIENCE.md sections 3.1 to 3.7)."""

import base64
import json
import pathlib
import re
import time
from urllib.parse import quote, urlencode
from urllib.request import urlopen

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from playwright.sync_api import expect

from authserver.store.tables import console_sessions
from tests.support.assertions import Signer, form
from tests.support.chromium import axe, fits, focused
from tests.support.console_server import PASSWORD, sign_in
from tests.support.wsgi_client import b64

SECRET = re.compile(r"acs_[0-9A-Za-z]{46}")


def create(page, name):
    """Fill in the form and send it; the secret."""
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Create and show secret").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Copy your secret key now")
    return page.locator("#secret-key").text_content()


def owned(site, owner):
    """The names of somebody's credentials."""
    return sorted(each.name for each in site.accounts.credentials(owner.id))


def test_from_nothing_to_a_token(visits, site_with_history):
    """Empty page, live sentence, secret once, copied truly or by hand, tried, and never lost by accident."""
    nina = site_with_history.person("nina", "invoices.read", "payroll.read", "builder")
    visit = visits(site_with_history.url)
    visit.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site_with_history.url)
    page = sign_in(visit, "nina")
    expect(page.get_by_role("heading", name="No application credentials yet.")).to_be_visible()
    expect(page.get_by_role("link", name="2-minute Postman guide")).to_be_visible()
    page.get_by_role("link", name="Create credential").click()
    page.get_by_label("Name", exact=True).fill("Payroll bot")
    review = page.locator("#review")
    expect(review).to_contain_text("‘Payroll bot’ will act as you with the role invoices.read, cannot open Builder")
    expect(review).to_contain_text("23:59 Europe/Berlin")
    page.get_by_label("payroll.read").check()
    page.get_by_label("365 days").check()
    expect(review).to_contain_text("with the roles invoices.read, payroll.read")
    expect(review).to_contain_text("More than 180 days is long.")
    secret = create(page, "Payroll bot")
    assert SECRET.fullmatch(secret)
    axe(visit)

    copy = page.locator("[data-copy=secret-key]")
    expect(copy).to_have_accessible_name("Copy Secret key")
    box = copy.bounding_box()
    assert min(box["width"], box["height"]) >= 44
    copy.click()
    expect(copy).to_contain_text("Copied")
    expect(page.locator("#announcement")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == secret
    visit.context.clear_permissions()
    visit.context.grant_permissions(["geolocation"], origin=site_with_history.url)  # and nothing else
    copy = page.locator("[data-copy=client-id]")
    copy.click()
    expect(copy).to_contain_text("Press Ctrl+C to copy")
    assert page.evaluate("getSelection().toString()") == page.locator("#client-id").text_content()

    page.get_by_role("button", name="Test it").click()
    result = page.locator("#test-result")
    expect(result).to_contain_text("It works: a token was given.")
    expect(result).to_contain_text('"iss": "http://127.0.0.1:')
    page.get_by_role("tab", name="curl").press("ArrowRight")
    expect(page.get_by_role("tab", name="Python")).to_be_focused()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").locator("visible=true").click()
    assert secret in download.value.path().read_text(encoding="utf-8")

    asked = page.locator("#leave")
    ways = (lambda: page.keyboard.press("Escape"), page.go_back, page.get_by_role("link", name="Help").click)
    for leaves in ways:
        leaves()
        expect(asked).to_contain_text("Have you saved it?")
        page.get_by_role("button", name="Stay here").click()
        expect(asked).to_be_hidden()
        expect(page.locator("#secret-key")).to_have_text(secret)
    expect(page.get_by_role("button", name="Done")).to_be_disabled()
    page.get_by_label("I have stored it").check()
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Payroll bot")
    assert secret not in page.content()
    expect(page.locator("#sessions")).to_contain_text("from 127.0.0.1")
    assert owned(site_with_history, nina) == ["Payroll bot"]


def test_in_german_on_a_phone(visits, site_with_history):
    """Create, reveal, list, open: every word is German, and nothing is wider than the window."""
    site_with_history.person("greta", "invoices.read", "builder")
    visit = visits(site_with_history.url, language="de-DE", theme="dark", width=320)
    page = sign_in(visit, "greta")
    page.get_by_role("link", name="Zugangsdaten erstellen").click()
    page.get_by_label("Name", exact=True).fill("Lohnabrechnung")
    expect(page.locator("#review")).to_contain_text("handelt als Sie mit der Rolle invoices.read")
    fits(visit)
    page.get_by_role("button", name="Erstellen und Geheimnis zeigen").click()
    expect(page.locator("#secret-key")).to_have_text(SECRET)
    expect(page.get_by_role("heading", level=1)).to_contain_text("jetzt")
    fits(visit)
    axe(visit)
    page.locator("#stored").check()
    page.locator("#done-button").click()
    expect(page.get_by_role("heading", name="Laufende Sitzungen")).to_be_visible()
    fits(visit)
    visit.go("/console/credentials")
    expect(page.get_by_role("row", name="Lohnabrechnung")).to_contain_text(
        re.compile("in (89|90|91) Tagen")
    )  # midnight passes
    fits(visit)


def test_without_javascript(visits, site_with_history):
    """Create, send again, edit over somebody's edit, renew, switch off and back, delete: all by forms alone."""
    noah = site_with_history.person("noah", "invoices.read", "builder")
    visit = visits(site_with_history.url, javascript=False, width=320)
    page = sign_in(visit, "noah")
    page.get_by_role("link", name="Create credential").click()
    page.get_by_label("Name", exact=True).fill("Export")
    page.get_by_role("button", name="Review").click()
    expect(page.locator("#review")).to_contain_text("‘Export’ will act as you with the role invoices.read")
    secret = create(page, "Export")
    client_id = page.locator("#client-id").text_content()
    token = site_with_history.use((client_id, secret))
    axe(visit)
    with visit.expecting(409):
        page.reload()
    expect(page.get_by_text("already created, the secret is not shown again")).to_be_visible()
    assert not SECRET.search(page.content())
    assert owned(site_with_history, noah) == ["Export"]

    page.get_by_role("link", name="Open the credential").click()
    page.get_by_role("link", name="Edit", exact=True).click()
    second = visit.context.new_page()
    second.goto(page.url)
    second.get_by_label("Name", exact=True).fill("Export of the night")
    second.get_by_role("button", name="Save").click()
    expect(second.get_by_role("heading", level=1)).to_have_text("Export of the night")
    page.get_by_label("Name", exact=True).fill("Export of the day")
    with visit.expecting(409):
        page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Changed meanwhile")
    for version in ("Export", "Export of the night", "Export of the day"):
        expect(page.locator(".conflict").get_by_text(version, exact=True)).to_be_visible()
    page.get_by_role("button", name="Save mine").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Export of the day")

    page.get_by_role("link", name="Generate new secret").click()
    page.get_by_label("In 24 hours").check()
    page.get_by_role("button", name="Generate new secret").click()
    assert page.locator("#secret-key").text_content() != secret
    expect(page.get_by_text("The old secret keeps working until")).to_be_visible()
    assert site_with_history.lives(token)
    page.get_by_label("I have stored it").check()
    page.get_by_role("button", name="Done").click()
    page.get_by_role("button", name="Disable").click()
    assert not site_with_history.lives(token)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("‘Export of the day’ is enabled.")).to_be_visible()

    page.get_by_role("link", name="Delete").click()
    page.get_by_label("Type the name to confirm.").fill("Export")
    with visit.expecting(400):
        page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("alert")).to_contain_text("Type ‘Export of the day’ to delete it.")
    page.get_by_label("Type the name to confirm.").fill("Export of the day")
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("‘Export of the day’ is deleted.")).to_be_visible()
    assert owned(site_with_history, noah) == []


def test_by_keyboard_alone(visits, site_with_history):
    """Nobody needs a mouse, focus is never lost and never behind something."""
    site_with_history.person("kim", "invoices.read", "builder")
    site_with_history.credential("kim", "Older one", "invoices.read")
    visit = visits(site_with_history.url)
    visit.go("/console/sign-in")
    page, press = visit.page, visit.page.keyboard.press
    page.get_by_label("User name").focus()
    page.keyboard.type("kim")
    press("Tab")
    page.keyboard.type(PASSWORD)
    press("Enter")
    page.wait_for_url("**/console/credentials")
    press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    press("Escape")
    press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("older")
    press("Enter")
    page.wait_for_url("**q=older*")
    page.locator(".row-menu summary").focus()
    press("Enter")
    expect(page.get_by_role("link", name="Edit name and expiry")).to_be_visible()
    press("Tab")
    press("Tab")
    press("Tab")
    opener = page.get_by_role("link", name="Generate new secret")
    expect(opener).to_be_focused()
    press("Enter")
    dialog = page.locator("#page")
    expect(dialog).to_contain_text("When does the old secret end?")
    axe(visit)
    press("Escape")
    expect(dialog).to_be_hidden()
    expect(opener).to_be_focused()
    press("Escape")
    expect(page.locator(".row-menu summary")).to_be_focused()
    press("c")
    page.wait_for_url("**/credentials/new")
    tab_to(page, "f-name")
    page.keyboard.type("By keyboard")
    press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    tab_to(page, "stored")
    press("Space")
    press("Tab")
    expect(page.get_by_role("button", name="Done")).to_be_focused()
    press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("By keyboard")


def tab_to(page, wanted, most=80):
    """Press Tab until the element with an id has the focus; on the way none is hidden (WCAG 2.4.11)."""
    for _ in range(most):
        page.keyboard.press("Tab")
        found = focused(page)
        assert found["seen"], f"hidden while it has the focus: {found['what']}"
        if found["id"] == wanted:
            return
    pytest.fail(f"Tab does not lead to {wanted}")


def test_a_sign_in_that_ends_in_the_middle_of_a_form(visits, site_with_history):
    """What was typed is there again after signing in."""
    iris = site_with_history.person("iris", "invoices.read", "payroll.read", "builder")
    visit = visits(site_with_history.url)
    page = sign_in(visit, "iris")
    visit.go("/console/credentials/new")
    page.get_by_label("Name", exact=True).fill("Long thought about")
    page.get_by_label("payroll.read").check()
    page.get_by_label("30 days", exact=True).check()
    site_with_history.age(console_sessions, 2000, "last_seen_at", user_id=iris.id)
    with visit.expecting(401):
        page.get_by_role("button", name="Create and show secret").click()
    expect(page.get_by_role("alert")).to_contain_text("You have been signed out.")
    page.get_by_label("User name").fill("iris")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**/credentials/new")
    expect(page.get_by_label("Name", exact=True)).to_have_value("Long thought about")
    expect(page.get_by_label("payroll.read")).to_be_checked()
    expect(page.get_by_label("30 days", exact=True)).to_be_checked()
    create(page, "Long thought about")
    assert owned(site_with_history, iris) == ["Long thought about"]


def test_a_key_pair_is_made_in_the_browser_and_its_private_half_stays_there(visits, site_with_history):
    """The server gets the public half alone; a client with the downloaded file gets a token."""
    kay = site_with_history.person("kay", "invoices.read", "builder")
    client_id, _ = site_with_history.credential(kay.username, "Ledger bot", "invoices.read")
    visit = visits(site_with_history.url)
    page = sign_in(visit, "kay")
    sent = []
    page.on("request", lambda request: sent.append(request.post_data or ""))
    visit.go(f"/console/credentials/{client_id}/keys/add")
    page.get_by_role("button", name="Make a pair").click()
    expect(page.locator("#private-key")).to_contain_text("-----BEGIN PRIVATE KEY-----")
    axe(visit)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    private = load_pem_private_key(pathlib.Path(download.value.path()).read_bytes(), None)
    signer = Signer(private=private)
    expect(page.locator("#key-thumbprint")).to_have_text(signer.thumbprint)
    page.get_by_role("button", name="Add the key").click()
    expect(page.locator("main")).to_contain_text(signer.thumbprint)
    posted = " ".join(sent)
    assert signer.jwk["x"] in posted
    secret_number = private.private_numbers().private_value.to_bytes(32)
    for leaked in ("PRIVATE", b64(secret_number), quote(base64.b64encode(secret_number).decode()[4:40])):
        assert leaked not in posted
    now = int(time.time())
    claims = {"iss": client_id, "sub": client_id, "aud": site_with_history.url, "iat": now, "exp": now + 60, "jti": "j"}
    body = {"grant_type": "client_credentials", **form(signer.jws({"alg": "ES256"}, claims))}
    with urlopen(f"{site_with_history.url}/oauth/token", urlencode(body).encode(), timeout=20) as answer:
        assert json.load(answer)["token_type"] == "Bearer"

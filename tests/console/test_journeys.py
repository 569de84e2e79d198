"""Journeys through the console as people make them, in a real browser (EXPERIENCE.md section 3, rows P0)."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from authserver.actions import credentials
from tests.support.chromium import THEMES, WIDTHS, axe, fits
from tests.support.console_history import months
from tests.support.console_server import opened, sign_in

PICTURED = {
    ("light", "/console/credentials"): ("credentials", 990),
    ("dark", "/console/credentials"): ("credentials", 990),
    ("light", "/console/credentials/{payroll}"): ("credential", 1330),
    ("dark", "/console/credentials/{payroll}"): ("credential", 1330),
    ("light", "/console/security/keys"): ("signing-keys", 1180),
}
"""Theme and page, and what its picture is called and how many pixels high it is; beside these create and reveal."""
PAGES = [
    "/console/sign-in",
    "/console/credentials",
    "/console/credentials/new",
    "/console/credentials/{payroll}",
    "/console/users",
    "/console/users/u/grace",
    "/console/settings",
    "/console/resource-servers",
    "/console/security/keys",
    "/console/security/credentials",
    "/console/security/audit",
    "/console/credentials/{payroll}/edit",
    "/console/credentials/{payroll}/regenerate",
    "/console/credentials/{payroll}/old-secret",
    "/console/credentials/{payroll}/delete",
    "/console/users/new",
    "/console/users/roles",
    "/console/users/roles/new",
    "/console/users/u/grace/roles/add",
    "/console/users/u/grace/deactivate",
    "/console/resource-servers/new",
    "/console/settings/idle_timeout_minutes",
    "/console/security",
    "/console/profile",
    "/console/profile/password",
    "/console/help",
    "/console/help/postman",
]


@pytest.fixture(scope="module")
def site_with_long_history(tmp_path_factory):
    with opened(tmp_path_factory.mktemp("console")) as site:
        yield months(site)


def faults_of(visit):
    """What axe-core and a ruler find on the page as it stands."""
    for judge in (axe, fits):
        try:
            judge(visit)
        except AssertionError as fault:
            yield str(fault)


def picture(visit, request, name, high):
    """Write a picture of the page where that was asked for."""
    folder, wide = request.config.getoption("--screenshots"), visit.width
    if folder and wide == max(WIDTHS):
        visit.page.set_viewport_size({"width": wide, "height": high})
        visit.page.evaluate("scrollTo(0, 0)")
        visit.page.screenshot(path=Path(folder) / f"{name}-{visit.theme}.png", animations="disabled", caret="hide")
        visit.page.set_viewport_size({"width": wide, "height": WIDTHS[wide]})


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("theme", THEMES)
def test_every_page_for_everybody(visits, site_with_long_history, theme, width, request):
    """No violation for axe-core, nothing wider than the window, nothing said on the console; pictures on request."""
    visit = visits(site_with_long_history.url, theme=theme, width=width)
    page, faults = visit.page, []
    for path in PAGES:
        if path == PAGES[1]:
            sign_in(visit)
        answer = visit.go(path.format(payroll=site_with_long_history.payroll))
        assert answer.status == 200, path
        for more in page.locator("details.more > summary").all():
            more.click()
        page.evaluate("scrollTo(0, 0)")  # or the header may lie over what is judged
        faults += faults_of(visit)
        if (theme, path) in PICTURED:
            picture(visit, request, *PICTURED[theme, path])
    visit.go("/console/credentials/new")
    page.get_by_label("Name", exact=True).fill("Invoice archive")
    expect(page.locator("#review")).to_contain_text("‘Invoice archive’ will act as you")
    if theme == "light":
        picture(visit, request, "create", 880)
    page.get_by_role("button", name="Create and show secret").click()
    page.get_by_role("button", name="Test it").click()
    expect(page.locator("#test-result")).to_contain_text("It works")
    faults += faults_of(visit)
    picture(visit, request, "reveal", 1000)
    page.get_by_label("I have stored it").check()
    # The next window finds the same list, and its picture too.
    for each in site_with_long_history.accounts.credentials():
        if each.name == "Invoice archive":
            credentials.delete(site_with_long_history.accounts, each.client_id, **site_with_long_history.who)
    assert not faults, "\n\n".join(faults)

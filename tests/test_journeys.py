"""Journeys through the console as people make them, in a real browser (EXPERIENCE.md section 3, rows P0)."""

from pathlib import Path

import pytest

from tests.browser import THEMES, WIDTHS, axe, fits
from tests.console_site import sign_in

PICTURED = {
    "sign-in": "/console/sign-in",
    "credentials": "/console/credentials",
    "create": "/console/credentials/new",
    "credential": "/console/credentials/{payroll}",
    "users": "/console/users",
    "user": "/console/users/u/grace",
    "settings": "/console/settings",
    "resource-servers": "/console/resource-servers",
    "keys": "/console/security/keys",
    "inventory": "/console/security/credentials",
    "audit": "/console/security/audit",
}
PAGES = [
    *PICTURED.values(),
    "/console/credentials/{payroll}/edit",
    "/console/credentials/{payroll}/regenerate",
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


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("theme", THEMES)
def test_every_page_for_everybody(visits, lived_in, theme, width, request):
    """No violation for axe-core, nothing wider than the window, nothing said on the console; pictures on request."""
    visit = visits(lived_in.url, theme=theme, width=width)
    visit.go(PAGES[0])
    faults = []
    folder = request.config.getoption("--screenshots")
    names = {path: name for name, path in PICTURED.items()}
    for path in PAGES:
        if path == PAGES[1]:
            sign_in(visit)
        answer = visit.go(path.format(payroll=lived_in.payroll))
        assert answer.status == 200, path
        for judge in (axe, fits):
            try:
                judge(visit)
            except AssertionError as fault:
                faults.append(str(fault))
        if folder and path in names:
            visit.page.screenshot(path=Path(folder) / f"{names[path]}-{theme}-{width}.png", full_page=True)
    assert not faults, "\n\n".join(faults)

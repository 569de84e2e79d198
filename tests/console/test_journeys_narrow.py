"""The console on a phone, in a real browser: what becomes cards is still a table, and nothing is out of sight."""

import pytest
from playwright.sync_api import expect

from tests.support.chromium import axe, fits, focused
from tests.support.console_server import sign_in

TABLES = [
    "/console/credentials",
    "/console/credentials/{payroll}",
    "/console/users",
    "/console/users/u/grace",
    "/console/users/roles",
    "/console/resource-servers",
    "/console/security/credentials",
    "/console/security/audit",
    "/console/profile",
]
"""Pages whose tables turn to cards."""
ROLES = {"TABLE": "table", "THEAD": "rowgroup", "TBODY": "rowgroup", "TR": "row", "TD": "cell"}
HEADS = {"col": "columnheader", "row": "rowheader"}


def tree(page):
    """Role and name of every node of the accessibility tree that is not ignored, with its ancestors' roles."""
    told = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    nodes = {each["nodeId"]: each for each in told}

    def role(node):
        return node.get("role", {}).get("value", "")

    def above(node):
        while node := nodes.get(node.get("parentId")):
            yield role(node)

    return [
        (role(each), each.get("name", {}).get("value", ""), set(above(each))) for each in told if not each["ignored"]
    ]


def test_cards_are_told_as_tables(visits, site_with_history):
    """CSS that lays a table out as cards takes its roles away in some browsers, so each part says what it is."""
    visit = visits(site_with_history.url, width=320)
    page = sign_in(visit)
    for path in TABLES:
        visit.go(path.format(payroll=site_with_history.payroll))
        for more in page.locator("details.more > summary").all():
            more.click()
        parts = page.locator("table.cards").evaluate_all(
            """(tables) => tables.flatMap((table) => [table, ...table.querySelectorAll("thead, tbody, tr, th, td")])
               .map((each) => [each.tagName, each.getAttribute("scope"), each.getAttribute("role")])"""
        )
        assert len(parts) > 5, path
        assert [each for each in parts if each[2] != (ROLES.get(each[0]) or HEADS[each[1]])] == [], path
    visit.go("/console/credentials")
    found = tree(page)
    assert ("columnheader", "Expires") in {(role, name) for role, name, _ in found}
    (row,) = [above for role, name, above in found if role == "rowheader" and name.startswith("Payroll bot")]
    assert {"row", "table"} <= row
    assert [role for role, _, _ in found].count("cell") == 4 * 6
    expect(page.get_by_role("table")).to_match_aria_snapshot("""
      - table:
        - rowgroup:
          - row:
            - columnheader "Name"
            - columnheader "Roles"
            - columnheader "Status"
    """)


@pytest.mark.parametrize("path", ["/console/credentials", "/console/security/credentials", "/console/users"])
def test_the_focus_is_never_out_of_sight(visits, site_with_history, path):
    """Links that sort stand in the head of a table, which cards have none of to see."""
    visit = visits(site_with_history.url, width=320)
    page = sign_in(visit)
    visit.go(path)
    for _ in range(120):
        page.keyboard.press("Tab")
        found = focused(page)
        if found["nowhere"]:
            return
        assert found["seen"], f"hidden while it has the focus: {found['what']}"
    pytest.fail("Tab does not come to the end")


@pytest.mark.parametrize("javascript", [True, False])
def test_the_parts_of_the_console_take_one_line(visits, site_with_history, javascript):
    """In German they would take three lines of a phone; the menu says where one is and leads to all the others."""
    visit = visits(site_with_history.url, width=320, language="de-DE", theme="dark", javascript=javascript)
    page = sign_in(visit)
    assert page.locator("header").bounding_box()["height"] <= 120
    parts = page.get_by_role("navigation", name="Hauptnavigation")
    expect(parts.get_by_role("link")).to_have_count(0)
    parts.locator("summary").click()
    expect(parts.get_by_role("link")).to_have_count(5)
    axe(visit)
    fits(visit)
    parts.get_by_role("link", name="Ressourcenserver").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Ressourcenserver")
    expect(parts.locator("summary")).to_contain_text("Ressourcenserver")


def test_two_parts_need_no_menu(visits, site_with_history):
    site_with_history.person("nora", "invoices.read", "builder")
    visit = visits(site_with_history.url, width=320, language="de-DE")
    page = sign_in(visit, "nora")
    parts = page.get_by_role("navigation", name="Hauptnavigation")
    expect(parts.get_by_role("link")).to_have_text(["Zugangsdaten", "Einstellungen"])
    fits(visit)


def test_several_are_disabled_with_a_thumb_and_without_javascript(visits, site_with_history):
    """Ticks in the list, a page that says what dies, and back to the list as it was filtered."""
    olga = site_with_history.person("olga", "invoices.read", "builder")
    made = [
        site_with_history.credential("olga", name, "invoices.read")
        for name in ("Olga's first", "Olga's second", "Kept")
    ]
    dying, living = site_with_history.use(made[0]), site_with_history.use(made[2])
    visit = visits(site_with_history.url, width=320, javascript=False)
    page = sign_in(visit)
    visit.go("/console/security/credentials?q=olga&sort=name")
    for name in ("Olga's first", "Olga's second"):
        page.get_by_label(f"Choose {name}, olga").check()
    axe(visit)
    fits(visit)
    page.get_by_role("button", name="Disable those chosen").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Disable 2 credentials?")
    expect(page.get_by_role("main")).to_contain_text("1 live token dies at once")
    axe(visit)
    fits(visit)
    page.get_by_role("button", name="Disable", exact=True).click()
    expect(page.get_by_role("status").first).to_contain_text("2 credentials are disabled.")
    assert page.url.endswith("/console/security/credentials?q=olga&sort=name")
    expect(page.get_by_role("checkbox", name="Choose")).to_have_count(1)
    assert (site_with_history.lives(dying), site_with_history.lives(living)) == (False, True)
    off = {each.name for each in site_with_history.accounts.credentials(olga.id) if each.disabled_at is not None}
    assert off == {"Olga's first", "Olga's second"}

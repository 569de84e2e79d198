"""Nothing typed is lost when a sign-in ended."""

from authserver.rules.sign_in import IDLE
from tests.console.sign_in.support import somebody
from tests.support.console_browser import PASSWORD, Browser, signed_in


def test_a_form_survives_a_sign_in_that_ended(site):
    name = somebody(site)
    browser = signed_in(site, name)
    form = browser.get("/console/profile")
    site.clock.at += IDLE
    response = form.send("/console/profile", zone="Europe/Nowhere", password="never kept", secret_x="never kept")
    assert response.status == 401
    assert "what you typed is still there" in response.words
    assert "never kept" not in response.text
    assert "Nowhere" not in response.text  # sealed
    back = response.send("/console/sign-in", username=name, password=PASSWORD)
    assert (back.status, back.path) == (200, "/console/profile")
    assert back.value("zone") == "Europe/Nowhere"
    assert "never kept" not in back.text
    assert browser.get("/console/profile").value("zone") == ""  # given back once
    assert back.send("/console/profile", zone="Europe/Berlin").value("zone") == "Europe/Berlin"


def test_a_button_without_a_page_of_its_own_leads_back_to_its_page(site):
    name = somebody(site)
    browser = signed_in(site, name)
    signed_in(site, name)
    form = browser.get("/console/profile")
    site.clock.at += IDLE
    back = form.send("/console/profile/sessions/end").send("/console/sign-in", username=name, password=PASSWORD)
    assert (back.status, back.path) == (200, "/console/profile")


def test_a_form_survives_one_wrong_password_too(site):
    name = somebody(site)
    browser = signed_in(site, name)
    form = browser.get("/console/profile")
    site.clock.at += IDLE
    wrong = form.send("/console/profile", zone="Europe/Nowhere").send(
        "/console/sign-in", username=name, password="wrong password"
    )
    back = wrong.send("/console/sign-in", username=name, password=PASSWORD)
    assert back.value("zone") == "Europe/Nowhere"


def test_what_was_typed_is_only_for_the_one_who_typed_it(site):
    name, other = somebody(site), somebody(site)
    browser = signed_in(site, name)
    form = browser.get("/console/profile")
    site.clock.at += IDLE
    response = form.send("/console/profile", zone="Europe/Nowhere")
    back = response.send("/console/sign-in", username=other, password=PASSWORD)
    assert "Europe/Nowhere" not in back.text.partition("<datalist")[0]


def test_nothing_is_kept_for_strangers_or_beyond_measure(site):
    name = somebody(site)
    stranger = Browser(site)
    assert "_draft" not in stranger.post("/console/profile", {"_csrf": stranger.csrf(), "zone": "x"}).text
    browser = signed_in(site, name)
    token = browser.csrf()
    site.clock.at += IDLE
    assert "_draft" not in browser.post("/console/profile", {"_csrf": token, "zone": "x" * 20_000}).text
    assert "_draft" not in browser.post("/console/profile", {"_csrf": "forged", "zone": "x"}).text
    assert browser.post("/console/profile", {"_csrf": token, "zone": "x" * 70_000}).status == 413
    page = browser.get("/console/sign-in")
    for forged in ("", "x", "é", "AAAA", "\0"):
        data = {"_csrf": page.value("_csrf"), "username": name, "password": PASSWORD, "_draft": forged}
        again = Browser(site)
        again.client.set_cookie("console", browser.cookie)
        assert again.post("/console/sign-in", data).path == "/console/credentials"

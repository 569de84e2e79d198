"""The frame of every page: its weight, its files, its markup, and times as people read them."""

import gzip
import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from babel import Locale
from babel.dates import format_datetime
from hypothesis import given
from hypothesis import strategies as st

from authserver.console.context import console_context
from authserver.console.frame import dates
from authserver.console.frame.assets import STATIC, assets
from authserver.console.i18n.translations import CONSOLE
from tests.support.console_browser import Browser, builder, signed_in
from tests.support.wsgi_client import BACKENDS, opened

MOST = 120 * 1000
TEMPLATES = sorted((CONSOLE / "templates").rglob("*.html"))


@pytest.fixture(scope="module", params=BACKENDS)
def site(request, tmp_path_factory):
    yield from opened(request.param, tmp_path_factory.mktemp("frame"))


@pytest.fixture(scope="module")
def inside(site):
    builder(site, "frame", ("users:manage", "settings:manage", "resource-servers:manage", "security:view"))
    return signed_in(site, "frame")


def test_styles_and_scripts_of_all_pages_together_are_light():
    weight = sum(len(gzip.compress(path.read_bytes())) for path in STATIC.iterdir() if path.suffix in {".css", ".js"})
    assert weight <= MOST


def test_files_are_kept_for_ever_under_the_name_of_their_content(site):
    browser = Browser(site)
    for name, asset in assets().items():
        answer = browser.get(f"/console/static/{asset.digest}/{name}").answer
        assert answer.data == asset.content
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert "Set-Cookie" not in answer.headers
        packed = browser.client.get(f"/console/static/{asset.digest}/{name}", headers={"Accept-Encoding": "gzip"})
        assert packed.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(packed.data) == asset.content
        assert packed.headers["Vary"] == "Accept-Encoding"
        other = browser.get(f"/console/static/0123456789abcdef/{name}").answer
        assert (other.status_code, other.headers["Cache-Control"]) == (200, "no-cache")
    for name in ("nothing.css", "..%2fassets.py", "%2e%2e/assets.py"):
        assert browser.get(f"/console/static/0123456789abcdef/{name}").status in {200, 404}
        assert "def asset" not in browser.get(f"/console/static/0123456789abcdef/{name}").text


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_needs_more_than_the_policy_allows(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|\|\s*safe\b", text)
    assert not re.search(r"<script(?![^>]*\ssrc=\"\{\{ asset\()", text)
    assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", text)


def test_every_form_that_changes_something_has_its_token():
    for path in TEMPLATES:
        text = path.read_text(encoding="utf-8")
        posts = len(re.findall(r'<form[^>]*method="post"', text))
        assert text.count("csrf()") >= posts, path


def test_each_part_of_a_table_that_turns_to_cards_says_what_it_is():
    pages = [path.read_text(encoding="utf-8") for path in TEMPLATES]
    tables = re.findall(r'<table class="cards.*?</table>', "".join(pages), re.DOTALL)
    assert len(tables) > 10
    values = {"table": "table", "thead": "rowgroup", "tbody": "rowgroup", "tr": "row", "td": "cell"}
    for tag, attributes in re.findall(r"<(table|thead|tbody|tr|th|td)\b([^>]*)", "".join(tables)):
        told = re.search(r' role="(\w+)"', attributes)
        head = "columnheader" if 'scope="col"' in attributes else "rowheader"
        assert told is not None, tag + attributes
        assert told[1] == values.get(tag, head), tag + attributes


@pytest.mark.parametrize("who", ["stranger", "inside"])
def test_the_frame_has_what_a_reader_without_a_mouse_needs(site, inside, who):
    browser = inside if who == "inside" else Browser(site)
    for path in ("/console/help", "/console/sign-in", "/console/profile"):
        text = browser.get(path).text
        assert text.count("<h1") == 1
        assert text.count("<main") == 1
        assert re.search(r'<a class="skip" href="#content">', text)
        assert 'id="content"' in text
        header = text.partition("<header")[2].partition("</header>")[0]
        assert re.findall(r"<span>([^<]+)</span></a>", header)[-1] == "Help"
        assert header.rstrip().endswith("</a>\n    </div>\n  </div>")
        ids = re.findall(r'\sid="([^"]+)"', text)
        assert len(ids) == len(set(ids))
        for control in re.findall(r"<(?:input|select|textarea)[^>]*>", text):
            labelled = re.search(r'id="(f-[^"]+)"', control)
            assert (
                'type="hidden"' in control
                or " hidden" in control
                or "checkbox" in control
                or "radio" in control
                or (labelled and f'for="{labelled[1]}"' in text)
            ), control


def test_only_parts_that_may_be_opened_are_in_the_header(site, inside):
    plain = builder(site, "plainframe")
    header = signed_in(site, plain.username).get("/console/help").text.partition("</header>")[0]
    for path in ("/console/users", "/console/resource-servers", "/console/security"):
        assert f'href="{path}"' not in header
    for path in ("/console/credentials", "/console/settings"):
        assert f'href="{path}"' in header
    assert 'aria-current="page"' in inside.get("/console/credentials").text


@given(
    at=st.integers(1, 4 * 10**9),
    zone=st.sampled_from([None, "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"]),
    spoken=st.sampled_from(["en", "de"]),
)
def test_instants_are_formatted_as_the_locales_of_babel_have_them(at, zone, spoken):
    locale = {"en": Locale("en", "GB"), "de": Locale("de", "DE")}[spoken]
    chosen = ZoneInfo(zone) if zone else None
    pattern = {"en": "d MMM y, HH:mm", "de": "d. MMM y, HH:mm"}[spoken]
    whole = format_datetime(datetime.fromtimestamp(at, UTC), pattern, tzinfo=chosen or UTC, locale=locale)
    assert dates.format_instant(at, chosen, spoken) == f"{whole} {zone or 'UTC'}"


def test_instants_are_exact_and_relative(site, inside):
    text = inside.get("/console/profile").text
    assert re.search(r'<time class="exact" datetime="2027-01-15T08:00:00Z">15 Jan 2027, 08:00 UTC</time>', text)
    assert re.search(
        r'<time class="when" datetime="[^"]+" tabindex="0"><span class="when-short">[^<]+</span>'
        r'<span class="when-exact">15 Jan 2027, 08:00 UTC</span></time>',
        text,
    )


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "just now"),
        (-7, "7 seconds ago"),
        (1798, "in 29 minutes"),
        (-7200, "2 hours ago"),
        (26 * 3600, "in 26 hours"),
        (90 * 86400 - 5, "in 90 days"),
        (91 * 86400 - 90, "in 90 days"),
        (-120 * 86400, "120 days ago"),
        (365 * 86400, "in 12 months"),
        (1000 * 86400, "in 2 years"),
    ],
)
def test_a_distance_is_said_in_the_unit_that_was_chosen(site, seconds, said):
    with site.app.test_request_context("/console/sign-in"):
        assert dates.relative(console_context().now + seconds) == said


def test_german_dates_and_a_zone_that_was_chosen(site, inside):
    form = inside.get("/console/profile")
    page = form.send("/console/profile", language="de", zone="America/New_York")
    assert "15. Jan. 2027, 03:00 America/New_York</time>" in page.text
    assert 'data-zone="America/New_York"' in page.text
    page.send("/console/profile", language="en", zone="")

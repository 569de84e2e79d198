"""A real Chromium at the console of a really started server; what a careless page does fails the test.

Console errors, uncaught exceptions, violations of the content security policy, failed requests, answers
that were not expected and requests to any other host are faults of the page, whatever the test looks at.
Loaded as a plugin by ``conftest.py``.
"""

import contextlib
import re
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.support import clients_js_plugin

JS_HOME = Path(__file__).parents[1] / "browser_js"
NAMES = ("chromium", "chromium-browser", "google-chrome")

expect.set_options(timeout=15_000)
"""A slow machine is no fault of a page."""

WIDTHS = {320: 720, 1280: 900}
"""A phone and a desk, in CSS pixels: width to height."""
THEMES = ("light", "dark")
ACCESSIBLE = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice")
FLAGS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--no-first-run",
    "--no-pings",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)
_POLICY_WATCH = """
addEventListener("securitypolicyviolation", (seen) =>
  console.error(`policy: ${seen.violatedDirective} ${seen.blockedURI} ${seen.sourceFile}:${seen.lineNumber}`));
"""
_REPORTED_ELSEWHERE = re.compile("Failed to load resource: the server responded with a status of")


def pytest_addoption(parser):
    parser.addoption("--screenshots", metavar="FOLDER", help="write pictures of the main pages into this folder")


def missing():
    """What this machine lacks for a browser and what mends it, or nothing."""
    if not any(map(shutil.which, NAMES)):
        return "Chromium is not installed; install it (Debian: apt install chromium)"
    return clients_js_plugin.missing(JS_HOME)


@pytest.fixture(scope="session")
def chromium():
    """One browser for all tests of a process."""
    clients_js_plugin.need("The console in a browser was", missing())
    program = next(filter(None, map(shutil.which, NAMES)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        browser.close()


class Visit:
    """One person at one browser: a page, and what went wrong on it."""

    def __init__(self, browser, url, *, theme="light", width=1280, javascript=True, language="en-GB"):
        self.url, self.theme, self.width, self.javascript = url, theme, width, javascript
        self.faults, self._allowed = [], set()
        self.context = browser.new_context(
            base_url=url,
            viewport={"width": width, "height": WIDTHS.get(width, 900)},
            color_scheme=theme,
            java_script_enabled=javascript,
            locale=language,
            timezone_id="Europe/Berlin",
            reduced_motion="reduce",
        )
        self.context.set_default_timeout(10_000)
        if javascript:
            self.context.add_init_script(_POLICY_WATCH)
        self.context.on("page", self._watch)
        self.page = self.context.new_page()

    def _watch(self, page):
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.faults.append(f"uncaught: {error}"))
        page.on("request", self._asked)
        page.on("requestfailed", self._failed)
        page.on("response", self._answered)

    def _said(self, message):
        if message.type in {"error", "warning"} and not _REPORTED_ELSEWHERE.match(message.text):
            self.faults.append(f"console {message.type}: {message.text} at {message.location}")

    def _asked(self, request):
        parts = urlsplit(request.url)
        if parts.scheme not in {"data", "blob", "about"} and f"{parts.scheme}://{parts.netloc}" not in self._hosts:
            self.faults.append(f"asked another host: {request.url}")

    @property
    def _hosts(self):
        return {self.url, *(entry for entry in self._allowed if isinstance(entry, str))}

    def _failed(self, request):
        # A page that is left, or a download, aborts what was under way: nobody's fault.
        if request.failure != "net::ERR_ABORTED":
            self.faults.append(f"failed: {request.method} {request.url}: {request.failure}")

    def _answered(self, response):
        if response.status >= 400 and response.status not in self._allowed:
            self.faults.append(f"answer {response.status} to {response.request.method} {response.url}")

    @contextlib.contextmanager
    def expecting(self, *what):
        """Within, these statuses are what the test wants to see, and these other sites are where it wants to go."""
        before = set(self._allowed)
        self._allowed |= set(what)
        try:
            yield self
        finally:
            self._allowed = before

    def go(self, path):
        """Open an address of the server; the answer to it."""
        return self.page.goto(path)

    def check(self):
        """What went wrong until now fails the test."""
        assert not self.faults, "\n".join(self.faults)

    def close(self):
        self.context.close()


def axe(visit, *, without=()):
    """Assert that axe-core finds nothing on the page as it stands now: WCAG 2.2 AA, and what it calls best practice."""
    with contextlib.ExitStack() as closing:
        page = visit.page if visit.javascript else closing.enter_context(_twin(visit))
        found = _violations(page, without)
    where = f"{visit.page.url} {visit.theme} {visit.width}px"
    assert not found, f"{where}\n" + "\n".join(found)


@contextlib.contextmanager
def _twin(visit):
    """The same page as it stands, in a window where axe can run, and where no script of the page does."""
    html, url = visit.page.content(), visit.page.url
    context = visit.context.browser.new_context(
        viewport=visit.page.viewport_size, color_scheme=visit.theme, reduced_motion="reduce", bypass_csp=True
    )
    context.route("**/*", lambda route: route.abort() if route.request.resource_type == "script" else route.continue_())
    context.route(url, lambda route: route.fulfill(body=html, content_type="text/html; charset=utf-8"))
    try:
        page = context.new_page()
        page.goto(url)
        yield page
    finally:
        context.close()


def _violations(page, without):
    page.evaluate((JS_HOME / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8"))
    told = page.evaluate(
        """([tags, without]) => axe.run(document, {
          runOnly: {type: "tag", values: tags},
          rules: Object.fromEntries(without.map((rule) => [rule, {enabled: false}])),
          resultTypes: ["violations"],
        })""",
        [list(ACCESSIBLE), list(without)],
    )
    return [
        f"{rule['id']} ({rule['impact']}): {rule['help']}\n    {node['html'][:160]}\n    {node['failureSummary']}"
        for rule in told["violations"]
        for node in rule["nodes"]
    ]


def fits(visit):
    """Assert that nobody has to scroll sideways to read the page (WCAG 1.4.10)."""
    wide = visit.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= visit.width, f"{visit.page.url} is {wide} px wide in a window of {visit.width} px"


def focused(page):
    """What has the focus: its id, its beginning, and whether anybody can see it (WCAG 2.4.7, 2.4.11)."""
    return page.evaluate(
        """() => {
          const it = document.activeElement, box = it.getBoundingClientRect();
          const points = [[.5, .5], [.1, .5], [.9, .5], [.5, .2], [.5, .8]].map(([x, y]) =>
            document.elementFromPoint(box.left + box.width * x, box.top + box.height * y));
          const own = (at) => it.contains(at) || at.contains(it) || it.labels?.[0]?.contains(at);
          const seen = points.some((at) => at && own(at));
          return {id: it.id, what: it.outerHTML.slice(0, 120), seen, nowhere: it === document.body};
        }"""
    )


@pytest.fixture
def visits(chromium):
    """Open visits that are closed, and judged, when the test is over."""
    opened = []

    def visit(url, **how):
        opened.append(Visit(chromium, url, **how))
        return opened[-1]

    yield visit
    for each in opened:
        each.close()
    for each in opened:
        each.check()

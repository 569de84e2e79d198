"""The browser rig sees what a careless page does; each fault is planted here once, on a page of our own."""

import contextlib
import http.server
import threading

import pytest

from tests.support.chromium import Visit, axe, fits
from tests.support.clients_js_plugin import run_without

PAGE = '<!doctype html><html lang="en"><head><title>t</title></head><body><main><h1>t</h1>{}</main></body></html>'
POLICY = "default-src 'none'; script-src 'self'; img-src 'self' http:; connect-src 'self' http:"


@pytest.fixture(scope="module")
def page_without_policy():
    """Serve any body as a page: the path says which."""
    bodies = {"/said.js": 'console.error("planted")', "/thrown.js": 'throw new Error("planted")'}

    class Pages(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body, script = bodies.get(self.path), self.path.endswith(".js")
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Type", "text/javascript" if script else "text/html; charset=utf-8")
            self.send_header("Content-Security-Policy", POLICY)
            self.end_headers()
            self.wfile.write((body or "nothing").encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def page(body):
            bodies["/"] = PAGE.format(body)
            return f"http://127.0.0.1:{server.server_port}"

        yield page
        server.shutdown()


@contextlib.contextmanager
def visiting(chromium, url, **how):
    visit = Visit(chromium, url, **how)
    try:
        visit.go("/")
        visit.page.wait_for_load_state("networkidle")
        yield visit
    finally:
        visit.close()


def test_a_good_page_passes(chromium, page_without_policy):
    with visiting(chromium, page_without_policy("<p>Good.</p>")) as visit:
        axe(visit)
        fits(visit)
        visit.check()


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<script src="/said.js"></script>', "console error: planted"),
        ('<script src="/thrown.js"></script>', "uncaught: planted"),
        ("<script>1</script>", "policy: script-src-elem inline"),
        ('<p style="color: red">red</p>', "policy: style-src-attr inline"),
        ('<img alt="" src="/gone.png">', "answer 404 to GET"),
        ('<img alt="" src="http://other.example/pixel.png">', "asked another host: http://other.example/pixel.png"),
        ('<img alt="" src="http://127.0.0.1:9/pixel.png">', "failed: GET http://127.0.0.1:9/pixel.png"),
    ],
)
def test_a_fault_is_seen(chromium, page_without_policy, body, fault):
    with visiting(chromium, page_without_policy(body)) as visit, pytest.raises(AssertionError) as seen:
        visit.check()
    assert fault in str(seen.value)


def test_axe_finds_what_some_people_cannot_use(chromium, page_without_policy):
    with (
        visiting(chromium, page_without_policy('<img src="data:,"><input>')) as visit,
        pytest.raises(AssertionError) as seen,
    ):
        axe(visit)
    assert "image-alt (critical)" in str(seen.value)
    assert "label (critical)" in str(seen.value)


def test_axe_looks_without_javascript_too(chromium, page_without_policy):
    url = page_without_policy("<input>")
    with visiting(chromium, url, javascript=False) as visit, pytest.raises(AssertionError, match="label"):
        axe(visit)


def test_a_page_too_wide_for_a_phone_is_seen(chromium, page_without_policy):
    url = page_without_policy("<p>" + "w" * 200 + "</p>")
    with visiting(chromium, url, width=320) as visit, pytest.raises(AssertionError, match="px wide in a window of 320"):
        fits(visit)


def test_expected_statuses_are_expected_only_where_it_is_said(chromium, page_without_policy):
    with visiting(chromium, page_without_policy("")) as visit:
        with visit.expecting(404):
            visit.go("/nothing")
        visit.check()
        visit.go("/nothing")
        with pytest.raises(AssertionError, match="answer 404"):
            visit.check()


class TestWithoutChromium:
    """A run of its own where there is no browser on the PATH."""

    def run(self, tmp_path, **environ):
        return run_without(tmp_path, __file__, "test_a_good_page", **environ)

    def test_the_end_of_the_run_says_so(self, tmp_path):
        ran = self.run(tmp_path)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        end = ran.stdout[ran.stdout.index("!!! LEFT OUT !!!") :]
        assert "The console in a browser was not tested: Chromium is not installed; install it" in end

    def test_ci_requires_it(self, tmp_path):
        ran = self.run(tmp_path, CI="true")
        assert ran.returncode == 1, ran.stdout + ran.stderr
        assert "Chromium is not installed" in ran.stdout
        assert "LEFT OUT" not in ran.stdout

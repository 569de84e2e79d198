"""The watch finds every planted fault of a rotation, and nothing in a sound one."""

import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
import pytest

from keys.master import MasterKey
from keys.material import ALGORITHMS, make, unseal
from keys.signing import TokenSigner
from keys.watch import Watch, fetch, main, watch
from tests.support.deadlines import join

DAY = 86400.0
NODES = ("https://a.example/jwks", "https://b.example/jwks")


class Signing:
    """A key with its public JWK."""

    def __init__(self, alg="ES256"):
        master = MasterKey(MasterKey.fresh())
        new = make(alg, master)
        self.kid, self.jwk = new.kid, json.loads(new.public_jwk)
        self._signer = TokenSigner(new.kid, alg, unseal(new.kid, alg, new.sealed_private, master))

    def token(self, issued_at, life=3600.0):
        return self._signer.sign({"iat": int(issued_at), "exp": int(issued_at + life), "jti": f"t{issued_at}"})


@pytest.fixture(scope="module")
def keys():
    return [Signing(), Signing(), Signing("EdDSA")]


def shown(*keys):
    return {"keys": [each.jwk for each in keys]}


class WatchedNodes:
    """Two nodes, looked at every five seconds."""

    def __init__(self):
        self.watch = Watch(window=DAY, grace=10.0)
        self.now = 1_800_000_000.0

    def poll(self, first, second=None, *, seconds=5.0):
        self.watch.record_jwks(NODES[0], first, self.now)
        self.watch.record_jwks(NODES[1], first if second is None else second, self.now)
        self.watch.compare_nodes(self.now)
        self.now += seconds
        return self

    def token(self, key, **more):
        self.watch.check_token(key.token(self.now, **more), self.now)
        return self

    @property
    def faults(self):
        return [finding.fault for finding in self.watch.findings]


def test_a_sound_rotation_is_clean(keys):
    old, new, _ = keys
    nodes = WatchedNodes().poll(shown(old)).token(old).poll(shown(old, new), seconds=DAY).poll(shown(old, new))
    nodes.token(new).poll(shown(old, new), seconds=3600.0).poll(shown(old, new), seconds=3600.0).poll(shown(new))
    assert nodes.faults == []


def test_a_key_that_signs_too_early_is_found(keys):
    old, new, _ = keys
    nodes = WatchedNodes().poll(shown(old)).poll(shown(old, new), seconds=DAY - 60)
    assert nodes.token(new).faults == ["too_early", "too_early"]


def test_a_look_that_came_late_excuses_no_other_key(keys):
    """Between two fetches the instant of publication is unknown, for each key by itself."""
    first, late, prompt = keys
    nodes = WatchedNodes().poll(shown(first), seconds=3600.0).poll(shown(first, late)).poll(shown(first, late, prompt))
    nodes.poll(shown(first, late, prompt), seconds=DAY - 1800)
    assert nodes.token(late).faults == []
    assert nodes.token(prompt).faults == ["too_early", "too_early"]


def test_an_announcement_one_node_came_late_to_is_found(keys):
    old, new, _ = keys
    nodes = WatchedNodes().poll(shown(old)).poll(shown(old, new), shown(old)).poll(shown(old, new), shown(old, new))
    nodes.poll(shown(old, new), seconds=DAY - 20)
    nodes.token(new)
    assert [(finding.fault, finding.node) for finding in nodes.watch.findings][-1:] == [("too_early", NODES[1])]


def test_a_key_withdrawn_too_late_or_in_time(keys):
    old, new, _ = keys
    nodes = (
        WatchedNodes()
        .poll(shown(old, new))
        .token(old, life=600.0)
        .poll(shown(old, new), seconds=590.0)
        .poll(shown(new))
    )
    assert nodes.faults == ["too_late", "too_late"]
    nodes = (
        WatchedNodes()
        .poll(shown(old, new))
        .token(old, life=600.0)
        .poll(shown(old, new), seconds=600.0)
        .poll(shown(new))
    )
    assert nodes.faults == []


def test_nodes_may_differ_for_the_grace_only(keys):
    old, new, _ = keys
    nodes = WatchedNodes().poll(shown(old), shown(old, new)).poll(shown(old), shown(old, new)).poll(shown(old, new))
    assert nodes.faults == []
    nodes = WatchedNodes()
    for _ in range(4):
        nodes.poll(shown(old), shown(old, new))
    assert nodes.faults == ["disagree"]


def test_tokens_of_unknown_keys_and_forged_ones_are_found(keys):
    old, new, other = keys
    assert WatchedNodes().poll(shown(old)).token(new).faults == ["unknown_key"]
    nodes = WatchedNodes().poll(shown(old))
    head, body, _ = old.token(nodes.now).split(".")
    nodes.watch.check_token(f"{head}.{body}.{other.token(nodes.now).split('.')[2]}", nodes.now)
    nodes.watch.check_token("nonsense", nodes.now)
    assert nodes.faults == ["bad_signature"]


@pytest.mark.parametrize(
    "broken",
    [
        lambda key: {"keys": [{**key.jwk, "d": "c2VjcmV0"}]},
        lambda key: {"keys": [key.jwk, key.jwk]},
        lambda key: {"keys": [{name: value for name, value in key.jwk.items() if name != "alg"}]},
        lambda key: {"keys": [{name: value for name, value in key.jwk.items() if name != "kid"}]},
        lambda key: {"keys": "none"},
        lambda key: [],
        lambda key: None,
    ],
    ids=["private", "twice", "no alg", "no kid", "no array", "a list", "null"],
)
def test_a_broken_set_is_found(keys, broken):
    assert "bad_set" in WatchedNodes().poll(broken(keys[0])).faults


def test_a_kid_that_changes_its_key_is_found(keys):
    old, new, _ = keys
    swapped = {"keys": [{**new.jwk, "kid": old.kid}]}
    assert "bad_set" in WatchedNodes().poll(shown(old)).poll(swapped).faults


def test_a_node_that_is_gone_is_found_after_the_grace(keys):
    watch_ = Watch(window=DAY, grace=10.0)
    watch_.record_failure(NODES[0], "refused", 100.0)
    watch_.record_failure(NODES[0], "refused", 110.0)
    assert watch_.findings == []
    watch_.record_failure(NODES[0], "refused", 110.5)
    assert [finding.fault for finding in watch_.findings] == ["unreachable"]


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_every_algorithm_is_read(alg):
    key = Signing(alg)
    assert WatchedNodes().poll(shown(key)).token(key).faults == []
    assert jwt.PyJWK(key.jwk).algorithm_name == alg


class Broken(BaseHTTPRequestHandler):
    """A server that withdraws its key while a token lives, at the third look."""

    answers: list

    def do_GET(self):
        body = json.dumps(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Broken) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        join(thread)


def test_the_command_finds_the_planted_fault_and_exits_non_zero(server, keys, tmp_path):
    import time

    old, new, _ = keys
    Broken.answers = [shown(old, new)] * 3 + [shown(new)]
    feed = tmp_path / "tokens"
    feed.write_text(old.token(time.time()) + "\n")
    url = f"http://127.0.0.1:{server.server_port}"
    out = io.StringIO()
    arguments = [url, "--tokens", str(feed), "--interval", "0.1s", "--for", "1s", "--json"]
    assert main(arguments, out) == 1
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(line["fault"], line["kid"]) for line in lines[:-1]] == [("too_late", old.kid)]
    assert lines[-1]["tokens"] == 1
    Broken.answers = [shown(new)]
    assert main([url, "--interval", "0.1s", "--for", "0.2s"], io.StringIO()) == 0


def test_the_command_says_when_nothing_could_be_observed(server):
    out = io.StringIO()
    assert main(["http://127.0.0.1:9", "--interval", "0.1s", "--for", "0.2s"], out) == 3
    with pytest.raises(SystemExit) as refused:
        main(["ftp://example.com"], out)
    assert refused.value.code == 2


def test_redirects_are_not_followed(server):
    class Away(Broken):
        def do_GET(self):
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:9/")
            self.send_header("Content-Length", "0")
            self.end_headers()

    server.RequestHandlerClass = Away
    with pytest.raises(OSError, match="302"):
        fetch(f"http://127.0.0.1:{server.server_port}/jwks")


def test_tokens_that_arrive_while_it_watches_are_read(keys):
    old = keys[0]
    now = [1_800_000_000.0]

    def pause(seconds):
        now[0] += seconds

    judged = watch(
        [NODES[0]],
        [old.token(now[0]), "", "x" * 100_000],
        window=DAY,
        interval=5.0,
        grace=10.0,
        seconds=3000.0,
        report=print,
        fetch_jwks=lambda url: shown(old),
        clock=lambda: now[0],
        sleep=pause,
    )
    assert (judged.tokens, judged.findings) == (1, [])


class FakeServer(ThreadingHTTPServer):
    """A node that shows, look by look, what it was told; nothing more to show is a failure."""

    def __init__(self, nodes):
        self.nodes, self.requests = nodes, 0
        super().__init__(("127.0.0.1", 0), FakeResponses)
        self.thread = threading.Thread(target=self.serve_forever)
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/jwks"

    def close(self):
        self.shutdown()
        join(self.thread)
        self.server_close()


class FakeResponses(BaseHTTPRequestHandler):
    server: FakeServer

    def do_GET(self):
        self.server.requests += 1
        shown_now = self.server.nodes(self.server.requests)
        body = json.dumps(shown_now).encode()
        self.send_response(200 if shown_now else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


def test_every_fault_planted_in_two_broken_servers_is_found(keys):
    """Over HTTP, with tokens that arrive while it watches; and each is told once, with its evidence."""
    import time

    old, new, other = keys
    unknown_key_signer = Signing()

    def first(request_number):
        return shown(old) if request_number <= 3 else shown(old, new) if request_number <= 30 else shown(new)

    def second(request_number):
        with_private_key = {"keys": [old.jwk, {**other.jwk, "d": "c2VjcmV0"}]}
        return shown(old) if request_number <= 20 else with_private_key if request_number <= 40 else None

    one, two = FakeServer(first), FakeServer(second)

    def tokens():
        yield old.token(time.time())
        while one.requests < 6:
            time.sleep(0.01)
        yield new.token(time.time())
        yield unknown_key_signer.token(time.time())
        head, body, _ = old.token(time.time()).split(".")
        yield f"{head}.{body}.{new.token(time.time()).rpartition('.')[2]}"

    reported = []

    def wait(seconds):
        time.sleep(seconds if two.requests < 45 else 0.1)

    try:
        monitor = watch(
            [one.url, two.url],
            tokens(),
            window=DAY,
            interval=0.02,
            grace=0.2,
            seconds=4.0,
            report=reported.append,
            sleep=wait,
        )
    finally:
        one.close()
        two.close()
    reported_faults = {(each.fault, each.node, each.kid) for each in reported}
    assert len(reported_faults) == len(reported) == len(monitor.findings)
    assert {fault for fault, _, _ in reported_faults} == {
        *("too_early", "too_late", "disagree", "unknown_key", "bad_signature", "bad_set", "unreachable"),
    }
    assert ("too_early", one.url, new.kid) in reported_faults
    assert ("too_late", one.url, old.kid) in reported_faults
    assert ("unknown_key", "", unknown_key_signer.kid) in reported_faults
    assert ("bad_set", two.url, other.kid) in reported_faults
    assert all(each.evidence for each in reported)
    assert "c2VjcmV0" not in "".join(each.evidence for each in reported)

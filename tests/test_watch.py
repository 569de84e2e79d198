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


class Story:
    """Two nodes, looked at every five seconds."""

    def __init__(self):
        self.watch = Watch(window=DAY, interval=5.0, grace=10.0)
        self.now = 1_800_000_000.0

    def look(self, first, second=None, *, seconds=5.0):
        self.watch.saw(NODES[0], first, self.now)
        self.watch.saw(NODES[1], first if second is None else second, self.now)
        self.watch.round_over(self.now)
        self.now += seconds
        return self

    def token(self, key, **more):
        self.watch.token(key.token(self.now, **more), self.now)
        return self

    @property
    def faults(self):
        return [finding.fault for finding in self.watch.findings]


def test_a_sound_rotation_is_clean(keys):
    old, new, _ = keys
    story = Story().look(shown(old)).token(old).look(shown(old, new), seconds=DAY).look(shown(old, new))
    story.token(new).look(shown(old, new), seconds=3600.0).look(shown(old, new), seconds=3600.0).look(shown(new))
    assert story.faults == []


def test_a_key_that_signs_too_early_is_found(keys):
    old, new, _ = keys
    story = Story().look(shown(old)).look(shown(old, new), seconds=DAY - 60)
    assert story.token(new).faults == ["too_early", "too_early"]


def test_an_announcement_one_node_came_late_to_is_found(keys):
    old, new, _ = keys
    story = Story().look(shown(old)).look(shown(old, new), shown(old)).look(shown(old, new), shown(old, new))
    story.look(shown(old, new), seconds=DAY - 20)
    story.token(new)
    assert [(finding.fault, finding.node) for finding in story.watch.findings][-1:] == [("too_early", NODES[1])]


def test_a_key_withdrawn_too_late_or_in_time(keys):
    old, new, _ = keys
    story = Story().look(shown(old, new)).token(old, life=600.0).look(shown(old, new), seconds=590.0).look(shown(new))
    assert story.faults == ["too_late", "too_late"]
    story = Story().look(shown(old, new)).token(old, life=600.0).look(shown(old, new), seconds=600.0).look(shown(new))
    assert story.faults == []


def test_nodes_may_differ_for_the_grace_only(keys):
    old, new, _ = keys
    story = Story().look(shown(old), shown(old, new)).look(shown(old), shown(old, new)).look(shown(old, new))
    assert story.faults == []
    story = Story()
    for _ in range(4):
        story.look(shown(old), shown(old, new))
    assert story.faults == ["disagree"]


def test_tokens_of_unknown_keys_and_forged_ones_are_found(keys):
    old, new, other = keys
    assert Story().look(shown(old)).token(new).faults == ["unknown_key"]
    story = Story().look(shown(old))
    head, body, _ = old.token(story.now).split(".")
    story.watch.token(f"{head}.{body}.{other.token(story.now).split('.')[2]}", story.now)
    story.watch.token("nonsense", story.now)
    assert story.faults == ["bad_signature"]


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
    assert "bad_set" in Story().look(broken(keys[0])).faults


def test_a_kid_that_changes_its_key_is_found(keys):
    old, new, _ = keys
    swapped = {"keys": [{**new.jwk, "kid": old.kid}]}
    assert "bad_set" in Story().look(shown(old)).look(swapped).faults


def test_a_node_that_is_gone_is_found_after_the_grace(keys):
    watch_ = Watch(window=DAY, interval=5.0, grace=10.0)
    watch_.missed(NODES[0], "refused", 100.0)
    watch_.missed(NODES[0], "refused", 110.0)
    assert watch_.findings == []
    watch_.missed(NODES[0], "refused", 110.5)
    assert [finding.fault for finding in watch_.findings] == ["unreachable"]


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_every_algorithm_is_read(alg):
    key = Signing(alg)
    assert Story().look(shown(key)).token(key).faults == []
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
        thread.join()


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
        get=lambda url: shown(old),
        clock=lambda: now[0],
        pause=pause,
    )
    assert (judged.tokens, judged.findings) == (1, [])

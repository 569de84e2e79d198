"""The throttle and the transport by themselves: T-19, T-057, T-059, T-067, T-02."""

import ipaddress
import random

import pytest

from authserver.oauth.proxies.peer import ProxyTrust
from authserver.oauth.throttle import FailedAttempt, Throttle, Throttled, subject_key
from tests.support.wsgi_client import Tick

ID = "2f7d1c0e-0a1b-4bbb-8ccc-123456789abc"


def failed(throttle, subject=ID, peer="192.0.2.1"):
    return throttle.count(FailedAttempt("client", subject), peer)


def test_so_many_a_minute_and_no_more():
    tick = Tick()
    throttle = Throttle(clock=tick, per_client=60)
    assert [failed(throttle) for _ in range(60)] == [None] * 60
    assert failed(throttle) == Throttled("client_failures", 1)
    tick.at += 1
    assert failed(throttle) is None
    assert failed(throttle) == Throttled("client_failures", 1)
    tick.at += 60
    assert [failed(throttle) for _ in range(60)] == [None] * 60


def test_the_time_to_wait_is_enough():
    tick = Tick()
    throttle = Throttle(clock=tick, per_client=1)
    assert failed(throttle) is None
    limited = failed(throttle)
    assert limited is not None
    tick.at += limited.wait
    assert failed(throttle) is None


def test_T_059_hammering_does_not_push_the_end_away():
    tick = Tick()
    throttle = Throttle(clock=tick, per_client=5)
    for _ in range(1000):
        failed(throttle)
    tick.at += 12
    assert failed(throttle) is None


def test_one_client_does_not_slow_another():
    throttle = Throttle(clock=Tick(), per_client=2)
    assert [failed(throttle, "a") for _ in range(3)][-1] is not None
    assert failed(throttle, "b") is None


def test_an_address_has_a_larger_bucket():
    throttle = Throttle(clock=Tick(), per_client=2, per_peer=10)
    assert [failed(throttle, str(number)) for number in range(10)] == [None] * 10
    assert failed(throttle, "x") == Throttled("peer_failures", 6)
    assert failed(throttle, "x", "192.0.2.2") is None


def test_an_ipv6_site_is_one_address():
    throttle = Throttle(clock=Tick(), per_peer=2)
    assert failed(throttle, "", "2001:db8:1:1::1") is None
    assert failed(throttle, "", "2001:db8:1:1::2") is None
    assert failed(throttle, "", "2001:db8:1:1:ffff::3") is not None
    assert failed(throttle, "", "2001:db8:1:2::1") is None
    assert failed(throttle, "", "192.0.2.1") is failed(throttle, "", "::ffff:192.0.2.1") is None
    assert failed(throttle, "", "192.0.2.1") is not None


@pytest.mark.parametrize(
    "spelling",
    [
        ID.upper(),
        f" {ID} ",
        f"{ID}\u00a0",
        f"{ID}\u200b",
        f"\ufeff{ID}",
        f"{ID[:5]}\u200d{ID[5:]}",
        "".join(chr(ord(char) + 0xFEE0) for char in ID),
        ID.replace("f", "\uff46"),
        ID.replace("-", "\uff0d"),
        f"{ID}\t\r\n",
    ],
)
def test_T_057_every_spelling_shares_one_bucket(spelling):
    assert subject_key(spelling) == subject_key(ID)


def test_ids_of_any_size_and_kind_are_taken():
    throttle = Throttle(clock=Tick())
    for subject in ("x" * 10**6, "\ud800", "\0", "\ufdfa" * 1000, "İ" * 300):
        assert failed(throttle, subject, subject) is None


def test_memory_is_bounded_and_a_flood_does_not_free_the_hammered():
    tick = Tick()
    throttle = Throttle(clock=tick, per_client=5, per_peer=50, max_keys=100)
    for _ in range(6):
        failed(throttle, ID, "192.0.2.9")
    assert failed(throttle, ID, "192.0.2.9") is not None
    for number in range(10_000):
        failed(throttle, str(number), "192.0.2.66")
    assert len(throttle._clients._empty_at) <= 100
    assert failed(throttle, ID, "192.0.2.9") is not None


def test_bad_tokens_are_counted_by_caller_alone():
    throttle = Throttle(clock=Tick(), per_peer=1, per_resource_server=3)
    failed_attempt = FailedAttempt("token", ID)
    assert [throttle.count(failed_attempt, "192.0.2.1") for _ in range(3)] == [None] * 3
    assert throttle.count(failed_attempt, "192.0.2.1") == Throttled("bad_tokens", 20)
    assert throttle.count(FailedAttempt("token", "other"), "192.0.2.1") is None
    assert failed(throttle) is None


def test_it_never_lets_more_through_than_promised():
    dice, tick = random.Random(7), Tick()
    throttle = Throttle(clock=tick, per_client=30)
    passed = []
    for _ in range(5000):
        tick.at += dice.expovariate(2)
        if failed(throttle, peer=str(dice.random())) is None:
            passed.append(tick.at)
    worst = max(sum(1 for at in passed if start <= at < start + 60) for start in passed)
    assert worst <= 60
    assert len(passed) >= (tick.at - 1000) / 60 * 30 * 0.9


# --- the way a request came -----------------------------------------------------------------


def way(environ, *proxies):
    networks = [ipaddress.ip_network(each) for each in proxies]
    return ProxyTrust(networks).resolve_peer({"wsgi.url_scheme": "http", **environ})


@pytest.mark.parametrize(
    ("peer", "private"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("", True),
        ("203.0.113.1", False),
        ("2001:db8::1", False),
        ("localhost", False),
        ("unknown", False),
        ("0.0.0.0", False),  # noqa: S104 - an address somebody claims to have
    ],
)
def test_T_02_plain_http_is_for_this_machine(peer, private):
    forged = {"HTTP_X_FORWARDED_PROTO": "https", "HTTP_X_FORWARDED_FOR": "127.0.0.1"}
    assert way({"REMOTE_ADDR": peer}) == (peer, private)
    assert way({"REMOTE_ADDR": peer, **forged}) == (peer, private)
    assert way({"REMOTE_ADDR": peer, "wsgi.url_scheme": "https"}) == (peer, True)


@pytest.mark.parametrize(
    ("proto", "private"),
    [("https", True), ("HTTPS", True), ("http, https", True), ("https, http", False), ("http", False), ("", False)],
)
def test_T_02_a_trusted_proxy_says_how_it_was_asked(proto, private):
    environ = {"REMOTE_ADDR": "10.0.0.7", "HTTP_X_FORWARDED_PROTO": proto, "HTTP_X_FORWARDED_FOR": "203.0.113.5"}
    assert way(environ, "10.0.0.0/8") == ("203.0.113.5", private)
    assert way({**environ, "REMOTE_ADDR": "127.0.0.1"}, "127.0.0.1/32") == ("203.0.113.5", private)


@pytest.mark.parametrize(
    ("path", "origin"),
    [
        ("203.0.113.5", "203.0.113.5"),
        ("198.51.100.1, 203.0.113.5", "203.0.113.5"),
        ("127.0.0.1, 203.0.113.5, 10.0.0.8", "203.0.113.5"),
        ("203.0.113.5:4711", "203.0.113.5"),
        ("[2001:db8::5]:4711", "2001:db8::5"),
        ("2001:db8::5", "2001:db8::5"),
        ("10.0.0.9, 10.0.0.8", "10.0.0.9"),
        ("203.0.113.5, nonsense", "10.0.0.7"),
        ("nonsense, 10.0.0.8", "10.0.0.8"),
        ("", "10.0.0.7"),
        ("," * 3000, "10.0.0.7"),
    ],
)
def test_the_caller_is_the_rightmost_address_that_is_no_proxy(path, origin):
    environ = {"REMOTE_ADDR": "10.0.0.7", "HTTP_X_FORWARDED_PROTO": "https", "HTTP_X_FORWARDED_FOR": path}
    assert way(environ, "10.0.0.0/8") == (origin, True)

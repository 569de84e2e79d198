"""Mode "feed": no request per call; each kind of death is learned from the signed change feed."""

import threading

import pytest

from resource_server import AsyncVerifier, InvalidToken, Unavailable
from resource_server.kit.signing import SigningKey
from resource_server.settings import Settings
from tests.resource_server.conftest import refused, unavailable, until
from tests.support import async_calls

S = 30


@pytest.fixture
def verifier(verifier_of):
    return verifier_of(mode="feed", max_staleness=S)


def introspections(server):
    return server.counts["/oauth/introspect"]


def test_a_fresh_token_costs_no_request(server, issuer, verifier):
    for _ in range(10):
        verifier.verify(issuer.mint(), roles=["writer"])
    assert introspections(server) == 0


DEATHS = {
    "ended": lambda issuer, text: issuer.revoke(text),
    "role_version": lambda issuer, _: issuer.change_roles(),
    "credential_ended": lambda issuer, _: issuer.end_credential(issuer.client_id),
    "secret_ended": lambda issuer, _: issuer.end_secret(issuer.secret_id),
    "user_disabled": lambda issuer, _: issuer.disable_user(issuer.owner),
    "key_removed": lambda issuer, _: compromise(issuer),
    "epoch": lambda issuer, _: issuer.raise_epoch(),
}


def compromise(issuer):
    old = issuer.active.kid
    issuer.activate(issuer.announce())
    issuer.compromise(old)


def outcome(verifier, text):
    try:
        verifier.verify(text)
    except InvalidToken as error:
        return error.reason
    except Unavailable:
        return "unavailable"
    return "accepted"


def is_refused(verifier, text, reason):
    # The key set may be fetched before the feed tells that a key is gone from it.
    reasons = {reason, "unknown_key"} if reason == "key_removed" else {reason}
    now = outcome(verifier, text)
    assert now in {*reasons, "accepted", "unavailable"}
    return now in reasons


@pytest.mark.parametrize("reason", DEATHS)
def test_INV_30_each_death_comes_through_the_feed(server, issuer, verifier, reason):
    text = issuer.mint()
    verifier.verify(text)
    DEATHS[reason](issuer, text)
    until(lambda: is_refused(verifier, text, reason), f"a token is refused for {reason}")
    assert introspections(server) == 0


@pytest.mark.parametrize("reason", DEATHS)
def test_and_is_known_to_who_starts_later(issuer, verifier_of, server, reason):
    text = issuer.mint()
    DEATHS[reason](issuer, text)
    assert refused(verifier_of(mode="feed", max_staleness=S), text) in {reason, "unknown_key"}


def test_a_new_token_after_a_role_change_lives(issuer, verifier):
    verifier.verify(issuer.mint())
    issuer.change_roles()
    verifier.verify(issuer.mint())


def test_a_token_of_a_later_epoch_has_the_feed_fetched_first(issuer, verifier, server):
    verifier.verify(issuer.mint())
    issuer.raise_epoch()
    verifier.verify(issuer.mint())


def test_a_reactivated_owner_gets_in_with_a_new_token_only(issuer, verifier):
    old = issuer.mint()
    verifier.verify(old)
    issuer.disable_user(issuer.owner)
    until(lambda: is_refused(verifier, old, "user_disabled"), "the owner is disabled")
    issuer.log.state.disabled_users.clear()
    issuer.change_roles()
    new = issuer.mint()
    until(lambda: outcome(verifier, new) == "accepted", "the new token is let in")
    assert refused(verifier, old) == "role_version"


class TestIdle:
    def test_a_token_of_unknown_use_is_asked_about_once(self, server, issuer, verifier, clock):
        text = issuer.mint()
        clock.move(issuer.idle_seconds - 100)
        for _ in range(5):
            verifier.verify(text)
        assert introspections(server) == 1

    def test_an_idle_one_is_refused(self, server, issuer, verifier, clock):
        text = issuer.mint()
        verifier.verify(text)
        clock.move(issuer.idle_seconds)
        for _ in range(3):
            assert refused(verifier, text) in {"inactive", "ended"}
        assert introspections(server) <= 1

    def test_one_used_only_here_stays_alive_by_reports(self, server, issuer, verifier_of, clock):
        issuer.idle_seconds = 60
        verifier = verifier_of(mode="feed", max_staleness=S, report_interval=5)
        text = issuer.mint()
        for _ in range(30):
            verifier.verify(text)
            verifier.report_now()
            clock.move(20)
        assert introspections(server) == 0

    def test_one_whose_reports_get_lost_is_asked_about_in_time(self, server, issuer, verifier, clock):
        issuer.idle_seconds = 1200 + 600  # the reports of this verifier go every 600 s
        text = issuer.mint(exp=issuer.now + 86400)
        for _ in range(20):
            verifier.verify(text)
            clock.move(300)
        assert introspections(server) > 0

    def test_a_shorter_timeout_holds_at_once(self, issuer, verifier, clock, server):
        text = issuer.mint()
        verifier.verify(text)
        issuer.idle_seconds = 60
        issuer.log.tell("ended_tokens", "another", issuer.now + 60)
        until(lambda: verifier._state.feed._ends.idle_seconds == 60, "the setting arrived")
        clock.move(60)
        assert refused(verifier, text) in {"inactive", "ended"}


class TestPartition:
    def test_INV_25_nothing_older_than_S_is_relied_on(self, server, issuer, verifier, clock):
        text = issuer.mint()
        verifier.verify(text)
        server.outage = "close"
        verifier.verify(text)
        clock.move(S + 0.1)
        unavailable(verifier, text)
        server.outage = None
        issuer.change_roles()
        clock.move(60)
        until(lambda: is_refused(verifier, text, "role_version"), "the feed is followed again")

    def test_or_goes_on_and_says_so(self, server, issuer, verifier_of, clock):
        verifier = verifier_of(mode="feed", max_staleness=S, on_unreachable="allow")
        text = issuer.mint()
        verifier.verify(text)
        server.outage = 503
        clock.move(S + 0.1)
        verifier.verify(text)
        assert verifier.counts()["stale_allowed"] >= 1

    def test_without_any_state_nothing_is_allowed(self, server, issuer, verifier_of):
        server.outage = 503
        verifier = verifier_of(mode="feed", max_staleness=S, on_unreachable="allow")
        unavailable(verifier, issuer.mint())

    def test_a_cursor_that_is_too_old_leads_to_the_whole_state(self, server, issuer, verifier):
        text, other = issuer.mint(), issuer.mint()
        verifier.verify(text)
        issuer.revoke(text)
        issuer.log.forget()
        until(lambda: is_refused(verifier, text, "ended"), "the whole state was fetched")
        verifier.verify(other)

    def test_many_at_once_fetch_once(self, server, issuer, verifier):
        text = issuer.mint()
        threads = [threading.Thread(target=verifier.verify, args=(text,)) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert verifier.counts()["accepted"] == 16
        assert server.counts["/.well-known/jwks.json"] == 1


class TestHostileFeeds:
    """What comes from the way between is believed only with the signature, the audience and the time of the server."""

    @pytest.fixture
    def feed(self, issuer, server, verifier):
        def told(text):
            issuer.changes = lambda _after, _wait: text
            unavailable(verifier, issuer.mint())
            assert "feed_fetched" not in verifier.counts()

        return told

    def document(self, issuer, **changed):
        claims = {
            "iss": issuer.url, "aud": issuer.audience, "iat": issuer.now, "epoch": "1", "as_of": issuer.now,
            "idle_seconds": 1800, **issuer.log.since("", 0), **changed,
        }  # fmt: skip
        return {name: value for name, value in claims.items() if value is not None or name == "issued_since"}

    @pytest.mark.parametrize(
        "changed",
        [
            {"iss": "https://other.example.com"}, {"aud": "https://other.example.com"}, {"aud": None},
            {"as_of": None}, {"as_of": "now"}, {"as_of": 5}, {"complete": 1}, {"complete": False}, {"cursor": 5},
            {"cursor": ""}, {"idle_seconds": 0}, {"idle_seconds": 1.5}, {"role_versions": []},
            {"role_versions": {"a": "1"}}, {"ended_tokens": None}, {"disabled_users": {}}, {"removed_keys": [1]},
            {"epoch": 1}, {"longest_seconds": 0}, {"longest_seconds": "1"}, {"used_since": -1}, {"issued_since": None},
        ],
    )  # fmt: skip
    def test_claims(self, issuer, feed, changed):
        feed(issuer.active.jws(issuer.header(typ="changes+jwt"), self.document(issuer, **changed)))

    def test_an_access_token_is_no_feed(self, issuer, feed):
        feed(issuer.mint(**self.document(issuer)))

    def test_nor_is_a_feed_an_access_token(self, issuer, verifier):
        text = issuer.active.jws(issuer.header(typ="changes+jwt"), issuer.claims())
        assert refused(verifier, text) == "typ"

    def test_another_key(self, issuer, feed):
        header = issuer.header(typ="changes+jwt")
        feed(SigningKey().jws(header, self.document(issuer)))

    @pytest.mark.parametrize("text", ["", "{}", "a.b.c", "\xff"])
    def test_garbage(self, feed, text):
        feed(text)

    def test_unsigned(self, issuer, feed):
        text = issuer.active.jws(issuer.header(typ="changes+jwt", alg="none"), self.document(issuer))
        feed(text.rpartition(".")[0] + ".")

    def test_an_old_document_played_again(self, issuer, server, verifier, clock):
        text = issuer.mint()
        old = issuer.changes("", 0)
        clock.move(5)
        issuer.revoke(text)
        assert refused(verifier, text) == "ended"
        issuer.changes = lambda _after, _wait: old
        until(lambda: verifier.counts().get("fetch_failed"), "the old document came")
        assert refused(verifier, text) == "ended"


def test_asyncio(server, issuer, verifier_of):
    import asyncio

    async def call():
        async with verifier_of(AsyncVerifier, mode="feed", max_staleness=S) as verifier:
            await asyncio.gather(*(verifier.verify(issuer.mint()) for _ in range(8)))

    async_calls.run(call())
    assert introspections(server) == 0


def test_a_short_S_means_short_polls():
    def wait(s):
        from resource_server.clocks import ServerTime, SystemClock
        from resource_server.events import Events
        from resource_server.modes.feed import Feed

        clock = SystemClock()
        settings = Settings(
            issuer="https://a.example.com", audience="b", credentials=("c", "d"), mode="feed", max_staleness=s
        )
        parts = dict.fromkeys(("keys", "introspector", "usage"))
        return Feed(settings, clock, Events(None), ServerTime(clock), **parts)._wait

    assert [wait(2), wait(5), wait(30), wait(3600)] == [0, 1, 10, 30]

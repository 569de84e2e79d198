"""Usage reports: batched, sent again with the same id and bytes, and lost only out loud."""

import json

import httpx
import pytest

from resource_server import Unavailable, Verifier
from resource_server.modes.usage import MAX_USES

S = 30


class Recorder(httpx.HTTPTransport):
    """Keeps the reports that were sent; ``lose`` loses answers of the server, ``status`` replaces them."""

    def __init__(self):
        super().__init__()
        self.sent, self.lose, self.status, self.longest = [], 0, 0, 10**9

    def handle_request(self, request):
        if not request.url.path.endswith("/usage"):
            return super().handle_request(request)
        self.sent.append(request.read())
        if len(self.sent[-1]) > self.longest:
            return httpx.Response(413)
        if self.status:
            return httpx.Response(self.status, headers={"Retry-After": "7"})
        answer = super().handle_request(request)
        if self.lose:
            self.lose -= 1
            answer.close()
            raise httpx.ReadError("cut")
        return answer


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def verifier(issuer, verifier_of, recorder):
    issuer.staleness = S
    return verifier_of(mode="leased", max_staleness=S, transport=recorder)


def used(verifier, issuer, times=3, **asked):
    text = issuer.mint()
    for _ in range(times + 1):  # the first is an introspection
        verifier.verify(text, **asked)
    return text


def test_uses_are_added_up_by_method_and_route(issuer, verifier, recorder, clock):
    text = used(verifier, issuer, method="GET", route="/a/{id}")
    clock.move(2)
    verifier.verify(text, method="POST", route="/a")
    verifier.report_now()
    (sent,) = map(json.loads, recorder.sent)
    assert set(sent) == {"report_id", "uses"}
    first, second = sent["uses"]
    assert (first["count"], first["method"], first["route"]) == (3, "GET", "/a/{id}")
    assert (second["count"], second["method"], second["route"]) == (1, "POST", "/a")
    assert second["at"] - first["at"] == 2
    verifier.report_now()
    assert len(recorder.sent) == 1


def test_a_lost_answer_is_asked_for_again_with_the_same_bytes(issuer, verifier, recorder):
    used(verifier, issuer)
    recorder.lose = 1
    with pytest.raises(Unavailable):
        verifier.report_now()
    verifier.report_now()
    assert len(recorder.sent) == 2
    assert len(set(recorder.sent)) == 1
    assert len(issuer._reports) == 1


def test_a_refused_report_is_dropped_out_loud(issuer, verifier, recorder):
    used(verifier, issuer)
    recorder.status = 400
    verifier.report_now()
    assert verifier.counts()["report_dropped"] == 1
    recorder.status = 0
    verifier.report_now()
    assert len(recorder.sent) == 1


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
def test_others_are_kept(issuer, verifier, recorder, status):
    used(verifier, issuer)
    recorder.status = status
    with pytest.raises(Unavailable):
        verifier.report_now()
    recorder.status = 0
    verifier.report_now()
    assert len(set(recorder.sent)) == 1


def test_the_server_says_how_long_to_wait(issuer, verifier, recorder, clock):
    used(verifier, issuer)
    recorder.status = 503
    with pytest.raises(Unavailable) as caught:
        verifier.report_now()
    assert caught.value.retry_after == 7
    assert verifier._state.usage.backoff.next_try >= clock.elapsed() + 7


@pytest.mark.parametrize(("number", "width"), [(12_000, 10), (10_000, 300)])
def test_many_uses_become_reports_within_the_limits(issuer, verifier, recorder, number, width):
    """Of uses and of bytes; the server takes 10,000 and 4 MB."""
    text = issuer.mint()
    verifier.verify(text)
    for each in range(number):
        verifier.verify(text, route=f"/{'x' * width}/{each}")
    verifier.report_now()
    reports = [json.loads(sent) for sent in recorder.sent]
    assert all(len(sent) < 3_001_000 for sent in recorder.sent)
    assert all(len(report["uses"]) <= MAX_USES for report in reports)
    assert sum(use["count"] for report in reports for use in report["uses"]) == number
    assert len({report["report_id"] for report in reports}) == len(reports) == 2


def test_a_report_that_is_too_long_for_the_way_is_sent_in_parts(issuer, verifier, recorder):
    """A proxy, or a server of before, takes 64 kB; nothing is lost and nothing counts twice."""
    recorder.longest = 64 * 1024
    text = issuer.mint()
    verifier.verify(text)
    for each in range(2000):
        verifier.verify(text, route=f"/{'x' * 60}/{each}")
    verifier.report_now()
    refused, *taken = recorder.sent
    assert len(refused) > recorder.longest
    assert all(len(sent) < recorder.longest for sent in taken)
    assert sum(use["count"] for sent in taken for use in json.loads(sent)["uses"]) == 2000
    assert verifier.counts()["reported"] == len(taken)
    assert "report_dropped" not in verifier.counts()


def test_instants_are_never_in_the_future_of_the_server(issuer, verifier, recorder, clock):
    clock.step = 3600  # this machine's clock is an hour ahead
    text = issuer.mint(iat=issuer.now - 1, exp=issuer.now + 7200)
    for _ in range(2):
        verifier.verify(text)
    verifier.report_now()
    (sent,) = map(json.loads, recorder.sent)
    assert sent["uses"][0]["at"] <= clock.true()
    assert verifier.counts()["reported"] == 1


def test_closing_reports_what_is_left(issuer, server, recorder):
    issuer.staleness = S
    options = {"mode": "leased", "max_staleness": S, "report_interval": 600, "transport": recorder}
    verifier = Verifier(issuer.url, issuer.audience, issuer.api, **options)
    text = used(verifier, issuer)
    verifier.close()
    assert len(recorder.sent) == 1
    with pytest.raises(Unavailable, match="closed"):
        verifier.verify(issuer.mint())
    with pytest.raises(Unavailable, match="closed"):
        verifier.verify(text)  # although its lease lasts


def test_they_go_out_by_themselves(issuer, server, verifier_of):
    from tests.resource_server.conftest import until

    issuer.staleness = S
    verifier = verifier_of(mode="leased", max_staleness=S, report_interval=0.05)
    used(verifier, issuer)
    until(lambda: verifier.counts().get("reported"), "a report went out")

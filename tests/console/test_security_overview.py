"""The front page of the security team: charts of what was counted, on both databases, in both languages."""

import re
import time
from collections import Counter

import pytest
from sqlalchemy import insert

from authserver.actions import client_keys, credentials
from authserver.console.security import charts
from authserver.console.security.charts import Series
from authserver.console.settings.pages import duration
from authserver.ports.console_reads.statistics import HOUR, KEPT, Measure
from authserver.ports.errors import Unavailable
from authserver.store.statistics import MOST_LABELS
from authserver.store.tables import statistics as table
from tests.support.assertions import Signer
from tests.support.console_browser import Browser, builder, signed_in
from tests.support.wsgi_client import BACKENDS, opened

PAGE = "/console/security"
DAY = 24 * HOUR


@pytest.fixture(scope="module", params=BACKENDS)
def site(request, tmp_path_factory):
    yield from opened(request.param, tmp_path_factory.mktemp("overview"))


@pytest.fixture(scope="module")
def root(site):
    builder(site, "guard", ("security:view",))
    return signed_in(site, "guard")


def section(text, title):
    """The card under a heading."""
    cards = re.findall(r'<section class="card chart".*?</section>', text, re.DOTALL)
    [card] = [each for each in cards if re.search(rf"<h3[^>]*>(?:<a[^>]*>)?{re.escape(title)}", each)]
    return card


def rows(card):
    """The rows of the table of a card, as texts."""
    body = card.partition("<tbody>")[2].partition("</tbody>")[0]
    return [
        [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)]
        for row in re.findall(r"<tr.*?</tr>", body, re.DOTALL)
    ]


def test_what_requests_came_to_is_drawn_and_stands_in_the_table(site, root):
    statistics, now = site.store.statistics, site.clock.at
    for outcome, number in (("granted", 30), ("invalid_client", 4), ("throttled", 2), ("invalid_scope", 1)):
        for _ in range(number):
            statistics.count(Measure.TOKEN_REQUESTS, outcome, now)
    statistics.count(Measure.TOKEN_REQUESTS, "granted", now - 5 * HOUR)
    statistics.count(Measure.TOKEN_REQUESTS, "granted", now - 10 * DAY)
    statistics.flush()
    day, month = root.get(PAGE).text, root.get(f"{PAGE}?range=30d").text
    card = section(day, "Token requests")
    assert [row[1:] for row in rows(card)] == [["30", "4", "2", "1"], ["1", "0", "0", "0"]]
    assert len(re.findall(r'<rect class="(?:good|bad|soon|rest)"', card)) == 5
    assert "at most 37 at a time" in card
    assert '<span class="muted">38</span>' in card
    month_card = section(month, "Token requests")
    assert [row[1] for row in rows(month_card)] == ["31", "1"]
    assert '<span class="muted">39</span>' in month_card


def test_requests_to_the_endpoints_are_counted(site, root):
    statistics = site.store.statistics
    since = int(time.time()) // HOUR * HOUR

    def counted():
        site.services._observer.drain()
        statistics.flush()
        return Counter(statistics.totals(Measure.INTROSPECTIONS, since, 20))

    before = counted()
    token = site.access_token()
    site.active(token)
    site.introspect("nothing")
    site.token((site.client[0], "acs_wrong"))
    assert counted() - before == {"active": 1, "inactive": 1}
    assert statistics.totals(Measure.FAILURES, since, 20)["malformed_secret"] >= 1
    assert sum(statistics.totals(Measure.SOURCES, since, 20).values()) >= 1


def test_failures_are_told_by_reason_in_words_and_by_address_escaped(site, root):
    statistics, now = site.store.statistics, site.clock.at
    for peer, number in (("192.0.2.7", 7), ("2001:db8::1", 3), ("<b>x</b>", 1)):
        for _ in range(number):
            statistics.count(Measure.SOURCES, peer, now)
            statistics.count(Measure.FAILURES, "wrong_secret" if number > 3 else "odd_new_reason", now)
    statistics.flush()
    text = root.get(PAGE).text
    assert [row for row in rows(section(text, "Failed authentications by address")) if row[0] != "127.0.0.1"][:2] == [
        ["192.0.2.7", "7"],
        ["2001:db8::1", "3"],
    ]
    assert "<b>x</b>" not in text
    reasons = dict(rows(section(text, "Failed authentications by reason")))
    assert (reasons["Wrong secret"], reasons["odd_new_reason"]) == ("7", "4")


def test_more_addresses_than_are_told_apart_count_together(site):
    statistics, now = site.store.statistics, site.clock.at - 20 * DAY
    for number in range(MOST_LABELS + 50):
        statistics.count(Measure.SOURCES, f"198.51.100.{number}", now)
    statistics.flush()
    counted = statistics.by_time(Measure.SOURCES, now - HOUR, HOUR)[now - now % HOUR]
    assert len(counted) == MOST_LABELS + 1
    assert counted[""] == 50


def test_how_it_stands_is_looked_up_once_a_minute_by_one(site, root):
    site.access_token()
    site.store.usage.flush()
    client = site.credential()
    site.access_token(client)
    site.store.usage.flush()
    credentials.disable(site.accounts, client[0], **site.who)
    statistics = site.store.statistics
    assert statistics.look(site.clock.at)
    assert not statistics.look(site.clock.at + 10)
    assert statistics.look(site.clock.at - DAY)  # a clock that was set back ends it for nobody
    assert statistics.look(site.clock.at)
    text = root.get(PAGE).text
    ages = dict(rows(section(text, "Secrets by age")))
    assert int(ages["up to 30 days"]) >= 1
    assert list(ages) == ["up to 30 days", "up to 90 days", "up to 180 days", "up to 365 days", "more than 365 days"]
    ways = dict(rows(section(text, "Credentials by what they prove themselves with")))
    assert int(ways["A shared secret alone"]) == int(ages["up to 30 days"])
    assert (ways["A shared secret, and a key or a trust"], ways["A key or a trust alone"]) == ("0", "0")
    assert rows(section(text, "Credentials with a shared secret by owner")) == [["ada", ways["A shared secret alone"]]]
    expiries = dict(rows(section(text, "Credentials by time to expiry")))
    assert (int(expiries["up to 90 days"]), expiries["up to 7 days"]) == (int(ages["up to 30 days"]), "0")
    assert int(rows(section(text, "Live tokens"))[0][1]) >= 1
    assert "Looked up" in text


def test_who_uses_a_shared_secret_and_where_is_looked_up_once_an_hour(site, root):
    client = site.credential()
    assert site.active(site.access_token(client))
    site.store.usage.flush()
    later = site.clock.at + 2 * HOUR
    site.store.statistics.look(later)
    before = rows(section(root.get(PAGE).text, "Credentials with a shared secret by API"))
    assert before[0][0] == "api"
    assert int(before[0][1]) >= 1
    client_keys.add(site.accounts, client[0], Signer().pem, "", **site.who)
    credentials.end_secrets(site.accounts, client[0], **site.who)
    for seconds, number in ((60, int(before[0][1])), (HOUR, int(before[0][1]) - 1)):
        assert site.store.statistics.look(later + seconds)
        found = dict(rows(section(root.get(PAGE).text, "Credentials with a shared secret by API")))
        assert int(found.get("api", 0)) == number
    ways = dict(rows(section(root.get(PAGE).text, "Credentials by what they prove themselves with")))
    assert ways["A key or a trust alone"] == "1"


def test_what_ended_tokens_is_told_for_the_security_team(site, root):
    client = site.credential()
    token = site.access_token(client)
    site.store.usage.flush()
    credentials.disable(site.accounts, client[0], **site.who)
    assert not site.active(token)
    site.store.statistics.look(site.clock.at + 60)
    ended = dict(rows(section(root.get(PAGE).text, "What ended tokens")))
    assert int(ended["Credential disabled"]) >= 1


def test_keys_stand_on_a_time_line_with_what_comes_next(site, root):
    card = section(root.get(PAGE).text, "Time line of the keys")
    assert rows(card)[0][1].startswith("Signing")
    assert '<rect class="active"' in card
    assert re.search(r"ES256: (?:next rotation|rotation by hand)", card)


def test_it_is_told_in_german_and_odd_ranges_are_the_day(site):
    builder(site, "wache", ("security:view",))
    browser = signed_in(site, "wache")
    answer = browser.client.get(PAGE, headers={"Accept-Language": "de"}).text
    assert "Woran Tokens endeten" in answer
    assert "Secrets nach Alter" in answer
    for odd in ("x", "24h%00", "%ff", "30d&range=24h"):
        assert browser.get(f"{PAGE}?range={odd}").status == 200
    assert Browser(site).get(PAGE).status in {302, 303, 401, 403, 200}


def test_each_drawing_has_a_name_and_its_ids_are_used_once(root):
    text = root.get(PAGE).text
    drawings = re.findall(r"<svg class=\"columns\"[^>]*>", text)
    assert len(drawings) == 3
    assert all('role="img"' in each and 'aria-label="' in each for each in drawings)
    ids = re.findall(r'\sid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert not re.search(r"<(?:script|style)[^>]*>[^<]|\sstyle=", text.partition("<main")[2])


def test_a_month_back_is_forgotten(site):
    statistics, now = site.store.statistics, site.clock.at
    old = (now - KEPT - 2 * HOUR) // HOUR * HOUR
    statistics.count(Measure.FAILURES, "wrong_secret", old)
    statistics.flush()
    assert old in statistics.by_time(Measure.FAILURES, now - KEPT - DAY, HOUR)
    statistics.sweep(now)
    assert all(at >= now - KEPT - HOUR for at in statistics.by_time(Measure.FAILURES, 1, HOUR))
    assert statistics.looked_at() is None or statistics.looked_at() > 0


def test_hours_become_days_and_nothing_changes_by_it(site):
    statistics, day = site.store.statistics, (site.clock.at - 12 * DAY) // DAY * DAY
    for hour in (0, 5, 23):
        statistics.count(Measure.FAILURES, "secret_ended", day + hour * HOUR)
        statistics.count(Measure.INTROSPECTIONS, "active", site.clock.at - hour * HOUR)
    statistics.flush()
    with site.store.engine.begin() as connection:
        rows = [{"measure": "live", "hour": day + hour * HOUR, "label": "", "number": hour} for hour in (3, 9, 4)]
        connection.execute(insert(table), rows)

    def seen():
        return {measure: statistics.by_time(measure, day, DAY) for measure in Measure} | {
            "lately": statistics.by_time(Measure.INTROSPECTIONS, site.clock.at - DAY, HOUR)
        }

    before = seen()
    assert before[Measure.FAILURES][day]["secret_ended"] == 3
    assert before[Measure.LIVE_TOKENS][day] == {"": 9}
    for _ in range(2):
        statistics.sweep(site.clock.at)
        assert seen() == before
    assert len(statistics.by_time(Measure.FAILURES, day, HOUR).keys() & set(range(day, day + DAY, HOUR))) == 1


def test_what_could_not_be_written_is_written_later(site, monkeypatch):
    statistics, at = site.store.statistics, site.clock.at - 15 * DAY

    def refuse(_engine):
        raise Unavailable("not now")

    statistics.count(Measure.FAILURES, "wrong_secret", at)
    with monkeypatch.context() as patch:
        patch.setattr("authserver.store.statistics.writing", refuse)
        with pytest.raises(Unavailable):
            statistics.flush()
    statistics.count(Measure.FAILURES, "wrong_secret", at)
    statistics.flush()
    assert statistics.by_time(Measure.FAILURES, at - HOUR, HOUR)[at - at % HOUR]["wrong_secret"] == 2


# --- geometry -----------------------------------------------------------------------------------------------------

TWO = (Series("a", "A", "good"), Series("other", "Other", "rest"))


def test_columns_stay_in_their_box_and_stack():
    slots = charts.slots_until(100 * HOUR + 5, HOUR, 24)
    assert (slots[0], slots[-1], len(slots)) == (77 * HOUR, 100 * HOUR, 24)
    shown = charts.columns({slots[0]: {"a": 3, "odd": 1}, slots[23]: {"a": 8}}, TWO, slots, str)
    assert (shown.most, shown.total) == (8, 12)
    low, high, newest = shown.parts
    assert low.y == high.y + high.height
    assert newest.height == 100
    for part in shown.parts:
        assert part.x >= 0
        assert part.x + part.width <= charts.WIDTH
        assert part.y >= 0
        assert part.y + part.height <= charts.HEIGHT
    assert shown.table == ((str(slots[23]), (8, 0)), (str(slots[0]), (3, 1)))


def test_nothing_is_an_empty_chart_and_not_a_division_by_zero():
    assert charts.columns({}, TWO, charts.slots_until(0, HOUR, 24), str).parts == ()
    assert charts.columns({}, TWO, (), str).total == 0
    assert charts.bars([]) == ()
    assert [bar.share for bar in charts.bars([("x", 0), ("y", 0)])] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(60, "1 min"), (1800, "30 min"), (5400, "1 h 30 min"), (43200, "12 h"), (86400, "24 h"), (604800, "7 days")],
)
def test_durations_are_said_in_the_units_of_people(site, seconds, said):
    with site.app.test_request_context("/console/settings", headers={"Accept-Language": "en"}):
        assert duration(seconds) == said


def test_the_settings_page_says_them(root):
    text = root.get("/console/settings").text
    for said in ("12 h", "30 min", "365 days", "24 h", "7 days"):
        assert re.search(rf'<p class="value[^"]*">{said}</p>', text), said

"""The sessions of tokens."""

from authserver.rules.facts import Reason
from authserver.store.tokens import sessions
from tests.store.conformance.support import USE, at_once, change, row
from tests.support.stores import DAY, NOW, kills, start, uses


class TestSessions:
    def test_the_first_end_stands(self, store):
        session = start()
        store.usage.issued(session)
        store.usage.flush()
        store.sessions.end(session, Reason.IDLE, NOW + 5)
        store.sessions.end(session, Reason.REVOKED, NOW + 9)
        assert not store.sessions.end_known(session.jti, Reason.REVOKED, NOW + 9)
        assert (row(store, session).ended_at, row(store, session).end_reason) == (NOW + 5, "idle")

    def test_an_end_needs_no_row_before(self, store):
        session = start()
        store.sessions.end(session, Reason.ROLES_CHANGED, NOW)
        assert row(store, session).end_reason == "roles_changed"

    def test_many_ends_in_one_change_are_each_as_one_alone(self, store):
        idle, expired, ended = start(), start(), start()
        store.sessions.end(ended, Reason.REVOKED, NOW)
        ends = [(ended, Reason.IDLE), (expired, Reason.EXPIRED), (idle, Reason.IDLE)]
        for _ in range(2):
            store.sessions.end_all(ends, NOW + 5)
        results = [(row(store, each).ended_at, row(store, each).end_reason) for each in (idle, expired, ended)]
        assert results == [(NOW + 5, "idle"), (NOW + 5, "expired"), (NOW, "revoked")]
        assert kills(store) == [("session", ended.jti, 0), ("session", idle.jti, 0)]
        store.sessions.end_all([], NOW)

    def test_of_many_ends_at_once_one_stands(self, nodes):
        session = start()
        reasons = [Reason.IDLE, Reason.REVOKED, Reason.ENDED_BY_OWNER, Reason.EXPIRED]
        results = at_once(
            *(lambda s=s, r=r: s.sessions.end(session, r, NOW) for s, r in zip(nodes * 2, reasons, strict=True))
        )
        assert results == [None] * 4
        known = row(nodes[0], session).end_reason
        assert kills(nodes[0]) == ([] if known == "expired" else [("session", session.jti, 0)])

    def test_an_end_of_its_own_is_noted_once_for_the_feed(self, store):
        ends = {reason: start() for reason in Reason}
        for reason, session in ends.items():
            store.sessions.end(session, reason, NOW)
            store.sessions.end(session, reason, NOW + 1)
        own = [
            ends[reason].jti
            for reason in Reason
            if reason in {"revoked", "ended_by_owner", "idle", "token_typ_changed", "session_limit", "leaked"}
        ]
        assert kills(store) == [("session", jti, 0) for jti in own]

    def test_ending_by_id_is_noted_only_when_something_ended(self, store):
        session = start()
        store.usage.issued(session)
        store.usage.flush()
        assert not store.sessions.end_known("unknown", Reason.REVOKED, NOW)
        assert store.sessions.end_known(session.jti, Reason.REVOKED, NOW)
        with change(store) as tx:
            assert not tx.end_session(session.jti, Reason.REVOKED, NOW)
            assert not tx.end_session("unknown", Reason.REVOKED, NOW)
        assert kills(store) == [("session", session.jti, 0)]

    def test_all_sessions_of_a_credential_end_together(self, store):
        mine, other, over = [start("c1") for _ in range(3)], start("c2"), start("c1", at=NOW - 9 * DAY)
        for each in (*mine, other, over):
            store.usage.issued(each)
        store.usage.flush()
        store.sessions.end(mine[0], Reason.IDLE, NOW)
        with change(store) as tx:
            assert tx.end_sessions("c1", Reason.ENDED_BY_OWNER, NOW + 1) == 2
        assert [row(store, each).end_reason for each in mine] == ["idle", "ended_by_owner", "ended_by_owner"]
        assert row(store, other).ended_at is None

    def test_the_newest_comes_first(self, store):
        sessions = [start(at=NOW + number) for number in range(3)]
        for each in sessions:
            store.usage.issued(each)
        store.usage.flush()
        listed = store.sessions.of_credential("c1")
        assert [each.jti for each in listed] == [each.jti for each in reversed(sessions)]
        assert listed[0].roles == ("reader", "writer")

    def test_what_is_long_over_is_swept_and_nothing_else(self, store, monkeypatch):
        monkeypatch.setattr(sessions, "_SWEEP_BATCH", 3)
        kept = [start(), start(lasts=100), start(lasts=50)]
        for each in (*kept, *(start(lasts=49) for _ in range(7))):
            store.sessions.end(each, Reason.ROLES_CHANGED, NOW)
        store.usage.used(start(), NOW - 401 * DAY, **USE)
        store.usage.used(kept[0], NOW, **USE)
        store.usage.flush()
        store.sessions.sweep(NOW + 60, 10)
        left = {each.jti for each in store.sessions.of_credential("c1")}
        assert {each.jti for each in kept} <= left
        assert len(left) <= 4
        assert sum(uses(store).values()) == 1
        assert store.sessions.sweep(NOW + 60, 10) == 0

    def test_the_backlog_tells_how_far_the_sweep_is_behind(self, store):
        assert store.sessions.backlog(NOW, 0) == (0, 0)
        for lasts in (50, 500):
            store.sessions.end(start(lasts=lasts), Reason.ROLES_CHANGED, NOW)
        assert store.sessions.backlog(NOW + 60, 10) == (2, 0)
        assert store.sessions.backlog(NOW + 75, 10) == (2, 15)
        store.sessions.sweep(NOW + 75, 10)
        assert store.sessions.backlog(NOW + 75, 10) == (1, 0)

    def test_two_nodes_sweep_at_once_and_nothing_is_left(self, nodes, monkeypatch):
        monkeypatch.setattr(sessions, "_SWEEP_BATCH", 3)
        for _ in range(40):
            nodes[0].sessions.end(start(lasts=5), Reason.ROLES_CHANGED, NOW)
        swept = at_once(*(lambda s=s: s.sessions.sweep(NOW + 60, 10) for s in nodes))
        assert not [each for each in swept if isinstance(each, Exception)]
        nodes[0].sessions.sweep(NOW + 60, 10)
        assert nodes[0].sessions.of_credential("c1") == ()

    def test_a_sweep_without_time_left_takes_one_step(self, store, monkeypatch):
        monkeypatch.setattr(sessions, "_SWEEP_BATCH", 3)
        for _ in range(9):
            store.sessions.end(start(lasts=5), Reason.ROLES_CHANGED, NOW)
        store.sessions.sweep(NOW + 60, 10, seconds=0)
        assert len(store.sessions.of_credential("c1")) in {0, 6}

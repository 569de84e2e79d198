"""Long random runs: each database agrees with the model."""

import random

import pytest

from authserver.actions import credentials, general_settings
from authserver.actions import roles as role_actions
from authserver.actions import users as user_actions
from authserver.ports.credentials import Credential, SecretRecord
from authserver.ports.errors import Conflict
from authserver.ports.users import Role, User
from authserver.rules.facts import Reason
from tests.store.conformance.support import change, key, outcome
from tests.support.stores import DAY, NOW, kills, start, uses


class TestAgreesWithTheModel:
    """The same random calls on all three; the answers and all that can be read afterwards are the same."""

    @pytest.mark.parametrize("seed", range(3))
    def test_random_calls(self, database, seed, monkeypatch):
        from tests.support.stores import Model

        dice = random.Random(seed)
        places = [Model(), database]
        stores = [place.open() for place in places]
        pool = [key(alg) for alg in ("ES256", "EdDSA") for _ in range(6)]
        sessions = [start(f"c{number % 2}") for number in range(8)]
        ids = iter(range(10**6))
        performed = set()

        def one_step(step):
            now, n = NOW + step * 60, next(ids)
            who = {"actor": "test", "now": now}
            name = dice.choice(["ada", "bob", "EVE", "nobody"])
            role, other = dice.choice("abcd"), dice.choice("abcd")
            session, some = dice.choice(sessions), dice.choice(pool)
            reason, at = dice.choice(list(Reason)), now - dice.randrange(0, 200)
            client = f"cred{dice.randrange(4)}"
            clients = [f"cred{number}" for number in range(4)]
            overlap = dice.choice([0, 3600])
            minutes = dice.choice(["10", "720", "2000"])

            def make_credential(s, client=client, name=name, n=n, now=now):
                with change(s, "credential.created", client, now) as tx:
                    owner = tx.user(name)
                    fresh = Credential(
                        client, owner.username, owner.id, "bot", owner.role_names, now + DAY, now, None, None, 1
                    )
                    if client in {each.client_id for each in s.accounts.credentials()}:
                        raise Conflict(client)
                    tx.insert_credential(fresh, [each.id for each in owner.roles])
                    tx.insert_secret(client, SecretRecord(f"sec{n}", "acs_1234", now, None, None), b"h%d" % n)

            def regenerate(s, client=client, n=n, now=now, overlap=overlap):
                with change(s, "credential.regenerated", client, now) as tx:
                    tx.credential(client)
                    tx.end_secrets(client, now + overlap, now)
                    tx.insert_secret(client, SecretRecord(f"sec{n}", "acs_1234", now, None, None), b"h%d" % n)

            def make_user(s, name=name, role=role, n=n, now=now):
                with change(s, "user.created", name, now) as tx:
                    tx.insert_user(User(f"usr{n}", name, (tx.role(role),), 1, None, now), None)

            def make_role(s, role=role, n=n, now=now):
                with change(s, "role.created", role, now) as tx:
                    tx.insert_role(Role(f"rol{n}", role, "operational"), now)

            acts = {
                "make role": make_role,
                "make user": make_user,
                "grant": lambda s: user_actions.grant(s.accounts, name, role, **who),
                "revoke": lambda s: user_actions.revoke(s.accounts, name, role, **who),
                "delete role": lambda s: role_actions.delete_role(s.accounts, role, **who) if dice_low else None,
                "disable": lambda s: user_actions.disable(s.accounts, name, **who),
                "enable": lambda s: user_actions.enable(s.accounts, name, **who),
                "make credential": make_credential,
                "regenerate": regenerate,
                "move old secret": lambda s: credentials.move_old_secret(s.accounts, client, overlap, **who),
                "credential off": lambda s: credentials.disable(s.accounts, client, **who),
                "credential on": lambda s: credentials.enable(s.accounts, client, **who),
                "issued": lambda s: s.usage.issued(session),
                "used": lambda s: s.usage.used(session, at, by="rs1", method="GET", route=f"/{role}"),
                "flush": lambda s: s.usage.flush(),
                "end": lambda s: s.sessions.end(session, reason, now),
                "end known": lambda s: (s.usage.flush(), s.sessions.end_known(session.jti, reason, now))[1],
                "add key": lambda s: s.keys.add(some, "test", now).kid,
                "ensure key": lambda s: s.keys.ensure_active(some, "test", now),
                "activate": lambda s: s.keys.activate(some.kid, "test", now),
                "retire": lambda s: s.keys.retire(some.kid, "test", now),
                "rotate": lambda s: s.keys.rotate(some.alg, some, "test", now),
                "compromise": lambda s: s.keys.compromise(some.kid, "test", now, None),
                "remove": lambda s: s.keys.remove(some.kid, "test", now),
                "settings": lambda s: general_settings.set_general(
                    s.accounts, "max_token_lifetime_minutes", minutes, **who
                ),
                "facts": lambda s: s.hot_path.issue_facts(client, None),
            }
            dice_low = dice.random() < 0.3
            verb = dice.choice(list(acts))
            results = [outcome(lambda s=s: acts[verb](s)) for s in stores]
            assert results[0] == results[1], (step, verb, other)
            if not isinstance(results[0], str):
                performed.add(verb)
            for s in stores:
                s.usage.flush()
            views = [
                (
                    s.accounts.users(),
                    s.accounts.roles(),
                    s.accounts.credentials(),
                    s.accounts.general(),
                    s.keys.ring(),
                    kills(s),
                    uses(s),
                    [s.sessions.of_credential(f"c{number}") for number in range(2)],
                    [(r.seq, r.event, r.target, r.detail) for r in s.accounts.audit_records()],
                    [s.hot_path.issue_facts(each, None) for each in clients],
                )
                if step % 10 == 0
                else None
                for s in stores
            ]
            assert views[0] == views[1], (step, verb)

        for step in range(250):
            one_step(step)
        assert len(performed) >= 15, f"too tame a run: {sorted(performed)}"
        assert all(s.accounts.audit_verify().first_bad is None for s in stores)

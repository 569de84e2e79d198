"""Months of work behind a console: for pictures, and for pages that show time lines."""

import random
import time

import jwt
import requests
from sqlalchemy import insert

from authserver.actions import credentials, general_settings, signing_keys
from authserver.actions import sessions as session_actions
from authserver.actions import users as user_actions
from authserver.ports.console_reads.statistics import Measure
from authserver.ports.transaction import ChangeRequest
from authserver.rules.facts import Reason
from authserver.store.tables import signing_keys as signing_key_rows
from authserver.store.tables import token_requests
from tests.support.console_server import DAY

HOUR = 3600


def months(site):
    """Let ada's credentials have been in use for long, with everything that happens to tokens, and keys rotated."""
    now = site.services.clock.now()
    _rotate(site, now)
    hers, theirs = (site.accounts.requested_by(ChangeRequest(peer=f"10.1.2.{each}")) for each in (3, 40))
    user_actions.grant(theirs, "ada", "reports.read", actor="console:grace", now=now - 62 * DAY)
    who = {"pepper": site.store.pepper, "form_key": None, "actor": "console:ada"}

    def made(name, ago, life, *roles):
        begun = now - ago * DAY
        found = credentials.create(hers, "ada", name, begun + life * DAY, list(roles), now=begun, **who)
        return found.credential.client_id, found.secret

    payroll = made("Payroll bot", 61, 150, "payroll.read", "invoices.read")
    export = made("Nightly invoice export", 58, 67, "invoices.read")
    old = made("Postman on my laptop", 44, 180, "invoices.read", "invoices.write")
    mail = made("Report mailer", 30, 365, "reports.read", "invoices.read")
    made("Trial of the new billing system", 12, 30, "invoices.write")
    credentials.disable(hers, old[0], actor="console:ada", now=now - 9 * DAY)

    _counted(site, now, {payroll[0]: 9, export[0]: 1, mail[0]: 3, old[0]: 2})
    _charted(site, now)
    # Some were not used, one ended with its roles; what comes later is ended by hand, or lives.
    for ago in (2 * DAY, 20 * HOUR, HOUR // 4):
        site.old_token(payroll, ago)
    user_actions.revoke(theirs, "ada", "reports.read", actor="console:grace", now=now - HOUR // 6)
    for end in ("client", "owner"):
        token = site.use(payroll, route="/payslips")
        if end == "client":
            told = {"token": token}
            requests.post(f"{site.url}/oauth/revoke", data=told, auth=payroll, timeout=10).raise_for_status()
        else:
            jti = jwt.decode(token, options={"verify_signature": False})["jti"]
            _wait(lambda jti=jti: jti in {each.jti for each in site.store.sessions.of_credential(payroll[0])})
            session_actions.end(hers, jti, Reason.ENDED_BY_OWNER, actor="console:ada", now=now + 1)
    credentials.regenerate(hers, payroll[0], DAY, now=now - 20 * HOUR, **who)
    for route in ("/payslips", "/payslips/{id}"):
        site.use(payroll, route=route)
    site.use(payroll, route="/invoices")
    site.use(export, "POST", "/exports")
    site.use(mail, route="/reports")
    general_settings.set_general(theirs, "max_credential_days", "730", actor="console:grace", now=now - 40 * DAY)
    site.payroll = payroll[0]
    return site


def _rotate(site, now):
    """One key of the past, one that only verifies, one that signs, one that is announced."""
    room = signing_keys.key_context(site.accounts, site.store.keys, site.services.key_store, site.store.jwks_fetchers)
    first = site.store.keys.ring()[0].kid
    site.age(signing_key_rows, 75 * DAY, "created_at", "activated_at", kid=first)
    for ago in (40 * DAY, 6 * HOUR):
        kid = signing_keys.rotate(room, "ES256", actor="console:grace", now=now - ago, reason="monthly").kid
        site.age(signing_key_rows, 2 * DAY, "created_at", kid=kid)
    site.store.keys.remove(first, "console:grace", now - 39 * DAY)
    signing_keys.generate(room, "ES256", actor="console:grace", now=now - 3 * HOUR)
    jwks = f"{site.url}/.well-known/jwks.json"

    def seen():
        found = {key["kid"] for key in requests.get(jwks, timeout=10).json()["keys"]}
        return len(found) == 3 and first not in found

    _wait(seen)


def _wait(until):
    for _ in range(200):
        if until():
            return
        time.sleep(0.1)
    raise AssertionError("the server does not see what happened")


def _counted(site, now, busy):
    """Token requests of the days before today, more on some than on others."""
    today = now - now % DAY
    rows = []
    for client_id, most in busy.items():
        for day in range(1, 30):
            granted = (day * 7 + most * 3) % (most + 1) if day % 7 not in {2, 3} else most // 4
            refused = 1 if (day + most) % 11 == 0 else 0
            for outcome, count in (("granted", granted), ("wrong_secret", refused)):
                if count:
                    at = today - day * DAY
                    rows.append({"client_id": client_id, "day": at, "outcome": outcome, "requests": count})
    with site.store.engine.begin() as connection:
        connection.execute(insert(token_requests), rows)


def _charted(site, now):
    """What the charts of the security page show: a working day of requests, each day a little other."""
    statistics, dice = site.store.statistics, random.Random(5)
    for ago in range(30 * 24):
        at, busy = now - ago * HOUR, 1 + 6 * (8 <= (now - ago * HOUR) // HOUR % 24 <= 18)
        for measure, label, number in (
            (Measure.TOKEN_REQUESTS, "granted", 4 * busy),
            (Measure.TOKEN_REQUESTS, "invalid_client", dice.randrange(3)),
            (Measure.TOKEN_REQUESTS, "throttled", dice.randrange(2)),
            (Measure.INTROSPECTIONS, "active", 9 * busy + dice.randrange(9)),
            (Measure.INTROSPECTIONS, "inactive", dice.randrange(6)),
            (Measure.FAILURES, dice.choice(["wrong_secret", "secret_ended", "unknown_client"]), dice.randrange(3)),
            (Measure.SOURCES, dice.choice(["192.0.2.7", "2001:db8::8a2e:370:7334"]), dice.randrange(3)),
            (Measure.ENDED, dice.choice(list(Reason)).value, dice.randrange(3)),
            (Measure.LIVE_TOKENS, "", 20 * busy + dice.randrange(9)),
        ):
            for _ in range(number):
                statistics.count(measure, label, at)
    statistics.flush()

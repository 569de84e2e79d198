"""Sends every case to the API and judges what comes back."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from resource_server.kit.bad_claims import CLAIMS
from resource_server.kit.bad_signatures import SIGNATURES
from resource_server.kit.case import Case, Material
from resource_server.kit.lifecycle import LifecycleChecks
from resource_server.kit.report import Finding, Report
from resource_server.kit.server import IssuerServer
from resource_server.kit.target import CannotTest, Reply, Target

TRANSPORT = ("no-token", "other-scheme", "token-in-query", "two-headers")
LIFECYCLE = ("dead", "foreign-audience", "not-issued", "old-role-version", "rotated", "epoch", "idle", "unreachable")
_HEADER = "RFC 6750 §2; RFC 9700 §4.3.2"


@dataclass(slots=True)
class Kit:
    """One run.

    Args:
        target: the API.
        good: gives a live token each time.
        server: the throw-away issuer, or None where the tokens are another issuer's.
        steal_url: where followed links are noticed.
        staleness: S of the API, in seconds.
        idle: idle timeout of the idle check, in seconds.
        chosen: whether a check of this name is to be made.
        role_checked: whether the call needs a role.
    """

    target: Target
    good: Callable[[], str]
    server: IssuerServer | None
    steal_url: str
    staleness: int = 0
    idle: int = 6
    is_selected: Callable[[str], bool] = lambda _: True
    role_checked: bool = True

    def run(self) -> Report:
        """Make all checks.

        Raises:
            CannotTest: the API does not serve a good token.
        """
        report = Report(self.target.url)
        began = time.monotonic()
        reply = self.target.call(self.good())
        if not reply.accepted:
            raise CannotTest(f"The API does not serve a good token: {reply}. Nothing can be said about bad ones.")
        self._transport(report)
        for each in (*SIGNATURES, *CLAIMS):
            self._case(each, report)
        self._lifecycle(report)
        report.seconds = time.monotonic() - began
        return report

    # --- how the token comes ------------------------------------------------------------

    def _transport(self, report: Report) -> None:
        good = self.good()
        bearer = ("Authorization", f"Bearer {good}".encode())
        sends: dict[str, tuple[str, Callable[[], Reply], str]] = {
            "no-token": ("no token", lambda: self.target.call(None), "Require a token before anything else is done."),
            "other-scheme": (
                "a good token as Basic instead of Bearer",
                lambda: self.target.call(good, scheme="Basic"),
                "Take tokens only from an Authorization header whose scheme is Bearer.",
            ),
            "token-in-query": (
                "a good token in the query, access_token=…",
                lambda: self.target.send([], f"access_token={good}"),
                "Take tokens only from the Authorization header; URLs end up in logs and histories.",
            ),
            "two-headers": (
                "two Authorization headers, one with a good token",
                lambda: self.target.send([("Authorization", b"Bearer x"), bearer]),
                "Refuse requests with more than one Authorization header.",
            ),
        }
        for name, (sent, send, fix) in sends.items():
            if self._start_check(name, report):
                reply = send()
                self._judge(report, reply, name=name, sent=sent, law=_HEADER, fix=fix)
                if name == "no-token":
                    self._challenge(report, reply)

    def _challenge(self, report: Report, reply: Reply) -> None:
        """The 401 must say how to authenticate."""
        law = "RFC 6750 §3; RFC 9110 §15.5.2"
        if reply.accepted or reply.broke:
            return
        if reply.status != 401 or not reply.challenge.lower().startswith("bearer"):  # noqa: PLR2004 - RFC 9110 §15.5.2
            came_back = f"{reply}, WWW-Authenticate: {reply.challenge or 'none'}"
            fix = 'Answer 401 with WWW-Authenticate: Bearer realm="…".'
            report.findings.append(Finding("no-token", "challenge", "no token", came_back, law, fix))
        elif "error=" in reply.challenge:
            fix = "Leave error out of the challenge where no token was sent."
            report.findings.append(Finding("no-token", "challenge", "no token", reply.challenge, "RFC 6750 §3.1", fix))

    # --- bad tokens ---------------------------------------------------------------------

    def _case(self, each: Case, report: Report) -> None:
        if each.name == "no-role" and not self.role_checked:
            report.not_run[each.name] = "the call needs no role (--role '')"
            return
        if self.server is None and not each.keyless:
            report.not_run[each.name] = "only the throw-away issuer can sign it (leave --token-command out)"
            return
        if not self._start_check(each.name, report):
            return
        issuer = self.server.issuer if self.server else None
        followed = list(self.server.followed) if self.server else []
        for text in each.make(Material(self.good(), issuer, self.steal_url)):
            reply = self._sent(text)
            case = {"name": each.name, "sent": each.sent, "law": each.law, "fix": each.fix}
            if reply is not None and self._judge(report, reply, **case):
                break
        if self.server and self.server.followed != followed:
            came_back = f"a request to {self.server.followed[-1]}"
            report.findings.append(Finding(each.name, "followed", each.sent, came_back, each.law, each.fix))

    def _sent(self, text: str) -> Reply | None:
        """Send a text twice, for a cache may hide what the first call shows; None where HTTP cannot carry it."""
        if any(char in text for char in "\r\n\0"):
            return None
        first = self.target.call(text)
        return first if first.accepted or first.broke else self.target.call(text)

    # --- tokens that were good ----------------------------------------------------------

    def _lifecycle(self, report: Report) -> None:
        if self.server is None:
            for name in LIFECYCLE:
                report.not_run[name] = "only the throw-away issuer can end tokens (leave --token-command out)"
            return
        found: dict[tuple[str, str], Finding] = {}

        def add(finding: Finding) -> None:
            found.setdefault((finding.name, finding.what), finding)

        checks = LifecycleChecks(self.target, self.server, self.staleness, self.idle, add)
        for name, check in checks.checks.items():
            if self._start_check(name, report):
                check()
        report.findings.extend(found.values())

    # --- judging ------------------------------------------------------------------------

    def _start_check(self, name: str, report: Report) -> bool:
        if not self.is_selected(name):
            report.not_run[name] = "not chosen"
            return False
        report.checks.append(name)
        return True

    def _judge(self, report: Report, reply: Reply, *, name: str, sent: str, law: str, fix: str) -> bool:
        """Note what is wrong with the answer to something bad; whether something is."""
        if not (reply.accepted or reply.broke):
            return False
        what = "accepted" if reply.accepted else "crashed"
        report.findings.append(Finding(name, what, sent, str(reply), law, fix))
        return True


def names() -> Iterable[str]:
    """All checks, in the order in which they are made."""
    yield from TRANSPORT
    yield from (each.name for each in (*SIGNATURES, *CLAIMS))
    yield from LIFECYCLE

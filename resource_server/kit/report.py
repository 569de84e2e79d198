"""What the kit found, for people and for programs."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with the API.

    Attributes:
        name: of the check.
        what: ``accepted``, ``crashed``, ``refused`` (a good token), or ``challenge``.
        sent: what was sent, in words.
        came_back: what the API answered.
        law: the rule that says otherwise.
        fix: what to do.
    """

    name: str
    what: str
    sent: str
    came_back: str
    law: str
    fix: str


@dataclass(slots=True)
class Report:
    """All that was found at one URL.

    Attributes:
        url: of the API.
        checks: names of the checks that were made.
        not_run: names of those that were not, with the reason.
        findings: what is wrong.
    """

    url: str
    checks: list[str] = field(default_factory=list)
    not_run: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0

    def as_json(self) -> str:
        """For programs; members are only ever added."""
        return json.dumps(asdict(self), indent=2)

    def as_text(self) -> str:
        """For people."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterable[str]:
        for found in self.findings:
            yield f"FOUND  {found.name}: {_WHAT[found.what]}"
            yield f"  sent       {found.sent}"
            yield f"  came back  {found.came_back}"
            yield f"  rule       {found.law}"
            yield f"  to do      {found.fix}"
            yield ""
        if self.not_run:
            reasons = sorted(set(self.not_run.values()))
            for reason in reasons:
                names = [name for name, why in self.not_run.items() if why == reason]
                yield f"NOT RUN  {len(names)} checks: {reason}: {', '.join(names)}"
            yield ""
        number = len(self.findings)
        verdict = "nothing found" if not number else "1 finding" if number == 1 else f"{number} findings"
        yield f"{len(self.checks)} checks of {self.url} in {self.seconds:.0f} s: {verdict}."


_WHAT = {
    "accepted": "the API served a call that it must refuse",
    "crashed": "the API failed instead of refusing",
    "refused": "the API refused a good token",
    "followed": "the API made a request that the token told it to make",
    "challenge": "the refusal does not say what RFC 6750 wants",
}

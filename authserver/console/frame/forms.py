"""A form as it was typed, with what is wrong beside each field; nothing typed is ever lost.

``Form.sent()`` is what came with a POST; ``Form.blank(...)`` is an empty one, filled
with what somebody had typed before they had to sign in again.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from flask import request

from authserver.console.frame.flash import draft

SECRET: Final = ("password", "secret", "code", "_")
"""Fields that begin so, or hold the first two, are never kept nor given back."""

Values = Mapping[str, str | Sequence[str]]


class Form:
    """Values and faults by field name; ``fault("")`` is one of the whole form."""

    def __init__(self, values: Mapping[str, Sequence[str]]) -> None:
        self._values = {name: list(each) for name, each in values.items()}
        self.errors: dict[str, str] = {}

    @classmethod
    def sent(cls) -> "Form":
        """The form that came with this request."""
        return cls(request.form.to_dict(flat=False))

    @staticmethod
    def is_sent() -> bool:
        """Whether this request came with a form; for a view that shows a form and takes it."""
        return request.method == "POST"

    @classmethod
    def blank(cls, values: Values | None = None) -> "Form":
        """A form to begin with."""
        begun = {name: [each] if isinstance(each, str) else list(each) for name, each in (values or {}).items()}
        typed = draft(request.script_root + request.path)
        return cls(begun if typed is None else {**{name: [] for name in begun}, **typed})

    def copy(self) -> "Form":
        """The same values, without faults."""
        return Form(self._values)

    def __getitem__(self, name: str) -> str:
        """The value of a field, without blanks around it; empty when there is none."""
        found = self._values.get(name)
        return found[0].strip() if found else ""

    def raw(self, name: str) -> str:
        """The value of a field as it was typed: for passwords."""
        found = self._values.get(name)
        return found[0] if found else ""

    def all(self, name: str) -> list[str]:
        """All values of a field: for boxes that are ticked."""
        return list(self._values.get(name, []))

    def put(self, name: str, value: str) -> None:
        """Set what a field shows, where the server knows better than what was sent."""
        self._values[name] = [value]

    def fault(self, name: str, text: str) -> None:
        """Say what is wrong with a field; the first fault of a field stands."""
        self.errors.setdefault(name, text)

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.errors


def keepable(fields: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """What may be kept of a form: everything but secrets."""
    return {
        name: list(values)
        for name, values in fields.items()
        if not name.startswith(SECRET) and not any(word in name for word in SECRET[:2])
    }

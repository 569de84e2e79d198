"""A form as it was typed, with what is wrong beside each field; nothing typed is ever lost.

``Form.sent()`` is what came with a POST; ``Form.blank(...)`` is an empty one, filled
with what somebody had typed before they had to sign in again.
"""

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Final

from flask import redirect, request
from flask.typing import ResponseReturnValue

from authserver.console.frame.flash import draft, flash
from authserver.ports.errors import Refusal

SECRET: Final = ("password", "secret", "code", "_")
"""Fields that begin so, or hold the first two, are never kept nor given back."""

Values = Mapping[str, str | Sequence[str]]
Faults = Sequence[tuple[type[Refusal], str, str | Callable[[Refusal], str]]]
"""What a change may raise, the field it belongs to, and the text beside that field; the first that fits counts."""


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

    def status(self, fault: HTTPStatus = HTTPStatus.BAD_REQUEST) -> HTTPStatus:
        """The status of a page with this form: 200, or ``fault`` where something is wrong."""
        return HTTPStatus.OK if self.good else fault


def submit(
    form: Form, change: Callable[[], object], *, message: str, target: str, faults: Faults
) -> ResponseReturnValue | None:
    """Make the change that a sent form without faults asks for, and lead to ``target`` with a message.

    None where the page of the form is to be shown: it was only opened, or something is wrong with it by now.
    """
    if not Form.is_sent() or not form.good:
        return None
    try:
        change()
    except tuple(kind for kind, _field, _text in faults) as error:
        field, text = next((field, text) for kind, field, text in faults if isinstance(error, kind))
        form.fault(field, text if isinstance(text, str) else text(error))
        return None
    flash(message)
    return redirect(target, 303)


def keepable(fields: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """What may be kept of a form: everything but secrets."""
    return {
        name: list(values)
        for name, values in fields.items()
        if not name.startswith(SECRET) and not any(word in name for word in SECRET[:2])
    }

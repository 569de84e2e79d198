"""A form as it was typed, with what is wrong beside each field; nothing typed is ever lost.

``Form.submitted()`` is what came with a POST; ``Form.initial(...)`` is an empty one, filled
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
Errors = Sequence[tuple[type[Refusal], str, str | Callable[[Refusal], str]]]
"""What a change may raise, the field it belongs to, and the text beside that field; the first that fits counts."""


class Form:
    """Values and errors by field name; the name "" stands for the whole form."""

    def __init__(self, values: Mapping[str, Sequence[str]]) -> None:
        self._values = {name: list(each) for name, each in values.items()}
        self.errors: dict[str, str] = {}

    @classmethod
    def submitted(cls) -> "Form":
        """The form that came with this request."""
        return cls(request.form.to_dict(flat=False))

    @staticmethod
    def is_submitted() -> bool:
        """Whether this request came with a form; for a view that shows a form and takes it."""
        return request.method == "POST"

    @classmethod
    def initial(cls, values: Values | None = None) -> "Form":
        """A form to begin with."""
        initial_values = {
            name: [each] if isinstance(each, str) else list(each) for name, each in (values or {}).items()
        }
        typed = draft(request.script_root + request.path)
        return cls(initial_values if typed is None else {**{name: [] for name in initial_values}, **typed})

    def copy(self) -> "Form":
        """The same values, without errors."""
        return Form(self._values)

    def __getitem__(self, name: str) -> str:
        """The value of a field, without blanks around it; empty when there is none."""
        found = self._values.get(name)
        return found[0].strip() if found else ""

    def raw(self, name: str) -> str:
        """The value of a field as it was typed: for passwords."""
        found = self._values.get(name)
        return found[0] if found else ""

    def getlist(self, name: str) -> list[str]:
        """All values of a field: for boxes that are ticked."""
        return list(self._values.get(name, []))

    def set(self, name: str, value: str) -> None:
        """Set what a field shows, where the server knows better than what was sent."""
        self._values[name] = [value]

    def add_error(self, name: str, text: str) -> None:
        """Set the error of a field; the first one stands."""
        self.errors.setdefault(name, text)

    @property
    def is_valid(self) -> bool:
        """Whether nothing is wrong."""
        return not self.errors

    def status(self, invalid: HTTPStatus = HTTPStatus.BAD_REQUEST) -> HTTPStatus:
        """The status of a page with this form: 200, or ``invalid`` where something is wrong."""
        return HTTPStatus.OK if self.is_valid else invalid


def submit(
    form: Form, change: Callable[[], object], *, message: str, target: str, errors: Errors
) -> ResponseReturnValue | None:
    """Make the change of a submitted form without errors, and redirect to ``target`` with a message.

    None where the page of the form is to be shown: it was only opened, or something is wrong with it by now.
    """
    if not Form.is_submitted() or not form.is_valid:
        return None
    try:
        change()
    except tuple(kind for kind, _field, _text in errors) as error:
        field, text = next((field, text) for kind, field, text in errors if isinstance(error, kind))
        form.add_error(field, text if isinstance(text, str) else text(error))
        return None
    flash(message)
    return redirect(target, 303)


def without_secrets(fields: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The fields that may be stored: all but secrets."""
    return {
        name: list(values)
        for name, values in fields.items()
        if not name.startswith(SECRET) and not any(word in name for word in SECRET[:2])
    }

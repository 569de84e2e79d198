"""``flask settings``: what may be changed while the server runs; it holds for live tokens at once."""

from dataclasses import asdict

import click

from authserver.actions import general_settings
from authserver.cli.arguments import NameType
from authserver.cli.command import Answer, Noun
from authserver.cli.context import command_context
from authserver.cli.output import line, table
from authserver.ports.errors import Conflict, NotFound
from authserver.ports.general_settings import GeneralSettings
from keys.material import ALGORITHMS, POST_QUANTUM

settings = Noun("settings", help="General settings, held in the database; AUTHSERVER_* variables are not among them.")

_NUMBERS = {name: f"{low} to {high}" for name, (low, high) in general_settings.BOUNDS.items()}
ALLOWED = {
    **_NUMBERS,
    "default_audience": "the audience of a resource server, or '' for none",
    "token_alg": ", ".join((*ALGORITHMS, *POST_QUANTUM)),
}
SETTING = NameType("setting", lambda _: list(ALLOWED))


def _document(general: GeneralSettings) -> dict[str, object]:
    values = asdict(general)
    return {name: values[name] for name in ALLOWED}


def _require_setting(name: str) -> str:
    if name not in ALLOWED:
        msg = f"there is no setting {name!r}; there are {', '.join(ALLOWED)}"
        raise NotFound(msg)
    return name


@settings.command("get", examples=("flask settings get --json", "flask settings get idle_timeout_minutes"))
@click.argument("name", type=SETTING, required=False)
def get(name: str | None) -> Answer:
    """Show all settings, or the value of one."""
    values = _document(command_context().accounts.general())
    if name is None:
        rows = [{"name": each, "value": value} for each, value in values.items()]
        return Answer(values, table(("name", "value"), rows, empty=""))
    value = values[_require_setting(name)]
    return Answer({name: value}, line("" if value is None else str(value)))


@settings.command("list", examples=("flask settings list", "flask settings list --json"))
def list_() -> Answer:
    """Show all settings and what each may be."""
    values = _document(command_context().accounts.general())
    rows = [{"name": name, "value": values[name], "allowed": allowed} for name, allowed in ALLOWED.items()]
    return Answer(values, table(("name", "value", "allowed"), rows, empty=""))


@settings.command(
    "set",
    examples=(
        "flask settings set idle_timeout_minutes 15",
        "flask settings set default_audience https://api.example.com --json",
    ),
)
@click.argument("name", type=SETTING)
@click.argument("value")
def set_(name: str, value: str) -> Answer:
    """Change one setting. One that has the value already stays as it is, and nothing is recorded."""
    context = command_context()
    _require_setting(name)
    try:
        general = general_settings.set_general(context.accounts, name, value, **context.who)
    except Conflict:
        general = context.accounts.general()
        if str(_document(general)[name] or "") != value:
            raise
        return Answer({name: _document(general)[name]}, line(f"{name} is {value or 'empty'} already."))
    return Answer({name: _document(general)[name]}, line(f"{name} is {value or 'empty'} now."))

"""How every command behaves: what it prints, how it fails, and what its help says.

A command returns an ``Answer``. What it raises becomes one sentence on stderr and
one of the exit codes below; a traceback is shown for an internal error only, and
only with ``flask --debug``.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click
from click.exceptions import Exit, NoSuchCommand
from flask import current_app, has_app_context
from flask.cli import AppGroup, ScriptInfo

from authserver.cli.arguments import suggestion
from authserver.cli.output import HumanText, document_text, plain, show
from authserver.ports.errors import Conflict, Invalid, NotFound, Refusal, Unavailable
from keys.keyring import IllegalMove
from keys.master import WrongMasterKey

FAILED, USAGE, NOT_FOUND, CONFLICT, NOT_ALLOWED, INVALID, BACKEND, INTERRUPTED = 1, 2, 3, 4, 5, 6, 7, 130

CODES = {
    0: "done",
    FAILED: "failed, or what was checked is not right",
    USAGE: "used wrongly: an unknown command, option or choice, or something missing",
    NOT_FOUND: "not found",
    CONFLICT: "conflict: true already, taken, or not possible in this state",
    NOT_ALLOWED: "not allowed by the operating system",
    INVALID: "invalid: a value that cannot be, also in the AUTHSERVER_* settings",
    BACKEND: "the database cannot be used: unreachable, of another schema, or sealed under another master key",
    INTERRUPTED: "interrupted",
}

_DASH_ID = re.compile(r"-[A-Za-z0-9_][A-Za-z0-9_-]*|--[A-Za-z0-9_-]{20,}")
"""No command has short options, and no option is as long as an id."""
_MAX_CAUSE = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a command.

    ``document`` is the JSON; ``human`` what people see instead; ``hint`` goes to
    stderr for people only; ``fault`` is the sentence of a check that failed. With
    ``streamed`` the data is on stdout already, and nothing more is printed there.
    """

    document: object
    human: HumanText = ()
    hint: str = ""
    fault: str = ""
    streamed: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """The exit code, name and text of an exception."""

    code: int
    name: str
    text: str


def print_error(name: str, text: str, *, as_json: bool) -> None:
    """Print an error to stderr, in one line."""
    text = plain(text)
    line = json.dumps({"error": name, "message": text}) if as_json else f"Error: {text}"
    click.echo(line, err=True)


def fault_of(error: BaseException, ctx: click.Context) -> Fault | None:
    """The ``Fault`` of an exception; None for one that click handles."""
    for kinds, code, name, text_of in _FAULTS:
        if isinstance(error, kinds):
            return None if text_of is None else Fault(code, name, text_of(error, ctx))
    return None


def _usage(error: Any, ctx: click.Context) -> str:
    message = re.sub(r"\s+", " ", error.format_message()).strip()
    return f"{message} See `{path_of(error.ctx or ctx)} --help`."


def _text(error: Any, _ctx: click.Context) -> str:
    return str(error)


def _not_found(error: Any, ctx: click.Context) -> str:
    return str(error) + suggestion(ctx)


def _unavailable(error: Any, _ctx: click.Context) -> str:
    """Add the first line of the driver's message, which names host and port and no secret."""
    first = str(getattr(error.__cause__, "orig", None) or error.__cause__ or "").strip().partition("\n")[0]
    return f"{error} ({first[:_MAX_CAUSE]})" if first else str(error)


def _wrong_master_key(error: Any, _ctx: click.Context) -> str:
    return f"{error}; AUTHSERVER_MASTER_KEY or AUTHSERVER_MASTER_KEY_FILE gives it"


def _interrupted(_error: Any, _ctx: click.Context) -> str:
    return "interrupted"


def _not_allowed(error: Any, _ctx: click.Context) -> str:
    return f"this account may not use {error.filename}"


def _file_not_found(error: Any, _ctx: click.Context) -> str:
    return f"there is no {error.filename}"


def _os_error(error: Any, _ctx: click.Context) -> str:
    return f"{error.filename or 'the system'}: {error.strerror or error}"


def _internal_error(error: Any, _ctx: click.Context) -> str:
    # The text may hold a secret; the type is enough for a report, and --debug shows the rest.
    return f"a fault of this program ({type(error).__name__}); `flask --debug` before the command shows where"


_FAULTS: tuple[tuple[type[BaseException], int, str, Callable[[Any, click.Context], str] | None], ...] = (
    (click.UsageError, USAGE, "usage", _usage),
    (NotFound, NOT_FOUND, "not_found", _not_found),
    (Conflict, CONFLICT, "conflict", _text),
    (IllegalMove, CONFLICT, "conflict", _text),
    (Invalid, INVALID, "invalid", _text),
    (Refusal, FAILED, "refused", _text),
    (Unavailable, BACKEND, "unavailable", _unavailable),
    (WrongMasterKey, BACKEND, "wrong_master_key", _wrong_master_key),
    (KeyboardInterrupt, INTERRUPTED, "interrupted", _interrupted),
    (click.Abort, INTERRUPTED, "interrupted", _interrupted),
    # click handles these itself: its own errors and exits, and a closed pipe.
    (click.ClickException, FAILED, "failed", None),
    (Exit, FAILED, "failed", None),
    (BrokenPipeError, FAILED, "failed", None),
    (PermissionError, NOT_ALLOWED, "not_allowed", _not_allowed),
    (FileNotFoundError, NOT_FOUND, "not_found", _file_not_found),
    (OSError, FAILED, "failed", _os_error),
    (Exception, FAILED, "failed", _internal_error),
)
"""Exception types with their exit code, name and text; the first that matches counts."""


def path_of(ctx: click.Context) -> str:
    """The command as it is typed, whatever program runs it."""
    names: list[str] = []
    at: click.Context | None = ctx
    while at is not None and at.parent is not None:
        names.insert(0, at.info_name or "")
        at = at.parent
    return " ".join(["flask", *names])


@contextmanager
def handle_errors(ctx: click.Context, *, as_json: bool) -> Iterator[None]:
    """Turn an exception raised inside into an error line and an exit code."""
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        fault = fault_of(error, ctx)
        if fault is None or (fault.code == FAILED and has_app_context() and current_app.debug):
            raise
        print_error(fault.name, fault.text, as_json=as_json)
        raise Exit(fault.code) from error


def _remember_json(ctx: click.Context, _param: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's signature
    ctx.meta["authserver.json"] = value


class Command(click.Command):
    """A command with ``--json``, examples and the exit codes above."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), dash_ids: bool = False, **kwargs: Any) -> None:
        """Take ``examples`` as they are typed; ``dash_ids`` when an argument may begin with a dash."""
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)
        self._dash_ids = dash_ids
        self.params.append(
            click.Option(
                ["--json"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_remember_json,
                help="Print one JSON document instead of text.",
            )
        )

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Parse the arguments, or fail with one error line."""
        if extra.get("resilient_parsing"):
            return super().make_context(info_name, args, parent, **extra)
        context = click.Context(self, info_name=info_name, parent=parent)
        as_json = "--json" in args
        with handle_errors(context, as_json=as_json):
            if any(not _is_text(text) for text in args):
                msg = "an argument holds a NUL or bytes that are not UTF-8 text"
                raise Invalid(msg)
            return super().make_context(info_name, self._behind_dashes(args), parent, **extra)

    def _behind_dashes(self, args: list[str]) -> list[str]:
        """Move ids that begin with a dash behind ``--``, so that they are not parsed as options."""
        options = {name for param in self.params for name in param.opts}
        ids = [text for text in args if self._dash_ids and _DASH_ID.fullmatch(text) and text not in options]
        if not ids or "--" in args:
            return args
        return [*(text for text in args if text not in ids), "--", *ids]

    def invoke(self, ctx: click.Context) -> None:
        """Run it and print its answer."""
        as_json = bool(ctx.meta.get("authserver.json"))
        with handle_errors(ctx, as_json=as_json):
            answer: Answer = super().invoke(ctx)
            if answer.streamed:
                pass
            elif as_json:
                click.echo(document_text(answer.document))
            else:
                show(answer.human)
            if answer.hint and (not as_json or sys.stderr.isatty()):
                click.echo(answer.hint, err=True)
            if answer.fault:
                print_error("failed", answer.fault, as_json=as_json)
                ctx.exit(FAILED)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Examples and exit codes end every help."""
        del ctx
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"  {example}\n")
        _write_codes(formatter)


class Noun(click.Group):
    """A group of commands about one thing."""

    command_class = Command

    def command(self, *args: Any, **kwargs: Any) -> Callable[[Callable[..., Answer]], Command]:  # type: ignore[override]
        """Make a command of a function that returns an ``Answer``."""
        command_of: Callable[[Callable[..., Answer]], Command] = super().command(*args, **kwargs)
        return command_of

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or suggest a similar name."""
        with handle_errors(ctx, as_json="--json" in args):
            return super().resolve_command(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Exit codes end every help."""
        del ctx
        _write_codes(formatter)


class Nouns(AppGroup):
    """All groups of the application; an unknown name fails with a similar one."""

    def __init__(self, name: str, commands: dict[str, click.Command]) -> None:
        super().__init__(name, commands=commands)

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command, unless the name is taken: Flask-Migrate adds its own ``db`` later."""
        if (name or cmd.name) not in self.commands:
            super().add_command(cmd, name)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Find a group. Flask's own group calls this last, so an unknown name is an error here."""
        if not has_app_context():
            # Flask's own group has pushed the application context; a direct caller, such as a test, has not.
            ctx.with_resource(ctx.ensure_object(ScriptInfo).load_app().app_context())
        found = super().get_command(ctx, name)
        if found is None and not ctx.resilient_parsing and not name.startswith("-"):
            with handle_errors(ctx, as_json=False):
                raise NoSuchCommand(name, possibilities=(*self.commands, "run", "shell", "routes"), ctx=ctx)
        return found


def _write_codes(formatter: click.HelpFormatter) -> None:
    with formatter.section("Exit codes"):
        formatter.write_dl([(str(code), description) for code, description in CODES.items()])


def _is_text(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\0" not in text

"""How every command behaves: what it prints, how it fails, and what its help says.

A command returns an ``Answer``. What it raises becomes one sentence on stderr and
one of the exit codes below; a traceback is shown for a fault of our own only, and
only to those who ask for it with ``flask --debug``.
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

_ODD_ID = re.compile(r"-[A-Za-z0-9_][A-Za-z0-9_-]*|--[A-Za-z0-9_-]{20,}")
"""No command has short options, and no option is as long as an id."""
_MAX_CAUSE = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command found or did.

    ``document`` is the JSON; ``human`` what people see instead; ``hint`` goes to
    stderr for people only; ``fault`` is the sentence of a check that failed.
    """

    document: object
    human: HumanText = ()
    hint: str = ""
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """How an exception is told."""

    code: int
    name: str
    text: str


def stammer(name: str, text: str, *, as_json: bool) -> None:
    """Tell a fault on stderr: one line."""
    text = plain(text)
    line = json.dumps({"error": name, "message": text}) if as_json else f"Error: {text}"
    click.echo(line, err=True)


def fault_of(error: BaseException, ctx: click.Context) -> Fault | None:
    """What to say about an exception; None for one that is not ours to judge."""
    for kinds, code, name, said in _FAULTS:
        if isinstance(error, kinds):
            return None if said is None else Fault(code, name, said(error, ctx))
    return None


def _usage(error: Any, ctx: click.Context) -> str:
    said = re.sub(r"\s+", " ", error.format_message()).strip()
    return f"{said} See `{path_of(error.ctx or ctx)} --help`."


def _plainly(error: Any, _ctx: click.Context) -> str:
    return str(error)


def _not_found(error: Any, ctx: click.Context) -> str:
    return str(error) + suggestion(ctx)


def _unavailable(error: Any, _ctx: click.Context) -> str:
    """With the driver's own first line, which names host and port and no secret."""
    first = str(getattr(error.__cause__, "orig", None) or error.__cause__ or "").strip().partition("\n")[0]
    return f"{error} ({first[:_MAX_CAUSE]})" if first else str(error)


def _wrong_master_key(error: Any, _ctx: click.Context) -> str:
    return f"{error}; AUTHSERVER_MASTER_KEY or AUTHSERVER_MASTER_KEY_FILE gives it"


def _interrupted(_error: Any, _ctx: click.Context) -> str:
    return "interrupted"


def _not_allowed(error: Any, _ctx: click.Context) -> str:
    return f"this account may not use {error.filename}"


def _no_file(error: Any, _ctx: click.Context) -> str:
    return f"there is no {error.filename}"


def _system(error: Any, _ctx: click.Context) -> str:
    return f"{error.filename or 'the system'}: {error.strerror or error}"


def _ours(error: Any, _ctx: click.Context) -> str:
    # The text may hold anything; the kind is enough to report, and --debug shows the rest.
    return f"a fault of this program ({type(error).__name__}); `flask --debug` before the command shows where"


_FAULTS: tuple[tuple[type[BaseException], int, str, Callable[[Any, click.Context], str] | None], ...] = (
    (click.UsageError, USAGE, "usage", _usage),
    (NotFound, NOT_FOUND, "not_found", _not_found),
    (Conflict, CONFLICT, "conflict", _plainly),
    (IllegalMove, CONFLICT, "conflict", _plainly),
    (Invalid, INVALID, "invalid", _plainly),
    (Refusal, FAILED, "refused", _plainly),
    (Unavailable, BACKEND, "unavailable", _unavailable),
    (WrongMasterKey, BACKEND, "wrong_master_key", _wrong_master_key),
    (KeyboardInterrupt, INTERRUPTED, "interrupted", _interrupted),
    (click.Abort, INTERRUPTED, "interrupted", _interrupted),
    # These have their own way out: an exit, a message of click's, a reader that went away.
    (click.ClickException, FAILED, "failed", None),
    (Exit, FAILED, "failed", None),
    (BrokenPipeError, FAILED, "failed", None),
    (PermissionError, NOT_ALLOWED, "not_allowed", _not_allowed),
    (FileNotFoundError, NOT_FOUND, "not_found", _no_file),
    (OSError, FAILED, "failed", _system),
    (Exception, FAILED, "failed", _ours),
)
"""What an exception means; the first kind that fits says it."""


def path_of(ctx: click.Context) -> str:
    """The command as it is typed, whoever runs it."""
    names: list[str] = []
    at: click.Context | None = ctx
    while at is not None and at.parent is not None:
        names.insert(0, at.info_name or "")
        at = at.parent
    return " ".join(["flask", *names])


@contextmanager
def told(ctx: click.Context, *, as_json: bool) -> Iterator[None]:
    """Turn what is raised inside into a sentence and an exit code."""
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        fault = fault_of(error, ctx)
        if fault is None or (fault.code == FAILED and has_app_context() and current_app.debug):
            raise
        stammer(fault.name, fault.text, as_json=as_json)
        raise Exit(fault.code) from error


def _remember_json(ctx: click.Context, _param: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's signature
    ctx.meta["authserver.json"] = value


class Command(click.Command):
    """A command with ``--json``, examples, and our way to fail."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), odd_ids: bool = False, **kwargs: Any) -> None:
        """Take ``examples`` as they are typed; ``odd_ids`` when an argument may begin with a dash."""
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)
        self._odd_ids = odd_ids
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
        """Parse the arguments, or say in one sentence what is wrong with them."""
        if extra.get("resilient_parsing"):
            return super().make_context(info_name, args, parent, **extra)
        bare = click.Context(self, info_name=info_name, parent=parent)
        as_json = "--json" in args
        with told(bare, as_json=as_json):
            if any(not _sayable(text) for text in args):
                msg = "an argument holds a NUL or bytes that are not UTF-8 text"
                raise Invalid(msg)
            return super().make_context(info_name, self._settled(args), parent, **extra)

    def _settled(self, args: list[str]) -> list[str]:
        """Key ids and token ids may begin with a dash: put them where no option is looked for."""
        known = {name for param in self.params for name in param.opts}
        odd = [text for text in args if self._odd_ids and _ODD_ID.fullmatch(text) and text not in known]
        if not odd or "--" in args:
            return args
        return [*(text for text in args if text not in odd), "--", *odd]

    def invoke(self, ctx: click.Context) -> None:
        """Run it and print its answer."""
        as_json = bool(ctx.meta.get("authserver.json"))
        with told(ctx, as_json=as_json):
            answer: Answer = super().invoke(ctx)
            if as_json:
                click.echo(document_text(answer.document))
            else:
                show(answer.human)
            if answer.hint and (not as_json or sys.stderr.isatty()):
                click.echo(answer.hint, err=True)
            if answer.fault:
                stammer("failed", answer.fault, as_json=as_json)
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
        made: Callable[[Callable[..., Answer]], Command] = super().command(*args, **kwargs)
        return made

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb, or name the one that was meant."""
        with told(ctx, as_json="--json" in args):
            return super().resolve_command(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Exit codes end every help."""
        del ctx
        _write_codes(formatter)


class Nouns(AppGroup):
    """All nouns of the application; an unknown one names the one that was meant."""

    def __init__(self, name: str, commands: dict[str, click.Command]) -> None:
        super().__init__(name, commands=commands)

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command; Flask-Migrate brings a ``db`` when it is first used, and ours stays."""
        if (name or cmd.name) not in self.commands:
            super().add_command(cmd, name)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Find the noun. Flask's own group asks here last, so nothing is found after this."""
        if not has_app_context():
            # Flask's own group has entered it; who asks us directly, as a test does, has not.
            ctx.with_resource(ctx.ensure_object(ScriptInfo).load_app().app_context())
        found = super().get_command(ctx, name)
        if found is None and not ctx.resilient_parsing and not name.startswith("-"):
            with told(ctx, as_json=False):
                raise NoSuchCommand(name, possibilities=(*self.commands, "run", "shell", "routes"), ctx=ctx)
        return found


def _write_codes(formatter: click.HelpFormatter) -> None:
    with formatter.section("Exit codes"):
        formatter.write_dl([(str(code), meaning) for code, meaning in CODES.items()])


def _sayable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\0" not in text

"""Prompts for passwords and confirmations. They go to stderr, and only to a terminal."""

import sys
from pathlib import Path

import click

from authserver.ports.errors import Invalid

_MAX_PASSWORD_BYTES = 4096


def at_terminal() -> bool:
    """Whether stdin and stderr are a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str, *, yes: bool, needed: bool = True) -> None:
    """Ask for a confirmation.

    Args:
        question: what is going to happen.
        yes: whether ``--yes`` was given; then nothing is asked.
        needed: whether ``--yes`` is needed where there is no terminal.

    Raises:
        UsageError: there is no terminal, and ``--yes`` is needed.
        Exit: the answer was no.
    """
    if yes or (not needed and not at_terminal()):
        return
    if not at_terminal():
        msg = f"{question} Add --yes: there is no terminal to ask on."
        raise click.UsageError(msg)
    if not click.confirm(question, err=True):
        click.echo("Nothing was changed.", err=True)
        raise click.exceptions.Exit(1)


def read_password(username: str, *, from_stdin: bool, file: Path | None) -> str | None:
    """Read a password from standard input, a file or the terminal; None when neither is given and there is none.

    Raises:
        UsageError: standard input and a file at once.
        Invalid: not UTF-8 text.
    """
    if from_stdin and file is not None:
        msg = "Give --password-stdin or --password-file, not both."
        raise click.UsageError(msg)
    if file is not None:
        with file.open("rb") as opened:
            return _decoded(opened.read(_MAX_PASSWORD_BYTES))
    if from_stdin and not sys.stdin.isatty():
        return _decoded(sys.stdin.buffer.read(_MAX_PASSWORD_BYTES))
    if at_terminal():
        typed: str = click.prompt(f"Password for {username}", hide_input=True, confirmation_prompt=True, err=True)
        return typed
    return None


def _decoded(data: bytes) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        msg = "the password is not UTF-8 text"
        raise Invalid(msg) from None
    return text.removesuffix("\n").removesuffix("\r")

"""Prints one error line where the application cannot be built."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import click
from flask.cli import FlaskGroup

from authserver.cli.command import INVALID, print_error

P = ParamSpec("P")
T = TypeVar("T")


def one_sentence(*faults: type[Exception]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Let an application factory end the ``flask`` program with an error line; other callers get its exceptions.

    Flask prints a traceback, or nothing at all, when a factory raises; only an exit avoids that.
    """

    def decorate(factory: Callable[P, T]) -> Callable[P, T]:
        @wraps(factory)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return factory(*args, **kwargs)
            except faults as error:
                context = click.get_current_context(silent=True)
                if context is None or not isinstance(context.find_root().command, FlaskGroup):
                    raise
                print_error("invalid", str(error), as_json="--json" in sys.argv)
                sys.exit(INVALID)

        return wrapped

    return decorate

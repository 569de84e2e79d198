"""Says in one sentence why the program cannot even begin."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import click
from flask.cli import FlaskGroup

from authserver.cli.command import INVALID, stammer

P = ParamSpec("P")
T = TypeVar("T")


def one_sentence(*faults: type[Exception]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Let an application factory end the ``flask`` program by a sentence; elsewhere its exceptions stay exceptions.

    Flask shows a traceback, or nothing at all, when a factory raises: only an exit gets past it.
    """

    def decorate(factory: Callable[P, T]) -> Callable[P, T]:
        @wraps(factory)
        def made(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return factory(*args, **kwargs)
            except faults as error:
                context = click.get_current_context(silent=True)
                if context is None or not isinstance(context.find_root().command, FlaskGroup):
                    raise
                stammer("invalid", str(error), as_json="--json" in sys.argv)
                sys.exit(INVALID)

        return made

    return decorate

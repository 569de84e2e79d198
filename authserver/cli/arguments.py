"""Arguments that name a record: the shell completes them, and the error for an unknown one suggests a known one."""

import contextlib
from collections.abc import Callable, Iterable
from difflib import get_close_matches

import click
from click.shell_completion import CompletionItem
from flask import has_app_context
from flask.cli import ScriptInfo

from authserver.cli.context import CommandContext, command_context

_MAX_LISTED = 12


class NameType(click.ParamType[str]):
    """The name of an existing record."""

    def __init__(self, name: str, names: Callable[[CommandContext], Iterable[str]]) -> None:
        """Take the argument's name in messages, and a function that reads all existing names."""
        self.name = name
        self._names = names

    def names(self) -> list[str]:
        """All existing names."""
        return list(self._names(command_context()))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete from the database; on any error there are no completions."""
        del param
        with contextlib.ExitStack() as stack, contextlib.suppress(Exception):
            if not has_app_context():
                info = ctx.find_object(ScriptInfo)
                if info is None:
                    return []
                stack.enter_context(info.load_app().app_context())
            stack.enter_context(ctx.scope(cleanup=False))
            return [CompletionItem(name) for name in self.names() if name.startswith(incomplete)]
        return []


ROLE = NameType("role", lambda at: [role.name for role in at.accounts.roles()])
USERNAME = NameType("username", lambda at: [user.username for user in at.accounts.users()])
CLIENT = NameType("client_id", lambda at: [each.client_id for each in at.accounts.credentials()])
RESOURCE_SERVER = NameType("name", lambda at: [server.name for server in at.accounts.resource_servers()])
KID = NameType("kid", lambda at: [key.kid for key in at.store.keys.ring()])
AUDIENCE = NameType("uri", lambda at: [server.audience for server in at.accounts.resource_servers()])


def suggestion(ctx: click.Context) -> str:
    """A hint for an unknown name: a similar one, or all where they are few; empty when there is none."""
    hints = []
    for param in ctx.command.params:
        if not isinstance(param.type, NameType):
            continue
        value = ctx.params.get(param.name or "")
        texts = [text for text in (value if isinstance(value, tuple) else (value,)) if text]
        names: list[str] = []
        with contextlib.suppress(Exception):  # the error itself must be printed in any case
            names = param.type.names()
        for text in texts:
            if text in names:
                continue
            matches = get_close_matches(text, names, n=1)
            if matches:
                hints.append(f"did you mean {matches[0]!r}?")
            elif names and len(names) <= _MAX_LISTED:
                hints.append(f"there are {', '.join(sorted(names))}")
    return "; " + "; ".join(hints) if hints else ""

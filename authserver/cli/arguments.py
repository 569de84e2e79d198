"""Arguments that name something we know: the shell completes them, and a wrong one names the right one."""

import contextlib
from collections.abc import Callable, Iterable
from difflib import get_close_matches

import click
from click.shell_completion import CompletionItem
from flask import has_app_context
from flask.cli import ScriptInfo

from authserver.cli.context import CommandContext, command_context

_MANY = 12


class Known(click.ParamType[str]):
    """A name out of those the database holds."""

    def __init__(self, name: str, names: Callable[[CommandContext], Iterable[str]]) -> None:
        """Take what the argument is called in messages, and how to read all names."""
        self.name = name
        self._names = names

    def names(self) -> list[str]:
        """All names there are."""
        return list(self._names(command_context()))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete from the database; a shell must never see an error of ours."""
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


ROLE = Known("role", lambda at: [role.name for role in at.accounts.roles()])
USERNAME = Known("username", lambda at: [user.username for user in at.accounts.users()])
CLIENT = Known("client_id", lambda at: [each.client_id for each in at.accounts.credentials()])
RESOURCE_SERVER = Known("name", lambda at: [server.name for server in at.accounts.resource_servers()])
KID = Known("kid", lambda at: [key.kid for key in at.store.keys.ring()])
AUDIENCE = Known("uri", lambda at: [server.audience for server in at.accounts.resource_servers()])


def suggestion(ctx: click.Context) -> str:
    """What the caller may have meant by a name that is not known; empty when nothing is near."""
    told = []
    for param in ctx.command.params:
        if not isinstance(param.type, Known):
            continue
        given = ctx.params.get(param.name or "")
        wanted = [text for text in (given if isinstance(given, tuple) else (given,)) if text]
        known: list[str] = []
        with contextlib.suppress(Exception):  # the sentence itself must always be told
            known = param.type.names()
        for text in wanted:
            if text in known:
                continue
            near = get_close_matches(text, known, n=1)
            if near:
                told.append(f"did you mean {near[0]!r}?")
            elif known and len(known) <= _MANY:
                told.append(f"there are {', '.join(sorted(known))}")
    return "; " + "; ".join(told) if told else ""

"""``flask apply`` and ``flask export``: what there shall be, as a file that is kept under version control."""

import json
from typing import BinaryIO

import click

from authserver.cli.command import Answer, Command, Noun
from authserver.cli.context import command_context
from authserver.cli.output import HumanText, line, table
from authserver.desired_state import apply as desired_state
from authserver.desired_state.document import MAX_BYTES, read, write
from authserver.desired_state.steps import Step

export = Noun("export", help="What there is, as a file that `flask apply` takes.")


@export.command("state", examples=("flask export state > state.yaml", "flask export state --json"))
def state() -> Answer:
    """Print roles, users, resource servers, settings and credentials; secrets and passwords are never in it."""
    document = desired_state.export(command_context().accounts)
    text: HumanText = [part for row in write(document).splitlines() for part in line(row)]
    return Answer(json.loads(document.model_dump_json()), text)


@click.command(
    "apply",
    cls=Command,
    examples=(
        "flask apply --file state.yaml --dry-run",
        "flask apply --file state.yaml",
        "flask apply --file state.yaml --prune --json",
    ),
)
@click.option("-f", "--file", type=click.File("rb"), required=True, help="YAML or JSON; - for standard input.")
@click.option("--dry-run", is_flag=True, help="Show what would change and what would die, and change nothing.")
@click.option("--prune", is_flag=True, help="Delete roles, disable users and resource servers that it does not name.")
def apply(file: BinaryIO, *, dry_run: bool, prune: bool) -> Answer:
    """Make users, roles, resource servers, settings and credentials as a file says, all of it or nothing.

    A section that the file leaves out is not touched. The secret of a new resource server is shown once.
    """
    context = command_context()
    desired = read(file.read(MAX_BYTES + 1))
    done = desired_state.apply(
        context.store, desired, prune=prune, dry_run=dry_run, actor=context.who["actor"], now=context.now
    )
    steps = [_step(each) for each in done.steps]
    secrets = [
        {"resource_server": name, "client_id": client_id, "client_secret": secret}
        for name, (client_id, secret) in done.secrets.items()
    ]
    rows = [{**each, "values": json.dumps(each["values"], ensure_ascii=False)} for each in steps]
    sentence = "would be changed" if dry_run else "changed"
    human: HumanText = [
        *table(("action", "target", "values", "ends_tokens"), rows, empty="It is so already; nothing is changed."),
        *(line(f"{len(steps)} steps {sentence}.") if steps else ()),
        *(table(("resource_server", "client_id", "client_secret"), secrets, empty="") if secrets else ()),
    ]
    return Answer({"dry_run": dry_run, "steps": steps, "secrets": secrets}, human)


def _step(step: Step) -> dict[str, object]:
    return {"action": step.action, "target": step.target, "values": step.values, "ends_tokens": step.ends}

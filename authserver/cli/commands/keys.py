"""``flask keys``: the signing keys. A key may be named by any unique prefix of its id.

One module, because every noun has one, and the commands share how keys are printed.
"""

import json
from pathlib import Path

import click

from authserver.actions import signing_keys
from authserver.cli.arguments import KID
from authserver.cli.command import Answer, Noun
from authserver.cli.compromise_drill import Stopwatch, rehearsal_document, successor_text
from authserver.cli.context import CommandContext, command_context
from authserver.cli.output import fields, iso, iso_or_none, line, table
from authserver.cli.terminal import confirm, read_password
from authserver.ports.errors import Conflict, Invalid
from authserver.ports.signing_keys import TokensOfKey
from keys.import_key import FLOOR_RSA_BITS, WeakKey, read
from keys.keyring import KeyInfo, State
from keys.material import ALGORITHMS, POST_QUANTUM
from keys.report import BadReport, trusted_by, write
from keys.report import read as read_report
from keys.rotation import Generate, Promote, Step, may_sign_from
from keys.signing import TokenSigner

keys = Noun("keys", help="Signing keys: staged, then active, then retired, then removed; or compromised at any point.")

_ALG = click.option(
    "--alg",
    type=click.Choice((*ALGORITHMS, *POST_QUANTUM)),
    help="The algorithm; the general setting's when not given.",
)
_YES = click.option("--yes", is_flag=True, help="Do not ask.")
_FORCE = click.option("--force", is_flag=True, help="Before every verifier is known to have the key; needs --reason.")
_REASON = click.option("--reason", default="", metavar="TEXT", help="Why; it is kept in the audit record.")
_YEAR_DAYS = 365
_MAX_KEY_BYTES = 64 * 1024


def _document(key: KeyInfo, may_sign: int | None = None) -> dict[str, object]:
    return {
        "kid": key.kid,
        "alg": key.alg,
        "state": key.state.value,
        "created_at": iso(key.created_at),
        "activated_at": iso_or_none(key.activated_at),
        "retired_at": iso_or_none(key.retired_at),
        "ended_at": iso_or_none(key.ended_at),
        "store": key.key_store,
        "may_sign_from": iso_or_none(may_sign),
    }


def _key_context(context: CommandContext) -> signing_keys.KeyContext:
    database = context.services.key_stores["database"]
    return signing_keys.key_context(
        context.accounts, context.store.keys, context.services.key_store, context.store.jwks_fetchers, database
    )


def _answer(context: CommandContext, kid: str, hint: str = "") -> Answer:
    key_context, key = _key_context(context), context.store.keys.get(kid)
    may_sign = may_sign_from(key, key_context.policy) if key.state is State.STAGED else None
    sentence = f"Key {key.kid} ({key.alg}) is {key.state.value}."
    if may_sign is not None:
        sentence += f" It is in the JWKS from now on and may sign from {iso(may_sign)}."
    return Answer(_document(key, may_sign), line(sentence), hint=hint)


def _alg(context: CommandContext, alg: str | None) -> str:
    return alg or context.accounts.general().token_alg


def _check_force(force: bool, reason: str) -> str:  # noqa: FBT001 - as click hands it over
    if force and not reason:
        msg = "--force needs --reason TEXT: what cannot wait is written down."
        raise click.UsageError(msg)
    if reason and not force:
        msg = "--reason goes with --force; without it the key waits for its announcement, and no reason is needed."
        raise click.UsageError(msg)
    return reason


@keys.command("list", examples=("flask keys list", "flask keys list --json"))
def list_() -> Answer:
    """List all keys, oldest first."""
    context = command_context()
    policy = _key_context(context).policy
    documents = [
        _document(key, may_sign_from(key, policy) if key.state is State.STAGED else None)
        for key in context.store.keys.ring()
    ]
    columns = ("kid", "alg", "state", "created_at", "activated_at", "retired_at", "ended_at", "may_sign_from")
    return Answer(documents, table(columns, documents, empty="There are none; `flask keys rotate` makes one."))


@keys.command("show", dash_ids=True, examples=("flask keys show oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U",))
@click.argument("kid", type=KID)
def show(kid: str) -> Answer:
    """Show one key and its public JWK."""
    context = command_context()
    key = context.store.keys.get(kid)
    may_sign = may_sign_from(key, _key_context(context).policy) if key.state is State.STAGED else None
    document = {**_document(key, may_sign), "public_jwk": json.loads(key.public_jwk)}
    return Answer(document, fields({**document, "public_jwk": key.public_jwk}))


@keys.command("generate", examples=("flask keys generate --alg ES256", "flask keys generate --alg RS256 --json"))
@_ALG
def generate(alg: str | None) -> Answer:
    """Make a key and stage it: in the JWKS from now on, so that all resource servers know it before it signs."""
    context = command_context()
    return _answer(context, signing_keys.generate(_key_context(context), _alg(context, alg), **context.who).kid)


@keys.command(
    "import",
    examples=(
        "flask keys import old.pem --alg RS256",
        "flask keys import old.pem --alg ES256 --password-stdin < secret",
    ),
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--alg", required=True, type=click.Choice(ALGORITHMS), help="What it will sign with.")
@click.option("--password-stdin", is_flag=True, help="Read the password of an encrypted PEM from standard input.")
@click.option("--password-file", type=click.Path(path_type=Path), help="Read it from a file.")
def import_(file: Path, alg: str, *, password_stdin: bool, password_file: Path | None) -> Answer:
    """Take in a private key made elsewhere (PEM or JWK) and stage it. Weak and broken keys are refused.

    It keeps no id it had: its `kid` is the thumbprint of RFC 7638. Destroy the file afterwards.
    """
    with file.open("rb") as opened:
        data = opened.read(_MAX_KEY_BYTES + 1)
    if len(data) > _MAX_KEY_BYTES:
        msg = "a key has 64 kB at most"
        raise Invalid(msg)
    has_password = password_stdin or password_file is not None
    password = read_password(str(file), from_stdin=password_stdin, file=password_file) if has_password else None
    context = command_context()
    try:
        private = read(data, alg, password.encode() if password else None, least_rsa_bits=FLOOR_RSA_BITS)
    except WeakKey as error:
        raise Invalid(str(error)) from error
    key = signing_keys.import_key(_key_context(context), private, alg, **context.who)
    return _answer(context, key.kid, hint=f"Destroy {file} now: whoever has it can sign.")


@keys.command(
    "activate",
    dash_ids=True,
    examples=(
        "flask keys activate oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U",
        "flask keys activate oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U --force --reason 'ticket 4711'",
    ),
)
@click.argument("kid", type=KID)
@_FORCE
@_REASON
def activate(kid: str, *, force: bool, reason: str) -> Answer:
    """Let a staged key sign, once it has been published for the announcement; the one before retires."""
    reason = _check_force(force, reason)
    context = command_context()
    key = context.store.keys.get(kid)
    signing_keys.activate(_key_context(context), key.kid, **context.who, reason=reason)
    return _answer(context, key.kid)


@keys.command(
    "rotate",
    examples=(
        "flask keys rotate",
        "flask keys rotate --alg RS256 --json",
        "flask keys rotate --force --reason 'ticket 4711'",
    ),
)
@_ALG
@_FORCE
@_REASON
def rotate(alg: str | None, *, force: bool, reason: str) -> Answer:
    """Change the signing key, as soon as that is safe.

    Where no key is staged, one is made and published, and it is said from when on it may sign: run this again
    then. A staged key that is younger than its announcement, or that a resource server has not fetched, is
    refused. Tokens that the old key signed stay good.
    """
    reason = _check_force(force, reason)
    context = command_context()
    return _answer(
        context, signing_keys.rotate(_key_context(context), _alg(context, alg), **context.who, reason=reason).kid
    )


@keys.command("retire", dash_ids=True, examples=("flask keys retire oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U",))
@click.argument("kid", type=KID)
@_FORCE
@_REASON
def retire(kid: str, *, force: bool, reason: str) -> Answer:
    """Take the active key out of signing; a staged one takes over. Its tokens stay good, its private part is gone."""
    reason = _check_force(force, reason)
    context = command_context()
    key = context.store.keys.get(kid)
    signing_keys.retire(_key_context(context), key.kid, **context.who, reason=reason)
    return _answer(context, key.kid)


@keys.command("remove", dash_ids=True, examples=("flask keys remove oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U",))
@click.argument("kid", type=KID)
def remove(kid: str) -> Answer:
    """Withdraw a retired key from the JWKS, once the last token it signed has ended."""
    context = command_context()
    key = context.store.keys.get(kid)
    context.store.keys.remove(key.kid, context.actor, context.now)
    return _answer(context, key.kid)


@keys.command("tick", examples=("flask keys tick", "flask keys tick --dry-run", "flask keys tick --dry-run --json"))
@click.option("--dry-run", is_flag=True, help="Change nothing; show what is due in the coming 12 months.")
def tick(*, dry_run: bool) -> Answer:
    """Take the steps of key rotation that are due now. The server does so by itself, once a minute.

    Safe from any number of timers and nodes at once: each step is done once. The general settings
    key_rotation_days, key_announcement_hours and key_patience_hours say what is due when.
    """
    context = command_context()
    if dry_run:
        due = [
            _due(at, step) for at, step in signing_keys.forecast_steps(_key_context(context), context.now, _YEAR_DAYS)
        ]
        return Answer(due, table(("at", "step", "key"), due, empty=_NOTHING_DUE))
    destroyed = context.store.keys.destroy_spent()
    done = [_due(context.now, step) for step in signing_keys.tick(_key_context(context), **context.who)]
    return Answer(
        {"done": done, "destroyed": destroyed},
        table(("at", "step", "key"), done, empty="Nothing is due; nothing was done."),
    )


_NOTHING_DUE = "Nothing is due in 12 months; `flask settings set key_rotation_days 90` lets keys rotate by themselves."


def _due(at: int, step: Step) -> dict[str, object]:
    if isinstance(step, Generate):
        return {"at": iso(at), "step": "generate", "key": step.alg}
    return {"at": iso(at), "step": "promote" if isinstance(step, Promote) else "withdraw", "key": step.kid}


@keys.command("readiness", dash_ids=True, examples=("flask keys readiness", "flask keys readiness --json"))
@click.argument("kid", type=KID, required=False)
def readiness(kid: str | None) -> Answer:
    """Show which resource servers have fetched a key; the oldest staged one, else the active one.

    A resource server is known by its id and secret (HTTP Basic) or by the address that
    `flask resource-servers jwks-client` makes. One that never made itself known is not waited for.
    """
    context = command_context()
    key = context.store.keys.get(kid) if kid else _default_key(context)
    fetchers = context.store.jwks_fetchers.all()
    key_context = _key_context(context)
    late = set(key_context.waits_for(key, context.now))
    by_name = {each.name: each for each in key_context.fetchers}
    rows: list[dict[str, object]] = []
    for server in context.accounts.resource_servers():
        if server.disabled_at is None:
            fetcher = by_name.get(server.name)
            seen = "unknown" if fetcher is None else "yes" if key.kid in fetcher.seen else "no"
            fetched = None if fetcher is None else iso(fetcher.last_fetched_at)
            rows.append(
                {"verifier": server.name, "seen": seen, "last_fetched_at": fetched, "waited_for": server.name in late}
            )
    anonymous = [
        {"agent": each.name, "fetches": each.fetches, "last_fetched_at": iso(each.last_fetched_at)}
        for each in fetchers
        if each.kind == "agent"
    ]
    ready = sum(row["seen"] == "yes" for row in rows)
    summary = f"{ready} of {len(by_name)} have seen key {key.kid} ({key.alg}, {key.state.value})"
    for name in sorted(late):
        summary += f"; {name} last fetched {_duration(context.now - by_name[name].last_fetched_at)} ago"
    document: dict[str, object] = {"kid": key.kid, "alg": key.alg, "state": key.state.value, "ready": not late}
    document.update(seen=ready, known=len(by_name), verifiers=rows, anonymous=anonymous)
    if key.state is State.STAGED:
        document["may_sign_from"] = iso(may_sign_from(key, key_context.policy))
        document["waits_until"] = iso(may_sign_from(key, key_context.policy) + key_context.policy.patience)
    human = [
        *line(summary + "."),
        *table(("verifier", "seen", "last_fetched_at", "waited_for"), rows, empty="No resource server is enabled."),
        *(table(("agent", "fetches", "last_fetched_at"), anonymous, empty="") if anonymous else ()),
    ]
    return Answer(document, human)


def _default_key(context: CommandContext) -> KeyInfo:
    alg, ring = context.accounts.general().token_alg, context.store.keys.ring()
    for state in (State.STAGED, State.ACTIVE):
        candidates = [key for key in ring if key.alg == alg and key.state is state]
        if candidates:
            return candidates[0]
    msg = f"no key for {alg} is staged or active; `flask keys rotate` makes one"
    raise Conflict(msg)


def _duration(seconds: int) -> str:
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} seconds"


@keys.command(
    "compromise",
    dash_ids=True,
    examples=(
        "flask keys compromise oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U",
        "flask keys compromise oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U --yes --json --reason 'laptop stolen'",
        "flask keys compromise oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U --report report.json",
    ),
)
@click.argument("kid", type=KID)
@_YES
@_REASON
@click.option("--report", type=click.Path(path_type=Path), help="Write what happened to a file, signed by the new key.")
@click.option("--node", multiple=True, metavar="URL", help="A node whose JWKS is looked at until the key is gone.")
def compromise(kid: str, *, yes: bool, reason: str, report: Path | None, node: tuple[str, ...]) -> Answer:
    """Say that a key is in wrong hands: every token it signed is dead at once, and another key signs.

    Asks on a terminal only: in an emergency a script must not fail for want of --yes.
    """
    stopwatch = Stopwatch()
    context = command_context()
    key = context.store.keys.get(kid)
    if report is not None and report.exists():
        msg = f"{report} exists already; give a name that is free"
        raise Conflict(msg)
    ended_tokens = context.store.keys.signed_for(key.kid, context.now)
    confirm(f"Kill the key {key.kid} and every token it signed?", yes=yes, needed=False)
    signing_keys.compromise(_key_context(context), key.kid, **context.who, reason=reason)
    measured = stopwatch.measure(context, key.kid, ended_tokens, node)
    key_now = context.store.keys.get(key.kid)
    document = {
        **_document(key_now),
        **measured.document(),
        "credentials": [_credential(each) for each in ended_tokens],
    }
    if report is not None:
        _write_report(context, report, {"event": "compromise", "reason": reason, **document}, key.alg)
    tokens = sum(each.tokens for each in ended_tokens)
    text = (
        f"Key {key.kid} ({key.alg}) is {key_now.state.value}. {tokens} live tokens of {len(ended_tokens)} credentials"
        f" are dead; nobody accepted one {measured.dead_after_ms} ms behind the command."
    )
    return Answer(document, line(text))


@keys.command(
    "drill",
    dash_ids=True,
    examples=("flask keys drill", "flask keys drill --report drill.json", "flask keys drill --json"),
)
@click.argument("kid", type=KID, required=False)
@click.option(
    "--report", type=click.Path(path_type=Path), help="Write the outcome to a file, signed by the active key."
)
def drill(kid: str | None, report: Path | None) -> Answer:
    """Rehearse the compromise of a key on a copy of the state: what would die, and who takes over. Nothing changes.

    The copy is one snapshot of the ring, the settings and the sessions on record; each live token is judged in
    it by the rules that judge real ones.
    """
    context = command_context()
    active = [key for key in context.store.keys.ring() if key.state is State.ACTIVE]
    of_default_alg = [key for key in active if key.alg == context.accounts.general().token_alg]
    key = context.store.keys.get(kid) if kid else (of_default_alg or active)[0]
    rehearsal = signing_keys.rehearse(context.store, key, context.now)
    document = {"kid": key.kid, "alg": key.alg, "state": key.state.value, **rehearsal_document(rehearsal)}
    document["credentials"] = [_credential(each) for each in rehearsal.credentials]
    if report is not None:
        _write_report(context, report, {"event": "drill", **document}, key.alg)
    human = [
        *line(
            f"If {key.kid} ({key.alg}, {key.state.value}) were compromised now: {rehearsal.tokens} live tokens of"
            f" {len(rehearsal.credentials)} credentials would die; {successor_text(rehearsal)}."
        ),
        *table(
            ("client_id", "owner", "name", "tokens", "last_used_at"),
            [_credential(each) for each in rehearsal.credentials],
            empty="No credential would notice.",
        ),
    ]
    return Answer(document, human)


def _credential(tokens: TokensOfKey) -> dict[str, object]:
    return {
        "client_id": tokens.client_id,
        "owner": tokens.owner,
        "name": tokens.name,
        "tokens": tokens.tokens,
        "last_used_at": iso(tokens.last_used_at),
        "ends_at": iso(tokens.ends_at),
    }


def _write_report(context: CommandContext, path: Path, claims: dict[str, object], alg: str) -> None:
    """Sign with the key that is active now for ``alg``, else with any active one."""
    active = [key for key in context.store.keys.ring() if key.state is State.ACTIVE]
    key = next((each for each in active if each.alg == alg), active[0])
    name, sign = context.store.keys.signer(key.kid)
    text = write(
        {"iss": context.services.issuer, "iat": context.services.clock.now(), "actor": context.actor, **claims},
        TokenSigner(key.kid, name, sign),
        json.loads(key.public_jwk),
    )
    with path.open("x", encoding="ascii") as file:
        file.write(text)


@keys.command(
    "verify-report",
    examples=("flask keys verify-report report.json --jwks jwks.json", "flask keys verify-report report.json --json"),
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--jwks", type=click.Path(path_type=Path), help="A JWKS kept beforehand; else the key in the file is used."
)
def verify_report(file: Path, jwks: Path | None) -> Answer:
    """Check the signature of a report, without the database; the exit code is 1 when it does not hold.

    `python -m keys.report` does the same where only the folder keys/ was taken along.
    """
    try:
        kid, claims = read_report(_text(file), None if jwks is None else trusted_by(_text(jwks)))
    except BadReport as error:
        return Answer({"ok": False, "fault": str(error)}, fault=str(error))
    hint = "" if jwks else "The signature fits the key in the file; --jwks FILE says whether that key is yours."
    document = {"ok": True, "signed_by": kid, "trusted": jwks is not None, **claims}
    return Answer(document, fields({name: _cell(value) for name, value in document.items()}), hint=hint)


def _cell(value: object) -> object:
    return json.dumps(value) if isinstance(value, dict | list) else value


def _text(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(1024 * 1024)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        msg = f"{path} is not UTF-8 text"
        raise Invalid(msg) from None


@keys.command("reseal", examples=("flask keys reseal", "flask keys reseal --json"))
def reseal() -> Answer:
    """Seal everything under the present master key that is still sealed under the other one.

    While one master key follows another every node knows both: AUTHSERVER_MASTER_KEY seals and opens,
    AUTHSERVER_OTHER_MASTER_KEY only opens. Behind this command the other one is needed no more.
    """
    context = command_context()
    count = context.store.keys.reseal(context.actor, context.now)
    sentence = f"{count} values are sealed anew." if count else "Everything is sealed under this master key already."
    return Answer({"resealed": count}, line(sentence))

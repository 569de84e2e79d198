"""The audit trail: list, export, verify."""

from typing import Annotated, Any

from pydantic import Field

from authserver.api.context import ApiContext
from authserver.api.cursors import decode, encode
from authserver.api.operations import SECURITY, Answer, operation
from authserver.api.resources.sessions import EventDocument, audit_cursor, audit_place
from authserver.api.schemas import InstantIn, InstantOut, Items, Model, Paged, Query
from authserver.audit import Record
from authserver.audit_export.checkpoints import public_keys
from authserver.audit_export.lines import MEDIA_TYPES, lines
from authserver.ports.console_reads.audit import AuditQuery
from authserver.ports.console_reads.audit_checkpoints import Checkpoint

Word = Annotated[str, Field(max_length=255)]


class RecordDocument(EventDocument):
    """A record in its place in the chain."""

    previous_hash: str
    hash: str

    @classmethod
    def of(cls, record: Record) -> "RecordDocument":
        """As it is on record."""
        return cls(**dict(EventDocument.of(record)), previous_hash=record.previous_hash, hash=record.hash)


class RecordsQuery(Paged):
    """Which records to list."""

    event: Word = ""
    actor: Word = ""
    target: Word = ""
    q: Annotated[str, Field(max_length=100, description="Part of the target.")] = ""
    since: InstantIn | None = None
    until: InstantIn | None = Field(default=None, description="Not included.")


class ExportQuery(Query):
    """Where the export goes on."""

    after: Annotated[int, Field(ge=0, le=2**62, description="Number of the last record that is known.")] = 0


class ChainDocument(Model):
    """Whether the chain holds."""

    intact: bool
    records: int
    first_bad: int | None = Field(description="The first record that does not hold.")
    fault: str


class HeadDocument(Model):
    """The head of the chain."""

    intact: bool = Field(description="Whether the newest record is the one the sealed head names.")
    records: int
    newest_at: InstantOut | None
    fault: str


class CheckpointDocument(Model):
    """A signed checkpoint."""

    number: int
    at: InstantOut
    records: int = Field(description="How many records it covers.")
    kid: str
    jws: str = Field(description="What was signed (RFC 7515 §3.1), with `typ` `audit-checkpoint+jwt`.")

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> "CheckpointDocument":
        """As it is on record."""
        return cls(
            number=checkpoint.number, at=checkpoint.at, records=checkpoint.seq, kid=checkpoint.kid, jws=checkpoint.jws
        )


class JwkSet(Model):
    """Public keys (RFC 7517 §5)."""

    keys: tuple[dict[str, Any], ...]


@operation("GET", "/audit", access=SECURITY, tag="audit", answer=Items[RecordDocument], query=RecordsQuery)
def list_records(context: ApiContext, query: RecordsQuery) -> Answer:
    """List records, the newest first.

    With `q` a call looks at a bounded number of records: a part may be short and still have a next one.
    """
    wanted = AuditQuery(
        actor=query.actor,
        events=(query.event,) if query.event else (),
        target=query.target,
        text=query.q,
        since=query.since,
        until=query.until,
    )
    page = context.store.audit_reads.audit_page(wanted, query.limit, audit_place(query))
    items = [RecordDocument.of(each) for each in page.records]
    return Answer(Items[RecordDocument](items=items, next_cursor=audit_cursor(query, page.after)))


@operation("GET", "/audit/head", access=SECURITY, tag="audit", answer=HeadDocument)
def read_audit_head(context: ApiContext) -> Answer:
    """Show the head of the chain and whether it holds; cheap, however many records there are."""
    head = context.store.audit_reads.chain_status()
    return Answer(HeadDocument(intact=head.intact, records=head.records, newest_at=head.newest_at, fault=head.fault))


@operation("GET", "/audit/export", access=SECURITY, tag="audit", query=ExportQuery, produces=MEDIA_TYPES["jsonl"])
def export_records(context: ApiContext, query: ExportQuery) -> Answer:
    """Export all records behind one, the oldest first, a JSON object a line.

    In their order in the chain and with its hashes, read and sent a part at a time.
    """
    return Answer(lines=lines(context.accounts.audit_records(query.after)))


@operation("GET", "/audit/export.csv", access=SECURITY, tag="audit", query=ExportQuery, produces=MEDIA_TYPES["csv"])
def export_records_as_csv(context: ApiContext, query: ExportQuery) -> Answer:
    """Export all records behind one as CSV (RFC 4180), the oldest first.

    A text that a spreadsheet would take for a formula has an apostrophe before it.
    """
    return Answer(lines=lines(context.accounts.audit_records(query.after), "csv"))


@operation("GET", "/audit/checkpoints", access=SECURITY, tag="audit", answer=Items[CheckpointDocument], query=Paged)
def list_checkpoints(context: ApiContext, query: Paged) -> Answer:
    """List the signed checkpoints, the oldest first; keep them, and the keys, somewhere else.

    One is taken each hour. It names a digest of every record up to its own, so that an export can be verified without
    this server, and a tail that was cut off is noticed.
    """
    place = decode(query, query.cursor, int)
    found = context.store.checkpoints.after(int(place[0]) if place else 0, query.limit + 1)
    shown = found[: query.limit]
    behind = encode(query, shown[-1].number) if len(found) > len(shown) else None
    return Answer(Items[CheckpointDocument](items=[CheckpointDocument.of(each) for each in shown], next_cursor=behind))


@operation("GET", "/audit/checkpoints/keys", access=SECURITY, tag="audit", answer=JwkSet)
def read_checkpoint_keys(context: ApiContext) -> Answer:
    """Show the public keys that checkpoints are verified with, as a JWK set (RFC 7517 §5).

    Also those of keys that sign no more and are in no JWKS any longer.
    """
    return Answer(JwkSet(keys=tuple(public_keys(context.store.keys.ring())["keys"])))


@operation("POST", "/audit/verify", access=SECURITY, tag="audit", answer=ChainDocument)
def verify_audit(context: ApiContext) -> Answer:
    """Walk the whole chain; it takes as long as there are records."""
    verdict = context.accounts.audit_verify()
    return Answer(
        ChainDocument(
            intact=not verdict.fault, records=verdict.records, first_bad=verdict.first_bad, fault=verdict.fault
        )
    )

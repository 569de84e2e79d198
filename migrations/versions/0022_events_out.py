"""Webhooks: where events are sent, what is on its way, and what became of it.

The version before goes on working on it: it names none of these tables (INV-24).
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None
runs_from = "0016"

_PENDING = sa.text("state = 'pending'")


def upgrade() -> None:
    """Make the tables; what is on record already counts as told."""
    outbox = op.create_table(
        "event_outbox",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("audit_seq", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("swept_at", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.String(64), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_event_outbox_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event_outbox")),
    )
    newest = op.get_bind().execute(sa.text("SELECT COALESCE(MAX(seq), 0) FROM audit")).scalar_one()
    op.bulk_insert(outbox, [{"id": 1, "audit_seq": newest, "seq": 0, "swept_at": 0, "holder": "", "lease_until": 0}])
    op.create_table(
        "events",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("key", sa.String(160), nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("object", sa.String(255), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_events")),
        sa.UniqueConstraint("id", name=op.f("uq_events_id")),
        sa.UniqueConstraint("key", name=op.f("uq_events_key")),
    )
    op.create_index(op.f("ix_events_at"), "events", ["at"])
    op.create_table(
        "webhooks",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("url", sa.String(1000), nullable=False),
        sa.Column("description", sa.String(100), nullable=False),
        sa.Column("events", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at", sa.BigInteger()),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("old_ends_at", sa.BigInteger()),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
    )
    op.create_table(
        "event_deliveries",
        sa.Column("target", sa.String(64), nullable=False),
        sa.Column("event_seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("object", sa.String(255), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger()),
        sa.Column("delivered_at", sa.BigInteger()),
        sa.Column("last_status", sa.Integer()),
        sa.Column("last_error", sa.String(200), nullable=False),
        sa.CheckConstraint("state IN ('pending', 'delivered', 'dead')", name=op.f("ck_event_deliveries_state")),
        sa.PrimaryKeyConstraint("target", "event_seq", name=op.f("pk_event_deliveries")),
    )
    op.create_index("ix_event_deliveries_event_seq", "event_deliveries", ["event_seq"])
    for name, columns in (("due", ["target", "next_at"]), ("order", ["target", "object", "event_seq"])):
        op.create_index(
            f"ix_event_deliveries_{name}",
            "event_deliveries",
            columns,
            sqlite_where=_PENDING,
            postgresql_where=_PENDING,
        )
    op.create_table(
        "delivery_attempts",
        sa.Column("target", sa.String(64), nullable=False),
        sa.Column("event_seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("milliseconds", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("error", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("target", "event_seq", "number", name=op.f("pk_delivery_attempts")),
    )
    op.create_index("ix_delivery_attempts_event_seq", "delivery_attempts", ["event_seq"])
    op.create_table(
        "secret_networks",
        sa.Column("secret_id", sa.String(64), nullable=False),
        sa.Column("network", sa.String(45), nullable=False),
        sa.Column("first_seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("secret_id", "network", name=op.f("pk_secret_networks")),
    )


def downgrade() -> None:
    """Drop the tables; what was not sent yet is not sent."""
    for table in ("secret_networks", "delivery_attempts", "event_deliveries", "webhooks", "events", "event_outbox"):
        op.drop_table(table)

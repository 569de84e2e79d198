"""The console: who is signed in, what they like, one-time links, and identities at other providers."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ID = sa.String(64)
INSTANT = sa.BigInteger()


def upgrade() -> None:
    """Add four tables; the version before does not look at them."""
    op.create_table(
        "console_sessions",
        sa.Column("id_hash", ID, nullable=False),
        sa.Column("handle", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("method", sa.String(16), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("last_seen_at", INSTANT, nullable=False),
        sa.Column("proof_at", INSTANT, nullable=False),
        sa.Column("ends_at", INSTANT, nullable=False),
        sa.Column("peer", sa.String(64), nullable=False),
        sa.Column("agent", sa.String(200), nullable=False),
        sa.Column("pending", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id_hash", name="pk_console_sessions"),
        sa.UniqueConstraint("handle", name="uq_console_sessions_handle"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_console_sessions_user_id"),
    )
    op.create_index("ix_console_sessions_user_id", "console_sessions", ["user_id"])
    op.create_index("ix_console_sessions_last_seen_at", "console_sessions", ["last_seen_at"])
    op.create_table(
        "console_preferences",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("language", sa.String(8), nullable=False),
        sa.Column("zone", sa.String(64), nullable=False),
        sa.Column("theme", sa.String(8), nullable=False),
        sa.Column("shortcuts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_console_preferences"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_console_preferences_user_id"),
    )
    op.create_table(
        "login_links",
        sa.Column("hash", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("used_at", INSTANT),
        sa.PrimaryKeyConstraint("hash", name="pk_login_links"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_login_links_user_id"),
    )
    op.create_index("ix_login_links_user_id", "login_links", ["user_id"])
    op.create_table(
        "identities",
        sa.Column("issuer", sa.String(255), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("issuer", "subject", name="pk_identities"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_identities_user_id"),
    )
    op.create_index("ix_identities_user_id", "identities", ["user_id"])


def downgrade() -> None:
    """Take them down."""
    for table in ("identities", "login_links", "console_preferences", "console_sessions"):
        op.drop_table(table)

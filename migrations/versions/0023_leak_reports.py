"""Leak reports: whose are believed, and an index that finds a secret by its hash.

The version before goes on working on it: it names no such table (INV-24).
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None
runs_from = "0016"

_SECRETS = sa.text("public_jwk IS NULL")


def upgrade() -> None:
    """Make the table and the index."""
    op.create_table(
        "leak_reporters",
        sa.Column("identifier", sa.String(128), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("identifier", name=op.f("pk_leak_reporters")),
    )
    op.create_index("ix_secrets_hash", "secrets", ["hash"], sqlite_where=_SECRETS, postgresql_where=_SECRETS)


def downgrade() -> None:
    """Drop both; reports are refused."""
    op.drop_index("ix_secrets_hash", "secrets")
    op.drop_table("leak_reporters")

"""The life of signing keys: when they rotate, where they are kept, which verifiers have seen them, and how old we are.

Only adds: a program of the schema before goes on working beside it (every new
column has a default), and the way back drops what was added.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_SETTINGS = (
    ("key_rotation_days", "0"),
    ("key_announcement_hours", "24"),
    ("key_patience_hours", "168"),
    ("post_quantum", "0"),
)


def upgrade() -> None:
    """Add what a rotation needs to know."""
    for name, default in _SETTINGS:
        op.add_column("settings", sa.Column(name, sa.Integer(), server_default=default, nullable=False))
    op.add_column("signing_keys", sa.Column("holder", sa.String(16), server_default="database", nullable=False))
    op.add_column("resource_servers", sa.Column("jwks_client", sa.String(64)))
    op.create_index("uq_resource_servers_jwks_client", "resource_servers", ["jwks_client"], unique=True)
    op.create_table(
        "jwks_verifiers",
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("fetches", sa.BigInteger(), nullable=False),
        sa.Column("last_fetched_at", sa.BigInteger(), nullable=False),
        sa.Column("seen", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", name="pk_jwks_verifiers"),
    )
    op.create_table(
        "witnesses",
        sa.Column("node", sa.String(64), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("node", name="pk_witnesses"),
    )


def downgrade() -> None:
    """Forget it again."""
    op.drop_table("witnesses")
    op.drop_table("jwks_verifiers")
    op.drop_index("uq_resource_servers_jwks_client", "resource_servers")
    op.drop_column("resource_servers", "jwks_client")
    op.drop_column("signing_keys", "holder")
    for name, _ in reversed(_SETTINGS):
        op.drop_column("settings", name)

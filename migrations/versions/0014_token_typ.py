"""The ``typ`` of the tokens for a resource server, ``at+jwt`` until somebody chooses ``JWT``.

The version before goes on working on it: it names no such column and issues ``at+jwt``, so choose ``JWT`` once all
nodes run this version (INV-24).
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("resource_servers", sa.Column("token_typ", sa.String(8), nullable=False, server_default="at+jwt"))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("resource_servers", "token_typ")

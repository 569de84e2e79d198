"""Settings of the past: whom an earlier idle timeout or maximum lifetime killed stays dead (INV-05).

Both columns have a default, so that the program before can still seed a new database.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

COLUMNS = ("used_since", "issued_since")


def upgrade() -> None:
    """Remember from now on."""
    for name in COLUMNS:
        op.add_column("settings", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))


def downgrade() -> None:
    """Forget."""
    for name in reversed(COLUMNS):
        op.drop_column("settings", name)

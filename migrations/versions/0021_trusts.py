"""Trusts of credentials in the tokens of other issuers, in the table of what authenticates clients.

The version before goes on working on it: it takes a trust for a secret that nothing equals, and its tokens for those of
that secret, which they are (INV-24). It ends trusts with the secrets when it makes a new secret.
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None
runs_from = "0016"


def upgrade() -> None:
    """Add both columns, and an index that is empty; no row is touched."""
    op.add_column("secrets", sa.Column("trust", sa.Text()))
    op.add_column("secrets", sa.Column("trust_issuer", sa.String(255)))
    some = sa.text("trust_issuer IS NOT NULL")
    op.create_index("ix_secrets_trust_issuer", "secrets", ["trust_issuer"], sqlite_where=some, postgresql_where=some)


def downgrade() -> None:
    """Drop them; what a trust obtained stays the token of an ended secret, and ends."""
    op.execute("UPDATE secrets SET ends_at = created_at WHERE trust IS NOT NULL AND ends_at IS NULL")
    op.drop_index("ix_secrets_trust_issuer", "secrets")
    op.drop_column("secrets", "trust_issuer")
    op.drop_column("secrets", "trust")

"""Who works on a pending revocation and until when, and what has long expired.

Revision: 0003
Follows: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A migration that cannot get its lock gives way instead of stopping every login.
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.add_column(
        "vend", sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column(
        "vend", sa.Column("tries", sa.Integer(), server_default="0", nullable=False)
    )
    op.create_index(
        "ix_vend_pending",
        "vend",
        ["lease_until"],
        unique=False,
        postgresql_where=sa.text("state = 'revoke_pending'"),
    )
    op.create_index("ix_vend_expires_at", "vend", ["expires_at"], unique=False)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_index("ix_vend_expires_at", table_name="vend")
    op.drop_index(
        "ix_vend_pending",
        table_name="vend",
        postgresql_where=sa.text("state = 'revoke_pending'"),
    )
    op.drop_column("vend", "tries")
    op.drop_column("vend", "lease_until")

"""Which Box users may be left over, and who is dealing with them.

Revision: 0004
Follows: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    # A migration that cannot get its lock gives way instead of stopping every login.
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    count = sa.Column("creates_sent", sa.Integer(), server_default="0", nullable=False)
    op.add_column("account", count, if_not_exists=True)
    op.add_column("account", sa.Column("recheck_at", _TIME), if_not_exists=True)
    op.add_column(
        "box_orphan",
        sa.Column("spare", sa.Boolean(), server_default=sa.false(), nullable=False),
        if_not_exists=True,
    )
    op.add_column("box_orphan", sa.Column("lease_until", _TIME), if_not_exists=True)
    # Outside the transaction, so that logins go on while a big table is read. Where a
    # run was interrupted, what it left is in the way of the next: the columns, and an
    # index that is not valid.
    with op.get_context().autocommit_block():
        op.drop_index("ix_account_recheck_at", table_name="account", if_exists=True)
        op.create_index(
            "ix_account_recheck_at",
            "account",
            ["recheck_at"],
            unique=False,
            postgresql_where=sa.text("recheck_at IS NOT NULL"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_index("ix_account_recheck_at", table_name="account")
    op.drop_column("box_orphan", "lease_until")
    op.drop_column("box_orphan", "spare")
    op.drop_column("account", "recheck_at")
    op.drop_column("account", "creates_sent")

"""How often tokens are minted, asked after at Box, and until when they may live.

Revision: 0006
Follows: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    # A migration that cannot get its lock gives way instead of stopping every login.
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    probes = sa.Column("probes", sa.Integer(), server_default="0", nullable=False)
    op.add_column("vend", probes, if_not_exists=True)
    op.add_column("vend", sa.Column("probed_at", _TIME), if_not_exists=True)
    op.add_column("vend", sa.Column("revoke_at", _TIME), if_not_exists=True)
    # Outside the transaction, so that logins go on while a big table is read. Where a
    # run was interrupted, what it left is in the way of the next: the columns, and
    # indexes that are not valid.
    with op.get_context().autocommit_block():
        for name in ("ix_vend_account_minted", "ix_vend_revoke_at"):
            op.drop_index(name, table_name="vend", if_exists=True)
        op.create_index(
            "ix_vend_account_minted",
            "vend",
            ["account_id", "minted_at"],
            unique=False,
            postgresql_concurrently=True,
        )
        op.create_index(
            "ix_vend_revoke_at",
            "vend",
            ["revoke_at"],
            unique=False,
            postgresql_where=sa.text("state = 'live' AND revoke_at IS NOT NULL"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_index("ix_vend_revoke_at", table_name="vend")
    op.drop_index("ix_vend_account_minted", table_name="vend")
    op.drop_column("vend", "revoke_at")
    op.drop_column("vend", "probed_at")
    op.drop_column("vend", "probes")

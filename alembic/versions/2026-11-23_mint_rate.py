"""When each account had its latest tokens minted, for the limit that processes share.

Revision: 0009
Follows: 0008
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A migration that cannot get its lock gives way instead of stopping every login.
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    times = postgresql.ARRAY(sa.DateTime(timezone=True))
    op.create_table(
        "mint_rate",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("begun", times, nullable=False),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_mint_rate")),
        # A minute's worth: not in the log, so that to count a mint waits for no disk.
        prefixes=["UNLOGGED"],
        if_not_exists=True,
    )
    # It was for the count of mints, which the table replaces. Outside the transaction,
    # so that logins go on; where that was interrupted, the table is there already.
    with op.get_context().autocommit_block():
        op.drop_index(
            "ix_vend_account_minted",
            table_name="vend",
            if_exists=True,
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_table("mint_rate")
    op.create_index("ix_vend_account_minted", "vend", ["account_id", "minted_at"])

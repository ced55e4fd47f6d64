"""Find people by their e-mail address, whatever its case.

Revision: 0011
Follows: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A migration that cannot get its lock gives way instead of stopping every login.
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    # Of a run that was interrupted: it is not valid.
    op.drop_index("ix_identity_email_lower", table_name="identity", if_exists=True)
    # Outside the transaction, so that logins go on while a big table is read.
    with op.get_context().autocommit_block():
        op.create_index(
            "ix_identity_email_lower",
            "identity",
            [sa.text("lower(email)")],
            unique=False,
            postgresql_concurrently=True,
        )
        op.drop_index(
            "ix_identity_email",
            table_name="identity",
            if_exists=True,
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.create_index("ix_identity_email", "identity", ["email"], unique=False)
    op.drop_index("ix_identity_email_lower", table_name="identity")

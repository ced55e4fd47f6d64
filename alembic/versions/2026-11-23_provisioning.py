"""What is done for a person at Box beside the login, and the claims it follows from.

Revision: 0005
Follows: 0004
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A migration that cannot get its lock gives way instead of stopping every login.
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.add_column("identity", sa.Column("claims_digest", sa.String(), nullable=True))
    op.add_column(
        "identity", sa.Column("claims_issued_at", sa.BigInteger(), nullable=True)
    )
    op.create_table(
        "furnishing",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("box_user_id", sa.String(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
            name=op.f("fk_furnishing_account_id_account"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_furnishing")),
    )
    op.create_index(
        "ix_furnishing_due_at",
        "furnishing",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_table(
        "furnishing_step",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("identity_id", sa.Uuid(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("parent_key", sa.String(), nullable=True),
        sa.Column("params", postgresql.JSONB(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column(
            "due_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("box_id", sa.String(), nullable=True),
        sa.Column("ours", sa.Boolean(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.CheckConstraint(
            "state IN ('pending', 'done', 'failed', 'skipped')",
            name=op.f("ck_furnishing_step_state"),
        ),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["furnishing.account_id"],
            name=op.f("fk_furnishing_step_account_id_furnishing"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["identity_id"],
            ["identity.id"],
            name=op.f("fk_furnishing_step_identity_id_identity"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("account_id", "key", name=op.f("pk_furnishing_step")),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_table("furnishing_step")
    op.drop_index(
        "ix_furnishing_due_at",
        table_name="furnishing",
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.drop_table("furnishing")
    op.drop_column("identity", "claims_issued_at")
    op.drop_column("identity", "claims_digest")

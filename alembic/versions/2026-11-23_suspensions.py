"""Providers and clients that are locked as a whole.

Revision: 0008
Follows: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)

# Every process is to forget everybody: a suspension touches no account's row.
_FORGET = """
CREATE OR REPLACE FUNCTION sso_box_forget_everybody() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('sso_box_forget', '');
    RETURN NULL;
END
$$
"""
_ON_CHANGE = """
CREATE OR REPLACE TRIGGER suspension_forget_everybody
AFTER INSERT OR DELETE ON suspension
FOR EACH STATEMENT EXECUTE FUNCTION sso_box_forget_everybody()
"""


def upgrade() -> None:
    # A migration that cannot get its lock gives way instead of stopping every login.
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.create_table(
        "suspension",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column(
            "since",
            _TIME,
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("settled_at", _TIME, nullable=True),
        sa.Column("closed_to", sa.Uuid(), nullable=True),
        sa.Column("closed_at", _TIME, nullable=True),
        sa.Column("closed_tokens", sa.Integer(), server_default="0", nullable=False),
        sa.CheckConstraint(
            "kind IN ('provider', 'client')", name=op.f("ck_suspension_kind")
        ),
        sa.PrimaryKeyConstraint("kind", "value", name=op.f("pk_suspension")),
        if_not_exists=True,
    )
    op.execute(_FORGET)
    op.execute(_ON_CHANGE)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_table("suspension")
    op.execute("DROP FUNCTION sso_box_forget_everybody()")

"""The first tables: accounts, identities, orphans and vends.

Revision: 0001
Follows:
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A migration that cannot get its lock gives way instead of stopping every login.
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.create_table(
        "account",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("realm", sa.String(), nullable=False),
        sa.Column("external_app_user_id", sa.String(), nullable=False),
        sa.Column("box_user_id", sa.String(), nullable=True),
        sa.Column("box_client_id", sa.String(), nullable=False),
        sa.Column("box_enterprise_id", sa.String(), nullable=False),
        sa.Column("bound_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("claim_fence", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("claim_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("create_sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("refused_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("refusal", sa.String(), nullable=True),
        sa.Column("locked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lock_reason", sa.String(), nullable=True),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint("kind IN ('app', 'managed')", name=op.f("ck_account_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
        sa.UniqueConstraint("box_user_id", name=op.f("uq_account_box_user_id")),
        sa.UniqueConstraint(
            "external_app_user_id", name=op.f("uq_account_external_app_user_id")
        ),
    )
    op.create_table(
        "box_orphan",
        sa.Column("box_user_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column(
            "found_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
            name=op.f("fk_box_orphan_account_id_account"),
        ),
        sa.PrimaryKeyConstraint("box_user_id", name=op.f("pk_box_orphan")),
    )
    op.create_index(
        op.f("ix_box_orphan_account_id"), "box_orphan", ["account_id"], unique=False
    )
    op.create_table(
        "identity",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("email", sa.String(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_identity_account_id_account")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity")),
        sa.UniqueConstraint(
            "namespace", "subject", name=op.f("uq_identity_namespace_subject")
        ),
    )
    op.create_index(
        op.f("ix_identity_account_id"), "identity", ["account_id"], unique=False
    )
    op.create_index(op.f("ix_identity_email"), "identity", ["email"], unique=False)
    op.create_table(
        "vend",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("identity_id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("profile", sa.String(), nullable=False),
        sa.Column("scopes", sa.String(), nullable=False),
        sa.Column("resource", sa.String(), nullable=False),
        sa.Column("token_sha256", sa.String(), nullable=False),
        sa.Column("handle", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column(
            "minted_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
            name=op.f("fk_vend_account_id_account"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["identity_id"],
            ["identity.id"],
            name=op.f("fk_vend_identity_id_identity"),
            ondelete="RESTRICT",
        ),
        sa.CheckConstraint(
            "state IN ('live', 'revoke_pending', 'revoked')", name=op.f("ck_vend_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vend")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_vend_token_sha256")),
    )
    op.create_index(
        "ix_vend_account_open",
        "vend",
        ["account_id"],
        unique=False,
        postgresql_where=sa.text("state <> 'revoked'"),
    )
    op.create_index(
        "ix_vend_reuse",
        "vend",
        ["identity_id", "client_id", "profile", "scopes", "resource", "minted_at"],
        unique=False,
        postgresql_where=sa.text("state = 'live'"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.drop_index(
        "ix_vend_reuse", table_name="vend", postgresql_where=sa.text("state = 'live'")
    )
    op.drop_index(
        "ix_vend_account_open",
        table_name="vend",
        postgresql_where=sa.text("state <> 'revoked'"),
    )
    op.drop_table("vend")
    op.drop_index(op.f("ix_identity_email"), table_name="identity")
    op.drop_index(op.f("ix_identity_account_id"), table_name="identity")
    op.drop_table("identity")
    op.drop_index(op.f("ix_box_orphan_account_id"), table_name="box_orphan")
    op.drop_table("box_orphan")
    op.drop_table("account")

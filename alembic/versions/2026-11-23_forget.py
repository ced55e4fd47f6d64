"""Tell every process which account it must no longer serve from memory.

Revision: 0007
Follows: 0006
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# The account of the row that changed. By triggers, so that no way to change a row can
# leave it out, an administrator's own SQL included.
_FUNCTION = """
CREATE OR REPLACE FUNCTION sso_box_forget() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('sso_box_forget', to_jsonb(OLD) ->> TG_ARGV[0]);
    RETURN NULL;
END
$$
"""
# A first binding, and a token that is new, change nothing that anybody remembers.
_TRIGGERS = {
    "account": """
        CREATE OR REPLACE TRIGGER account_forget AFTER UPDATE ON account
        FOR EACH ROW WHEN (
            (OLD.box_user_id IS NOT NULL
             AND OLD.box_user_id IS DISTINCT FROM NEW.box_user_id)
            OR OLD.locked_at IS DISTINCT FROM NEW.locked_at
            OR OLD.removed_at IS DISTINCT FROM NEW.removed_at
            OR OLD.not_before IS DISTINCT FROM NEW.not_before
        ) EXECUTE FUNCTION sso_box_forget('id')
    """,
    "identity": """
        CREATE OR REPLACE TRIGGER identity_forget AFTER UPDATE ON identity
        FOR EACH ROW WHEN (OLD.account_id IS DISTINCT FROM NEW.account_id)
        EXECUTE FUNCTION sso_box_forget('account_id')
    """,
    "vend": """
        CREATE OR REPLACE TRIGGER vend_forget AFTER UPDATE ON vend
        FOR EACH ROW WHEN (OLD.state = 'live' AND NEW.state <> 'live')
        EXECUTE FUNCTION sso_box_forget('account_id')
    """,
}


def upgrade() -> None:
    # A migration that cannot get its lock gives way instead of stopping every login.
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.execute(_FUNCTION)
    for trigger in _TRIGGERS.values():
        op.execute(trigger)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '4s'")
    for table in _TRIGGERS:
        op.execute(f"DROP TRIGGER {table}_forget ON {table}")
    op.execute("DROP FUNCTION sso_box_forget()")

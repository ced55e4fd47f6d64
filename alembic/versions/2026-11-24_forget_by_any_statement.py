"""Tell the processes of every change that a login would have seen, not of ours alone.

Revision: 0010
Follows: 0009
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# Columns of a live token by which a login finds it, and that say until when it may be
# handed out. What logins write themselves is not among them: to be told costs a lock of
# the whole database at each commit.
_TOKEN = (
    "account_id",
    "identity_id",
    "client_id",
    "profile",
    "scopes",
    "resource",
    "token_sha256",
    "expires_at",
    "revoke_at",
)


def _differs(*columns: str) -> str:
    return " OR ".join(f"OLD.{c} IS DISTINCT FROM NEW.{c}" for c in columns)


_VEND = """
CREATE OR REPLACE TRIGGER vend_forget AFTER UPDATE ON vend
FOR EACH ROW WHEN (OLD.state = 'live' AND ({}))
EXECUTE FUNCTION sso_box_forget('account_id')
"""
_IDENTITY = """
CREATE OR REPLACE TRIGGER identity_forget AFTER UPDATE ON identity
FOR EACH ROW WHEN ({}) EXECUTE FUNCTION sso_box_forget('account_id')
"""
_SUSPENSION = """
CREATE OR REPLACE TRIGGER suspension_forget_everybody AFTER {} ON suspension
FOR EACH STATEMENT EXECUTE FUNCTION sso_box_forget_everybody()
"""
# Of tokens those alone that somebody may have in memory, for the expired ones are
# cleared up all the time. No identity and no account goes before its tokens do: their
# foreign keys are in the way.
_VEND_DELETED = """
CREATE OR REPLACE TRIGGER vend_forget_deleted AFTER DELETE ON vend
FOR EACH ROW WHEN (OLD.state = 'live' AND OLD.expires_at > clock_timestamp())
EXECUTE FUNCTION sso_box_forget('account_id')
"""
_VEND_TRUNCATED = """
CREATE OR REPLACE TRIGGER vend_forget_truncated AFTER TRUNCATE ON vend
FOR EACH STATEMENT EXECUTE FUNCTION sso_box_forget_everybody()
"""


def upgrade() -> None:
    # A migration that cannot get its lock gives way instead of stopping every login.
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.execute(_VEND.format(_differs("state", *_TOKEN)))
    op.execute(_IDENTITY.format(_differs("account_id", "namespace", "subject")))
    op.execute(_SUSPENSION.format("INSERT OR DELETE OR UPDATE OF kind, value"))
    op.execute(_VEND_DELETED)
    op.execute(_VEND_TRUNCATED)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("DROP TRIGGER vend_forget_truncated ON vend")
    op.execute("DROP TRIGGER vend_forget_deleted ON vend")
    op.execute(_SUSPENSION.format("INSERT OR DELETE"))
    op.execute(_IDENTITY.format(_differs("account_id")))
    op.execute(_VEND.format("NEW.state <> 'live'"))

"""The tables of what is done for a person at Box beside the login, step by step."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

_TIME = DateTime(timezone=True)


class FurnishingRow(SQLModel, table=True):
    """An account that has steps: who works on it, and when there is something to do."""

    __tablename__ = "furnishing"

    account_id: UUID = Field(
        primary_key=True, foreign_key="account.id", ondelete="RESTRICT"
    )
    # For whom the steps were done; with another Box user they begin anew.
    box_user_id: str
    # None where nothing is left to do.
    due_at: datetime | None = Field(default=None, sa_type=_TIME)
    lease_until: datetime | None = Field(default=None, sa_type=_TIME)

    __table_args__ = (
        Index(
            "ix_furnishing_due_at",
            "due_at",
            postgresql_where=text("due_at IS NOT NULL"),
        ),
    )


class FurnishingStepRow(SQLModel, table=True):
    """One thing to be there at Box. ``params`` is null where a claim was missing."""

    __tablename__ = "furnishing_step"

    account_id: UUID = Field(
        primary_key=True, foreign_key="furnishing.account_id", ondelete="RESTRICT"
    )
    # What the template calls it, the same whatever the claims say.
    key: str = Field(primary_key=True)
    # Whose claims asked for it, of the identities that share the account.
    identity_id: UUID | None = Field(
        default=None, foreign_key="identity.id", ondelete="SET NULL"
    )
    position: int
    kind: str
    parent_key: str | None = Field(default=None)
    params: dict[str, Any] | None = Field(
        default=None, sa_type=JSONB(none_as_null=True)
    )
    # Counts what was asked for, so that an older outcome cannot answer it.
    version: int = Field(default=0)
    state: str
    tries: int = Field(default=0)
    due_at: datetime | None = Field(
        default=None,
        sa_type=_TIME,
        sa_column_kwargs={
            "server_default": text("clock_timestamp()"),
            "nullable": False,
        },
    )
    # The Box id of what came of it.
    box_id: str | None = Field(default=None)
    # Of a membership: whether this service added it. None before the first look.
    ours: bool | None = Field(default=None)
    error: str | None = Field(default=None)

    __table_args__ = (
        CheckConstraint(
            "state IN ('pending', 'done', 'failed', 'skipped')", name="state"
        ),
    )

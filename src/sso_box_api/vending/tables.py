"""The tables: everything that was handed out and may still be alive, and mints of late."""

from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, Index, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

_TIME = DateTime(timezone=True)


class VendRow(SQLModel, table=True):
    """One minted token. Never overwritten; ``handle`` is the token, encrypted."""

    __tablename__ = "vend"

    id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="account.id", ondelete="RESTRICT")
    identity_id: UUID = Field(foreign_key="identity.id", ondelete="RESTRICT")
    provider: str
    client_id: str
    profile: str
    scopes: str
    # Empty for none: NULL would never equal itself in the reuse key.
    resource: str = Field(default="")
    token_sha256: str = Field(unique=True)
    handle: str
    key_id: str
    state: str = Field(default="live")
    minted_at: datetime | None = Field(
        default=None,
        sa_type=_TIME,
        sa_column_kwargs={
            "server_default": text("clock_timestamp()"),
            "nullable": False,
        },
    )
    expires_at: datetime = Field(sa_type=_TIME)
    # When this service ends it itself, where its profile says how long it may live.
    revoke_at: datetime | None = Field(default=None, sa_type=_TIME)
    # How often Box was asked of late whether it still takes it, and when it last was.
    probes: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    probed_at: datetime | None = Field(default=None, sa_type=_TIME)
    # While pending: until when somebody works on it, and how often somebody did. While
    # live: until when somebody asks Box about it.
    lease_until: datetime | None = Field(default=None, sa_type=_TIME)
    tries: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})

    __table_args__ = (
        CheckConstraint("state IN ('live', 'revoke_pending', 'revoked')", name="state"),
        Index(
            "ix_vend_reuse",
            "identity_id",
            "client_id",
            "profile",
            "scopes",
            "resource",
            "minted_at",
            postgresql_where=text("state = 'live'"),
        ),
        Index(
            "ix_vend_account_open",
            "account_id",
            postgresql_where=text("state <> 'revoked'"),
        ),
        Index(
            "ix_vend_pending",
            "lease_until",
            postgresql_where=text("state = 'revoke_pending'"),
        ),
        Index("ix_vend_expires_at", "expires_at"),
        Index(
            "ix_vend_revoke_at",
            "revoke_at",
            postgresql_where=text("state = 'live' AND revoke_at IS NOT NULL"),
        ),
    )


class MintRateRow(SQLModel, table=True):
    """When the latest mints of an account began, newest first; a minute's worth.

    Unlogged: a server that crashes forgets it, and to count waits for no disk. Without
    a foreign key, whose check would wait for whoever locks the account just now.
    """

    __tablename__ = "mint_rate"

    account_id: UUID = Field(primary_key=True)
    begun: list[datetime] = Field(sa_type=ARRAY(_TIME))

    __table_args__ = ({"prefixes": ["UNLOGGED"]},)


# The same as plain tables: statements of these do without the object mapper.
VEND: Final = SQLModel.metadata.tables["vend"]
MINT_RATE: Final = SQLModel.metadata.tables["mint_rate"]

"""The tables of the accounts room: who is bound to which Box user.

Three facts are kept apart on purpose (bound, locked, removed): a login writes only the
first, an administrator only the others. The row is the truth; Box's own look-up by
external id serves recovery alone.
"""

from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Index,
    UniqueConstraint,
    false,
    text,
)
from sqlmodel import Field, SQLModel

# Deterministic names, so that a migration can address every constraint.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(column_0_N_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

_TIME = DateTime(timezone=True)
_NOW = {"server_default": text("clock_timestamp()"), "nullable": False}


class AccountRow(SQLModel, table=True):
    """One Box user, bound or about to be, and whether it may be used."""

    __tablename__ = "account"

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    kind: str = Field(default="app")
    realm: str
    external_app_user_id: str = Field(unique=True)
    box_user_id: str | None = Field(default=None, unique=True)
    box_client_id: str
    box_enterprise_id: str
    bound_at: datetime | None = Field(default=None, sa_type=_TIME)
    # The claim: who is creating the Box user now, and since when a POST may be out.
    claim_fence: int = Field(
        default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": "0"}
    )
    claim_until: datetime | None = Field(default=None, sa_type=_TIME)
    create_sent_at: datetime | None = Field(default=None, sa_type=_TIME)
    # POSTs that may have made a user; where there is more than the bound one to come
    # of them, Box is looked at once more.
    creates_sent: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    recheck_at: datetime | None = Field(default=None, sa_type=_TIME)
    refused_until: datetime | None = Field(default=None, sa_type=_TIME)
    refusal: str | None = Field(default=None)
    # The gate.
    locked_at: datetime | None = Field(default=None, sa_type=_TIME)
    lock_reason: str | None = Field(default=None)
    removed_at: datetime | None = Field(default=None, sa_type=_TIME)
    not_before: datetime | None = Field(default=None, sa_type=_TIME)
    created_at: datetime | None = Field(
        default=None, sa_type=_TIME, sa_column_kwargs=_NOW
    )

    __table_args__ = (
        CheckConstraint("kind IN ('app', 'managed')", name="kind"),
        Index(
            "ix_account_recheck_at",
            "recheck_at",
            postgresql_where=text("recheck_at IS NOT NULL"),
        ),
    )


class IdentityRow(SQLModel, table=True):
    """One person at one provider; several identities may share an account."""

    __tablename__ = "identity"

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    namespace: str
    subject: str
    provider: str
    account_id: UUID = Field(foreign_key="account.id", index=True)
    # Hints for administrators who look a person up; never a key.
    name: str | None = Field(default=None)
    email: str | None = Field(default=None)
    # What its claims came to when they were last acted on, and the iat of that token.
    claims_digest: str | None = Field(default=None)
    claims_issued_at: int | None = Field(default=None, sa_type=BigInteger)
    created_at: datetime | None = Field(
        default=None, sa_type=_TIME, sa_column_kwargs=_NOW
    )

    __table_args__ = (
        UniqueConstraint("namespace", "subject"),
        Index("ix_identity_email_lower", text("lower(email)")),
    )


class NonceProofRow(SQLModel, table=True):
    """When an identity's page last proved that the login was its own."""

    __tablename__ = "nonce_proof"

    identity_id: UUID = Field(foreign_key="identity.id", primary_key=True)
    client_id: str = Field(primary_key=True)
    proved_at: datetime | None = Field(
        default=None, sa_type=_TIME, sa_column_kwargs=_NOW
    )


class SuspensionRow(SQLModel, table=True):
    """A provider whose people, or a client whose users, are handed out nothing.

    What was handed out before is closed page by page, by whoever has time for it.
    """

    __tablename__ = "suspension"

    kind: str = Field(primary_key=True)
    # A configured provider's id, or a client id.
    value: str = Field(primary_key=True)
    reason: str
    since: datetime | None = Field(default=None, sa_type=_TIME, sa_column_kwargs=_NOW)
    # When no mint could be under way any more that had not seen this row.
    settled_at: datetime | None = Field(default=None, sa_type=_TIME)
    # The last identity of the page that was closed; None before the first page.
    closed_to: UUID | None = Field(default=None)
    closed_at: datetime | None = Field(default=None, sa_type=_TIME)
    closed_tokens: int = Field(default=0, sa_column_kwargs={"server_default": "0"})

    __table_args__ = (CheckConstraint("kind IN ('provider', 'client')", name="kind"),)


class BoxOrphanRow(SQLModel, table=True):
    """A Box user made for an identity and bound to nobody, until it is dealt with.

    ``spare``: this service made it and gave it to nobody, so that it may delete it.
    """

    __tablename__ = "box_orphan"

    box_user_id: str = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="account.id", index=True)
    reason: str
    spare: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    lease_until: datetime | None = Field(default=None, sa_type=_TIME)
    found_at: datetime | None = Field(
        default=None, sa_type=_TIME, sa_column_kwargs=_NOW
    )
    resolved_at: datetime | None = Field(default=None, sa_type=_TIME)


# The same as plain tables: statements of these do without the object mapper.
ACCOUNT: Final = SQLModel.metadata.tables["account"]
IDENTITY: Final = SQLModel.metadata.tables["identity"]
BOX_ORPHAN: Final = SQLModel.metadata.tables["box_orphan"]
SUSPENSION: Final = SQLModel.metadata.tables["suspension"]

"""Accounts: finding them, the gate, lock and unlock.

Functions take the session of a transaction that the caller opened and never commit;
``find`` also the database, to be a transaction by itself.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from sqlalchemy import (
    String,
    and_,
    bindparam,
    func,
    literal,
    select as core_select,
)
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select as sql_select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from sso_box_api.accounts.suspensions import refuse, suspended_by
from sso_box_api.accounts.tables import ACCOUNT, IDENTITY, AccountRow, IdentityRow
from sso_box_api.db import Database, execute
from sso_box_api.errors import (
    AccountLocked,
    AccountRemoved,
    SignedOut,
)

# How every external id that this service makes begins.
EXTERNAL_ID_PREFIX: Final = "sb1-"

# Where triggers tell the id of an account that may no longer be served as before, and
# an empty text for all of them.
FORGET_CHANNEL: Final = "sso_box_forget"


@dataclass(frozen=True, slots=True)
class Person:
    """An identity as the claim protocol needs it; the key is (namespace, subject).

    ``claims``: what else its provider said of it, as far as the settings use it.
    """

    provider: str
    namespace: str
    subject: str
    name: str | None = None
    email: str | None = None
    email_trusted: bool = False
    claims: Mapping[str, str | int | bool | tuple[str, ...]] = field(
        default_factory=dict
    )


@dataclass(frozen=True, slots=True)
class Account:
    """A snapshot of one identity's account. ``box_user_id`` is None until bound.

    ``claims_digest``: of the claims last acted on, where ``find`` read the account.
    ``is_new``: made by whoever has this snapshot, so that no token of it is listed.
    """

    id: UUID
    identity_id: UUID
    kind: str
    external_app_user_id: str
    box_user_id: str | None
    locked_at: datetime | None
    lock_reason: str | None
    removed_at: datetime | None
    not_before: datetime | None
    claims_digest: str | None = None
    is_new: bool = field(default=False, compare=False)

    @property
    def state(self) -> Literal["pending", "active", "locked", "removed"]:
        """Sum the facts up for people; decisions go through the checks below."""
        if self.removed_at is not None:
            return "removed"
        if self.locked_at is not None:
            return "locked"
        return "active" if self.box_user_id else "pending"

    @property
    def bound_user_id(self) -> str:
        """The Box user, of an account that is known to be bound."""
        assert self.box_user_id is not None  # noqa: S101 - see the docstring
        return self.box_user_id

    def check_open(self) -> None:
        """Raise ``AccountRemoved`` or ``AccountLocked`` where an administrator said so."""
        if self.removed_at is not None:
            raise AccountRemoved
        if self.locked_at is not None:
            raise AccountLocked  # the reason is an administrator's text, and may name people

    def check_gate(self, signed_in_at: int) -> None:
        """Let pass only who may be served now.

        ``signed_in_at``: auth_time of the ID token, else its iat, in epoch seconds.
        Raises what ``check_open`` raises, or ``SignedOut``.
        """
        self.check_open()
        self.check_login(signed_in_at)

    def check_login(self, signed_in_at: int) -> None:
        """Raise ``SignedOut`` for a login that was ended, whatever else is the case."""
        if self.not_before is not None and signed_in_at <= self.not_before.timestamp():
            raise SignedOut


@dataclass(frozen=True, slots=True)
class Candidate:
    """An identity with its account, as an administrator sees it."""

    provider: str
    namespace: str
    subject: str
    name: str | None
    email: str | None
    account: Account


def external_id(realm: str, namespace: str, subject: str) -> str:
    """Derive the external_app_user_id under which Box keeps this identity's user.

    Unkeyed and made of nothing that a restore or a key rotation could lose; the parts
    are length-prefixed, so that no two triples share a digest input.
    """
    digest = hashlib.sha256()
    for part in (realm, namespace, subject):
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return EXTERNAL_ID_PREFIX + base64.b32encode(digest.digest()).decode()[:32]


# In the order of the fields of ``Account``.
ACCOUNT_COLUMNS: Final = (
    ACCOUNT.c.id,
    IDENTITY.c.id,
    ACCOUNT.c.kind,
    ACCOUNT.c.external_app_user_id,
    ACCOUNT.c.box_user_id,
    ACCOUNT.c.locked_at,
    ACCOUNT.c.lock_reason,
    ACCOUNT.c.removed_at,
    ACCOUNT.c.not_before,
    IDENTITY.c.claims_digest,
)
_FIND: Final = (
    core_select(*ACCOUNT_COLUMNS)
    .join_from(IDENTITY, ACCOUNT, ACCOUNT.c.id == IDENTITY.c.account_id)
    .where(
        IDENTITY.c.namespace == bindparam("namespace"),
        IDENTITY.c.subject == bindparam("subject"),
    )
)


async def find(
    on: Database | AsyncSession, namespace: str, subject: str
) -> Account | None:
    rows = await execute(on, _FIND, {"namespace": namespace, "subject": subject})
    return Account(*rows[0]) if rows else None


# One row whatever is there, so that one statement tells both.
_ONE: Final = core_select(literal(1).label("one")).subquery()
_LOOK_UP: Final = core_select(
    suspended_by(
        bindparam("provider", type_=String), bindparam("client_id", type_=String)
    ),
    *ACCOUNT_COLUMNS,
).select_from(
    _ONE.outerjoin(
        IDENTITY,
        and_(
            IDENTITY.c.namespace == bindparam("namespace"),
            IDENTITY.c.subject == bindparam("subject"),
        ),
    ).outerjoin(ACCOUNT, ACCOUNT.c.id == IDENTITY.c.account_id)
)


async def look_up(
    on: Database | AsyncSession,
    namespace: str,
    subject: str,
    *,
    provider: str,
    client_id: str,
) -> Account | None:
    """Find the account of who comes through this provider and client.

    Raises ``AccessSuspended``, also for somebody who has no account yet.
    """
    values = {
        "namespace": namespace,
        "subject": subject,
        "provider": provider,
        "client_id": client_id,
    }
    [(suspended, *account)] = await execute(on, _LOOK_UP, values)
    refuse(suspended)
    return Account(*account) if account[0] is not None else None


async def ensure_row(
    session: AsyncSession, person: Person, *, realm: str, box_app: tuple[str, str]
) -> None:
    """Insert identity and account if absent; the database decides the race.

    ``box_app`` is (client id, enterprise id) of the Box app in use.
    """
    ext_id = external_id(realm, person.namespace, person.subject)
    account = AccountRow(
        realm=realm,
        external_app_user_id=ext_id,
        box_client_id=box_app[0],
        box_enterprise_id=box_app[1],
    )
    insert_account = (
        insert(AccountRow)
        .values(account.model_dump(exclude_none=True, exclude={"created_at"}))
        .on_conflict_do_nothing(index_elements=["external_app_user_id"])
    )
    await session.exec(insert_account)
    account_id = (
        await session.exec(
            sql_select(AccountRow.id).where(AccountRow.external_app_user_id == ext_id)
        )
    ).one()
    identity = IdentityRow(
        namespace=person.namespace,
        subject=person.subject,
        provider=person.provider,
        account_id=account_id,
        name=person.name,
        email=person.email,
    )
    insert_identity = (
        insert(IdentityRow)
        .values(identity.model_dump(exclude={"created_at"}))
        .on_conflict_do_nothing(index_elements=["namespace", "subject"])
    )
    await session.exec(insert_identity)


async def lock(session: AsyncSession, account_id: UUID, reason: str) -> None:
    """Lock; keeps the time and reason of an earlier lock."""
    statement = (
        update(AccountRow)
        .where(col(AccountRow.id) == account_id)
        .values(
            locked_at=func.coalesce(AccountRow.locked_at, func.clock_timestamp()),
            lock_reason=func.coalesce(AccountRow.lock_reason, reason),
        )
    )
    await session.exec(statement)


async def unlock(session: AsyncSession, account_id: UUID) -> None:
    statement = (
        update(AccountRow)
        .where(col(AccountRow.id) == account_id)
        .values(locked_at=None, lock_reason=None)
    )
    await session.exec(statement)


async def select(
    session: AsyncSession,
    *,
    namespace: str | None = None,
    subject: str | None = None,
    box_user_id: str | None = None,
    account_id: UUID | None = None,
    email: str | None = None,
    most: int = 50,
) -> list[Candidate]:
    """Find identities by what an administrator knows of them."""
    statement = (
        sql_select(IdentityRow, AccountRow)
        .join(AccountRow, col(AccountRow.id) == col(IdentityRow.account_id))
        .order_by(col(IdentityRow.created_at), col(IdentityRow.id))
        .limit(most)
    )
    conditions = {
        IdentityRow.namespace: namespace,
        IdentityRow.subject: subject,
        AccountRow.box_user_id: box_user_id,
        AccountRow.id: account_id,
    }
    for column, value in conditions.items():
        if value is not None:
            statement = statement.where(col(column) == value)
    if email is not None:
        # Directories and people write one address in different cases.
        is_it = func.lower(col(IdentityRow.email)) == func.lower(email)
        statement = statement.where(is_it)
    return [to_candidate(*row) for row in await session.exec(statement)]


def to_candidate(identity: IdentityRow, account: AccountRow) -> Candidate:
    return Candidate(
        provider=identity.provider,
        namespace=identity.namespace,
        subject=identity.subject,
        name=identity.name,
        email=identity.email,
        account=to_account(identity.id, account),
    )


def to_account(identity_id: UUID, row: AccountRow) -> Account:
    return Account(
        id=row.id,
        identity_id=identity_id,
        kind=row.kind,
        external_app_user_id=row.external_app_user_id,
        box_user_id=row.box_user_id,
        locked_at=row.locked_at,
        lock_reason=row.lock_reason,
        removed_at=row.removed_at,
        not_before=row.not_before,
    )

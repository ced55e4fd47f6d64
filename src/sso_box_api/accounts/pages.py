"""The accounts a page at a time, for work on all of them: list, reconcile, restore.

Each page is one short statement that begins where the last one ended, so that neither
memory nor the length of a transaction grows with the number of accounts.
Functions take the session of a transaction that the caller opened and never commit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import func, select as sql_select
from sqlmodel import col, delete, or_, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from sso_box_api.accounts.store import Candidate, to_candidate
from sso_box_api.accounts.tables import (
    AccountRow,
    IdentityRow,
    NonceProofRow,
)


@dataclass(frozen=True, slots=True)
class Stored:
    """What of an account is compared with Box.

    ``names``: of its people, as their first login gave them. ``unfinished``: it has no
    Box user yet, and the next login binds the one there is.
    """

    id: UUID
    kind: str
    external_app_user_id: str
    box_user_id: str | None
    is_open: bool
    unfinished: bool
    names: tuple[str, ...] = ()


# Columns and no entities, which take several times as long to make.
_OPEN = col(AccountRow.locked_at).is_(None) & col(AccountRow.removed_at).is_(None)
_UNFINISHED = col(AccountRow.box_user_id).is_(None) & col(AccountRow.removed_at).is_(
    None
)
_SELECT_STORED = sql_select(
    col(AccountRow.id),
    col(AccountRow.kind),
    col(AccountRow.external_app_user_id),
    col(AccountRow.box_user_id),
    _OPEN,
    _UNFINISHED,
)


async def page_of_candidates(
    session: AsyncSession, after: UUID | None, *, limit: int
) -> list[Candidate]:
    """Return identities with their accounts, in the order of the identities' ids."""
    statement = (
        select(IdentityRow, AccountRow)
        .join(AccountRow, col(AccountRow.id) == col(IdentityRow.account_id))
        .order_by(col(IdentityRow.id))
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(IdentityRow.id > after)
    return [to_candidate(*row) for row in await session.exec(statement)]


async def stored_for(
    session: AsyncSession, box_user_ids: Sequence[str], external_ids: Sequence[str]
) -> list[Stored]:
    """Return the accounts that have one of these Box users, or of these external ids."""
    statement = _SELECT_STORED.where(
        or_(
            col(AccountRow.box_user_id).in_(box_user_ids),
            col(AccountRow.external_app_user_id).in_(external_ids),
        )
    )
    connection = await session.connection()
    rows = [Stored(*row) for row in await connection.execute(statement)]
    names: dict[UUID, list[str]] = {}
    named = select(IdentityRow.account_id, IdentityRow.name).where(
        col(IdentityRow.account_id).in_([row.id for row in rows]),
        col(IdentityRow.name).is_not(None),
    )
    for account_id, name in await session.exec(named):
        names.setdefault(account_id, []).append(name or "")
    return [replace(row, names=tuple(names.get(row.id, ()))) for row in rows]


async def page_of_bound(
    session: AsyncSession, after: UUID | None, *, limit: int
) -> list[Stored]:
    """Return accounts that have a Box user, in the order of their ids."""
    statement = (
        _SELECT_STORED.where(col(AccountRow.box_user_id).is_not(None))
        .order_by(col(AccountRow.id))
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(col(AccountRow.id) > after)
    connection = await session.connection()
    return [Stored(*row) for row in await connection.execute(statement)]


async def sign_out_page(
    session: AsyncSession, after: UUID | None, *, limit: int
) -> list[tuple[UUID, str | None]]:
    """End every login of a page of accounts; return their ids and Box users.

    The rows stay locked until the commit, so that no token is listed in between.
    """
    statement = (
        select(AccountRow.id, AccountRow.box_user_id)
        .order_by(col(AccountRow.id))
        .limit(limit)
        .with_for_update()
    )
    if after is not None:
        statement = statement.where(AccountRow.id > after)
    rows = [(row[0], row[1]) for row in await session.exec(statement)]
    ids = [account_id for account_id, _ in rows]
    now = func.clock_timestamp()
    ending = (
        update(AccountRow)
        .where(col(AccountRow.id).in_(ids))
        # One from before the backup may lie ahead of this clock.
        .values(not_before=func.greatest(AccountRow.not_before, now))
    )
    await session.exec(ending)
    identities = select(IdentityRow.id).where(col(IdentityRow.account_id).in_(ids))
    await session.exec(
        delete(NonceProofRow).where(col(NonceProofRow.identity_id).in_(identities))
    )
    return rows


async def count(session: AsyncSession) -> tuple[int, int]:
    """Count the accounts, and those of them that have a Box user."""
    statement = select(
        func.count(col(AccountRow.id)), func.count(col(AccountRow.box_user_id))
    )
    all_of_them, bound = (await session.exec(statement)).one()
    return all_of_them, bound

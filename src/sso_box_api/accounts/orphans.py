"""Box users that are bound to nobody: found, listed, dealt with.

They come of crashes and races in first logins, and all of them are rows: those that are
known in ``box_orphan``, those that may yet show at Box as ``account.recheck_at``. Taking
one commits a lease, so that a process which dies at it is replaced.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, or_, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from sso_box_api.accounts.tables import AccountRow, BoxOrphanRow
from sso_box_api.db import once

_RECHECKED_FOR = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Recheck:
    """A bound account of which Box may show a second user by now."""

    account_id: UUID
    external_app_user_id: str


@dataclass(frozen=True, slots=True)
class Orphan:
    """An unresolved row of the list."""

    box_user_id: str
    account_id: UUID
    reason: str
    spare: bool


async def report_orphan(
    session: AsyncSession,
    account_id: UUID,
    box_user_id: str,
    reason: str,
    *,
    spare: bool = False,
    lease_s: float = 0.0,
) -> bool:
    """Keep a Box user that is bound to nobody on the list until it is dealt with.

    ``spare``: this process made it and gave it to nobody, and deletes it now, for which
    nobody else takes it for ``lease_s``. False where an account has got it meanwhile,
    also if it gave it up again.
    """
    owner = select(AccountRow.id).where(AccountRow.box_user_id == box_user_id)
    if (await session.exec(owner)).first() is not None:
        return False
    row = insert(BoxOrphanRow).values(
        box_user_id=box_user_id,
        account_id=account_id,
        reason=reason,
        spare=spare,
        lease_until=func.clock_timestamp() + timedelta(seconds=lease_s),
    )
    listed = await session.exec(
        row.on_conflict_do_update(
            index_elements=["box_user_id"],
            set_={
                "spare": or_(BoxOrphanRow.spare, row.excluded.spare),
                "lease_until": func.greatest(
                    BoxOrphanRow.lease_until, row.excluded.lease_until
                ),
            },
            where=col(BoxOrphanRow.resolved_at).is_(None),
        )
    )
    return listed.rowcount == 1


async def unlist(session: AsyncSession, box_user_id: str) -> bool:
    """Take a Box user that is being bound off the list; False while it is deleted."""
    statement = (
        select(
            BoxOrphanRow.spare, col(BoxOrphanRow.lease_until) > func.clock_timestamp()
        )
        .where(
            BoxOrphanRow.box_user_id == box_user_id,
            col(BoxOrphanRow.resolved_at).is_(None),
        )
        .with_for_update()
    )
    listed = (await session.exec(statement)).first()
    if listed is None:
        return True
    spare, is_taken = listed
    if spare and is_taken:
        return False
    await resolve_orphan(session, box_user_id)
    return True


async def resolve_orphan(session: AsyncSession, box_user_id: str) -> None:
    """Note that Box has deleted it, or that somebody has it."""
    statement = (
        update(BoxOrphanRow)
        .where(
            col(BoxOrphanRow.box_user_id) == box_user_id,
            col(BoxOrphanRow.resolved_at).is_(None),
        )
        .values(resolved_at=func.clock_timestamp())
    )
    await session.exec(statement)


async def keep_spares(session: AsyncSession, box_user_id: str | None = None) -> None:
    """Leave who is listed to an administrator, or the one that is named.

    Box refuses to delete who owns content: somebody may have got that user. And a
    restored list does not know who was bound to whom after the backup.
    """
    statement = (
        update(BoxOrphanRow)
        .where(col(BoxOrphanRow.spare), col(BoxOrphanRow.resolved_at).is_(None))
        .values(spare=False, lease_until=None)
    )
    if box_user_id is not None:
        statement = statement.where(col(BoxOrphanRow.box_user_id) == box_user_id)
    await session.exec(statement)


async def open_orphans(
    session: AsyncSession, after: str | None, *, limit: int
) -> list[Orphan]:
    """Return Box users listed as bound to nobody and not dealt with, by their ids."""
    statement = (
        select(BoxOrphanRow)
        .where(col(BoxOrphanRow.resolved_at).is_(None))
        .order_by(col(BoxOrphanRow.box_user_id))
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(BoxOrphanRow.box_user_id > after)
    return [
        Orphan(row.box_user_id, row.account_id, row.reason, row.spare)
        for row in await session.exec(statement)
    ]


async def listed_among(session: AsyncSession, box_user_ids: Sequence[str]) -> set[str]:
    """Return those of the Box users that are listed as bound to nobody."""
    statement = select(BoxOrphanRow.box_user_id).where(
        col(BoxOrphanRow.box_user_id).in_(box_user_ids),
        col(BoxOrphanRow.resolved_at).is_(None),
    )
    return set(await session.exec(statement))


async def count_orphans(session: AsyncSession) -> int:
    statement = (
        select(func.count())
        .select_from(BoxOrphanRow)
        .where(col(BoxOrphanRow.resolved_at).is_(None))
    )
    return (await session.exec(statement)).one()


async def take_spares(
    session: AsyncSession, *, limit: int, lease_s: float, box_user_id: str | None = None
) -> list[str]:
    """Take users that this service made in vain and may delete, or the one that is named.

    Committed before Box is called: who would bind such a user now is refused.
    """
    bound = select(AccountRow.id).where(
        AccountRow.box_user_id == BoxOrphanRow.box_user_id
    )
    free = (
        select(BoxOrphanRow.box_user_id)
        .where(
            col(BoxOrphanRow.spare),
            col(BoxOrphanRow.resolved_at).is_(None),
            or_(
                col(BoxOrphanRow.lease_until).is_(None),
                col(BoxOrphanRow.lease_until) <= func.clock_timestamp(),
            ),
            ~bound.exists(),
        )
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    if box_user_id is not None:
        free = free.where(BoxOrphanRow.box_user_id == box_user_id)
    statement = (
        update(BoxOrphanRow)
        .where(col(BoxOrphanRow.box_user_id).in_(once(free)))
        .values(lease_until=func.clock_timestamp() + timedelta(seconds=lease_s))
        .returning(col(BoxOrphanRow.box_user_id))
    )
    return list((await session.exec(statement)).scalars())


async def take_rechecks(
    session: AsyncSession, *, limit: int, lease_s: float
) -> list[Recheck]:
    """Take some accounts of which Box is to be looked at; the lease is the new time."""
    due = (
        select(AccountRow.id)
        .where(col(AccountRow.recheck_at) <= func.clock_timestamp())
        .order_by(col(AccountRow.recheck_at))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    statement = (
        update(AccountRow)
        .where(col(AccountRow.id).in_(once(due)))
        .values(recheck_at=func.clock_timestamp() + timedelta(seconds=lease_s))
        .returning(col(AccountRow.id), col(AccountRow.external_app_user_id))
    )
    return [Recheck(*row) for row in await session.exec(statement)]


async def finish_recheck(
    session: AsyncSession, recheck: Recheck, box_user_ids: list[str]
) -> list[str]:
    """List whom Box showed besides the bound user; return those who are new there.

    A process that was stopped may send its POST whenever it wakes, so it is looked
    again, each time after twice as long, for a day.
    """
    statement = (
        select(AccountRow, func.clock_timestamp())
        .where(AccountRow.id == recheck.account_id)
        .with_for_update()
    )
    account, now = (await session.exec(statement)).one()
    session.add(account)
    if account.box_user_id is None or account.bound_at is None:
        # Unlinked since: whoever shows now is adopted by a login, or nobody's anyway.
        account.recheck_at = None
        return []
    bound_for = now - account.bound_at
    account.recheck_at = now + bound_for if bound_for < _RECHECKED_FOR else None
    bound = select(AccountRow.box_user_id).where(
        col(AccountRow.box_user_id).in_(box_user_ids)
    )
    listed = select(BoxOrphanRow.box_user_id).where(
        col(BoxOrphanRow.box_user_id).in_(box_user_ids)
    )
    known = {*(await session.exec(bound)), *(await session.exec(listed))}
    new = [box_user_id for box_user_id in box_user_ids if box_user_id not in known]
    for box_user_id in new:
        reason = "found beside the bound user after an unanswered creation"
        await report_orphan(session, account.id, box_user_id, reason)
    return new

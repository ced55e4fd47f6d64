"""Writing down what is wanted for an account, beside what was done for it already.

A step that is done stays done, whatever became of the thing at Box: it belongs to the
person now. Only what is to follow the claims (name, quota, memberships) is done again,
once for each change. Functions take the session of a transaction that the caller opened.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from sso_box_api.furnishing.tables import FurnishingRow, FurnishingStepRow

Kind = Literal["folder", "file", "collaboration", "membership", "quota", "name"]

_FOLLOWING_CLAIMS: Final = frozenset({"membership", "quota", "name"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """A step as the claims want it now.

    ``key`` is the same whatever they say. ``params`` is None where one that is needed
    is missing; ``over`` is true of a membership that they no longer ask for.
    """

    key: str
    kind: Kind
    params: Mapping[str, Any] | None
    parent_key: str | None = None
    over: bool = False


async def plan(
    session: AsyncSession,
    account_id: UUID,
    identity_id: UUID,
    wanted: Sequence[Wanted],
    *,
    known_keys: Collection[str],
) -> None:
    """Bring the steps up to date with what an identity's claims want.

    ``known_keys`` are all that the template has: what was begun for others is given up.
    ``forget_former`` has made the account's row and locked it.
    """
    mine = col(FurnishingStepRow.account_id) == account_id
    statement = select(FurnishingStepRow).where(mine).with_for_update()
    there = {row.key: row for row in await session.exec(statement)}
    for position, step in enumerate(wanted):
        row = there.get(step.key)
        if row is not None:
            row.position = position
            await _revise(session, row, step, identity_id)
        elif not step.over:
            session.add(_new(account_id, identity_id, position, step))
    for row in there.values():
        given_up = row.key not in known_keys and row.kind != "name"
        if row.state != "done" and given_up and row.identity_id == identity_id:
            await session.delete(row)
    await session.flush()


async def forget_former(
    session: AsyncSession, account_id: UUID, box_user_id: str
) -> None:
    """Make the account's row, lock it, and drop the steps of another Box user."""
    making = (
        insert(FurnishingRow)
        .values(account_id=account_id, box_user_id=box_user_id)
        .on_conflict_do_nothing(index_elements=["account_id"])
    )
    await session.exec(making)
    statement = (
        select(FurnishingRow)
        .where(col(FurnishingRow.account_id) == account_id)
        .with_for_update()
    )
    row = (await session.exec(statement)).one()
    if row.box_user_id != box_user_id:
        row.box_user_id = box_user_id
        steps = col(FurnishingStepRow.account_id) == account_id
        await session.exec(delete(FurnishingStepRow).where(steps))


def _new(
    account_id: UUID, identity_id: UUID, position: int, step: Wanted
) -> FurnishingStepRow:
    return FurnishingStepRow(
        account_id=account_id,
        key=step.key,
        identity_id=identity_id,
        position=position,
        kind=step.kind,
        parent_key=step.parent_key,
        params=None if step.params is None else dict(step.params),
        state="skipped" if step.params is None else "pending",
    )


async def _revise(
    session: AsyncSession, row: FurnishingStepRow, step: Wanted, identity_id: UUID
) -> None:
    if step.over:
        if row.identity_id == identity_id:
            await _end_membership(session, row, step)
    elif step.params is None:
        if row.state in {"pending", "failed"}:
            row.state, row.params, row.error = "skipped", None, None
            row.version += 1
    elif row.params != step.params:
        never_possible = row.state == "skipped" and row.params is None
        unfinished = row.state in {"pending", "failed"} or never_possible
        if unfinished or row.kind in _FOLLOWING_CLAIMS:
            _begin(row, step.params)


async def _end_membership(
    session: AsyncSession, row: FurnishingStepRow, step: Wanted
) -> None:
    """End what this service began; what was there by hand is none of its business."""
    if row.ours:
        if row.params != step.params:
            _begin(row, step.params or {})
    else:
        await session.delete(row)


def _begin(row: FurnishingStepRow, params: Mapping[str, Any]) -> None:
    row.params, row.state, row.error = dict(params), "pending", None
    row.version += 1
    row.tries = 0
    row.due_at = func.clock_timestamp()  # type: ignore[assignment]  # by PostgreSQL

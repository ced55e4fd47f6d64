"""The steps as work: taken account by account under a lease, recorded one by one.

One account's steps depend on each other, so one process at a time works on them. The
lease is committed before Box is called. All times are PostgreSQL's.
Functions take the session of a transaction that the caller opened and never commit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Update, case, func
from sqlalchemy.orm import aliased
from sqlmodel import col, delete, or_, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from sso_box_api.db import once
from sso_box_api.furnishing.plan import Kind
from sso_box_api.furnishing.tables import FurnishingRow, FurnishingStepRow

StepState = Literal["pending", "done", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Taken:
    """An account whose steps are ours to work on until the lease ends."""

    account_id: UUID
    box_user_id: str
    lease_until: datetime


@dataclass(frozen=True, slots=True)
class Step:
    """A step as it was read. ``due``: nothing but its parent keeps it waiting.

    ``due_in_s``: how long until then, less than 0 where that is past.
    """

    account_id: UUID
    box_user_id: str
    key: str
    kind: Kind
    parent_key: str | None
    params: Mapping[str, Any] | None
    version: int
    state: StepState
    tries: int
    due: bool
    due_in_s: float
    box_id: str | None
    ours: bool | None
    error: str | None


async def take_due(
    session: AsyncSession, *, limit: int, lease_s: float, account_id: UUID | None = None
) -> list[Taken]:
    """Take accounts with something to do, of which nobody else works on any."""
    free = (
        select(FurnishingRow.account_id)
        .where(
            col(FurnishingRow.due_at) <= func.clock_timestamp(),
            or_(
                col(FurnishingRow.lease_until).is_(None),
                col(FurnishingRow.lease_until) <= func.clock_timestamp(),
            ),
        )
        .order_by(col(FurnishingRow.due_at))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    if account_id is not None:
        free = free.where(FurnishingRow.account_id == account_id)
    taking = (
        update(FurnishingRow)
        .where(col(FurnishingRow.account_id).in_(once(free)))
        .values(lease_until=_in(lease_s))
        .returning(
            col(FurnishingRow.account_id),
            col(FurnishingRow.box_user_id),
            col(FurnishingRow.lease_until),
        )
    )
    return [Taken(*row) for row in await session.exec(taking)]


async def give_back(
    session: AsyncSession, taken: Taken, *, not_before_s: float | None = None
) -> None:
    """End the lease; what is left is due in its own time, or ``not_before_s`` from now.

    Does nothing where the lease has passed to somebody else meanwhile; of another Box
    user's steps the due time stays.
    """
    due = _first_due(taken.account_id) if not_before_s is None else _in(not_before_s)
    statement = _account(taken.account_id).where(
        col(FurnishingRow.lease_until) == taken.lease_until
    )
    same_user = col(FurnishingRow.box_user_id) == taken.box_user_id
    due_at = case((same_user, due), else_=FurnishingRow.due_at)
    await session.exec(statement.values(lease_until=None, due_at=due_at))


async def set_due(session: AsyncSession, account_id: UUID) -> None:
    """Say when there is something to do; whoever holds the lease keeps it."""
    await session.exec(_account(account_id).values(due_at=_first_due(account_id)))


async def steps_of(session: AsyncSession, account_id: UUID) -> list[Step]:
    """Every step of an account, parents before children."""
    row = FurnishingStepRow
    unfinished = col(row.state).in_(["pending", "failed"])
    due = unfinished & (col(row.due_at) <= func.clock_timestamp())
    due_in_s = func.extract("epoch", col(row.due_at) - func.clock_timestamp())
    statement = (
        select(row, FurnishingRow.box_user_id, due, due_in_s)
        .join(FurnishingRow, col(FurnishingRow.account_id) == col(row.account_id))
        .where(col(row.account_id) == account_id)
        .order_by(col(row.position), col(row.key))
    )
    return [_step(*found) for found in await session.exec(statement)]


def paths_of(steps: Sequence[Step]) -> dict[str, str]:
    """Say where each folder and file is, with this person's names, by the step's key.

    Of all the steps of an account, as ``steps_of`` has them. A step whose values are
    missing has no place.
    """
    paths: dict[str, str] = {}
    for step in steps:
        if step.kind not in {"folder", "file"} or step.params is None:
            continue
        above = f"{paths[step.parent_key]}/" if step.parent_key in paths else ""
        paths[step.key] = above + step.params["name"]
    return paths


async def hurry(session: AsyncSession, account_id: UUID) -> None:
    """Let everything unfinished be tried now, whatever pause it is in."""
    # The account before its steps, as in a plan: else the two could wait for each other.
    locking = select(FurnishingRow.account_id).where(
        FurnishingRow.account_id == account_id
    )
    await session.exec(locking.with_for_update())
    steps = (
        update(FurnishingStepRow)
        .where(
            col(FurnishingStepRow.account_id) == account_id,
            col(FurnishingStepRow.state).in_(["pending", "failed"]),
        )
        .values(due_at=func.clock_timestamp())
    )
    await session.exec(steps)
    await set_due(session, account_id)


async def done(session: AsyncSession, step: Step, box_id: str | None) -> None:
    values = {"state": "done", "box_id": box_id, "error": None, "tries": 0}
    await session.exec(_change(step).values(values))


async def put_off(
    session: AsyncSession,
    step: Step,
    error: str,
    *,
    state: Literal["pending", "failed"],
    wait_s: float,
) -> None:
    """Note what went wrong, and when to try again."""
    values = {
        "state": state,
        "error": error,
        "tries": step.tries + 1,
        "due_at": _in(wait_s),
    }
    # Whoever took the step over when our lease was up may have done it since.
    not_done = col(FurnishingStepRow.state) != "done"
    await session.exec(_change(step).where(not_done).values(values))


async def skip(session: AsyncSession, step: Step, error: str) -> None:
    """Give a step up for good."""
    await session.exec(_change(step).values(state="skipped", error=error))


async def mark_ours(session: AsyncSession, step: Step, *, ours: bool) -> bool:
    """Note who added a membership, before it is added; False if it is wanted no more."""
    return (await session.exec(_change(step).values(ours=ours))).rowcount == 1


async def drop(session: AsyncSession, step: Step) -> None:
    """Forget a membership that is over."""
    await session.exec(delete(FurnishingStepRow).where(*_still_wanted(step)))


def _account(account_id: UUID) -> Update:
    return update(FurnishingRow).where(col(FurnishingRow.account_id) == account_id)


def _change(step: Step) -> Update:
    return update(FurnishingStepRow).where(*_still_wanted(step))


def _still_wanted(step: Step) -> tuple[ColumnElement[bool], ...]:
    """Another plan may have asked for something else meanwhile, or for somebody else."""
    same_user = select(FurnishingRow.account_id).where(
        FurnishingRow.account_id == step.account_id,
        FurnishingRow.box_user_id == step.box_user_id,
    )
    return (
        col(FurnishingStepRow.account_id) == step.account_id,
        col(FurnishingStepRow.key) == step.key,
        col(FurnishingStepRow.version) == step.version,
        same_user.exists(),
    )


def _first_due(account_id: UUID) -> Any:
    """When the first unfinished step is due whose parent is done; null if there is none."""
    step, parent = aliased(FurnishingStepRow), aliased(FurnishingStepRow)
    ready = (
        select(parent.key)
        .where(
            col(parent.account_id) == col(step.account_id),
            col(parent.key) == col(step.parent_key),
            col(parent.state) == "done",
        )
        .exists()
    )
    return (
        select(func.min(step.due_at))
        .where(
            col(step.account_id) == account_id,
            col(step.state).in_(["pending", "failed"]),
            or_(col(step.parent_key).is_(None), ready),
        )
        .scalar_subquery()
    )


def _in(seconds: float) -> ColumnElement[datetime]:
    return func.clock_timestamp() + timedelta(seconds=seconds)


def _step(
    row: FurnishingStepRow,
    box_user_id: str,
    due: bool,  # noqa: FBT001 - a row's columns
    due_in_s: float,
) -> Step:
    return Step(
        account_id=row.account_id,
        box_user_id=box_user_id,
        key=row.key,
        kind=cast("Kind", row.kind),
        parent_key=row.parent_key,
        params=row.params,
        version=row.version,
        state=cast("StepState", row.state),
        tries=row.tries,
        due=due,
        due_in_s=float(due_in_s),
        box_id=row.box_id,
        ours=row.ours,
        error=row.error,
    )

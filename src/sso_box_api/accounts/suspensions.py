"""Suspensions: a whole provider or client is locked, as in an incident.

One row stops everybody at once, also who has no account yet and who logs in later; it
touches no row of theirs, however many there are. What was handed out before is closed
afterwards, page by page, by ``sso_box_api.suspension``.
Functions take the session of a transaction that the caller opened and never commit.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, cast
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    ScalarSelect,
    and_,
    bindparam,
    func,
    or_,
    select as core_select,
    text,
)
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from sso_box_api.accounts.tables import SUSPENSION, SuspensionRow
from sso_box_api.db import Condition
from sso_box_api.errors import AccessSuspended

SuspensionKind = Literal["provider", "client"]
_Value = str | ColumnElement[str]


@dataclass(frozen=True, slots=True)
class Suspension:
    """``value``: a provider's id, or a client id.

    ``settled``: no mint is under way that has not seen it. ``closed_to``: the identity
    up to which its tokens are closed; ``closed``: all are, ``closed_tokens`` of them.
    """

    kind: SuspensionKind
    value: str
    reason: str
    since: datetime
    settled: bool
    closed_to: UUID | None
    closed: bool
    closed_tokens: int


def suspended_by(
    provider: _Value, client_id: _Value | None = None, *, held: bool = False
) -> ScalarSelect[str]:
    """Select the kind of suspension that is in force, as a column of a statement.

    The values may be parameters of a statement that is prepared once.
    ``held`` keeps ``settle_suspension`` waiting to the end of the transaction: locking a row that
    is found, or none, locks the table in the mode ROW SHARE before the statement reads
    (PostgreSQL manual, section 13.3.1).
    """
    concerned = _is("provider", provider)
    if client_id is not None:
        concerned = or_(concerned, _is("client", client_id))
    statement = select(SuspensionRow.kind).where(concerned).limit(1)
    if held:
        statement = statement.with_for_update(read=True, key_share=True)
    return statement.scalar_subquery()


_IN_FORCE: Final = core_select(SUSPENSION.c.kind).where(
    or_(
        and_(SUSPENSION.c.kind == "provider", SUSPENSION.c.value == bindparam("by")),
        and_(SUSPENSION.c.kind == "client", SUSPENSION.c.value == bindparam("through")),
    )
)


def suspension(provider: str, client_id: str) -> Condition:
    """Say in SQL whether one of both is suspended, for another statement."""
    return Condition(_IN_FORCE, {"by": provider, "through": client_id})


def refuse(suspended: str | None) -> None:
    """Raise ``AccessSuspended`` where ``suspended_by`` told of a suspension."""
    if suspended is not None:
        raise AccessSuspended(suspended)


async def suspend(
    session: AsyncSession, kind: SuspensionKind, value: str, reason: str
) -> None:
    """Suspend; keeps the time and reason of an earlier suspension.

    A trigger tells every process to forget what it remembers of anybody.
    """
    values = {"kind": kind, "value": value, "reason": reason}
    statement = insert(SuspensionRow).values(values).on_conflict_do_nothing()
    await session.exec(statement)


async def lift_suspension(
    session: AsyncSession, kind: SuspensionKind, value: str
) -> bool:
    """End a suspension all of whose tokens are closed; False where there is none such."""
    statement = delete(SuspensionRow).where(
        _is(kind, value), col(SuspensionRow.closed_at).is_not(None)
    )
    return (await session.exec(statement)).rowcount == 1


async def list_suspensions(session: AsyncSession) -> list[Suspension]:
    """Return every suspension in force, the oldest first."""
    statement = select(SuspensionRow).order_by(
        col(SuspensionRow.since), col(SuspensionRow.kind), col(SuspensionRow.value)
    )
    return [_suspension(row) for row in await session.exec(statement)]


async def settle_suspension(session: AsyncSession, suspension: Suspension) -> None:
    """Wait until every mint that had not seen the suspension is committed or gone.

    Those that have yet to look will see it. Plain reads, such as those of a backup, do
    not conflict; new mints wait behind this one, so it gives up after half a second, which
    the database tells as a lock that was not available.
    """
    connection = await session.connection()
    await connection.execute(text("SET LOCAL lock_timeout = '500ms'"))
    await connection.execute(text("LOCK TABLE suspension IN EXCLUSIVE MODE"))
    statement = (
        update(SuspensionRow)
        .where(
            _is(suspension.kind, suspension.value),
            col(SuspensionRow.settled_at).is_(None),
        )
        .values(settled_at=func.clock_timestamp(), closed_to=None)
    )
    await session.exec(statement)


async def take_suspension(
    session: AsyncSession, suspension: Suspension
) -> Suspension | None:
    """Keep others from closing its next page; None if somebody is at it, or was."""
    statement = (
        select(SuspensionRow)
        .where(
            _is(suspension.kind, suspension.value),
            col(SuspensionRow.closed_at).is_(None),
        )
        # Whoever is refused refers to the row, and need not wait.
        .with_for_update(key_share=True, skip_locked=True)
    )
    row = (await session.exec(statement)).first()
    return _suspension(row) if row else None


async def note_closed(
    session: AsyncSession,
    suspension: Suspension,
    closed_to: UUID | None,
    *,
    tokens: int,
) -> None:
    """Note how far a suspension that was taken is closed; None for to the end.

    ``tokens``: how many more were closed.

    One that was not settled when it was taken begins anew.
    """
    values: dict[str, object] = {
        "closed_to": closed_to,
        "closed_tokens": SuspensionRow.closed_tokens + tokens,
    }
    if closed_to is None and suspension.settled:
        values["closed_at"] = func.clock_timestamp()
    statement = (
        update(SuspensionRow)
        .where(_is(suspension.kind, suspension.value))
        .values(values)
    )
    await session.exec(statement)


def _is(kind: SuspensionKind, value: _Value) -> ColumnElement[bool]:
    return and_(col(SuspensionRow.kind) == kind, col(SuspensionRow.value) == value)


def _suspension(row: SuspensionRow) -> Suspension:
    assert row.since is not None  # noqa: S101 - never null in a row that was read
    return Suspension(
        kind=cast("SuspensionKind", row.kind),
        value=row.value,
        reason=row.reason,
        since=row.since,
        settled=row.settled_at is not None,
        closed_to=row.closed_to,
        closed=row.closed_at is not None,
        closed_tokens=row.closed_tokens,
    )

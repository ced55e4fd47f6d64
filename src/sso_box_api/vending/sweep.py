"""The part of the ledger that dies: what is to be revoked, who works on it, what goes.

A pending row is worked on by whoever took it, under a lease that is committed before
Box is called. All times are PostgreSQL's.
Functions take the session of a transaction that the caller opened and never commit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Update, func
from sqlmodel import and_, col, delete, or_, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from sso_box_api.db import once
from sso_box_api.vending.ledger import token_sha256
from sso_box_api.vending.tables import VendRow

# Sent in the transaction that makes rows pending, to whoever works on them.
PENDING_CHANNEL = "sso_box_revoke_pending"

# Box counts a token's life by its own clock, so ours may be a little ahead.
_CLOCKS_DIFFER = timedelta(minutes=10)
_KEPT_AFTER_EXPIRY = timedelta(days=1)
_LONGEST_PUT_OFF_S = 60.0


@dataclass(frozen=True, slots=True)
class SealedVend:
    """A token on the list, as it is stored. ``tries``: how often it was taken."""

    id: UUID
    account_id: UUID
    tries: int
    handle: str = field(repr=False)


async def close_account(session: AsyncSession, account_id: UUID) -> int:
    """Mark every live token of an account for revocation; count what is pending now.

    The caller holds the account row locked, so that no new one slips in between.
    """
    closing = (
        update(VendRow)
        .where(col(VendRow.account_id) == account_id, col(VendRow.state) == "live")
        .values(state="revoke_pending")
    )
    await session.exec(closing)
    return await hurry(session, account_id)


async def close_one(
    session: AsyncSession, token: str, identity_id: UUID, client_id: str
) -> bool:
    """Mark a live token of this identity and client for revocation, if it is one."""
    closing = (
        update(VendRow)
        .where(
            col(VendRow.token_sha256) == token_sha256(token),
            col(VendRow.identity_id) == identity_id,
            col(VendRow.client_id) == client_id,
            col(VendRow.state) == "live",
        )
        .values(state="revoke_pending", lease_until=None)
    )
    if (await session.exec(closing)).rowcount == 0:
        return False
    await wake_sweepers(session)
    return True


async def close_accounts(session: AsyncSession, account_ids: Sequence[UUID]) -> int:
    """Mark every live token of these accounts for revocation; count them.

    As for one account, the caller holds their rows locked.
    """
    closing = (
        update(VendRow)
        .where(col(VendRow.account_id).in_(account_ids), col(VendRow.state) == "live")
        .values(state="revoke_pending", lease_until=None)
    )
    count = (await session.exec(closing)).rowcount
    if count:
        await wake_sweepers(session)
    return count


async def close_due(session: AsyncSession, *, limit: int) -> None:
    """Mark live tokens for revocation whose profile gives them no longer a life."""
    due = (
        select(VendRow.id)
        .where(
            VendRow.state == "live", col(VendRow.revoke_at) <= func.clock_timestamp()
        )
        .limit(limit)
        # Whoever else closes such tokens waits for nobody, and keeps nobody waiting.
        .with_for_update(skip_locked=True)
    )
    closing = (
        update(VendRow)
        .where(col(VendRow.id).in_(once(due)))
        .values(state="revoke_pending", lease_until=None)
    )
    await session.exec(closing)


async def count_live(session: AsyncSession) -> int:
    """Count the tokens that may be handed out again."""
    statement = select(func.count(col(VendRow.id))).where(
        col(VendRow.state) == "live", col(VendRow.expires_at) > func.clock_timestamp()
    )
    return (await session.exec(statement)).one()


async def hurry(session: AsyncSession, account_id: UUID) -> int:
    """Let an account's pending tokens be tried now; count them.

    One that is being revoked at this moment may be revoked twice, which does no harm.
    """
    freeing = (
        update(VendRow)
        .where(col(VendRow.account_id) == account_id, *_pending())
        .values(lease_until=None, tries=0)
    )
    count = (await session.exec(freeing)).rowcount
    if count:
        await wake_sweepers(session)
    return count


async def wake_sweepers(session: AsyncSession) -> None:
    """Tell every serve process at the commit that there is something to do."""
    await session.exec(select(func.pg_notify(PENDING_CHANNEL, "")))


async def take_pending(
    session: AsyncSession,
    key_ids: Sequence[str],
    *,
    limit: int,
    lease_s: float,
    account_id: UUID | None = None,
) -> list[SealedVend]:
    """Take tokens that nobody works on; nobody else gets them for ``lease_s``.

    Rows under keys this process does not hold are left to those that do.
    """
    free = (
        select(VendRow.id)
        .where(
            *_pending(),
            col(VendRow.key_id).in_(key_ids),
            or_(
                col(VendRow.lease_until).is_(None),
                col(VendRow.lease_until) <= func.clock_timestamp(),
            ),
        )
        .order_by(col(VendRow.lease_until).nulls_first())
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    if account_id is not None:
        free = free.where(VendRow.account_id == account_id)
    taking = (
        update(VendRow)
        .where(col(VendRow.id).in_(once(free)))
        .values(lease_until=_in(lease_s), tries=col(VendRow.tries) + 1)
        .returning(
            col(VendRow.id),
            col(VendRow.account_id),
            col(VendRow.tries),
            col(VendRow.handle),
        )
    )
    return [SealedVend(*row) for row in await session.exec(taking)]


async def mark_revoked(session: AsyncSession, vend_id: UUID) -> None:
    await session.exec(_change(vend_id).values(state="revoked"))


async def put_off(session: AsyncSession, vend: SealedVend, base_s: float) -> None:
    """Give a token back that Box did not revoke: twice as long after each try."""
    # The exponent is bounded, for a float is.
    seconds = min(_LONGEST_PUT_OFF_S, base_s * 2 ** min(vend.tries - 1, 10))
    await session.exec(_change(vend.id).values(lease_until=_in(seconds)))


async def leave_to_expire(session: AsyncSession, vend_id: UUID) -> None:
    """Let nobody take this token again: its handle does not open."""
    never = col(VendRow.expires_at) + _CLOCKS_DIFFER
    await session.exec(_change(vend_id).values(lease_until=never))


async def count_pending(
    session: AsyncSession, account_id: UUID | None = None
) -> tuple[int, datetime | None]:
    """Count the tokens, of one account or all, that Box may still honour.

    The second value is the latest of their expiries.
    """
    statement = select(func.count(col(VendRow.id)), func.max(VendRow.expires_at)).where(
        *_pending()
    )
    if account_id is not None:
        statement = statement.where(VendRow.account_id == account_id)
    count, latest = (await session.exec(statement)).one()
    return count, latest


async def worth_waiting(
    session: AsyncSession, key_ids: Sequence[str], account_id: UUID
) -> bool:
    """Tell whether any token of an account is being revoked, or may be tried again."""
    statement = (
        select(VendRow.id)
        .where(
            VendRow.account_id == account_id,
            *_pending(),
            or_(
                and_(
                    col(VendRow.lease_until).is_(None),
                    col(VendRow.key_id).in_(key_ids),
                ),
                col(VendRow.lease_until) < col(VendRow.expires_at) + _CLOCKS_DIFFER,
            ),
        )
        .limit(1)
    )
    return (await session.exec(statement)).first() is not None


async def bury(session: AsyncSession) -> None:
    """Mark pending tokens as revoked that are dead by themselves."""
    dead = (
        update(VendRow)
        .where(
            col(VendRow.state) == "revoke_pending",
            col(VendRow.expires_at) <= long_dead(),
        )
        .values(state="revoked")
    )
    await session.exec(dead)


async def delete_expired(session: AsyncSession, *, limit: int) -> int:
    """Delete up to ``limit`` rows that expired more than a day ago; count them."""
    old = (
        select(VendRow.id)
        .where(
            col(VendRow.expires_at) < func.clock_timestamp() - _KEPT_AFTER_EXPIRY,
        )
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    deleting = delete(VendRow).where(col(VendRow.id).in_(once(old)))
    return (await session.exec(deleting)).rowcount


def _pending() -> tuple[ColumnElement[bool], ...]:
    pending = col(VendRow.state) == "revoke_pending"
    return pending, col(VendRow.expires_at) > long_dead()


def long_dead() -> ColumnElement[datetime]:
    """Select the moment by which what expired before it is dead at Box as well."""
    return func.clock_timestamp() - _CLOCKS_DIFFER


def _in(seconds: float) -> ColumnElement[datetime]:
    return func.clock_timestamp() + timedelta(seconds=seconds)


def _change(vend_id: UUID) -> Update:
    # Revoked is final: who comes late must not bring a row back to work.
    return update(VendRow).where(
        col(VendRow.id) == vend_id, col(VendRow.state) == "revoke_pending"
    )

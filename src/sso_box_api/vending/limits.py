"""What one account may have out, and how fast it may have tokens minted.

Functions take the session of a transaction that the caller opened and never commit.
"""

from datetime import timedelta
from math import ceil
from uuid import UUID

from sqlalchemy import bindparam, func, select as core_select
from sqlalchemy.dialects.postgresql import array, insert
from sqlmodel import col, delete, or_, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from sso_box_api.db import Database, execute
from sso_box_api.errors import TooManyMints
from sso_box_api.vending.sweep import PENDING_CHANNEL
from sso_box_api.vending.tables import MINT_RATE, MintRateRow, VendRow

_WINDOW = timedelta(seconds=60)


class MintRate:
    """So many mints in any minute for each account; ``per_minute`` 0 for no limit.

    One row of an account counts what all processes begin, whatever comes of it at Box.
    """

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        begun, now = MINT_RATE.c.begun, func.clock_timestamp()
        oldest = begun[per_minute]
        newest = array([now]).concat(begun[1 : per_minute - 1])
        # By the clock at the end of the wait for the row, so the order stays right.
        self._count = (
            insert(MINT_RATE)
            .values(account_id=bindparam("account"), begun=array([now]))
            .on_conflict_do_update(
                index_elements=["account_id"],
                set_={"begun": newest},
                where=or_(oldest.is_(None), oldest <= now - _WINDOW),
            )
            .returning(MINT_RATE.c.account_id)
        )
        left = func.extract("epoch", oldest + _WINDOW - now)
        self._left = core_select(left).where(
            MINT_RATE.c.account_id == bindparam("account")
        )

    async def take(self, on: Database | AsyncSession, account_id: UUID) -> None:
        """Count one more mint that begins now. Raises ``TooManyMints``.

        It is committed before Box is called: until then others of the account wait.
        """
        if not self._per_minute:
            return
        values = {"account": account_id}
        if not await execute(on, self._count, values):
            [(left,)] = await execute(on, self._left, values)
            left_s = float(left)
            raise TooManyMints("mints of an account", retry_after=max(1, ceil(left_s)))


async def forget_mints(session: AsyncSession) -> None:
    """Delete the rows of accounts that had no token minted for a minute."""
    latest = col(MintRateRow.begun)[1]
    await session.exec(
        delete(MintRateRow).where(latest <= func.clock_timestamp() - _WINDOW)
    )


async def close_surplus(session: AsyncSession, account_id: UUID, *, keep: int) -> int:
    """Mark an account's live tokens of a resource beyond the newest ``keep``; count.

    The caller holds the account row for itself, so that of two that add one at a time
    the second sees the first one's.
    """
    surplus = (
        select(VendRow.id)
        .where(
            VendRow.account_id == account_id,
            VendRow.state == "live",
            VendRow.resource != "",
            col(VendRow.expires_at) > func.clock_timestamp(),
        )
        # Not by use: a token is handed out again in its first part of life only, and
        # to note that would cost a write on each of those requests.
        .order_by(col(VendRow.minted_at).desc())
        .offset(keep)
    )
    closing = (
        update(VendRow)
        .where(col(VendRow.id).in_(surplus))
        .values(state="revoke_pending", lease_until=None)
    )
    count = (await session.exec(closing)).rowcount
    if count:
        await session.exec(select(func.pg_notify(PENDING_CHANNEL, "")))
    return count

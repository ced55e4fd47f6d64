"""What one account may have out, and how fast it may have tokens minted.

The ledger's rows count what all processes minted. What this process has under way, and
what came to nothing at Box, has no row and is counted here.
Functions take the session of a transaction that the caller opened and never commit;
what only reads also takes the database.
"""

import time
from collections import deque
from datetime import timedelta
from math import ceil
from typing import Final
from uuid import UUID

from cachetools import LRUCache
from sqlalchemy import bindparam, func, select as core_select
from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from sso_box_api.db import Database, execute
from sso_box_api.errors import TooManyMints
from sso_box_api.vending.sweep import PENDING_CHANNEL
from sso_box_api.vending.tables import VEND, VendRow

_WINDOW_S = 60.0
_ACCOUNTS = 10_000


class MintRate:
    """So many mints in any minute for each account; ``per_minute`` 0 for no limit.

    Exact in one process. Of other processes it knows what they have listed, not what
    they have under way.
    """

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._begun: LRUCache[UUID, deque[float]] = LRUCache(_ACCOUNTS)

    async def take(self, on: Database | AsyncSession, account_id: UUID) -> None:
        """Count one more mint that begins now. Raises ``TooManyMints``."""
        if not self._per_minute:
            return
        left_s = await _left_s(on, account_id, self._per_minute)
        # Nothing is awaited from here on: of many at once each sees those before it.
        now = time.monotonic()
        begun = self._begun.setdefault(account_id, deque(maxlen=self._per_minute))
        if left_s is None and len(begun) == self._per_minute:
            left_s = begun[0] + _WINDOW_S - now
        if left_s is not None and left_s > 0:
            raise TooManyMints("mints of an account", retry_after=ceil(left_s))
        begun.append(now)


_NOW: Final = func.clock_timestamp()
_UNTIL: Final = VEND.c.minted_at + timedelta(seconds=_WINDOW_S)
_LEFT: Final = (
    core_select(func.extract("epoch", _UNTIL - _NOW))
    .where(VEND.c.account_id == bindparam("account"), _UNTIL > _NOW)
    .order_by(VEND.c.minted_at.desc())
    .offset(bindparam("others"))
    .limit(1)
)


async def _left_s(
    on: Database | AsyncSession, account_id: UUID, most: int
) -> float | None:
    """For how many seconds the last ``most`` mints fill the window; None if they do not.

    Those count, too, that were refused or revoked since: Box has made them.
    """
    rows = await execute(on, _LEFT, {"account": account_id, "others": most - 1})
    return float(rows[0][0]) if rows else None


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

"""Is a token dead that a page says Box refused? Who asks Box, and how often.

One probe at a time for each token, whatever process, under a lease on its row; and so
many for each reuse key, for a page could go on reporting for ever.
Functions take the session of a transaction that the caller opened and never commit.
"""

from datetime import timedelta
from math import ceil
from uuid import UUID

from sqlalchemy import case, func, or_
from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from sso_box_api.errors import BoxRefusesToken
from sso_box_api.vending.ledger import LiveVend, VendKey
from sso_box_api.vending.tables import VendRow

MOST_PROBES = 3
WINDOW = timedelta(minutes=10)


async def take_probe(
    session: AsyncSession, key: VendKey, vend: LiveVend, *, lease_s: float
) -> bool:
    """Take the turn to ask Box about a live token; False if somebody has it now.

    False also where the token was closed, or Box asked, since ``vend`` was read. Raises
    ``BoxRefusesToken`` where ``key`` has used its probes up.
    """
    now = func.clock_timestamp()
    lease = col(VendRow.lease_until)
    asked_since = lease.is_(None) & (col(VendRow.probed_at) > vend.read_at)
    locked = (
        select(VendRow.account_id, or_(lease > now, asked_since))
        .where(VendRow.id == vend.id, VendRow.state == "live")
        .with_for_update()
    )
    row = (await session.exec(locked)).first()
    if row is None or row[1]:
        return False
    await _check_rate(session, key, row[0])
    recent = col(VendRow.probed_at) > now - WINDOW
    taking = (
        update(VendRow)
        .where(col(VendRow.id) == vend.id)
        .values(
            lease_until=now + timedelta(seconds=lease_s),
            probes=case((recent, col(VendRow.probes) + 1), else_=1),
            probed_at=now,
        )
    )
    await session.exec(taking)
    return True


async def _check_rate(session: AsyncSession, key: VendKey, account_id: UUID) -> None:
    now = func.clock_timestamp()
    latest = func.max(VendRow.probed_at)
    statement = select(
        func.coalesce(func.sum(VendRow.probes), 0),
        func.extract("epoch", latest + WINDOW - now),
    ).where(
        VendRow.account_id == account_id,  # for its index
        VendRow.identity_id == key.identity_id,
        VendRow.client_id == key.client_id,
        VendRow.profile == key.profile,
        VendRow.scopes == " ".join(key.scopes),
        VendRow.resource == key.resource,
        col(VendRow.probed_at) > now - WINDOW,
    )
    count, left_s = (await session.exec(statement)).one()
    if count >= MOST_PROBES:
        raise BoxRefusesToken("probes used up", retry_after=max(1, ceil(left_s)))


async def end_probe(
    session: AsyncSession, vend_id: UUID, *, is_live: bool | None
) -> None:
    """Give the turn back with Box's answer; None for none, and the next one asks anew.

    A token that Box refuses is dead, so that nothing of it is left to revoke.
    """
    now = func.clock_timestamp()
    # A lease that has ended tells that the question was not answered.
    values: dict[str, object] = {"lease_until": now}
    if is_live is not None:
        values = {"lease_until": None, "probed_at": now}
    if is_live is False:
        values["state"] = "revoked"
    # A lock may have closed it meanwhile; what it began is not undone.
    ending = (
        update(VendRow)
        .where(col(VendRow.id) == vend_id, col(VendRow.state) == "live")
        .values(values)
    )
    await session.exec(ending)

"""Closing what a whole provider's people, or a whole client's users, were handed out.

However many tokens those are, a transaction has a page of them: the people of one page
are told by the order of their identities.
Functions take the session of a transaction that the caller opened and never commit.
"""

from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import ColumnElement, func
from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from sso_box_api.vending.sweep import long_dead, wake_sweepers
from sso_box_api.vending.tables import VendRow

# Through what a token was handed out.
Way = Literal["provider", "client"]


async def close_page(
    session: AsyncSession, way: Way, value: str, after: UUID | None, *, limit: int
) -> tuple[UUID | None, int]:
    """Mark the live tokens of up to ``limit`` people for revocation, and count them.

    The people are those after ``after`` in the order of their identities. The first
    value is the last of them, None where nobody is left.
    """
    live = (col(VendRow.state) == "live", _handed_out(way, value))
    people = (
        select(VendRow.identity_id)
        .where(*live)
        .distinct()
        .order_by(col(VendRow.identity_id))
        .limit(limit)
    )
    if after is not None:
        people = people.where(VendRow.identity_id > after)
    page = (await session.exec(people)).all()
    count = 0
    if page:
        closing = (
            update(VendRow)
            .where(*live, col(VendRow.identity_id).in_(page))
            .values(state="revoke_pending", lease_until=None)
        )
        count = (await session.exec(closing)).rowcount
        await wake_sweepers(session)
    return page[-1] if len(page) == limit else None, count


async def count_outstanding(
    session: AsyncSession, way: Way, value: str
) -> tuple[int, datetime | None]:
    """Count the tokens that Box may still honour, closed or not.

    The second value is the latest of their expiries.
    """
    statement = select(func.count(col(VendRow.id)), func.max(VendRow.expires_at)).where(
        col(VendRow.state) != "revoked",
        col(VendRow.expires_at) > long_dead(),
        _handed_out(way, value),
    )
    count, latest = (await session.exec(statement)).one()
    return count, latest


def _handed_out(way: Way, value: str) -> ColumnElement[bool]:
    column = VendRow.provider if way == "provider" else VendRow.client_id
    return col(column) == value

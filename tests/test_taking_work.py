"""Work that is rows is taken a few at a time, however PostgreSQL goes about it."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import text

from sso_box_api import accounts, furnishing, vending
from sso_box_api.db import AsyncSession
from sso_box_api.parts import Parts
from tests.support.api import Api

PEOPLE = 4
FEW = 2

Take = Callable[[AsyncSession, Parts], Awaitable[Any]]


async def _rechecks(session: AsyncSession, _: Parts) -> int:
    return len(await accounts.take_rechecks(session, limit=FEW, lease_s=9))


async def _spares(session: AsyncSession, _: Parts) -> int:
    return len(await accounts.take_spares(session, limit=FEW, lease_s=9))


async def _furnishings(session: AsyncSession, _: Parts) -> int:
    return len(await furnishing.take_due(session, limit=FEW, lease_s=9))


async def _revocations(session: AsyncSession, parts: Parts) -> int:
    keys = parts.keys.ids
    return len(await vending.take_pending(session, keys, limit=FEW, lease_s=9))


async def _ends_of_life(session: AsyncSession, _: Parts) -> int:
    await vending.close_due(session, limit=FEW)
    count, _latest = await vending.count_pending(session)
    return count


async def _deletions(session: AsyncSession, _: Parts) -> int:
    return await vending.delete_expired(session, limit=FEW)


_LIST_SPARES = (
    "INSERT INTO box_orphan (box_user_id, account_id, reason, spare)"
    " SELECT 'spare-' || box_user_id, id, '', true FROM account"
)
_PLAN_FURNISHINGS = (
    "INSERT INTO furnishing (account_id, box_user_id, due_at)"
    " SELECT id, box_user_id, now() FROM account"
)


@pytest.mark.parametrize(
    ("due", "take"),
    [
        ("UPDATE account SET recheck_at = now()", _rechecks),
        (_LIST_SPARES, _spares),
        (_PLAN_FURNISHINGS, _furnishings),
        ("UPDATE vend SET state = 'revoke_pending'", _revocations),
        ("UPDATE vend SET revoke_at = now()", _ends_of_life),
        ("UPDATE vend SET expires_at = now() - interval '1 year'", _deletions),
    ],
)
async def test_no_plan_takes_more_than_the_limit(
    api: Api, parts: Parts, due: str, take: Take
) -> None:
    """Not even the one that runs a subquery again for each row."""
    for number in range(PEOPLE):
        await api.exchange(api.id_token(sub=f"ada{number}"))
    async with parts.database.transaction() as session:
        connection = await session.connection()
        for plan in ("hashjoin", "mergejoin", "hashagg", "sort", "material", "memoize"):
            await connection.execute(text(f"SET LOCAL enable_{plan} = off"))
        await connection.execute(text(due))
        assert await take(session, parts) == FEW

"""The gate as part of the statement that lists a token: it waits, and then judges anew."""

import asyncio
import time

import pytest
from sqlalchemy import text

from sso_box_api import accounts, vending
from sso_box_api.accounts import Account
from sso_box_api.errors import DatabaseUnavailable
from sso_box_api.parts import Parts
from sso_box_api.vending import LiveVend, VendKey
from tests.support.administration import candidate_of, scalar, somebody_waits
from tests.support.api import Api

HELD = "UPDATE account SET recheck_at = recheck_at"
SHUT = {
    "locked": ["UPDATE account SET locked_at = now()"],
    "removed": ["UPDATE account SET removed_at = now()"],
    "signed out": ["UPDATE account SET not_before = now()"],
    "relinked": ["UPDATE account SET box_user_id = box_user_id || '0'"],
    # As whoever moves an identity does: the accounts first.
    "moved": [
        HELD,
        (
            "UPDATE identity SET account_id ="
            " (SELECT account_id FROM identity WHERE subject = 'grace')"
        ),
    ],
}


async def _list(parts: Parts, account: Account) -> LiveVend | None:
    return await vending.insert_if(
        parts.database,
        accounts.open_gate(
            account, int(time.time()) - 60, provider="main", client_id="demo-spa"
        ),
        parts.keys,
        VendKey(account.identity_id, "demo-spa", "preview", ("x",), ""),
        account_id=account.id,
        provider="main",
        token="1!a-token",
        expires_at=time.time() + 3600,
    )


async def _list_during(
    parts: Parts, account: Account, changes: list[str]
) -> LiveVend | None:
    """Begin to list a token before these are committed, and end after that."""
    async with parts.database.transaction() as session:
        connection = await session.connection()
        for change in changes:
            await connection.execute(text(change))
        listing = asyncio.create_task(_list(parts, account))
        while not listing.done() and not await somebody_waits(parts):
            await asyncio.wait([listing], timeout=0.01)
        assert not listing.done()
    return await listing


@pytest.mark.parametrize("how", SHUT)
async def test_a_token_is_not_listed_where_the_gate_was_shut_while_it_waited(
    api: Api, parts: Parts, how: str
) -> None:
    await api.exchange(api.id_token("grace"))
    await api.exchange()
    account = (await candidate_of(parts)).account
    assert await _list_during(parts, account, SHUT[how]) is None
    listed = "SELECT count(*) FROM vend WHERE profile = 'preview'"
    assert await scalar(parts, listed) == 0


async def test_a_token_is_listed_where_it_waited_for_what_leaves_the_gate_open(
    api: Api, parts: Parts
) -> None:
    await api.exchange()
    account = (await candidate_of(parts)).account
    vend = await _list_during(parts, account, [HELD])
    assert vend is not None
    row = await scalar(parts, "SELECT id FROM vend WHERE profile = 'preview'")
    assert row == vend.id


async def test_whoever_closes_a_suspension_waits_for_a_token_that_is_being_listed(
    api: Api, parts: Parts
) -> None:
    await api.exchange()
    account = (await candidate_of(parts)).account
    async with parts.database.transaction() as session:
        await (await session.connection()).execute(text(HELD))
        listing = asyncio.create_task(_list(parts, account))
        while not listing.done() and not await somebody_waits(parts):
            await asyncio.wait([listing], timeout=0.01)
        exclusively = text("LOCK TABLE suspension IN EXCLUSIVE MODE NOWAIT")
        with pytest.raises(DatabaseUnavailable, match="55P03"):
            async with parts.database.transaction() as other:
                await (await other.connection()).execute(exclusively)
    assert await listing is not None

"""The database beside slow calls to Box, and what its restart does to a first login."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from typing_extensions import override

from sso_box_api import accounts, migrations
from sso_box_api.errors import DatabaseUnavailable, ProvisioningInProgress
from sso_box_api.exchange import ExchangeRequest
from sso_box_api.identity import UnverifiedToken
from sso_box_api.leftovers import LeftOvers
from sso_box_api.parts import Parts, open_parts
from sso_box_api.settings import DatabaseSettings, Settings
from sso_box_devkit.box import Enterprise
from sso_box_devkit.postgres import start_postgres
from tests.races.conftest import FULL
from tests.support.api import ISSUER, Control
from tests.support.connections import opened
from tests.support.waiting import until

_IN_A_TRANSACTION = (
    "SELECT query FROM pg_stat_activity WHERE xact_start IS NOT NULL"
    " AND datname = current_database() AND pid <> pg_backend_pid()"
)


class Watched(httpx.AsyncBaseTransport):
    """Box, which takes no call before every transaction has ended, for a while.

    One that is open across the call does not end.
    """

    def __init__(self, box: httpx.AsyncBaseTransport, eye: asyncpg.Connection) -> None:
        self._box = box
        self._eye = eye
        self._looking = asyncio.Lock()
        self.seen: dict[str, list[str]] = {}

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        queries: list[str] = []

        async def nothing_is_open() -> bool:
            rows = await self._eye.fetch(_IN_A_TRANSACTION)
            queries[:] = [row["query"] for row in rows]
            return not queries

        with suppress(TimeoutError):
            async with self._looking:
                await until(nothing_is_open, within_s=5)
        path = request.url.path.rstrip("0123456789")
        self.seen.setdefault(f"{request.method} {path}", []).extend(queries)
        return await self._box.handle_async_request(request)


@pytest.fixture
async def watched(database_url: str, emulator: Starlette) -> AsyncIterator[Watched]:
    eye = await asyncpg.connect(database_url)
    yield Watched(httpx.ASGITransport(emulator), eye)
    await eye.close()


TEMPLATE = """
[[folders]]
path = "{name}"
[[groups]]
claim = "groups"
members = { sales = "Sales" }
"""


async def test_no_transaction_is_open_across_any_call_to_box(
    values: dict[str, Any],
    watched: Watched,
    idp_app: Starlette,
    enterprise: Enterprise,
    tmp_path: Path,
) -> None:
    """A first day, what administrators do, and the clearing up."""
    template = tmp_path / "template.toml"
    template.write_text(TEMPLATE)
    values["provisioning"] = {"template": str(template)}
    settings = Settings.model_validate(values)
    mint = idp_app.state.idp.mint
    token = UnverifiedToken(mint(sub="ada", aud="demo-spa", groups=["sales"]))
    async with opened(settings, mounts={settings.box.api_url: watched}) as parts:
        binder, provisioner = parts.binder(), parts.provisioner()
        await parts.exchange(binder, provisioner).exchange(ExchangeRequest(token))
        await binder.close()
        await provisioner.close()
        async with parts.database.transaction() as session:
            [ada] = await accounts.select(session, namespace=ISSUER, subject="ada")
            spare = enterprise.add_user("made in vain", None)
            await accounts.report_orphan(
                session, ada.account.id, spare.id, "", spare=True
            )
        await parts.lifecycle().lock(ada, "")
        await parts.suspensions().suspend("provider", "main", "")
        await parts.suspensions().lift("provider", "main")
        await LeftOvers(parts.database, parts.box).work()
        other = enterprise.add_user("another", None)
        await parts.lifecycle().relink(ada, other.id)
        _ = [finding async for finding in parts.reconciliation(fix=True).run()]
        await parts.restoration().run()
    assert {call for call, queries in watched.seen.items() if queries} == set()
    assert set(watched.seen) >= {
        "POST /oauth2/token",
        "GET /2.0/users",
        "POST /2.0/users",
        "POST /2.0/folders",
        "POST /2.0/groups",
        "POST /2.0/group_memberships",
        "POST /oauth2/revoke",
        "DELETE /2.0/users/",
        "GET /2.0/users/",
        "POST /2.0/users/terminate_sessions",
    }


@pytest.mark.skipif(not FULL, reason="full size only: a server is started for it")
async def test_postgres_restarted_in_the_middle_leaves_one_user(
    values: dict[str, Any], box: Control, idp_app: Starlette, tmp_path: Path
) -> None:
    """It goes while the POST is under way, so that the answer cannot be recorded."""
    server = start_postgres(tmp_path)
    try:
        await asyncio.to_thread(
            migrations.upgrade, DatabaseSettings(database_url=SecretStr(server.url))
        )
        values["database_url"] = server.url
        await box.fault("POST", "/2.0/users", delay_ms=1500, after_commit=True)
        token = UnverifiedToken(idp_app.state.idp.mint(sub="ada", aud="demo-spa"))
        async with open_parts(Settings.model_validate(values)) as parts:
            exchange = parts.exchange(parts.binder(), parts.provisioner()).exchange
            first = asyncio.create_task(exchange(ExchangeRequest(token)))
            while not await box.users():  # noqa: ASYNC110 - Box is somebody else
                await asyncio.sleep(0.02)
            await asyncio.to_thread(server.stop)
            with pytest.raises(DatabaseUnavailable):
                await first
            server = await asyncio.to_thread(start_postgres, tmp_path, port=server.port)
            vended = await _log_in_again(parts, token)
        assert [user["id"] for user in await box.users()] == [vended]
    finally:
        server.stop()


async def _log_in_again(parts: Parts, token: UnverifiedToken) -> str:
    binder = parts.binder()
    exchange = parts.exchange(binder, parts.provisioner())
    async with asyncio.timeout(60):
        while True:
            try:
                return (await exchange.exchange(ExchangeRequest(token))).box_user_id
            except (ProvisioningInProgress, DatabaseUnavailable):
                await asyncio.sleep(0.1)

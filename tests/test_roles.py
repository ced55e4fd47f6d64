"""A service whose role may not change tables, and a role for the migrations alone."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette

from sso_box_api import migrations
from sso_box_api.errors import ConfigurationError, DatabaseUnavailable
from sso_box_api.settings import DatabaseSettings, Settings
from tests.support.administration import candidate_of
from tests.support.api import BOX_URL, Api, Control
from tests.support.connections import forget, opened
from tests.support.postgres import drop_database, own_name
from tests.support.waiting import until

CONFIGURATION = Path(__file__).parents[1] / "docs/configuration.md"


def _as(url: str, role: str, database: str) -> str:
    parts = urlsplit(url)
    netloc = f"{role}:secret@{parts.hostname}:{parts.port}"
    return parts._replace(netloc=netloc, path=f"/{database}").geturl()


async def _run(url: str, statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        # One after the other: CREATE DATABASE cannot be in a transaction.
        for statement in filter(None, map(str.strip, statements.split(";"))):
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
def urls(postgres_url: str) -> Iterator[tuple[str, str]]:
    """The owner's URL and the service's, to a database made as the page tells."""
    service = own_name("two_roles")
    owner = f"{service}_owner"
    section = CONFIGURATION.read_text().split("### Two roles\n")[1].split("\n## ")[0]
    at_first, as_owner = (
        sql.replace("…", "secret").replace("sso_box", service)
        for sql in re.findall(r"```sql\n(.*?)```", section, re.DOTALL)
    )
    owner_url = _as(postgres_url, owner, service)
    asyncio.run(_run(postgres_url, at_first))
    try:
        asyncio.run(_run(owner_url, as_owner))
        yield owner_url, _as(postgres_url, service, service)
    finally:
        asyncio.run(drop_database(postgres_url, service))
        asyncio.run(_run(postgres_url, f"DROP ROLE {service}; DROP ROLE {owner}"))


async def test_the_service_needs_no_right_to_change_tables_but_all_to_use_them(
    urls: tuple[str, str],
    settings_values: dict[str, Any],
    emulator: Starlette,
    idp_app: Starlette,
    box: Control,
) -> None:
    owner_url, service_url = urls
    owner = DatabaseSettings(database_url=SecretStr(owner_url))
    await asyncio.to_thread(migrations.upgrade, owner)
    settings = Settings.model_validate(settings_values | {"database_url": service_url})
    mounts = {BOX_URL: httpx.ASGITransport(emulator)}
    async with (
        Api.start(settings, emulator, idp_app) as api,
        opened(settings, mounts=mounts) as parts,
    ):
        answer = await api.exchange()
        assert answer.status_code == 200, answer.text
        await parts.lifecycle().lock(await candidate_of(parts), "left")

        async def is_dead() -> bool:
            return not await box.is_live(answer.json()["access_token"])

        await until(is_dead)
        assert (await api.exchange()).json()["code"] == "account_locked"
        assert (await api.http.get("/readyz")).json()["database"] == "ok"
        await parts.require_consistent_rows()
        service = urlsplit(service_url).username
        await _run(owner_url, f"REVOKE DELETE ON vend FROM {service}")
        with pytest.raises(ConfigurationError, match="may not read and write vend; as"):
            await parts.require_consistent_rows()
    await forget()


async def test_a_role_that_may_not_make_tables_is_told_so(
    urls: tuple[str, str],
) -> None:
    service = DatabaseSettings(database_url=SecretStr(urls[1]))
    with pytest.raises(DatabaseUnavailable, match="its role may not do that"):
        await asyncio.to_thread(migrations.upgrade, service)

"""Who goes first where logins queue for tokens of Box, from the door to the journal."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from typing_extensions import override

from sso_box_api.parts import Parts
from sso_box_api.settings import Settings
from tests.support.administration import scalar, sql
from tests.support.api import BOX_URL, ISSUER, Api, Control

TOKEN = "/oauth2/token"
_COUNTED = "SELECT count(*) FROM mint_rate"


class Held(httpx.AsyncBaseTransport):
    """The way to Box, on which token calls stop while it is shut."""

    def __init__(self, emulator: Starlette) -> None:
        self._box = httpx.ASGITransport(emulator)
        self.open = asyncio.Event()
        self.open.set()

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == TOKEN:
            await self.open.wait()
        return await self._box.handle_async_request(request)


@pytest.fixture
def settings_values(settings_values: dict[str, Any]) -> dict[str, Any]:
    settings_values["box"]["max_token_calls"] = 1
    return settings_values


@pytest.fixture
def held(emulator: Starlette) -> Held:
    return Held(emulator)


@pytest.fixture
async def api(settings: Settings, held: Held, idp_app: Starlette) -> AsyncIterator[Api]:
    mounts = {BOX_URL: held, ISSUER: httpx.ASGITransport(idp_app)}
    async with Api.start_with(settings, mounts, idp_app) as api:
        yield api


async def test_a_first_login_is_served_before_the_mints_of_people_who_came_before(
    api: Api, held: Held, box: Control, parts: Parts
) -> None:
    known = ("ada", "eve", "joe")
    for subject in known:
        assert (await api.exchange(api.id_token(subject))).status_code == 200
    await box.requests()
    await sql(parts, "DELETE FROM mint_rate")
    held.open.clear()
    logins = [_begin(api, subject, "picker") for subject in known]
    await _begun(parts, len(known))
    logins.append(_begin(api, "new", "explorer"))
    await _begun(parts, len(known) + 1)
    held.open.set()
    answers = await asyncio.gather(*logins)
    assert [answer.status_code for answer in answers] == [200] * 4
    journal = (await box.call("GET", "/_emulator/requests?since=0")).json()["requests"]
    asked = [entry["subject"] for entry in journal if entry["path"] == TOKEN]
    *others, hers = [asked.index(a.json()["box_user_id"]) for a in answers]
    assert hers < max(others)


def _begin(api: Api, subject: str, profile: str) -> asyncio.Task[httpx.Response]:
    return asyncio.create_task(api.exchange(api.id_token(subject), profile=profile))


async def _begun(parts: Parts, count: int) -> None:
    """Wait for so many mints to be counted; each asks Box for its token next."""
    async with asyncio.timeout(5):
        while await scalar(parts, _COUNTED) < count:  # noqa: ASYNC110 - in the database
            await asyncio.sleep(0.01)
    # From the end of that transaction to the queue nothing is waited for.
    await asyncio.sleep(0.02)

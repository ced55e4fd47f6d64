"""What one person may cost: mints a minute, live tokens of resources, refused resources."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text
from starlette.applications import Starlette

from sso_box_api import vending
from sso_box_api.parts import Parts
from sso_box_api.settings import Settings
from tests.support.administration import scalar, sql
from tests.support.api import Api, Control

MINT = "POST /oauth2/token"
WAITING = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)
PROFILES = ("explorer", "picker", "uploader", "preview", "preview-download")


@pytest.fixture
def settings_values(settings_values: dict[str, Any]) -> dict[str, Any]:
    settings_values["limits"] = {
        "mints_per_minute": 3,
        "resource_tokens_per_account": 2,
    }
    return settings_values


@pytest.fixture
async def elsewhere(
    settings: Settings, emulator: Starlette, idp_app: Starlette
) -> AsyncIterator[Api]:
    """Another process of the service."""
    async with Api.start(settings, emulator, idp_app) as api:
        yield api


async def _code(api: Api, **asked: Any) -> str:
    answer = await api.exchange(**asked)
    return str(answer.json().get("code", answer.status_code))


async def _older(parts: Parts) -> None:
    """All that was minted, was so a minute and more before."""
    await sql(parts, "UPDATE vend SET minted_at = minted_at - interval '61 s'")
    await sql(
        parts,
        "UPDATE mint_rate SET begun ="
        " ARRAY(SELECT at - interval '61 s' FROM unnest(begun) AS at)",
    )


async def test_mints_are_limited_by_the_minute_and_live_tokens_are_not(
    api: Api, box: Control
) -> None:
    for profile in PROFILES[:3]:
        assert await _code(api, profile=profile) == "200"
    await box.requests()
    answer = await api.exchange(profile="preview")
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_mints")
    assert 50 < int(answer.headers["retry-after"]) <= 60
    assert await box.requests() == []
    assert [await _code(api, profile=p) for p in PROFILES[:3]] == ["200"] * 3
    assert await _code(api, token=api.id_token("grace"), profile="preview") == "200"


async def test_mints_of_other_processes_count_and_a_minute_later_no_more(
    api: Api, elsewhere: Api, parts: Parts
) -> None:
    for profile in PROFILES[:3]:
        assert await _code(api, profile=profile) == "200"
    assert await _code(elsewhere, profile="preview") == "too_many_mints"
    await _older(parts)
    assert await _code(elsewhere, profile="preview") == "200"


async def test_of_mints_at_one_time_no_more_than_the_limit_are_begun(
    api: Api, box: Control
) -> None:
    """Also where none of them has a row yet."""
    assert await _code(api, profile="explorer") == "200"
    await box.requests()
    codes = await asyncio.gather(
        *(_code(api, token=api.id_token(), profile=p) for p in PROFILES[1:])
    )
    assert sorted(codes) == ["200", "200", "too_many_mints", "too_many_mints"]
    assert (await box.requests()).count(MINT) <= 4


async def test_of_mints_at_one_time_in_two_processes_no_more_than_the_limit_are_begun(
    api: Api, elsewhere: Api, box: Control
) -> None:
    assert await _code(api, profile="explorer") == "200"
    await box.requests()
    codes = await asyncio.gather(
        *(
            _code(process, profile=profile)
            for process, profile in zip((api, elsewhere) * 2, PROFILES[1:], strict=True)
        )
    )
    assert sorted(codes) == ["200", "200", "too_many_mints", "too_many_mints"]
    # The user's token and the narrowed one, and the other process's own of the service.
    assert (await box.requests()).count(MINT) <= 5


async def test_the_wait_ends_when_the_first_mint_of_the_minute_is_one_ago(
    api: Api, parts: Parts
) -> None:
    """Each moment counts back a minute by itself; none lets twice as many through."""
    for profile in PROFILES[:3]:
        assert await _code(api, profile=profile) == "200"
    await sql(
        parts, "UPDATE mint_rate SET begun[3] = clock_timestamp() - interval '61 s'"
    )
    assert await _code(api, profile="preview") == "200"
    assert await _code(api, profile="preview-download") == "too_many_mints"


async def test_who_had_nothing_minted_for_a_minute_leaves_no_row(
    api: Api, parts: Parts
) -> None:
    await api.exchange()
    await _older(parts)
    await api.exchange(api.id_token("grace"))
    async with parts.database.transaction() as session:
        await vending.forget_mints(session)
    assert await scalar(parts, "SELECT count(*) FROM mint_rate") == 1


async def test_mints_that_box_refuses_count(api: Api, box: Control) -> None:
    """Whoever tries one folder after another makes as many calls to Box."""
    codes = [await _code(api, resource=f"folder:{n}") for n in range(1, 5)]
    assert codes == ["resource_not_accessible"] * 3 + ["too_many_mints"]
    assert len(await box.users()) == 1


async def _folders(api: Api, box: Control, parts: Parts, count: int) -> list[str]:
    token = (await api.exchange()).json()["access_token"]
    answers = [
        await box.call(
            "POST",
            "/2.0/folders",
            token,
            json={"name": f"f{n}", "parent": {"id": "0"}},
        )
        for n in range(count)
    ]
    await _older(parts)
    return [f"folder:{answer.json()['id']}" for answer in answers]


async def _gone(box: Control, token: str) -> bool:
    """Whether Box ends a token, which the background tells it at once."""
    async with asyncio.timeout(5):
        while True:
            if not await box.is_live(token):
                return True
            await asyncio.sleep(0.01)


async def test_the_oldest_token_of_a_resource_ends_where_one_too_many_comes(
    elsewhere: Api, api: Api, box: Control, parts: Parts
) -> None:
    folders = await _folders(elsewhere, box, parts, 3)
    whole = (await elsewhere.exchange()).json()["access_token"]
    first, second, third = [
        (await api.exchange(resource=folder)).json()["access_token"]
        for folder in folders
    ]
    assert await _gone(box, first)
    assert [await box.is_live(token) for token in (whole, second, third)] == [True] * 3


async def test_two_processes_at_the_last_place_keep_to_the_limit(
    api: Api, elsewhere: Api, box: Control, parts: Parts
) -> None:
    folders = await _folders(api, box, parts, 3)
    assert await _code(elsewhere, resource=folders[0]) == "200"
    # Let go at one moment, when Box has made both tokens and neither is listed.
    async with parts.database.transaction() as session:
        connection = await session.connection()
        await connection.execute(text("SELECT 1 FROM account FOR UPDATE"))
        mints = [
            asyncio.create_task(_code(api, resource=folders[1])),
            asyncio.create_task(_code(elsewhere, resource=folders[2])),
        ]
        async with asyncio.timeout(20):
            while await scalar(parts, WAITING) < 2:
                await asyncio.wait(mints, timeout=0.01)
    assert [await mint for mint in mints] == ["200", "200"]
    live = "SELECT count(*) FROM vend WHERE state = 'live' AND resource <> ''"
    assert await scalar(parts, live) == 2


async def test_a_resource_that_box_refused_is_not_asked_for_again(
    api: Api, box: Control
) -> None:
    assert await _code(api, resource="folder:77") == "resource_not_accessible"
    await box.requests()
    for form in ("folder:77", "https://api.box.com/2.0/folders/77"):
        for door in ("json", "oauth"):
            answer = await api.exchange(door=door, resource=form)
            assert "resource_not_accessible" in answer.text
    assert await box.requests() == []
    # Neither another one nor another person is concerned.
    assert await _code(api, resource="file:77") == "resource_not_accessible"
    await _code(api, token=api.id_token("grace"), resource="folder:77")
    assert MINT in await box.requests()

"""A token that Box refuses to a page: asked about once, closed and replaced if dead."""

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, event, text
from starlette.applications import Starlette

from sso_box_api.parts import Parts
from sso_box_api.settings import Settings
from tests.support.administration import scalar, sql
from tests.support.api import Api, Control

DOORS = pytest.mark.parametrize("door", ["json", "oauth"])
PROBE = "GET /2.0/users/me"

_HOLD = text("SELECT FROM vend FOR UPDATE")


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


async def _token(api: Api, **asked: Any) -> str:
    answer = await api.exchange(**asked)
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["access_token"]
    return token


@contextmanager
def _reads_of_vends() -> Iterator[asyncio.Semaphore]:
    """Released by each look for a live token that PostgreSQL answered to a process."""
    reads = asyncio.Semaphore(0)

    def note(*values: Any) -> None:
        if values[2].startswith("SELECT vend.id, vend.account_id, vend.handle"):
            reads.release()

    event.listen(Engine, "after_cursor_execute", note)
    try:
        yield reads
    finally:
        event.remove(Engine, "after_cursor_execute", note)


def _kill(emulator: Starlette, token: str) -> None:
    emulator.state.world.tokens[token].revoked = True


@DOORS
async def test_a_dead_token_is_closed_and_another_one_minted(
    api: Api, box: Control, emulator: Starlette, parts: Parts, door: str
) -> None:
    dead = await _token(api)
    _kill(emulator, dead)
    await box.requests()
    # Upper case is hex as well.
    digest = _sha256(dead).upper()
    fresh = await _token(api, door=door, rejected_token_sha256=digest)
    assert fresh != dead
    assert await box.is_live(fresh)
    assert (await box.requests()).count(PROBE) == 2  # one of them is this test's
    closed = "SELECT token_sha256 FROM vend WHERE state = 'revoked'"
    assert await scalar(parts, closed) == _sha256(dead)
    # Whoever still reports the former one gets the new one, and Box no question.
    assert await _token(api, rejected_token_sha256=digest) == fresh
    assert await box.requests() == []


@DOORS
async def test_a_token_that_box_takes_is_handed_out_again(
    api: Api, box: Control, door: str
) -> None:
    token = await _token(api)
    await box.requests()
    again = await _token(api, door=door, rejected_token_sha256=_sha256(token))
    assert again == token
    assert await box.requests() == [PROBE]


async def test_the_hash_of_another_token_changes_nothing(
    api: Api, box: Control
) -> None:
    token, other = await _token(api), await _token(api, profile="preview")
    await box.requests()
    for digest in (_sha256(other), "0" * 64):
        assert await _token(api, rejected_token_sha256=digest) == token
    assert await box.requests() == []


@pytest.mark.parametrize("digest", ["", "0" * 63, "0" * 65, "g" * 64, "0" * 63 + "\n"])
async def test_what_is_no_sha256_is_refused(api: Api, digest: str) -> None:
    answer = await api.exchange(rejected_token_sha256=digest)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_body")
    assert answer.json()["errors"][0]["loc"] == ["body", "rejected_token_sha256"]
    oauth = await api.exchange(door="oauth", rejected_token_sha256=digest)
    # An empty value counts as not sent there (RFC 6749 section 3.2).
    assert oauth.status_code == (400 if digest else 200)


async def test_reports_at_one_time_are_one_probe_in_all_processes(
    api: Api,
    box: Control,
    parts: Parts,
    settings: Settings,
    emulator: Starlette,
    idp_app: Starlette,
) -> None:
    token = await _token(api)
    async with Api.start(settings, emulator, idp_app) as elsewhere:
        assert await _token(elsewhere) == token
        await box.requests()
        # Nobody has the turn before all four know which token they report.
        with _reads_of_vends() as reads:
            async with parts.database.transaction() as session:
                await (await session.connection()).execute(_HOLD)
                reports = [
                    asyncio.ensure_future(
                        _token(process, rejected_token_sha256=_sha256(token))
                    )
                    for process in (api, elsewhere, api, elsewhere)
                ]
                for _ in reports:
                    await reads.acquire()
        assert await asyncio.gather(*reports) == [token] * 4
    assert await box.requests() == [PROBE]


async def test_reports_of_a_dead_token_at_one_time_mint_one_in_each_process(
    api: Api,
    box: Control,
    settings: Settings,
    emulator: Starlette,
    idp_app: Starlette,
) -> None:
    dead = await _token(api)
    _kill(emulator, dead)
    await box.requests()
    await box.fault("GET", "/2.0/users/me", delay_ms=700)
    async with Api.start(settings, emulator, idp_app) as elsewhere:
        reports = [
            _token(process, rejected_token_sha256=_sha256(dead))
            for process in (api, elsewhere, api, elsewhere)
        ]
        fresh = await asyncio.gather(*reports)
    assert dead not in fresh
    assert len(set(fresh)) <= 2
    assert (await box.requests()).count(PROBE) == 1


async def test_probes_are_counted_for_all_processes_and_for_ten_minutes(
    api: Api,
    box: Control,
    parts: Parts,
    settings: Settings,
    emulator: Starlette,
    idp_app: Starlette,
) -> None:
    """Also where each token that Box refused was replaced by another one."""
    token = await _token(api)
    async with Api.start(settings, emulator, idp_app) as elsewhere:
        for process in (api, elsewhere, api):
            _kill(emulator, token)
            token = await _token(process, rejected_token_sha256=_sha256(token))
        await box.requests()
        for process in (api, elsewhere):
            answer = await process.exchange(rejected_token_sha256=_sha256(token))
            assert answer.status_code == 503
            assert answer.json()["code"] == "box_refuses_token"
            assert 590 < int(answer.headers["retry-after"]) <= 600
    assert await box.requests() == []
    # Whoever reports nothing, and whatever else is asked for, is not concerned.
    assert await _token(api) == token
    other = await _token(api, profile="preview")
    assert await _token(api, profile="preview", rejected_token_sha256=_sha256(other))
    await sql(parts, "UPDATE vend SET probed_at = probed_at - interval '11 min'")
    assert await _token(api, rejected_token_sha256=_sha256(token)) == token


async def test_without_an_answer_of_box_nothing_is_closed(
    api: Api, box: Control, parts: Parts
) -> None:
    token = await _token(api)
    await box.fault("GET", "/2.0/users/me", status=503, times=100)
    answer = await api.exchange(rejected_token_sha256=_sha256(token))
    assert (answer.status_code, answer.json()["code"]) == (503, "box_unavailable")
    assert await scalar(parts, "SELECT state FROM vend") == "live"
    await box.clear_faults()
    assert await _token(api, rejected_token_sha256=_sha256(token)) == token


async def test_who_signed_out_during_the_probe_gets_no_token(
    api: Api, box: Control, parts: Parts
) -> None:
    token = await _token(api)
    await box.fault("GET", "/2.0/users/me", delay_ms=60_000)
    report = asyncio.create_task(api.exchange(rejected_token_sha256=_sha256(token)))
    while not await scalar(parts, "SELECT probes FROM vend"):
        await asyncio.wait([report], timeout=0.01)
    await sql(parts, "UPDATE account SET not_before = now() + interval '1 min'")
    await box.clear_faults()
    answer: httpx.Response = await report
    assert (answer.status_code, answer.json()["code"]) == (401, "signed_out")

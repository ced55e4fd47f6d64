"""A minute of everything at once, while everything around breaks: no wrong answer.

Two servers of two workers. PostgreSQL restarts twice, Box answers 429 and 503 for ten
seconds, one provider changes its keys and disappears. At full size only.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import aiohttp
import httpx
import pytest
from cryptography.fernet import Fernet
from httpx_aiohttp import AiohttpTransport
from pydantic import SecretStr
from starlette.applications import Starlette

from sso_box_api import migrations
from sso_box_api.accounts import external_id
from sso_box_api.settings import DatabaseSettings
from sso_box_devkit.box import Enterprise
from sso_box_devkit.box.faults import Fault
from sso_box_devkit.idp import create_idp
from sso_box_devkit.idp.provider import Idp
from sso_box_devkit.postgres import Postgres, start_postgres
from sso_box_devkit.serving import serve_in_thread
from tests.killswitch.acts import (
    ACTS,
    COMERS_AND_GOERS,
    ORDERS,
    SECONDS,
    VICTIMS,
    WARM,
    Act,
    Stage,
    be_locked,
    come_and_go,
)
from tests.killswitch.conftest import SWEPT_WITHIN_S, is_up
from tests.support.commands import FULL, serving
from tests.support.lines import lines
from tests.support.people import PROFILES, Caller, Judge
from tests.support.servers import free_port
from tests.support.waiting import until

# What was under way when something broke may fail by it.
UNDER_WAY_S = 1.0
STOPS = "PostgreSQL stops"
# What must have come, or something was not tried.
EXPECTED = [
    "account lock: exit 0",
    "bad token 401 token_signature",
    "first login 200",
    "first login 503 box_unavailable",
    "first login 503 database_unavailable",
    "locked 403 account_locked",
    "never seen 200",
    "not theirs 403 resource_not_accessible",
    "other order 200",
    "sign-out 204",
    "signed out 401 signed_out",
    "warm 200",
]


@pytest.fixture
async def stage(
    emulator: Starlette, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stage]:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    enterprise: Enterprise = emulator.state.world.found()
    with ExitStack() as running:
        postgres = await asyncio.to_thread(start_postgres, tmp_path / "postgres")
        settings = DatabaseSettings(database_url=SecretStr(postgres.url))
        await asyncio.to_thread(migrations.upgrade, settings)
        box_url = running.enter_context(serve_in_thread(emulator))
        idps = []
        for port in (free_port(), free_port()):
            app = create_idp(f"http://127.0.0.1:{port}")
            running.enter_context(serve_in_thread(app, port))
            idps.append(app.state.idp)
        env = _environment(postgres, enterprise, box_url, idps)
        servers = [
            running.enter_context(
                serving(free_port(), env, tmp_path / f"serve-{number}.log")
            )
            for number in range(2)
        ]
        await asyncio.gather(*(is_up(server) for server in servers))
        judge = Judge(emulator.state.world)
        async with httpx.AsyncClient(transport=_crowd(), timeout=60) as http:
            caller = Caller(http, [server.url for server in servers], judge)
            stage = Stage(
                *(servers, env, tmp_path, postgres, enterprise, idps, caller),
                box_url,
            )
            try:
                yield stage
            finally:
                await asyncio.to_thread(stage.postgres.stop)


def _crowd() -> httpx.AsyncBaseTransport:
    """A connection for each request, so that all workers get their share.

    None is kept, for the server may close one just when it is used again.
    """
    connector = partial(aiohttp.TCPConnector, limit=200, force_close=True)
    return AiohttpTransport(client=lambda: aiohttp.ClientSession(connector=connector()))


def _environment(
    postgres: Postgres, enterprise: Enterprise, box_url: str, idps: list[Idp]
) -> dict[str, str]:
    providers = [
        {"id": f"idp-{number}", "issuer": idp.issuer, "client_ids": ["demo-spa"]}
        for number, idp in enumerate(idps)
    ]
    return {
        "SSO_BOX_DATABASE_URL": postgres.url,
        "SSO_BOX_SECRET_KEYS": Fernet.generate_key().decode(),
        "SSO_BOX_BOX__CONFIG": json.dumps(enterprise.config()),
        "SSO_BOX_BOX__API_URL": box_url,
        "SSO_BOX_BOX__UPLOAD_URL": f"{box_url}/api",
        "SSO_BOX_PROVIDERS": json.dumps(providers),
        "SSO_BOX_PROFILES": json.dumps(PROFILES),
        "SSO_BOX_ALLOW_LOOPBACK_HTTP": "true",
        # All callers have one address here.
        "SSO_BOX_LIMITS__BAD_TOKENS_PER_MINUTE": "0",
    }


async def _again_and_again(stage: Stage, act: Act, pause_s: float) -> None:
    while time.monotonic() < stage.ends:
        await act(stage)
        await asyncio.sleep(pause_s)


async def _break_things(stage: Stage, note: Callable[[str], None]) -> None:
    await asyncio.sleep(8)
    await _restart_postgres(stage, note)
    await asyncio.sleep(7)
    note("Box fails")
    for status in (429, 503) * 5:
        for path in ("/oauth2/*", "/2.0/*"):
            fault = Fault(
                path=path, times=None, status=status, headers={"retry-after": "1"}
            )
            stage.enterprise.faults.arm(fault)
        await asyncio.sleep(1)
        stage.enterprise.faults.clear()
    note("Box is back")
    await asyncio.sleep(5)
    stage.idps[0].rotate()
    note("keys changed")
    await asyncio.sleep(4)
    stage.idps[0].down = True
    note("provider gone")
    await asyncio.sleep(6)
    await _restart_postgres(stage, note)
    await asyncio.sleep(4)
    stage.idps[0].down = False
    note("provider back")


async def _restart_postgres(stage: Stage, note: Callable[[str], None]) -> None:
    note(STOPS)
    await asyncio.to_thread(stage.postgres.stop)
    await asyncio.sleep(2)
    stage.postgres = await asyncio.to_thread(
        start_postgres, stage.folder / "postgres", port=stage.postgres.port
    )
    note("PostgreSQL is back")


async def _warm_up(stage: Stage) -> None:
    """Everybody in ``warm`` is known, has a folder, and is in the memory of all."""
    for number in range(WARM):
        person = stage.person(f"warm-{number}", stage.idps[number % 2])
        stage.warm.append(person)
        answer = await stage.caller.exchange("warm", person, person.id_token, ORDERS[0])
        assert answer is not None
        assert answer.status_code == httpx.codes.OK, answer.text
        async with httpx.AsyncClient(base_url=stage.box_url) as box:
            bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
            body = {"name": "Work", "parent": {"id": "0"}}
            made = await box.post("/2.0/folders", headers=bearer, json=body)
            person.folder = made.json()["id"]
    async with lines(stage.servers) as to_each_worker:
        for line in to_each_worker:
            for person in stage.warm * 2:
                asked = await line.ask("POST", "/v1/token", person.id_token, ORDERS[0])
                assert asked.status == httpx.codes.OK, asked.body


@pytest.mark.skipif(not FULL, reason="full size only: it is a minute of load")
async def test_a_minute_of_everything_while_everything_breaks_has_no_wrong_answer(
    stage: Stage, record_property: Callable[[str, object], None]
) -> None:
    await _warm_up(stage)
    began = time.monotonic()
    stage.ends = began + SECONDS
    moments: list[tuple[float, str]] = []

    def note(what: str) -> None:
        moments.append((round(time.monotonic() - began, 1), what))

    async with asyncio.TaskGroup() as tasks:
        for act, (many, pause_s) in ACTS.items():
            for _ in range(many):
                tasks.create_task(_again_and_again(stage, act, pause_s))
        for number in range(COMERS_AND_GOERS):
            tasks.create_task(come_and_go(stage, number))
        for number in range(VICTIMS):
            tasks.create_task(be_locked(stage, number))
        tasks.create_task(_break_things(stage, note))
    record_property("moments", moments)
    record_property("answers", dict(sorted(stage.judge.counts.items())))
    refused = [at - began for act, at in stage.judge.refused if act == "warm"]
    record_property("warm people refused", [round(at, 1) for at in refused])
    record_property("renewed", stage.judge.renewed)
    assert stage.judge.wrong == []
    stops = [at for at, what in moments if what == STOPS]
    for at in refused:
        assert any(stop <= at <= stop + UNDER_WAY_S for stop in stops)
    for expected in EXPECTED:
        assert stage.judge.counts[expected], expected
    assert stage.judge.renewed
    await _all_is_well_in_the_end(stage)


async def _all_is_well_in_the_end(stage: Stage) -> None:
    tokens = stage.judge.world.tokens

    async def ended_ones_are_dead() -> bool:
        return not any(
            tokens[value].is_live()
            for person in stage.everybody
            if person.is_locked
            for value in person.handed_out
        )

    for person in stage.warm:
        answer = await stage.caller.exchange("in the end", person, person.log_in())
        assert answer is not None
        assert answer.status_code == httpx.codes.OK, answer.text
    await until(ended_ones_are_dead, within_s=2 * SWEPT_WITHIN_S)
    of_id = Counter(u.external_app_user_id for u in stage.enterprise.users.values())
    people = {external_id("", p.idp.issuer, p.subject) for p in stage.everybody}
    assert set(of_id) <= people
    assert set(of_id.values()) == {1}

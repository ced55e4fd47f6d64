"""The proof of the page, through both doors: whose login an ID token came from."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from starlette.applications import Starlette

from sso_box_api.identity.nonce import nonce_for
from sso_box_api.settings import Settings
from tests.support.api import ISSUER, Api

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
OTHERS = VERIFIER[::-1]
NONCE = nonce_for(VERIFIER)
SESSION_S = 600
FAILED = "nonce_proof_failed"

pytestmark = pytest.mark.parametrize("door", ["json", "oauth"])


def _required(**changes: Any) -> dict[str, Any]:
    return {
        "id": "main",
        "issuer": ISSUER,
        "client_ids": ["demo-spa", "demo-mobile"],
        "require_nonce_proof": True,
        "nonce_session_s": SESSION_S,
    } | changes


@pytest.fixture
async def strict(
    settings_values: dict[str, Any], emulator: Starlette, idp_app: Starlette
) -> AsyncIterator[Api]:
    """The service where the provider's people have to bring the proof."""
    values = settings_values | {"providers": [_required()]}
    settings = Settings.model_validate(values)
    async with Api.start(settings, emulator, idp_app) as api:
        yield api


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def _code(api: Api, token: str, door: str, **body: Any) -> str:
    """What came of an exchange: ``granted``, or the code of the refusal."""
    answer = await api.exchange(token, door=door, **body)
    if answer.is_success:
        return "granted"
    return str(answer.json()["code" if door == "json" else "reason"])


async def test_only_the_page_that_knows_the_verifier_gets_a_token(
    strict: Api, door: str
) -> None:
    token = strict.id_token(nonce=NONCE)
    assert await _code(strict, token, door) == FAILED
    assert await _code(strict, token, door, nonce_verifier=OTHERS) == FAILED
    assert await _code(strict, token, door, nonce_verifier=VERIFIER) == "granted"
    # The proof is asked for at each exchange, also of a token that is remembered.
    assert await _code(strict, token, door) == FAILED


async def test_the_verifier_is_not_its_own_nonce(strict: Api, door: str) -> None:
    """A page that sends its secret through the provider has none."""
    token = strict.id_token(nonce=VERIFIER)
    assert await _code(strict, token, door, nonce_verifier=VERIFIER) == FAILED


async def test_a_refreshed_token_passes_after_the_proof_and_not_before(
    strict: Api, door: str
) -> None:
    refreshed = strict.id_token()
    assert await _code(strict, refreshed, door) == FAILED
    first = strict.id_token(nonce=NONCE)
    assert await _code(strict, first, door, nonce_verifier=VERIFIER) == "granted"
    assert await _code(strict, refreshed, door) == "granted"
    assert await _code(strict, refreshed, door, nonce_verifier=VERIFIER) == "granted"


async def test_the_proof_holds_for_one_person_and_one_client(
    strict: Api, door: str
) -> None:
    """Of two people and two clients, each has shown its proof in one combination."""
    on_mobile = {"client_id": "demo-mobile"} if door == "oauth" else {}
    adas = strict.id_token(nonce=NONCE)
    graces = strict.id_token("grace", aud="demo-mobile", nonce=NONCE)
    for token, client in ((adas, {}), (graces, on_mobile)):
        answer = await strict.exchange(
            token, door=door, nonce_verifier=VERIFIER, **client
        )
        assert answer.is_success
    adas_on_mobile = strict.id_token(aud="demo-mobile")
    assert await _code(strict, adas_on_mobile, door, **on_mobile) == FAILED
    assert await _code(strict, strict.id_token("grace"), door) == FAILED


@pytest.mark.parametrize(
    ("proved_s_ago", "signed_out_s_ago"),
    [(SESSION_S, None), (101, 100)],
    ids=["the session is over", "signed out since"],
)
async def test_a_proof_does_not_outlive_its_session(
    strict: Api,
    database: asyncpg.Connection,
    door: str,
    proved_s_ago: int,
    signed_out_s_ago: int | None,
) -> None:
    first, refreshed = strict.id_token(nonce=NONCE), strict.id_token()
    assert await _code(strict, first, door, nonce_verifier=VERIFIER) == "granted"
    assert await _code(strict, refreshed, door) == "granted"
    await database.execute(
        "UPDATE nonce_proof SET proved_at = now() - make_interval(secs => $1)",
        proved_s_ago,
    )
    if signed_out_s_ago:
        await database.execute(
            "UPDATE account SET not_before = now() - make_interval(secs => $1)",
            signed_out_s_ago,
        )
    assert await _code(strict, refreshed, door) == FAILED
    # The page itself goes on with what it knows, and its session begins anew.
    assert await _code(strict, first, door, nonce_verifier=VERIFIER) == "granted"
    assert await _code(strict, refreshed, door) == "granted"


async def test_a_proof_that_is_sent_is_checked_where_none_is_required(
    api: Api, door: str
) -> None:
    token = api.id_token(nonce=NONCE)
    assert await _code(api, token, door, nonce_verifier=OTHERS) == FAILED
    assert await _code(api, token, door, nonce_verifier=VERIFIER) == "granted"
    assert await _code(api, token, door) == "granted"


@pytest.mark.parametrize("verifier", ["short", "é" * 43, "a" * 129, "a" * 42 + "\n"])
async def test_a_verifier_of_another_form_is_refused_and_not_repeated(
    api: Api, door: str, verifier: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = await api.exchange(door=door, nonce_verifier=verifier)
    body = answer.json()
    if door == "json":
        assert (answer.status_code, body["code"]) == (422, "invalid_body")
        assert [error["loc"] for error in body["errors"]] == [
            ["body", "nonce_verifier"]
        ]
    else:
        assert (answer.status_code, body["reason"]) == (400, "invalid_form")
    assert verifier not in answer.text
    assert verifier not in caplog.text


async def test_the_verifier_reaches_no_log_and_no_answer(
    strict: Api,
    door: str,
    caplog: pytest.LogCaptureFixture,
    database: asyncpg.Connection,
) -> None:
    caplog.set_level(logging.DEBUG)
    token = strict.id_token(nonce=NONCE)
    for verifier in (VERIFIER, OTHERS):
        answer = await strict.exchange(token, door=door, nonce_verifier=verifier)
        assert verifier not in answer.text
        assert verifier not in caplog.text
    [row] = await database.fetch("SELECT * FROM nonce_proof")
    assert VERIFIER not in str(row)


async def test_a_signed_nonce_of_any_text_is_another_nonce(
    strict: Api, door: str
) -> None:
    """A provider that repeats what it was sent may sign half a character."""
    for nonce in ("\ud800", "é", ""):
        token = strict.id_token(nonce=nonce)
        assert await _code(strict, token, door, nonce_verifier=VERIFIER) == FAILED


async def _waiting_for_a_lock(database: asyncpg.Connection) -> None:
    waiting = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    while not await database.fetchval(waiting):  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("locked_at = clock_timestamp()", "account_locked"),
        ("not_before = clock_timestamp()", "signed_out"),
    ],
)
async def test_a_proof_that_waits_for_a_lock_or_sign_out_is_not_noted_after_it(
    strict: Api,
    database: asyncpg.Connection,
    database_url: str,
    door: str,
    change: str,
    code: str,
) -> None:
    """It was shown before, and would let refreshed tokens in again afterwards."""
    api_token = strict.id_token(nonce=NONCE)
    assert await _code(strict, api_token, door, nonce_verifier=VERIFIER) == "granted"
    await database.execute("DELETE FROM nonce_proof")
    administrator = await asyncpg.connect(database_url)
    async with administrator.transaction():
        await administrator.execute(f"UPDATE account SET {change}")  # noqa: S608 - above
        exchange = asyncio.create_task(
            _code(strict, api_token, door, nonce_verifier=VERIFIER)
        )
        async with asyncio.timeout(30):
            await _waiting_for_a_lock(database)
    await administrator.close()
    assert await exchange == code
    assert await database.fetchval("SELECT count(*) FROM nonce_proof") == 0


async def test_a_proof_after_a_sign_out_counts_at_once(
    strict: Api, database: asyncpg.Connection, door: str
) -> None:
    """Also where the one before it is a moment old, and not worth a write by its age."""
    first = strict.id_token(nonce=NONCE)
    assert await _code(strict, first, door, nonce_verifier=VERIFIER) == "granted"
    now = int(time.time())
    await database.execute("UPDATE account SET not_before = clock_timestamp()")
    again = strict.id_token(nonce=NONCE, auth_time=now + 2)
    assert await _code(strict, again, door, nonce_verifier=VERIFIER) == "granted"
    assert await _code(strict, strict.id_token(auth_time=now + 2), door) == "granted"


async def test_an_open_page_causes_no_write_at_each_exchange(
    strict: Api, database: asyncpg.Connection, door: str
) -> None:
    token, noted = strict.id_token(nonce=NONCE), []
    for _ in range(2):
        assert await _code(strict, token, door, nonce_verifier=VERIFIER) == "granted"
        noted.append(await database.fetchval("SELECT proved_at FROM nonce_proof"))
    assert noted[0] == noted[1]

"""The search that ends each test run finds what it is meant to find, and no more."""

import asyncio
import hashlib
import json
import logging
from collections.abc import Iterator
from typing import Any

import asyncpg
import httpx
import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse

from sso_box_devkit.box import Enterprise
from tests.support.api import Api
from tests.support.collecting import collecting, read_tables
from tests.support.secrecy import WATCH, Watch

TOKEN = "q7Zt-2Lw0PxV_9aRkM4sYb1Ue6Tn3Hd8"


@pytest.fixture(autouse=True)
def _the_run_is_not_searched_for_what_these_tests_show() -> Iterator[None]:
    WATCH.is_deaf = True
    yield
    WATCH.is_deaf = False


@pytest.fixture
def watch() -> Watch:
    """One of a test's own."""
    watch = Watch()
    watch.secret("token", TOKEN)
    return watch


def _kinds(watch: Watch) -> set[str]:
    return {finding.kind for finding in watch.findings()}


@pytest.mark.parametrize(
    "text",
    [
        TOKEN,
        f'{{"a": "Bearer {TOKEN}"}}',
        f"https://h/?t={TOKEN}&u=1",
        f"{TOKEN[:12]}...",
        f"...{TOKEN[-12:]}",
        f"x{TOKEN}x",
    ],
)
def test_a_secret_is_found_whole_and_in_part(watch: Watch, text: str) -> None:
    watch.read("somewhere", f"first\n{text}\nlast")
    assert watch.findings() == [("token", "somewhere")] * len(watch.findings())
    assert _kinds(watch) == {"token"}
    assert watch.counts["lines"] == 3


def test_its_hash_and_its_encryption_are_no_secrets(watch: Watch) -> None:
    watch.read("row", hashlib.sha256(TOKEN.encode()).hexdigest())
    watch.read("row", Fernet(Fernet.generate_key()).encrypt(TOKEN.encode()).decode())
    assert watch.findings() == []


def test_a_finding_does_not_show_the_secret(watch: Watch) -> None:
    watch.read("log", TOKEN)
    assert TOKEN[:12] not in repr(watch.findings()) + repr(watch)


def test_of_an_id_token_the_signature_is_secret_and_the_claims_are_not(
    api: Api, watch: Watch
) -> None:
    head, claims, signature = api.id_token().split(".")
    watch.secret("ID token", f"{head}.{claims}.{signature}")
    watch.read("log", f"{head}.{claims}")
    assert watch.findings() == []
    watch.read("log", signature[:20])
    assert _kinds(watch) == {"ID token"}


def test_everything_that_a_box_app_signs_in_with_is_secret(
    enterprise: Enterprise, watch: Watch
) -> None:
    settings = enterprise.config()["boxAppSettings"]
    with collecting(watch):
        SecretStr(json.dumps(enterprise.config()))
    watch.read("client id", settings["clientID"])
    assert watch.findings() == []
    watch.read("client secret", settings["clientSecret"])
    watch.read("passphrase", settings["appAuth"]["passphrase"])
    watch.read("key", settings["appAuth"]["privateKey"])
    assert {finding.place for finding in watch.findings()} == {
        "client secret",
        "passphrase",
        "key",
    }


async def test_it_hears_what_a_login_makes_and_what_is_logged_of_it(
    api: Api, watch: Watch
) -> None:
    with collecting(watch):
        id_token = api.id_token()
        box_token = (await api.exchange(id_token)).json()["access_token"]
        assert watch.findings() == []
        logging.getLogger("sso_box_api.any").info("exchanged %s", id_token)
        logging.getLogger("sso_box_api.any").info("got %.12s", box_token)
        try:
            int(TOKEN)
        except ValueError:
            logging.getLogger("sso_box_api.any").exception("a traceback tells, too")
    assert _kinds(watch) == {"ID token", "Box token", "token"}


async def test_it_reads_what_the_service_answers_beside_tokens(watch: Watch) -> None:
    async def echo(request: Request) -> JSONResponse:
        body: dict[str, Any] = await request.json()
        headers = {"x-request-id": "1"} if "ours" in request.url.path else {}
        return JSONResponse(body, 422 if "bad" in body else 200, headers=headers)

    app = Starlette()
    for path in ("/v1/token", "/ours", "/box"):
        app.add_route(path, echo, ["POST"])
    transport = httpx.ASGITransport(app)
    with collecting(watch):
        async with httpx.AsyncClient(transport=transport, base_url="http://h") as http:
            await http.post("/v1/token", json={"access_token": TOKEN})
            await http.post("/box", json={"bad": TOKEN})
            assert watch.findings() == []
            await http.post("/ours", json={"bad": TOKEN})
    assert {finding.place for finding in watch.findings()} == {
        "answer 422 to POST /ours"
    }


async def test_it_reads_the_rows_of_tables(database_url: str, watch: Watch) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        async with asyncio.timeout(10):
            await connection.execute("CREATE TEMPORARY TABLE leak (id int, t text)")
            await connection.execute("INSERT INTO leak VALUES (1, $1)", TOKEN)
            await read_tables(connection, ["leak", "vend"], watch)
    finally:
        await connection.close()
    assert {finding.place for finding in watch.findings()} == {"table leak"}
    assert watch.counts["rows"] == 1

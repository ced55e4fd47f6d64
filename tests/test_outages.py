"""What callers see while something is broken, and that it mends by itself."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from asgi_lifespan import LifespanManager
from pydantic import SecretStr
from sqlalchemy import text
from starlette.applications import Starlette

from sso_box_api import db
from sso_box_api.api.limits import BadTokenLimit
from sso_box_api.app import create_app, serve_app
from sso_box_api.audit import RequestEvent, configure_logging
from sso_box_api.errors import (
    DatabaseUnavailable,
    SsoBoxError,
    TokenExpired,
    TooManyBadTokens,
)
from sso_box_api.settings import Settings
from sso_box_devkit.box import Enterprise
from tests.support.api import Api, Control
from tests.support.connections import forget
from tests.support.relay import Relay


async def _sql(settings: Settings, statement: str) -> None:
    database = db.Database(settings)
    async with database.transaction() as session:
        await (await session.connection()).execute(text(statement))
    await database.close()


async def test_lost_database_is_503_and_comes_back_without_a_restart(
    api: Api, settings: Settings
) -> None:
    token = (await api.exchange()).json()["access_token"]
    for number in range(50):
        await _sql(
            settings,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        await forget()
        answer = await api.exchange(api.id_token(f"person-{number}"))
        # Whoever is first sees it, which may be work in the background.
        if answer.is_error:
            break
    else:
        pytest.fail("nobody saw it")
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    assert "retry-after" in answer.headers
    assert (await api.exchange()).json()["access_token"] == token


async def test_readiness_fails_without_a_database(
    settings_values: dict[str, Any],
    emulator: Starlette,
    idp_app: Starlette,
    way_to_database: Relay,
) -> None:
    settings_values["database_url"] = way_to_database.url
    settings_values["vending"] = {"grace_s": 0}
    settings = Settings.model_validate(settings_values)
    async with Api.start(settings, emulator, idp_app) as api:
        assert (await api.http.get("/readyz")).json()["status"] == "ok"
        way_to_database.cut()
        answer = await api.http.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["status"] == "unavailable"
        assert answer.json()["database"] == "unavailable"
        assert (await api.http.get("/livez")).status_code == 200
        exchange = await api.exchange()
        assert exchange.json()["code"] == "database_unavailable"


async def _sql_on_standby(settings: Settings, statement: str) -> None:
    """What came there from elsewhere: it is written although others cannot."""
    connection = await asyncpg.connect(
        settings.database_url.get_secret_value(),
        server_settings={"default_transaction_read_only": "off"},
    )
    await connection.execute(statement)
    await connection.close()


@pytest.fixture
async def read_only(settings: Settings) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Have all new connections write nothing, as after a failover to a standby."""
    url = settings.database_url.get_secret_value()
    name = url.rsplit("/", 1)[1].partition("?")[0]

    async def alter(change: str) -> None:
        await _sql_on_standby(settings, f'ALTER DATABASE "{name}" {change}')
        await forget()

    yield lambda: alter("SET default_transaction_read_only = on")
    await alter("RESET default_transaction_read_only")


async def test_a_database_that_is_read_only_serves_whoever_has_a_token(
    read_only: Callable[[], Awaitable[None]],
    settings: Settings,
    emulator: Starlette,
    idp_app: Starlette,
    box: Control,
) -> None:
    async with Api.start(settings, emulator, idp_app) as api:
        token = (await api.exchange()).json()["access_token"]
    await read_only()
    scraper = "token-of-the-scraper"
    settings = settings.model_copy(update={"metrics_token": SecretStr(scraper)})
    async with Api.start(settings, emulator, idp_app) as standby:
        await box.requests()
        for name in ("Ada Byron", "Ada King", "Ada King"):
            answer = await standby.exchange(standby.id_token(name=name))
            assert answer.json().get("access_token") == token, answer.text
        refused = [
            await standby.exchange(standby.id_token("bob"), door=door)
            for door in ("json", "oauth")
        ]
        refused.append(await standby.exchange(profile="picker"))
        own = {"Authorization": f"Bearer {standby.id_token()}"}
        refused.append(await standby.http.delete("/v1/tokens", headers=own))
        for answer in refused:
            assert answer.status_code == 503, answer.text
            assert "database_unavailable" in answer.text
            assert "retry-after" in answer.headers
        assert (await standby.http.get("/v1/me", headers=own)).json()["box"]
        ready = await standby.http.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert ready.json()["database"] == "read_only"
        assert ready.json()["pending_revocations"] == 0
        headers = {"Authorization": f"Bearer {scraper}"}
        metrics = (await standby.http.get("/metrics", headers=headers)).text
        assert "\nsso_box_database_is_read_only 1.0\n" in metrics
    # Nothing that could not have been listed was made at Box.
    assert await box.requests() == []


async def test_a_read_only_database_that_tells_nothing_is_asked_for_each_login(
    read_only: Callable[[], Awaitable[None]],
    settings: Settings,
    emulator: Starlette,
    idp_app: Starlette,
    enterprise: Enterprise,
    way_to_database: Relay,
    audit_log: list[dict[str, Any]],
) -> None:
    """A standby cannot be listened on, and yet it knows of locks."""
    del enterprise
    async with Api.start(settings, emulator, idp_app) as api:
        assert (await api.exchange()).status_code == 200
    await read_only()
    listen_url = {"database_listen_url": SecretStr(way_to_database.url)}
    settings = settings.model_copy(update=listen_url)
    async with Api.start(settings, emulator, idp_app) as standby:

        async def answers(key: str, value: str) -> None:
            async with asyncio.timeout(20):
                await standby.exchange()
                while audit_log[-1].get(key) != value:
                    await asyncio.sleep(0.01)
                    await standby.exchange()

        await answers("vend", "remembered")
        way_to_database.cut()
        await _sql_on_standby(settings, "UPDATE account SET locked_at = now()")
        await answers("code", "account_locked")


async def test_an_unexpected_error_tells_nothing_but_the_request_id(
    api: Api, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Here: a handle that was copied into another person's row."""
    ada = (await api.exchange()).json()["access_token"]
    await api.exchange(api.id_token("grace"))
    await _sql(
        settings,
        "UPDATE vend SET handle = (SELECT handle FROM vend v WHERE v.id <> vend.id)",
    )
    for door in ("json", "oauth"):
        answer = await api.exchange(door=door)
        body = answer.json()
        assert answer.status_code == 500
        assert body["code" if door == "json" else "reason"] == "internal_error"
        assert body["request_id"] == answer.headers["x-request-id"]
        assert ada not in answer.text
    assert "belongs to another row" in caplog.text
    assert ada not in caplog.text


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("testclient", "testclient", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
    ],
)
async def test_bad_tokens_are_counted_by_host(
    first: str,
    second: str,
    together: bool,  # noqa: FBT001 - a column of the table
) -> None:
    limit = BadTokenLimit(1)
    with pytest.raises(TokenExpired), limit.counting(first):
        raise TokenExpired
    refused = TooManyBadTokens if together else TokenExpired
    with pytest.raises(refused), limit.counting(second):
        raise TokenExpired


async def test_bad_tokens_are_limited_and_good_ones_still_pass(
    settings_values: dict[str, Any], emulator: Starlette, idp_app: Starlette
) -> None:
    settings_values["limits"] = {"bad_tokens_per_minute": 2}
    settings = Settings.model_validate(settings_values)
    async with Api.start(settings, emulator, idp_app) as api:
        codes = [(await api.exchange("a.b.c")).status_code for _ in range(4)]
        assert codes == [401, 401, 429, 429]
        assert (await api.exchange("a.b.c")).headers["retry-after"] == "60"
        oauth = await api.exchange("a.b.c", door="oauth")
        assert oauth.status_code == 429
        assert (await api.exchange()).status_code == 200


async def test_bad_tokens_at_me_count_and_missing_ones_do_not(
    settings_values: dict[str, Any], emulator: Starlette, idp_app: Starlette
) -> None:
    settings_values["limits"] = {"bad_tokens_per_minute": 2}
    settings = Settings.model_validate(settings_values)
    bad = {"Authorization": "Bearer a.b.c"}
    async with Api.start(settings, emulator, idp_app) as api:
        for _ in range(3):
            assert (await api.http.post("/v1/token")).status_code == 401
            assert (await api.http.get("/v1/me")).status_code == 401
        asked = [await api.http.get("/v1/me", headers=bad) for _ in range(3)]
        assert [answer.status_code for answer in asked] == [401, 401, 429]
        assert asked[-1].json()["code"] == "too_many_bad_tokens"
        # One count for the address, whichever door it tries.
        assert (await api.exchange("a.b.c")).status_code == 429
        assert (await api.http.get("/v1/me")).json()["code"] == "token_missing"
        good = {"Authorization": f"Bearer {api.id_token()}"}
        assert (await api.http.get("/v1/me", headers=good)).status_code == 200


@pytest.mark.parametrize(("days", "state"), [(1, "stale"), (3, "unavailable")])
async def test_keys_past_their_time_make_readiness_degraded(
    settings: Settings,
    emulator: Starlette,
    enterprise: Enterprise,
    idp_app: Starlette,
    days: int,
    state: str,
) -> None:
    """A day is the longest time of a key set, and it may be stale for another one."""
    del enterprise
    ahead_s = 0.0
    async with Api.start(
        settings, emulator, idp_app, clock=lambda: time.time() + ahead_s
    ) as api:
        assert (await api.exchange()).status_code == 200
        fresh = (await api.http.get("/readyz")).json()
        assert (fresh["status"], fresh["providers"]) == ("ok", {"main": "fresh"})
        ahead_s = days * 86_400.0
        answer = await api.http.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["status"] == "degraded"
    assert answer.json()["providers"] == {"main": state}


async def test_no_limit_when_it_is_switched_off(
    settings_values: dict[str, Any], emulator: Starlette, idp_app: Starlette
) -> None:
    settings_values["limits"] = {"bad_tokens_per_minute": 0}
    settings = Settings.model_validate(settings_values)
    async with Api.start(settings, emulator, idp_app) as api:
        codes = {(await api.exchange("a.b.c")).status_code for _ in range(100)}
        assert codes == {401}


def test_log_lines_are_json_with_the_traceback_and_audit_apart(
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = logging.getLogger()
    kept = root.handlers[:], root.level
    try:
        configure_logging()
        try:
            int("broken")
        except ValueError:
            logging.getLogger("x").exception("it %s", "failed")
        logging.getLogger("httpx").info("GET https://host/?access_token=secret")
        with pytest.raises(KeyError), RequestEvent("exchange", "r-1", "192.0.2.1"):
            raise KeyError
    finally:
        root.handlers[:] = kept[0]
        root.setLevel(kept[1])
    out, err = capsys.readouterr()
    line = json.loads(err)
    assert line["message"] == "it failed"
    assert "ValueError: invalid literal" in line["traceback"]
    event = json.loads(out)
    assert (event["event"], event["request_id"]) == ("exchange", "r-1")
    assert event["outcome"] == "failed"


async def test_a_body_that_never_ends_is_408(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The limit is a constant of ten seconds; a test should not take that long.
    monkeypatch.setattr("sso_box_api.api.middleware.MAX_BODY_S", 0.05)

    async def slow() -> Any:
        yield b"{"
        await asyncio.sleep(1)

    answer = await api.http.post("/v1/token", content=slow())
    assert (answer.status_code, answer.json()["code"]) == (408, "request_timeout")


async def test_the_server_entry_point_reads_the_environment(
    settings_values: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    handlers = logging.getLogger().handlers[:]
    config = tmp_path / "config.json"
    config.write_text(settings_values["box"]["config"])
    monkeypatch.setenv("SSO_BOX_DATABASE_URL", settings_values["database_url"])
    monkeypatch.setenv("SSO_BOX_SECRET_KEYS", settings_values["secret_keys"])
    monkeypatch.setenv("SSO_BOX_BOX__CONFIG_FILE", str(config))
    monkeypatch.setenv("SSO_BOX_PROVIDERS", json.dumps(settings_values["providers"]))
    app = serve_app()
    logging.getLogger().handlers[:] = handlers
    async with LifespanManager(app, startup_timeout=60, shutdown_timeout=60) as manager:
        transport = httpx.ASGITransport(manager.app)
        async with httpx.AsyncClient(
            transport=transport, base_url="https://api.test"
        ) as http:
            assert (await http.get("/readyz")).status_code == 200


async def test_transport_errors_of_the_driver_are_one_error(
    settings: Settings,
) -> None:
    url = "postgresql://u:p@127.0.0.1:1/x?sslmode=disable"
    options = {"database_url": SecretStr(url), "database_transaction_pooler": True}
    database = db.Database(settings.model_copy(update=options))
    with pytest.raises(DatabaseUnavailable):
        await database.takes_writes()
    await database.close()


async def test_behind_a_transaction_pooler_nothing_relies_on_prepared_statements(
    settings_values: dict[str, Any], emulator: Starlette, idp_app: Starlette
) -> None:
    settings_values["database_transaction_pooler"] = True
    settings = Settings.model_validate(settings_values)
    async with Api.start(settings, emulator, idp_app) as api:
        first = await api.exchange()
        assert first.status_code == 200, first.text
        assert (await api.exchange()).json() | {"expires_in": 0} == first.json() | {
            "expires_in": 0
        }
    database = db.Database(settings)
    async with database.transaction() as session:
        connection = await session.connection()
        left = await connection.execute(text("SELECT name FROM pg_prepared_statements"))
        assert len(left.all()) <= 1
    await database.close()


async def test_a_single_statement_is_in_a_transaction_behind_a_pooler_alone(
    settings: Settings,
) -> None:
    """There its preparation and its execution would be on two connections else."""
    outside_alone = text("DISCARD ALL")
    database = db.Database(settings)
    assert await database.execute(outside_alone, {}) == ()
    await database.close()
    pooler = {"database_transaction_pooler": True}
    database = db.Database(settings.model_copy(update=pooler))
    with pytest.raises(DatabaseUnavailable, match="25001"):
        await database.execute(outside_alone, {})
    await database.close()


async def test_cors_admits_the_configured_origins_only(
    settings_values: dict[str, Any], emulator: Starlette, idp_app: Starlette
) -> None:
    settings_values["cors_origins"] = ["https://app.example"]
    settings = Settings.model_validate(settings_values)
    async with Api.start(settings, emulator, idp_app) as api:
        preflight = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        }
        allowed = await api.http.options(
            "/v1/token", headers={**preflight, "Origin": "https://app.example"}
        )
        assert allowed.headers["access-control-allow-origin"] == "https://app.example"
        for origin in ("https://evil.example", "null", "https://app.example.evil"):
            refused = await api.http.options(
                "/v1/token", headers={**preflight, "Origin": origin}
            )
            assert "access-control-allow-origin" not in refused.headers
        failed = await api.http.post(
            "/v1/token", headers={"Origin": "https://app.example"}
        )
        assert failed.status_code == 401
        assert failed.headers["access-control-allow-origin"] == "https://app.example"
        exposed = failed.headers["access-control-expose-headers"]
        assert "WWW-Authenticate" in exposed
        assert "access-control-allow-credentials" not in failed.headers


def test_codes_are_unique_and_every_error_can_be_named() -> None:
    def leaves(kind: type[SsoBoxError]) -> list[type[SsoBoxError]]:
        below = [leaf for sub in kind.__subclasses__() for leaf in leaves(sub)]
        return below or [kind]

    ours = [k for k in leaves(SsoBoxError) if k.__module__ == "sso_box_api.errors"]
    codes = [kind.code for kind in ours]
    assert len(set(codes)) == len(codes)


async def test_openapi_document_is_complete(settings: Settings) -> None:
    document = create_app(settings).openapi()
    assert set(document["paths"]) == {
        "/v1/token",
        "/oauth2/token",
        "/v1/tokens",
        "/oauth2/revoke",
        "/v1/me",
        "/v1/config",
        "/livez",
        "/readyz",
    }
    text_form = json.dumps(document)
    refs = {part.split('"')[0] for part in text_form.split("#/components/schemas/")[1:]}
    assert refs <= set(document["components"]["schemas"])
    assert "HTTPValidationError" not in text_form
    operations = [
        operation["operationId"]
        for path in document["paths"].values()
        for operation in path.values()
    ]
    assert len(set(operations)) == len(operations)


async def test_tokens_that_name_unknown_keys_count_as_bad(
    settings_values: dict[str, Any], emulator: Starlette, idp_app: Starlette
) -> None:
    settings_values["limits"] = {"bad_tokens_per_minute": 5}
    settings = Settings.model_validate(settings_values)
    async with Api.start(settings, emulator, idp_app) as api:
        forged = [api.idp.mint(header={"kid": f"unknown-{n}"}) for n in range(12)]
        assert (await api.exchange()).status_code == 200
        codes = [(await api.exchange(token)).status_code for token in forged]
        # Three fetches for unknown keys, then none for a while.
        assert codes == [401] * 3 + [503] * 2 + [429] * 7
        assert (await api.exchange()).status_code == 200


async def test_a_body_that_was_cut_off_is_not_acted_on(api: Api) -> None:
    """An empty body would mean the default profile."""
    token = api.id_token()
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/token",
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {token}".encode())],
    }
    transport = api.http._transport
    assert isinstance(transport, httpx.ASGITransport)
    await transport.app(scope, receive, send)
    assert sent == []
    headers = {"Authorization": f"Bearer {token}"}
    assert (await api.http.get("/v1/me", headers=headers)).json()["box"] is None


async def test_a_trailing_slash_is_not_found_and_redirects_nowhere(api: Api) -> None:
    answer = await api.http.get("/v1/me/?id_token=secret", headers={"Host": "evil"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "location" not in answer.headers

"""Revocations are finished in the background, by whichever process there is."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from cryptography.fernet import Fernet
from sqlalchemy import text
from starlette.applications import Starlette

from sso_box_api import accounts, vending
from sso_box_api.listener import NothingHeard, listening
from sso_box_api.parts import Parts
from sso_box_api.revocation import Revoker
from sso_box_api.settings import DatabaseSettings, Settings
from tests.support.api import BOX_URL, Api, Control
from tests.support.connections import connected, opened
from tests.support.relay import Relay
from tests.support.waiting import until

HOUR = 3600.0
LISTENERS = (
    "SELECT pid FROM pg_stat_activity"
    " WHERE datname = current_database()"
    " AND application_name = 'sso-box-api listener'"
)


@pytest.fixture
def settings_values(settings_values: dict[str, Any]) -> dict[str, Any]:
    """Nothing happens by the interval, unless a test shortens it."""
    settings_values["vending"] = {"sweep_interval_s": HOUR}
    settings_values["box"] |= {"max_attempts": 1, "breaker_rest_s": 0.01}
    return settings_values


@pytest.fixture
async def parts(settings: Settings, emulator: Starlette) -> AsyncIterator[Parts]:
    """Another process, whose work is done when a test says so."""
    mounts = {BOX_URL: httpx.ASGITransport(emulator)}
    async with opened(settings, mounts=mounts) as parts:
        yield parts


def _revoker(parts: Parts, put_off_s: float = 10.0) -> Revoker:
    return parts.revoker(put_off_s=put_off_s, background=True)


async def _sql(parts: Parts, statement: str) -> list[Any]:
    async with parts.database.transaction() as session:
        result = await (await session.connection()).execute(text(statement))
        return list(result.scalars()) if result.returns_rows else []


async def _dead(box: Control, token: str) -> bool:
    return not await box.is_live(token)


async def _hand_out(api: Api, count: int) -> list[str]:
    """Different tokens of one person."""
    scopes = ["item_preview", "item_download", "item_upload", "item_rename"]
    orders: list[dict[str, Any]] = [
        *({"profile": name} for name in ("explorer", "picker", "uploader", "preview")),
        *({"scope": [one]} for one in scopes),
        *({"scope": ["base_explorer", one]} for one in scopes),
    ]
    answers = [await api.exchange(**order) for order in orders[:count]]
    return [answer.json()["access_token"] for answer in answers]


HandOut = Callable[[int], Awaitable[list[str]]]


@pytest.fixture
def handed_out(settings: Settings, emulator: Starlette, idp_app: Starlette) -> HandOut:
    """Tokens of a process that has ended, so that only the test works on them."""

    async def hand_out(count: int) -> list[str]:
        async with Api.start(settings, emulator, idp_app) as api:
            return await _hand_out(api, count)

    return hand_out


async def _lock(parts: Parts) -> None:
    """What is left of a lock whose command is killed right after its commit."""
    async with parts.database.transaction() as session:
        [found] = await accounts.select(
            session, namespace="https://idp.example", subject="ada"
        )
        await accounts.lock(session, found.account.id, "")
        await vending.close_account(session, found.account.id)


async def _unlock(parts: Parts) -> None:
    await _sql(parts, "UPDATE account SET locked_at = NULL")


async def _pending(api: Api) -> int:
    ready: dict[str, int] = (await api.http.get("/readyz")).json()
    return ready["pending_revocations"]


async def _nothing_pending(api: Api) -> bool:
    return await _pending(api) == 0


async def test_a_lock_while_box_is_down_is_finished_when_box_is_back(
    settings_values: dict[str, Any],
    emulator: Starlette,
    idp_app: Starlette,
    box: Control,
    parts: Parts,
) -> None:
    settings_values["vending"] = {"sweep_interval_s": 0.01}
    settings = Settings.model_validate(settings_values)
    async with Api.start(settings, emulator, idp_app) as api:
        [token] = await _hand_out(api, 1)
        await box.fault("POST", "/oauth2/revoke", status=503, times=1000)
        await box.requests()
        await _lock(parts)
        tries: list[str] = []

        async def tried_three_times() -> bool:
            tries.extend(await box.requests())
            return tries.count("POST /oauth2/revoke") >= 3

        await until(tried_three_times)
        assert await _pending(api) == 1
        assert await box.is_live(token)
        await box.clear_faults()
        await until(lambda: _dead(box, token))
        await until(lambda: _nothing_pending(api))


async def test_two_processes_revoke_each_token_once(
    settings: Settings,
    emulator: Starlette,
    idp_app: Starlette,
    box: Control,
    parts: Parts,
) -> None:
    async with (
        Api.start(settings, emulator, idp_app) as api,
        Api.start(settings, emulator, idp_app),
    ):
        tokens = await _hand_out(api, 12)
        assert len(set(tokens)) == 12
        await until(lambda: _listening(parts, 2))
        await box.requests()
        # Long enough that each looks for more while the other one's calls run.
        await box.fault("POST", "/oauth2/revoke", delay_ms=50, times=1000)
        await _lock(parts)
        await until(lambda: _nothing_pending(api))
    requests = await box.requests()
    assert requests.count("POST /oauth2/revoke") == 12
    assert [await box.is_live(token) for token in tokens] == [False] * 12


async def _listening(parts: Parts, count: int) -> bool:
    return len(await _sql(parts, LISTENERS)) == count


async def test_a_process_that_dies_at_it_is_replaced_when_its_lease_ends(
    handed_out: HandOut, box: Control, parts: Parts
) -> None:
    [token] = await handed_out(1)
    await _sql(parts, "UPDATE vend SET state = 'revoke_pending'")
    async with parts.database.transaction() as session:
        await vending.take_pending(session, parts.keys.ids, limit=8, lease_s=HOUR)
    assert not await _revoker(parts).work()
    assert await box.is_live(token)
    await _sql(parts, "UPDATE vend SET lease_until = clock_timestamp()")
    assert await _revoker(parts).work()
    assert not await box.is_live(token)


async def _locks_are_swept_at_once(api: Api, box: Control, parts: Parts) -> None:
    """The first may be found by the round that follows the start of listening."""
    for _ in range(2):
        [token] = await _hand_out(api, 1)
        await _lock(parts)
        await until(partial(_dead, box, token))
        await _unlock(parts)


async def test_a_lock_wakes_the_work_at_once(
    api: Api, box: Control, parts: Parts
) -> None:
    await until(lambda: _listening(parts, 1))
    await _locks_are_swept_at_once(api, box, parts)


async def test_a_broken_listening_connection_is_replaced(
    api: Api, box: Control, parts: Parts
) -> None:
    await until(lambda: _listening(parts, 1))
    [first] = await _sql(parts, LISTENERS)
    await _sql(parts, f"SELECT pg_terminate_backend({first})")

    async def replaced() -> bool:
        return await _sql(parts, LISTENERS) not in ([], [first])

    await until(replaced)
    await _locks_are_swept_at_once(api, box, parts)


async def test_a_listening_connection_that_went_silent_is_noticed(
    settings_values: dict[str, Any],
) -> None:
    """Half-open: packets are dropped, and nobody closes it."""
    url = urlsplit(settings_values["database_url"])
    silent, over = asyncio.Event(), asyncio.Event()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if not silent.is_set():
                writer.write(data)
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, requests = await asyncio.open_connection(url.hostname, url.port)
        await asyncio.gather(pump(reader, requests), pump(answers, writer))
        over.set()

    server = await asyncio.start_server(relay, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    netloc = url.netloc.replace(f":{url.port}", f":{port}")
    listen_url = url._replace(netloc=netloc).geturl()
    settings = DatabaseSettings.model_validate(
        {
            "database_url": url.geturl(),
            "database_listen_url": listen_url,
            "database_timeout_s": 0.2,
        }
    )
    async with server, connected(settings) as database:
        async with listening(database, {"any": lambda _: silent.clear()}) as listener:
            await listener.check(within_s=5)
            silent.set()
            with pytest.raises(TimeoutError):
                await listener.check(within_s=0.2)
        await over.wait()


@pytest.fixture
def way_to_listen(settings_values: dict[str, Any]) -> Iterator[Relay]:
    with Relay.to(settings_values["database_url"]) as [way]:
        settings_values["database_listen_url"] = way.url
        yield way


@pytest.fixture
def _reconnects_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # A constant of half a second; a test should not wait for it.
    monkeypatch.setattr("sso_box_api.background._RECONNECT_S", 0.01)


@pytest.mark.usefixtures("_reconnects_at_once")
async def test_a_process_that_listens_in_vain_after_a_reconnect_asks_the_rows(
    settings_values: dict[str, Any],
    emulator: Starlette,
    idp_app: Starlette,
    way_to_listen: Relay,
    parts: Parts,
    audit_log: list[dict[str, Any]],
) -> None:
    """As after a failover that leads the listening connection to a pooler."""
    settings_values["provisioning"] = {"update_name": False}
    settings = Settings.model_validate(settings_values)
    async with Api.start(settings, emulator, idp_app) as api:

        async def is_remembered() -> bool:
            assert (await api.exchange()).status_code == 200
            return bool(audit_log[-1]["vend"] == "remembered")

        await until(is_remembered)
        way_to_listen.lead_elsewhere(is_deaf=True)

        async def is_tried() -> bool:
            return way_to_listen.dropped > 0

        await until(is_tried)
        for _ in range(3):
            assert not await is_remembered()
        await _lock(parts)
        assert (await api.exchange()).json()["code"] == "account_locked"
        await _unlock(parts)
        way_to_listen.lead_elsewhere(is_deaf=False)
        await until(is_remembered)


async def test_a_connection_that_hears_nothing_is_not_taken_for_a_listener(
    settings_values: dict[str, Any], way_to_listen: Relay
) -> None:
    way_to_listen.lead_elsewhere(is_deaf=True)
    settings_values["database_timeout_s"] = 0.5
    async with connected(Settings.model_validate(settings_values)) as database:
        with pytest.raises(NothingHeard, match="LISTEN_URL"):
            async with listening(database, {}):
                pytest.fail("it hears nothing")
    assert way_to_listen.dropped == 1


async def test_a_shutdown_while_a_connection_is_proved_leaves_none(
    settings_values: dict[str, Any], way_to_listen: Relay, parts: Parts
) -> None:
    way_to_listen.lead_elsewhere(is_deaf=True)
    async with opened(Settings.model_validate(settings_values)) as deaf:
        background = deaf.background(deaf.provisioner())
        background.start()

        async def is_tried() -> bool:
            return way_to_listen.dropped > 0

        await until(is_tried)
        assert await _listening(parts, 1)
        await background.close()
    await until(lambda: _listening(parts, 0))


@pytest.mark.usefixtures("_reconnects_at_once")
async def test_a_process_that_cannot_listen_says_so_once(
    settings_values: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    tries = 0

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        tries += 1
        writer.close()

    async def tried_three_times() -> bool:
        return tries >= 3

    async with await asyncio.start_server(hang_up, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        settings_values["database_listen_url"] = f"postgresql://u:p@127.0.0.1:{port}/x"
        async with opened(Settings.model_validate(settings_values)) as parts:
            background = parts.background(parts.provisioner())
            background.start()
            try:
                await until(tried_three_times)
            finally:
                await background.close()
    assert caplog.text.count("each login asks the database") == 1


async def test_what_a_shutdown_interrupts_stays_pending(
    settings: Settings,
    emulator: Starlette,
    idp_app: Starlette,
    box: Control,
    parts: Parts,
) -> None:
    async with Api.start(settings, emulator, idp_app) as api:
        [token] = await _hand_out(api, 1)
        await until(lambda: _listening(parts, 1))
        await box.fault("POST", "/oauth2/revoke", delay_ms=60_000)
        await _lock(parts)

        async def taken() -> bool:
            return await _sql(parts, "SELECT tries FROM vend") == [1]

        await until(taken)
    await until(lambda: _listening(parts, 0))
    assert await _sql(parts, "SELECT state FROM vend") == ["revoke_pending"]
    await box.clear_faults()
    await _sql(parts, "UPDATE vend SET lease_until = clock_timestamp()")
    assert await _revoker(parts).work()
    assert not await box.is_live(token)


async def test_what_has_expired_is_given_up_and_later_deleted(
    handed_out: HandOut, box: Control, parts: Parts
) -> None:
    await handed_out(4)
    await box.requests()
    change = (
        "UPDATE vend SET state = '{}', expires_at = clock_timestamp() - interval '{}'"
        " WHERE profile = '{}'"
    )
    for state, age, profile in (
        ("live", "25 hours", "explorer"),
        ("revoke_pending", "25 hours", "picker"),
        ("revoke_pending", "11 minutes", "uploader"),
        ("live", "9 minutes", "preview"),
    ):
        await _sql(parts, change.format(state, age, profile))
    background = parts.background(parts.provisioner())
    background.start()
    try:

        async def tidied() -> bool:
            return len(await _sql(parts, "SELECT id FROM vend")) == 2

        await until(tidied)
    finally:
        await background.close()
    left = await _sql(parts, "SELECT profile || ' ' || state FROM vend ORDER BY 1")
    assert left == ["preview live", "uploader revoked"]
    assert await box.requests() == []


async def test_a_damaged_handle_is_told_once_and_stops_nothing(
    handed_out: HandOut, box: Control, parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    damaged, whole = await handed_out(2)
    await _sql(
        parts,
        "UPDATE vend SET state = 'revoke_pending', handle = (SELECT handle FROM vend v"
        " WHERE v.profile = 'picker')",
    )
    revoker = _revoker(parts)
    assert await revoker.work()
    assert not await revoker.work()
    assert [await box.is_live(token) for token in (damaged, whole)] == [True, False]
    assert caplog.text.count("belongs to another row") == 1
    assert whole not in caplog.text
    async with parts.database.transaction() as session:
        assert (await vending.count_pending(session))[0] == 1


async def test_tokens_under_another_key_are_left_to_who_has_it(
    handed_out: HandOut,
    settings_values: dict[str, Any],
    emulator: Starlette,
    box: Control,
    parts: Parts,
) -> None:
    """While a key is rotated in, older processes run beside newer ones."""
    [token] = await handed_out(1)
    await _sql(parts, "UPDATE vend SET state = 'revoke_pending'")
    values = settings_values | {"secret_keys": Fernet.generate_key().decode()}
    mounts = {BOX_URL: httpx.ASGITransport(emulator)}
    async with opened(Settings.model_validate(values), mounts=mounts) as older:
        assert not await _revoker(older).work()
    assert await _revoker(parts).work()
    assert not await box.is_live(token)


async def test_a_refused_revocation_waits_longer_each_time_and_stops_no_other(
    handed_out: HandOut, box: Control, parts: Parts
) -> None:
    tokens = await handed_out(2)
    await _sql(parts, "UPDATE vend SET state = 'revoke_pending'")
    left = (
        "SELECT extract(epoch FROM lease_until - clock_timestamp())::float FROM vend"
        " WHERE state = 'revoke_pending'"
    )
    waits = []
    for _ in range(5):
        await box.fault("POST", "/oauth2/revoke", status=400)
        assert await _revoker(parts).work()
        assert [await box.is_live(token) for token in tokens].count(True) == 1
        waits += await _sql(parts, left)
        await _sql(parts, "UPDATE vend SET lease_until = clock_timestamp()")
    # In seconds of which hardly any has passed: rounded up to tens.
    assert [-(-wait // 10) * 10 for wait in waits] == [10, 20, 40, 60, 60]


async def test_a_round_ends_where_box_is_unavailable(
    handed_out: HandOut, box: Control, parts: Parts
) -> None:
    await handed_out(12)
    await _sql(parts, "UPDATE vend SET state = 'revoke_pending'")
    await box.fault("POST", "/oauth2/revoke", status=503, times=1000)
    await box.requests()
    assert not await _revoker(parts).work()
    assert (await box.requests()).count("POST /oauth2/revoke") <= 8


async def test_a_command_that_waits_no_longer_leaves_its_tokens_to_the_others(
    handed_out: HandOut, box: Control, parts: Parts
) -> None:
    """At once, and not when its own lease on them has ended."""
    await handed_out(2)
    await box.fault("POST", "/oauth2/revoke", delay_ms=60_000, times=1000)
    async with parts.database.transaction() as session:
        [found] = await accounts.select(
            session, namespace="https://idp.example", subject="ada"
        )
    report = await parts.lifecycle().lock(found, "", wait_s=0.05)
    assert report.pending == 2
    assert await _sql(parts, "SELECT lease_until FROM vend") == [None, None]

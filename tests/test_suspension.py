"""A whole provider or client is locked: everybody at once, whatever is under way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from starlette.applications import Starlette
from typing_extensions import override

from sso_box_api import accounts, vending
from sso_box_api.accounts import SuspensionKind
from sso_box_api.errors import AccessSuspended, CommandRefused, ConfigurationError
from sso_box_api.listener import listening
from sso_box_api.parts import Parts
from sso_box_api.settings import Settings
from tests.support.administration import (
    candidate_of,
    scalar,
    somebody_waits,
    sql,
)
from tests.support.api import BOX_URL, ISSUER, Api, Control
from tests.support.connections import opened
from tests.support.waiting import until

OTHER = "https://other.example"
BOTH = pytest.mark.parametrize(
    ("kind", "value"), [("provider", "main"), ("client", "demo-spa")]
)
SUSPENDED = (403, "access_suspended")


@pytest.fixture
def settings_values(settings_values: dict[str, Any]) -> dict[str, Any]:
    # One that nobody waits for: what is left is taken up when a test says so.
    settings_values["vending"] = {"sweep_interval_s": 3600}
    return settings_values


def _said(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


@BOTH
async def test_a_suspension_refuses_known_and_unknown_people_and_kills_their_tokens(
    api: Api, box: Control, parts: Parts, kind: SuspensionKind, value: str
) -> None:
    tokens = [
        (await api.exchange(api.id_token(subject), profile=profile)).json()
        for subject in ("ada", "grace")
        for profile in ("explorer", "preview")
    ]
    report = await parts.suspensions().suspend(kind, value, "a stolen key")
    assert (report.revoked, report.pending, report.latest_expiry) == (4, 0, None)
    assert {await box.is_live(t["access_token"]) for t in tokens} == {False}
    await box.requests()
    for subject in ("ada", "somebody who was never here"):
        assert _said(await api.exchange(api.id_token(subject))) == SUSPENDED
    oauth = await api.exchange(door="oauth")
    assert oauth.json()["reason"] == "access_suspended"
    assert len(await box.users()) == 2
    assert await box.requests() == []


async def test_people_of_another_client_and_another_provider_are_left_alone(
    settings_values: dict[str, Any],
    emulator: Starlette,
    idp_app: Starlette,
    box: Control,
    parts: Parts,
) -> None:
    [main] = settings_values["providers"]
    other = {"id": "other", "issuer": OTHER, "client_ids": ["demo-spa"]}
    other["jwks_inline"] = idp_app.state.idp.jwks()
    settings = Settings.model_validate(settings_values | {"providers": [main, other]})
    async with Api.start(settings, emulator, idp_app) as api:
        spared = {
            "client": ("demo-spa", api.id_token(aud="demo-mobile")),
            "provider": ("main", api.id_token("ada", iss=OTHER)),
        }
        for kind, (value, token) in spared.items():
            vended = (await api.exchange(token)).json()["access_token"]
            await api.exchange()
            suspensions = parts.suspensions()
            await suspensions.suspend(
                "client" if kind == "client" else "provider", value, ""
            )
            assert _said(await api.exchange()) == SUSPENDED
            assert (await api.exchange(token)).json()["access_token"] == vended
            assert await box.is_live(vended)
            await suspensions.lift("client" if kind == "client" else "provider", value)


@BOTH
async def test_a_lifted_suspension_lets_in_again_with_a_new_token(
    api: Api, box: Control, parts: Parts, kind: SuspensionKind, value: str
) -> None:
    old = (await api.exchange()).json()["access_token"]
    suspensions = parts.suspensions()
    await suspensions.suspend(kind, value, "a mistake")
    report = await suspensions.lift(kind, value)
    assert (report.suspension, report.revoked, report.pending) == (None, 1, 0)
    new = (await api.exchange()).json()["access_token"]
    assert new != old
    assert [await box.is_live(token) for token in (old, new)] == [False, True]
    assert await suspensions.in_force() == []
    with pytest.raises(CommandRefused):
        await suspensions.lift(kind, value)


async def test_lifting_ends_what_the_suspension_had_not_closed_yet(
    api: Api, box: Control, parts: Parts
) -> None:
    """Else tokens from before would be handed out again."""
    old = (await api.exchange()).json()["access_token"]
    await _suspended_only(parts)
    async with parts.database.transaction() as session:
        assert not await accounts.lift_suspension(session, "provider", "main")
    await parts.suspensions().lift("provider", "main")
    assert not await box.is_live(old)
    assert (await api.exchange()).json()["access_token"] != old


async def test_an_account_that_is_locked_stays_so_when_its_provider_is_let_in(
    api: Api, parts: Parts
) -> None:
    await api.exchange()
    await parts.lifecycle().lock(await candidate_of(parts), "left")
    await parts.suspensions().suspend("provider", "main", "")
    assert _said(await api.exchange()) == SUSPENDED
    await parts.suspensions().lift("provider", "main")
    assert _said(await api.exchange()) == (403, "account_locked")


async def test_with_box_down_what_is_pending_is_told_and_finished_by_another_process(
    api: Api, box: Control, parts: Parts
) -> None:
    token = (await api.exchange()).json()["access_token"]
    await box.fault("POST", "/oauth2/revoke", status=503, times=1000)
    report = await parts.suspensions().suspend("provider", "main", "", wait_s=0.3)
    assert (report.revoked, report.pending) == (0, 1)
    assert report.latest_expiry is not None
    assert _said(await api.exchange()) == SUSPENDED
    await box.clear_faults()
    await sql(parts, "UPDATE vend SET lease_until = NULL")
    again = await parts.suspensions().suspend("provider", "main", "another reason")
    assert (again.revoked, again.pending) == (1, 0)
    assert not await box.is_live(token)
    assert again.suspension is not None
    assert again.suspension.reason == ""


async def test_what_the_command_left_after_its_commit_is_closed_by_any_process(
    settings: Settings,
    emulator: Starlette,
    idp_app: Starlette,
    box: Control,
    parts: Parts,
) -> None:
    async with Api.start(settings, emulator, idp_app) as api:
        token = (await api.exchange()).json()["access_token"]
        await _suspended_only(parts)
        assert _said(await api.exchange()) == SUSPENDED
    assert await box.is_live(token)
    revoker = parts.revoker(put_off_s=1, background=True)
    suspensions = parts.suspensions()
    while await suspensions.work() or await revoker.work():
        pass
    assert not await box.is_live(token)
    [suspension] = await suspensions.in_force()
    assert (suspension.closed, suspension.closed_tokens) == (True, 1)


async def test_a_serve_process_finishes_what_the_command_left(
    api: Api, box: Control, parts: Parts
) -> None:
    """By the notification of the commit; without it, by the interval."""
    token = (await api.exchange()).json()["access_token"]
    async with parts.database.transaction() as session:
        await accounts.suspend(session, "client", "demo-spa", "")
        await vending.wake_sweepers(session)
    async with asyncio.timeout(10):
        while await box.is_live(token):  # noqa: ASYNC110 - Box is somebody else
            await asyncio.sleep(0.01)


async def test_many_are_closed_page_by_page_and_never_twice(
    settings: Settings,
    emulator: Starlette,
    idp_app: Starlette,
    parts: Parts,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The size of a page is a constant that a test should not have to fill."""
    monkeypatch.setattr("sso_box_api.suspension._PAGE", 2)
    # The service, which would help, is gone when it begins.
    async with Api.start(settings, emulator, idp_app) as api:
        for number in range(5):
            await api.exchange(api.id_token(f"person-{number}"))
    await _suspended_only(parts)
    pages = 0
    while await parts.suspensions().work():
        pages += 1
        counted = await scalar(parts, "SELECT closed_tokens FROM suspension")
        assert counted == min(2 * pages, 5)
    assert pages == 2  # and a last one, after which nothing is left
    assert await scalar(parts, "SELECT count(*) FROM vend WHERE state = 'live'") == 0


async def test_a_suspension_while_box_mints_keeps_the_token_inside(
    api: Api, emulator: Starlette, parts: Parts
) -> None:
    """It commits after Box minted and before our row: nothing may leave."""

    class SuspendOnDownscope(httpx.ASGITransport):
        @override
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await request.aread()
            answer = await super().handle_async_request(request)
            if b"token-exchange" in request.content:
                await _suspended_only(parts)
            return answer

    mounts: dict[str, Any] = {
        BOX_URL: SuspendOnDownscope(emulator),
        ISSUER: httpx.ASGITransport(api.idp_app),
    }
    async with Api.start_with(parts.settings, mounts, api.idp_app) as slow:
        known = set(emulator.state.world.tokens)
        answer = await slow.exchange()
    assert _said(answer) == SUSPENDED
    assert _minted(emulator, known) == [True]


async def test_a_mint_that_is_being_recorded_is_waited_for_and_closed(
    api: Api, parts: Parts
) -> None:
    """Its row is not to be seen yet when the suspension closes what there is."""
    await api.exchange()
    async with _recording(parts):
        suspending = asyncio.create_task(
            parts.suspensions().suspend("client", "demo-spa", "", wait_s=30)
        )
        while not await somebody_waits(parts):
            assert not suspending.done(), suspending.result()
            await asyncio.sleep(0.01)
        # The refusal waits for nobody.
        assert _said(await api.exchange()) == SUSPENDED
    await suspending
    assert await scalar(parts, "SELECT count(*) FROM vend WHERE state = 'live'") == 0
    [suspension] = await parts.suspensions().in_force()
    assert (suspension.closed, suspension.closed_tokens) == (True, 2)


async def test_a_mint_that_hangs_keeps_nobody_elses_token_alive(
    api: Api, parts: Parts
) -> None:
    await api.exchange()
    live = "SELECT count(*) FROM vend WHERE state = 'live'"
    async with _recording(parts):
        report = await parts.suspensions().suspend("client", "demo-spa", "", wait_s=0.7)
        # The one that hangs may become live yet, and nobody may say that all are dead.
        assert report.suspension is not None
        assert not report.suspension.closed

        async def is_nobody_elses_alive() -> bool:
            await parts.suspensions().work()
            return bool(await scalar(parts, live) == 0)

        await until(is_nobody_elses_alive)
        with pytest.raises(CommandRefused, match="still being closed"):
            await parts.suspensions().lift("client", "demo-spa", wait_s=0.1)
    while not (await parts.suspensions().in_force())[0].closed:
        await parts.suspensions().work()
    assert await scalar(parts, live) == 0


async def test_a_first_login_that_waits_for_its_turn_makes_nobody(
    api: Api, box: Control, parts: Parts
) -> None:
    """Its caller was let pass before; the claim looks again."""
    del api
    ada = accounts.Person("main", ISSUER, "ada")
    await parts.lifecycle().ensure(ada)
    await _suspended_only(parts)
    binder = parts.binder()
    with pytest.raises(AccessSuspended):
        await binder.bind(ada, 1)
    await binder.close()
    assert await box.users() == []
    assert await scalar(parts, "SELECT max(claim_fence) FROM account") == 0


async def test_what_is_remembered_is_forgotten_with_the_commit(
    api: Api, parts: Parts
) -> None:
    """A notification of its own: no row of any account is touched."""
    heard: list[str] = []
    async with listening(parts.database, {accounts.FORGET_CHANNEL: heard.append}):
        await _suspended_only(parts)
        while not heard:  # noqa: ASYNC110 - another connection tells
            await asyncio.sleep(0.01)
    assert heard == [""]
    del api


async def test_a_locked_provider_cannot_come_back_under_another_id(
    parts: Parts, settings_values: dict[str, Any]
) -> None:
    await _suspended_only(parts)
    settings_values["providers"][0]["id"] = "renamed"
    async with opened(Settings.model_validate(settings_values)) as renamed:
        with pytest.raises(ConfigurationError, match="unlock --provider main"):
            await renamed.require_consistent_rows()
    await parts.require_consistent_rows()


async def test_readiness_counts_what_is_locked(api: Api, parts: Parts) -> None:
    await _suspended_only(parts)
    assert (await api.http.get("/readyz")).json()["suspensions"] == 1


async def _suspended_only(parts: Parts) -> None:
    """What is there when the command that locks is killed right after its commit."""
    async with parts.database.transaction() as session:
        await accounts.suspend(session, "provider", "main", "")


def _minted(emulator: Starlette, known: set[str]) -> list[bool]:
    """Whether each narrowed token that Box has minted since is revoked."""
    return [
        token.revoked
        for value, token in emulator.state.world.tokens.items()
        if value not in known and token.is_downscoped
    ]


@asynccontextmanager
async def _recording(parts: Parts) -> AsyncIterator[None]:
    """A mint of another process that has passed the gate and is not committed yet."""
    account = (await candidate_of(parts)).account
    key = vending.VendKey(account.identity_id, "demo-spa", "preview", ("x",), "")
    async with parts.database.transaction() as session:
        await accounts.gate_for_vend(
            session, account, 2**31, provider="main", client_id="demo-spa"
        )
        await vending.insert(
            session,
            parts.keys,
            key,
            account_id=account.id,
            provider="main",
            token="1!being-recorded",
            expires_at=2**31,
            state="live",
        )
        yield


async def test_a_login_that_looked_before_the_suspension_gets_no_token_after_it(
    api: Api, parts: Parts
) -> None:
    """The token is not closed yet, and the login is late on its way to it."""
    await api.exchange()
    refused = {"rejected_token_sha256": "0" * 64}  # so that nothing is remembered
    async with parts.database.transaction() as session:
        connection = await session.connection()
        await connection.execute(text("LOCK TABLE vend IN ACCESS EXCLUSIVE MODE"))
        login = asyncio.create_task(api.exchange(**refused))
        async with asyncio.timeout(20):
            while not await _waits_for_vend(parts):  # noqa: ASYNC110 - PostgreSQL's
                await asyncio.sleep(0.005)
        await _suspended_only(parts)
    assert _said(await login) == (403, "access_suspended")


async def _waits_for_vend(parts: Parts) -> bool:
    statement = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"
    async with parts.database.transaction() as session:
        connection = await session.connection()
        return bool((await connection.execute(text(statement))).scalar_one())

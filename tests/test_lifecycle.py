"""The kill switch: refused by us at once, dead at Box, and listed until it is."""

import asyncio
import time
from functools import partial
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from starlette.applications import Starlette
from typing_extensions import override

from sso_box_api import accounts, vending
from sso_box_api.accounts import Candidate, Person
from sso_box_api.identity.nonce import nonce_for
from sso_box_api.parts import Parts
from sso_box_api.settings import Settings
from tests.support.api import BOX_URL, Api, Control
from tests.support.connections import forget

VERIFIER = "a-secret-of-the-page-" + "x" * 22


async def _candidate(parts: Parts, subject: str = "ada") -> Candidate:
    async with parts.database.transaction() as session:
        [candidate] = await accounts.select(
            session, namespace="https://idp.example", subject=subject
        )
    return candidate


async def _run(parts: Parts, statement: str) -> None:
    async with parts.database.transaction() as session:
        connection = await session.connection()
        await connection.execute(text(statement))


async def test_lock_refuses_at_once_and_kills_what_was_handed_out(
    api: Api, box: Control, parts: Parts
) -> None:
    tokens = [
        (await api.exchange(profile=profile)).json()["access_token"]
        for profile in ("explorer", "preview", "picker")
    ]
    report = await parts.lifecycle().lock(await _candidate(parts), "left the company")
    assert (report.revoked, report.pending, report.latest_expiry) == (3, 0, None)
    answer = await api.exchange()
    assert (answer.status_code, answer.json()["code"]) == (403, "account_locked")
    assert [await box.is_live(token) for token in tokens] == [False] * 3
    headers = {"Authorization": f"Bearer {api.id_token()}"}
    me = (await api.http.get("/v1/me", headers=headers)).json()
    assert me["box"]["state"] == "locked"


async def test_lock_ends_the_nonce_session_of_that_person_alone(
    api: Api, parts: Parts
) -> None:
    """Let in again, a page has to prove anew that the login was its own."""
    for subject in ("ada", "grace"):
        token = api.id_token(subject, nonce=nonce_for(VERIFIER))
        assert (await api.exchange(token, nonce_verifier=VERIFIER)).is_success
    candidate = await _candidate(parts)
    await parts.lifecycle().lock(candidate, "")
    await parts.lifecycle().unlock(candidate)
    answers = [
        await api.exchange(api.id_token(subject), nonce_verifier=VERIFIER)
        for subject in ("ada", "grace")
    ]
    assert [answer.status_code for answer in answers] == [401, 200]


async def test_lock_of_one_person_leaves_others_alone(
    api: Api, box: Control, parts: Parts
) -> None:
    await api.exchange()
    grace = (await api.exchange(api.id_token("grace"))).json()["access_token"]
    await parts.lifecycle().lock(await _candidate(parts), "")
    assert await box.is_live(grace)
    assert (await api.exchange(api.id_token("grace"))).json()["access_token"] == grace


async def test_unlock_lets_in_again_with_a_new_token(
    api: Api, box: Control, parts: Parts
) -> None:
    old = (await api.exchange()).json()["access_token"]
    candidate = await _candidate(parts)
    await parts.lifecycle().lock(candidate, "a mistake")
    assert (await parts.lifecycle().unlock(candidate)).account.state == "active"
    new = (await api.exchange()).json()["access_token"]
    assert new != old
    assert await box.is_live(new)
    assert not await box.is_live(old)
    assert len(await box.users()) == 1


async def test_unlock_of_an_open_account_touches_no_token(
    api: Api, box: Control, parts: Parts
) -> None:
    token = (await api.exchange()).json()["access_token"]
    await parts.lifecycle().unlock(await _candidate(parts))
    assert await box.is_live(token)
    assert (await api.exchange()).json()["access_token"] == token


async def test_lock_with_box_down_reports_what_is_pending_and_finishes_later(
    api: Api, box: Control, parts: Parts
) -> None:
    token = (await api.exchange()).json()["access_token"]
    await box.fault("POST", "/oauth2/revoke", status=503, times=1000)
    candidate = await _candidate(parts)
    report = await parts.lifecycle().lock(candidate, "", wait_s=0.2)
    assert (report.revoked, report.pending) == (0, 1)
    assert report.latest_expiry is not None
    assert (await api.exchange()).json()["code"] == "account_locked"
    await box.clear_faults()
    again = await parts.lifecycle().lock(candidate, "")
    # Unless the service beside it has done so since Box is back.
    assert again.revoked <= 1
    assert again.pending == 0
    assert not await box.is_live(token)


async def test_somebody_who_never_signed_in_can_be_locked(
    api: Api, box: Control, parts: Parts
) -> None:
    await parts.lifecycle().ensure(Person("main", "https://idp.example", "ada"))
    await parts.lifecycle().lock(await _candidate(parts), "leaver")
    answer = await api.exchange()
    assert answer.json()["code"] == "account_locked"
    assert await box.users() == []
    assert await box.requests() == []


async def test_a_lock_while_box_mints_keeps_the_token_inside(
    api: Api, emulator: Starlette, parts: Parts
) -> None:
    """The lock commits after Box minted and before our row: nothing may leave."""
    await api.exchange()

    class LockOnDownscope(httpx.ASGITransport):
        @override
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await request.aread()
            answer = await super().handle_async_request(request)
            if b"token-exchange" in request.content:
                await _run(
                    parts,
                    "UPDATE account SET locked_at = now()",
                )
            return answer

    mounts: dict[str, Any] = {
        BOX_URL: LockOnDownscope(emulator),
        "https://idp.example": httpx.ASGITransport(api.idp_app),
    }
    async with Api.start_with(parts.settings, mounts, api.idp_app) as slow:
        before = set(emulator.state.world.tokens)
        answer = await slow.exchange(profile="preview")
    assert answer.json()["code"] == "account_locked"
    minted = [
        token
        for value, token in emulator.state.world.tokens.items()
        if value not in before and token.is_downscoped
    ]
    assert [token.revoked for token in minted] == [True]


async def test_a_lock_that_is_not_committed_yet_is_waited_for(
    api: Api, emulator: Starlette, parts: Parts
) -> None:
    """Who reads past the lock's transaction would hand out what it cannot revoke."""
    await api.exchange()
    known = set(emulator.state.world.tokens)
    async with parts.database.transaction() as session:
        connection = await session.connection()
        await connection.execute(text("UPDATE account SET locked_at = now()"))
        mint = asyncio.create_task(api.exchange(profile="preview"))
        while not mint.done() and not await _somebody_waits(parts):
            await asyncio.wait([mint], timeout=0.01)
    answer = await mint
    assert (answer.status_code, answer.json()["code"]) == (403, "account_locked")
    minted = [
        token
        for value, token in emulator.state.world.tokens.items()
        if value not in known and token.is_downscoped
    ]
    assert [token.revoked for token in minted] == [True]


async def _somebody_waits(parts: Parts) -> bool:
    """Whether a connection to this database waits for a lock of another one."""
    query = (
        "SELECT 1 FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with parts.database.transaction() as session:
        connection = await session.connection()
        return (await connection.execute(text(query))).first() is not None


async def test_removed_account_is_never_made_again(
    api: Api, box: Control, parts: Parts
) -> None:
    await api.exchange()
    await _run(parts, "UPDATE account SET removed_at = now()")
    answer = await api.exchange()
    assert (answer.status_code, answer.json()["code"]) == (403, "account_removed")
    assert len(await box.users()) == 1


async def test_a_login_that_will_not_do_is_answered_with_the_one_that_would(
    settings_values: dict[str, Any], emulator: Starlette, idp_app: Starlette
) -> None:
    """RFC 9470 section 3; and it is no bad token, whose number is limited."""
    settings_values["limits"] = {"bad_tokens_per_minute": 1}
    [provider] = settings_values["providers"]
    for rule, name, value in (
        ({"allowed_acr": ["urn:acme:mfa", "phr"]}, "acr_values", "urn:acme:mfa phr"),
        ({"max_auth_age_s": 300}, "max_age", 300),
    ):
        settings_values["providers"] = [provider | rule]
        settings = Settings.model_validate(settings_values)
        async with Api.start(settings, emulator, idp_app) as api:
            old = api.id_token(auth_time=int(time.time()) - 1_000)
            for _ in range(3):
                answer = await api.exchange(old)
                assert answer.status_code == 401
                assert answer.json()["code"] == "step_up_required"
                assert answer.headers["www-authenticate"].endswith(
                    f'error="insufficient_user_authentication", {name}="{value}"'
                )
            refused = await api.exchange(old, door="oauth")
            assert (refused.status_code, refused.json()[name]) == (400, value)


async def test_sign_out_refuses_older_logins_and_lets_newer_ones_in(
    api: Api, parts: Parts
) -> None:
    old = api.id_token()
    await api.exchange(old)
    await _run(parts, "UPDATE account SET not_before = now()")
    answer = await api.exchange(old)
    assert (answer.status_code, answer.json()["code"]) == (401, "signed_out")
    assert 'max_age="0"' in answer.headers["www-authenticate"]
    oauth = await api.exchange(old, door="oauth")
    assert (oauth.json()["reason"], oauth.json()["max_age"]) == ("signed_out", 0)
    await _run(parts, "UPDATE account SET not_before = now() - interval '1 hour'")
    assert (await api.exchange()).status_code == 200


async def test_a_damaged_handle_does_not_undo_the_lock_of_the_others(
    api: Api, box: Control, parts: Parts
) -> None:
    tokens = [
        (await api.exchange(profile=profile)).json()["access_token"]
        for profile in ("explorer", "preview")
    ]
    await _run(
        parts,
        "UPDATE vend SET handle = (SELECT handle FROM vend v WHERE v.profile ="
        " 'explorer') WHERE profile = 'preview'",
    )
    report = await parts.lifecycle().lock(await _candidate(parts), "")
    assert (report.revoked, report.pending) == (1, 1)
    assert (await api.exchange()).json()["code"] == "account_locked"
    assert [await box.is_live(token) for token in tokens] == [False, True]


@pytest.mark.parametrize(
    ("condition", "revoked"),
    [
        # Not even counted there, and so not minted.
        ("ALTER DATABASE {} SET default_transaction_read_only = on", []),
        ("ALTER DATABASE {} SET lock_timeout = '50ms'", [True]),
    ],
    ids=["read-only", "row locked"],
)
async def test_no_token_lives_whose_row_cannot_be_written(
    settings_values: dict[str, Any],
    parts: Parts,
    emulator: Starlette,
    idp_app: Starlette,
    condition: str,
    revoked: list[bool],
) -> None:
    settings_values["vending"] = {"grace_s": 0}
    settings = Settings.model_validate(settings_values)
    async with Api.start(settings, emulator, idp_app) as before:
        await before.exchange()
    name = settings.database_url.get_secret_value().rsplit("/", 1)[1]
    try:
        await _run(parts, condition.format(name))
        await forget()
        async with Api.start(settings, emulator, idp_app) as api:
            known = set(emulator.state.world.tokens)
            async with parts.database.transaction() as session:
                connection = await session.connection()
                if "lock" in condition:
                    await connection.execute(text("SELECT 1 FROM account FOR UPDATE"))
                answer = await api.exchange(profile="preview")
            ready = (await api.http.get("/readyz")).json()
    finally:
        # The administrator's own connection was made before the change.
        await _run(parts, f"ALTER DATABASE {name} RESET ALL")
        await forget()
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    assert ready["database"] == ("read_only" if "read_only" in condition else "ok")
    minted = [
        token
        for value, token in emulator.state.world.tokens.items()
        if value not in known and token.is_downscoped
    ]
    assert [token.revoked for token in minted] == revoked


async def test_a_row_whose_commit_got_no_answer_is_found_when_it_is_listed_again(
    api: Api, parts: Parts
) -> None:
    """The commit of a live row may have happened; its token must be revoked then."""
    await api.exchange()
    account = (await _candidate(parts)).account
    key = vending.VendKey(account.identity_id, "demo-spa", "preview", ("x",), "")
    listed = []
    for state in ("live", "revoke_pending"):
        async with parts.database.transaction() as session:
            vend = await vending.insert(
                session,
                parts.keys,
                key,
                account_id=account.id,
                provider="main",
                token="1!the-same-token",
                expires_at=time.time() + 3600,
                state="live" if state == "live" else "revoke_pending",
            )
            listed.append(vend.id)
    async with parts.database.transaction() as session:
        take = partial(
            vending.take_pending, session, parts.keys.ids, limit=8, lease_s=60
        )
        # Whoever lists it so is at it, until a lock is in a hurry.
        assert await take() == []
        assert await vending.hurry(session, account.id) == 1
        pending = await take()
    assert listed[0] == listed[1]
    assert [vend.id for vend in pending] == [listed[0]]

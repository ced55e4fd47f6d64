"""A restored database, another Box app: who was bound stays so, who was out stays out."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from typing_extensions import override

from sso_box_api import accounts
from sso_box_api.errors import BoxRefused, ConfigurationError
from sso_box_api.identity.nonce import nonce_for
from sso_box_api.leftovers import LeftOvers
from sso_box_api.parts import Parts
from sso_box_api.rebinding import Rebound
from sso_box_api.settings import Settings
from sso_box_devkit.box import Enterprise
from tests.support.administration import (
    back_up,
    candidate_of,
    restore,
    scalar,
    sql,
)
from tests.support.api import BOX_URL, Api, Control
from tests.support.connections import opened

VERIFIER = "a-secret-of-the-page-" + "x" * 22


async def test_restored_from_before_the_first_login_the_user_is_adopted(
    api: Api, box: Control, parts: Parts
) -> None:
    backup = await back_up(parts)
    first = (await api.exchange()).json()["box_user_id"]
    await restore(parts, backup)
    assert await scalar(parts, "SELECT count(*) FROM account") == 0
    assert (await api.exchange()).json()["box_user_id"] == first
    assert len(await box.users()) == 1


async def test_whom_somebody_got_after_the_backup_is_not_deleted_as_spare(
    settings: Settings,
    emulator: Starlette,
    idp_app: Starlette,
    parts: Parts,
    enterprise: Enterprise,
) -> None:
    # Ended at once: its background would delete the spare one.
    async with Api.start(settings, emulator, idp_app) as api:
        await api.exchange()
    candidate = await candidate_of(parts)
    spare = enterprise.add_user("made in vain", None).id
    async with parts.database.transaction() as session:
        await accounts.report_orphan(
            session, candidate.account.id, spare, "why", spare=True
        )
    backup = await back_up(parts)
    await parts.lifecycle().relink(candidate, spare)
    await restore(parts, backup)
    await parts.restoration().run()
    await LeftOvers(parts.database, parts.box).work()
    assert spare in enterprise.users
    still_listed = "SELECT count(*) FROM box_orphan WHERE resolved_at IS NULL"
    assert await scalar(parts, still_listed) == 1


async def test_restored_from_before_a_lock_nothing_from_before_works(
    api: Api, box: Control, parts: Parts
) -> None:
    """The lock itself is lost: it cannot be known, so everybody signs in anew."""
    login = api.id_token(nonce=nonce_for(VERIFIER))
    listed = (await api.exchange(login)).json()
    grace = (await api.exchange(api.id_token("grace"))).json()
    backup = await back_up(parts)
    unlisted = (await api.exchange(login, profile="preview")).json()
    await parts.lifecycle().lock(await candidate_of(parts), "leaver")
    await restore(parts, backup)
    assert (await candidate_of(parts)).account.state == "active"
    preview = await parts.restoration().preview()
    assert preview == {"accounts": 2, "bound": 2, "live_tokens": 2}
    counts = await parts.restoration().run()
    assert counts == {
        "accounts": 2,
        "closed_tokens": 2,
        "sessions_ended": 2,
        "sessions_not_ended": 0,
    }
    for token in (listed, unlisted, grace):
        assert not await box.is_live(token["access_token"])
    answer = await api.exchange(login)
    assert (answer.status_code, answer.json()["code"]) == (401, "signed_out")
    states = "SELECT string_agg(DISTINCT state, ',') FROM vend"
    assert "live" not in await scalar(parts, states)


async def test_the_end_of_sessions_reaches_tokens_that_no_row_lists(
    api: Api, box: Control, parts: Parts
) -> None:
    await api.exchange()
    backup = await back_up(parts)
    token = (await api.exchange(profile="preview")).json()["access_token"]
    await restore(parts, backup)
    assert await box.is_live(token)
    await parts.restoration().run()
    assert not await box.is_live(token)


async def test_proofs_of_pages_and_sign_outs_ahead_of_the_clock_are_dealt_with(
    settings_values: dict[str, Any],
    emulator: Starlette,
    idp_app: Starlette,
    parts: Parts,
) -> None:
    settings_values["providers"][0] |= {"require_nonce_proof": True}
    settings = Settings.model_validate(settings_values)
    async with Api.start(settings, emulator, idp_app) as api:
        token = api.id_token(nonce=nonce_for(VERIFIER))
        assert (await api.exchange(token, nonce_verifier=VERIFIER)).is_success
    assert await scalar(parts, "SELECT count(*) FROM nonce_proof") == 1
    await sql(parts, "UPDATE account SET not_before = now() + interval '1 hour'")
    await parts.restoration().run()
    assert await scalar(parts, "SELECT count(*) FROM nonce_proof") == 0
    assert await scalar(parts, "SELECT not_before > now() FROM account")


async def test_one_user_who_is_gone_keeps_no_other_session_alive(
    api: Api, box: Control, parts: Parts, emulator: Starlette
) -> None:
    """Box may refuse the order for all of them on account of one."""
    tokens = {}
    for subject in ("ada", "grace", "gone"):
        tokens[subject] = (await api.exchange(api.id_token(subject))).json()
    gone = tokens["gone"]["box_user_id"]

    class RefusesWhole(httpx.ASGITransport):
        @override
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await request.aread()
            ending = request.url.path.endswith("/terminate_sessions")
            if ending and gone in json.loads(request.content)["user_ids"]:
                body = {"type": "error", "status": 404, "code": "not_found"}
                return httpx.Response(404, json=body)
            return await super().handle_async_request(request)

    async with opened(
        parts.settings, mounts={BOX_URL: RefusesWhole(emulator)}
    ) as second:
        counts = await second.restoration().run()
    assert (counts["sessions_ended"], counts["sessions_not_ended"]) == (2, 1)
    for subject in ("ada", "grace"):
        assert not await box.is_live(tokens[subject]["access_token"])


# --- another Box app ------------------------------------------------------------------


@asynccontextmanager
async def _other_app(
    parts: Parts, emulator: Starlette, enterprise: Enterprise
) -> AsyncIterator[Parts]:
    """The same rows under the second app of the enterprise, by client credentials."""
    values = parts.settings.model_dump()
    values["box"] |= {"config": None, **enterprise.client_credentials()}
    settings = Settings.model_validate(values)
    mounts = {BOX_URL: httpx.ASGITransport(emulator)}
    async with opened(settings, mounts=mounts) as other:
        yield other


async def _rebind(
    parts: Parts, *, apply: bool = False, unbind: bool = False
) -> dict[str | None, Rebound]:
    run = parts.rebinding().run(apply=apply, unbind_missing=unbind)
    return {row.box_user_id: row async for batch in run for row in batch}


async def test_rebind_gives_over_whom_the_new_app_sees_and_no_other(
    api: Api,
    parts: Parts,
    emulator: Starlette,
    enterprise: Enterprise,
    audit_log: list[dict[str, Any]],
) -> None:
    ids = {}
    for subject in ("s0", "s1"):
        ids[subject] = (await api.exchange(api.id_token(subject))).json()["box_user_id"]
    # More than one batch.
    await sql(
        parts,
        "INSERT INTO account (id, kind, realm, external_app_user_id, box_client_id,"
        " box_enterprise_id) SELECT gen_random_uuid(), 'app', '', 'sb1-' || n, 'x', 'y'"
        " FROM generate_series(1, 9) n",
    )
    enterprise.settings.app_access = "enterprise"
    gone = ids["s0"]
    enterprise.remove_user(enterprise.users[gone])
    async with _other_app(parts, emulator, enterprise) as other:
        with pytest.raises(ConfigurationError, match="sso-box-api db rebind"):
            await other.require_consistent_rows()
        told = await _rebind(other)
        assert {row.state for row in told.values()} == {"seen", "missing", "unbound"}
        assert not any(row.done for row in told.values())
        assert len(told) == len(await _rebind(other)) == 3  # of the unbound, one key
        done = await _rebind(other, apply=True)
        assert [row.box_user_id for row in done.values() if not row.done] == [gone]
        with pytest.raises(ConfigurationError, match="another Box app or enterprise"):
            await other.require_consistent_rows()
        [left] = (await _rebind(other, apply=True, unbind=True)).values()
        assert (left.box_user_id, left.state, left.done) == (gone, "missing", True)
        await other.require_consistent_rows()
        assert await _rebind(other, apply=True) == {}
    account = (await candidate_of(parts, "s0")).account
    assert (account.box_user_id, account.state) == (None, "pending")
    assert (await candidate_of(parts, "s1")).account.box_user_id == ids["s1"]
    live = "SELECT count(*) FROM vend WHERE state = 'live'"
    assert await scalar(parts, live) == 1
    [event] = [e for e in audit_log if e["event"] == "administration"]
    assert (event["act"], event["old_box_user_id"]) == ("rebind", gone)


async def test_a_user_that_box_does_not_let_see_is_not_taken_for_gone(
    api: Api, box: Control, parts: Parts, emulator: Starlette, enterprise: Enterprise
) -> None:
    """A missing right of the new app must unbind nobody."""
    await api.exchange()
    await box.fault("GET", "/2.0/users/*", status=403, body={"code": "forbidden"})
    async with _other_app(parts, emulator, enterprise) as other:
        with pytest.raises(BoxRefused):
            await _rebind(other, apply=True, unbind=True)
    assert (await candidate_of(parts)).account.state == "active"

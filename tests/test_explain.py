"""What would come of an exchange, told without doing it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import pytest
from starlette.applications import Starlette

from sso_box_api.accounts import Person, external_id
from sso_box_api.explain import Question
from sso_box_api.identity import Explanation, UnverifiedToken
from sso_box_api.parts import Parts
from sso_box_api.settings import Settings
from tests.support.api import BOX_URL, ISSUER, Api, Control
from tests.support.connections import opened


@dataclass
class Desk:
    """The administrator's command line beside the running service."""

    parts: Parts

    async def explain(
        self, token: str, *, online: bool = True, **asked: Any
    ) -> Explanation:
        question = {"profile": None, "scopes": None, "resource": None, **asked}
        return await self.parts.explainer().explain(
            Question(UnverifiedToken(token), **question), online=online
        )


@pytest.fixture
async def desk(
    settings: Settings, emulator: Starlette, idp_app: Starlette
) -> AsyncIterator[Desk]:
    mounts = {
        BOX_URL: httpx.ASGITransport(emulator),
        ISSUER: httpx.ASGITransport(idp_app),
    }
    async with opened(settings, mounts=mounts) as parts:
        yield Desk(parts)


def said(found: Explanation, name: str) -> tuple[str, str]:
    [check] = [one for one in found.checks if one.name == name]
    return check.outcome, check.text


async def test_a_first_login_is_told_and_nothing_is_made(
    api: Api, desk: Desk, box: Control
) -> None:
    before = await box.requests()
    found = await desk.explain(api.id_token(), profile="preview", resource="folder:12")
    assert (found.verdict, found.code) == ("granted", None)
    assert said(found, "profile") == ("passed", "preview: base_preview on folder:12")
    user = external_id("", ISSUER, "ada")
    first = f"none yet; a first login takes or makes {user}"
    assert said(found, "account") == ("passed", first)
    assert await box.users() == []
    assert await box.requests() == []
    del before


async def test_the_live_token_that_would_be_reused_is_told_by_its_end(
    api: Api, desk: Desk, box: Control
) -> None:
    token = api.id_token()
    vended = (await api.exchange(token, profile="preview")).json()
    [user] = await box.users()
    found = await desk.explain(token, profile="preview")
    outcome, account = said(found, "account")
    assert outcome == "passed"
    assert f"active, Box user {user['id']}" in account
    until = vended["expires_at"][:19]
    reused = f"the one until {until}+00:00 would be handed out again"
    assert said(found, "token") == ("passed", reused)
    found = await desk.explain(token, profile="picker")
    assert said(found, "token") == ("passed", "a new one would be minted at Box")
    assert vended["access_token"] not in str(found)


async def test_a_refusal_of_the_profile_or_the_account_is_told_with_its_code(
    api: Api, desk: Desk, database_url: str
) -> None:
    token = api.id_token()
    await api.exchange(token)
    found = await desk.explain(token, scopes=["item_share"])
    assert (found.verdict, found.code) == ("refused", "scope_not_in_profile")
    assert said(found, "account")[0] == "passed"
    connection = await asyncpg.connect(database_url)
    reason = "Ada Lovelace, suspected of theft"
    locked = "UPDATE account SET locked_at = now(), lock_reason = $1"
    await connection.execute(locked, reason)
    await connection.close()
    found = await desk.explain(token)
    assert (found.verdict, found.code) == ("refused", "account_locked")
    outcome, text = said(found, "account")
    assert outcome == "failed"
    assert "locked, Box user" in text
    assert reason not in text
    # Nothing would be handed out, so nothing is said of a token.
    assert [one.name for one in found.checks][-1] == "account"


async def test_a_lock_of_the_provider_or_the_client_is_told_without_its_reason(
    api: Api, desk: Desk
) -> None:
    token = api.id_token()
    await api.exchange(token)
    reason = "Grace at the provider was bribed"
    await desk.parts.suspensions().suspend("client", "demo-mobile", reason)
    assert (await desk.explain(token)).verdict == "granted"
    await desk.parts.suspensions().suspend("client", "demo-spa", reason)
    found = await desk.explain(token)
    assert (found.verdict, found.code) == ("refused", "access_suspended")
    outcome, text = said(found, "lock")
    assert outcome == "failed"
    assert "the client is locked since" in text
    assert reason not in str(found)


async def test_a_token_that_is_refused_still_tells_whose_it_would_be(
    api: Api, desk: Desk
) -> None:
    await api.exchange()
    found = await desk.explain(api.id_token()[:-4] + "AAAA")
    assert (found.verdict, found.code) == ("refused", "token_signature")
    assert said(found, "account")[0] == "passed"
    found = await desk.explain(api.id_token(aud="another"))
    assert found.code == "token_audience"
    assert [one.name for one in found.checks][-1] == "login"


async def test_offline_names_what_was_not_looked_up(api: Api, desk: Desk) -> None:
    found = await desk.explain(api.id_token(), online=False)
    assert (found.verdict, found.code) == ("undecided", None)
    assert said(found, "profile")[0] == "passed"
    outcome, text = said(found, "account")
    assert outcome == "unknown"
    assert external_id("", ISSUER, "ada") in text


async def test_a_handle_that_is_not_its_rows_is_told(
    api: Api, desk: Desk, database_url: str
) -> None:
    for subject in ("ada", "grace"):
        await api.exchange(api.id_token(subject))
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "UPDATE vend SET handle = (SELECT handle FROM vend v WHERE v.id <> vend.id)"
    )
    await connection.close()
    outcome, text = said(await desk.explain(api.id_token()), "token")
    assert outcome == "unknown"
    assert "belongs to another row" in text


async def test_the_proof_of_the_page_is_left_to_the_page(
    settings_values: dict[str, Any], emulator: Starlette, idp_app: Starlette
) -> None:
    provider = {"id": "main", "issuer": ISSUER, "client_ids": ["demo-spa"]}
    values = {"providers": [provider | {"require_nonce_proof": True}]}
    settings = Settings.model_validate(settings_values | values)
    mounts = {ISSUER: httpx.ASGITransport(idp_app)}
    del emulator
    async with opened(settings, mounts=mounts) as parts:
        desk = Desk(parts)
        idp = idp_app.state.idp
        first = await desk.explain(idp.mint(sub="ada", aud="demo-spa", nonce="n"))
        assert first.verdict == "undecided"
        assert "has to send the nonce_verifier" in said(first, "nonce proof")[1]
        refreshed = await desk.explain(idp.mint(sub="ada", aud="demo-spa"))
        assert "a refreshed token" in said(refreshed, "nonce proof")[1]


async def test_what_a_first_login_may_take_or_make_is_told_by_policy(
    settings_values: dict[str, Any], idp_app: Starlette
) -> None:
    rules = {"kind": "managed", "email_domains": ["example.com"], "create": False}
    provider = {
        "id": "main",
        "issuer": ISSUER,
        "client_ids": ["demo-spa"],
        "trust_email": True,
        "box_user": rules | {"link_existing": True},
    }
    settings = Settings.model_validate(settings_values | {"providers": [provider]})
    mounts = {ISSUER: httpx.ASGITransport(idp_app)}
    async with opened(settings, mounts=mounts) as parts:
        mint, desk = idp_app.state.idp.mint, Desk(parts)
        ada = {"sub": "ada", "aud": "demo-spa", "email_verified": True}
        found = await desk.explain(mint(**ada, email="ada@example.com"))
        assert found.verdict == "undecided"
        outcome, text = said(found, "account")
        assert outcome == "unknown"
        assert "takes the managed user of the e-mail address" in text
        found = await desk.explain(mint(**ada, email="ada@evil.example"))
        assert (found.verdict, found.code) == ("refused", "email_not_allowed")
        assert "email_domain" in said(found, "account")[1]
        # Somebody locked in advance and let in again has rows and no Box user.
        await parts.lifecycle().ensure(Person("main", ISSUER, "ada"))
        found = await desk.explain(mint(**ada, email="ada@evil.example"))
        assert (said(found, "account")[0], found.code) == (
            "passed",
            "email_not_allowed",
        )


async def test_a_database_that_is_away_leaves_the_account_open(
    settings_values: dict[str, Any], idp_app: Starlette
) -> None:
    values = {"database_url": "postgresql://127.0.0.1:1/none"}
    settings = Settings.model_validate(settings_values | values)
    mounts = {ISSUER: httpx.ASGITransport(idp_app)}
    async with opened(settings, mounts=mounts) as parts:
        token = idp_app.state.idp.mint(sub="ada", aud="demo-spa")
        found = await Desk(parts).explain(token)
    assert found.verdict == "undecided"
    assert "database_unavailable" in said(found, "account")[1]

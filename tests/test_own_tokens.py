"""What people do to their own tokens: sign out everywhere, give one back."""

import asyncio
import time
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from starlette.applications import Starlette
from typing_extensions import override

from sso_box_api import accounts
from sso_box_api.identity.nonce import nonce_for
from sso_box_api.parts import Parts
from tests.support.administration import candidate_of, scalar, sql
from tests.support.api import BOX_URL, ISSUER, Api, Control

VERIFIER = "a-secret-of-the-page-" + "x" * 22


async def _sign_out(api: Api, token: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return await api.http.delete("/v1/tokens", headers=headers)


def _login(api: Api, seconds: int, **claims: Any) -> str:
    """A token of a login so many seconds from now."""
    at = int(time.time()) + seconds
    return api.id_token(iat=at, auth_time=at, **claims)


async def test_sign_out_ends_older_logins_and_kills_what_was_handed_out(
    api: Api, box: Control, audit_log: list[dict[str, Any]]
) -> None:
    here, elsewhere = _login(api, -5), _login(api, -20, aud="demo-mobile")
    vended = [
        (await api.exchange(here, profile="explorer")).json()["access_token"],
        (await api.exchange(elsewhere, profile="preview")).json()["access_token"],
    ]
    answer = await _sign_out(api, here)
    assert (answer.status_code, answer.content) == (204, b"")
    assert [await box.is_live(token) for token in vended] == [False, False]
    for token in (here, elsewhere):
        refused = await api.exchange(token)
        assert (refused.status_code, refused.json()["code"]) == (401, "signed_out")
        assert 'max_age="0"' in refused.headers["www-authenticate"]
        # An open page asks here whether it may go on.
        headers = {"Authorization": f"Bearer {token}"}
        me = await api.http.get("/v1/me", headers=headers)
        assert (me.status_code, me.json()["code"]) == (401, "signed_out")
    assert (await api.exchange(_login(api, 2))).status_code == 200
    [event] = [one for one in audit_log if one["event"] == "sign_out"]
    assert (event["outcome"], event["subject"], event["closed"]) == ("done", "ada", 2)
    assert here not in str(audit_log)


async def test_sign_out_leaves_others_alone(api: Api, box: Control) -> None:
    grace = (await api.exchange(api.id_token("grace"))).json()["access_token"]
    ada = _login(api, -5)
    await api.exchange(ada)
    assert (await _sign_out(api, ada)).status_code == 204
    assert (await api.exchange(api.id_token("grace"))).json()["access_token"] == grace
    assert await box.is_live(grace)


async def test_the_presenting_login_ends_though_its_providers_clock_is_ahead(
    api: Api,
) -> None:
    token = _login(api, 40)
    assert (await api.exchange(token)).status_code == 200
    assert (await _sign_out(api, token)).status_code == 204
    assert (await api.exchange(token)).json()["code"] == "signed_out"


async def test_sign_out_never_moves_an_end_back(api: Api, parts: Parts) -> None:
    """One that another one overtook comes to a row with a later end."""
    await api.exchange(_login(api, -5))
    candidate = await candidate_of(parts)
    await sql(parts, "UPDATE account SET not_before = now() + interval '50 s'")
    async with parts.database.transaction() as session:
        await accounts.sign_out(session, candidate.account, at_least=int(time.time()))
    late = "SELECT not_before > now() + interval '40 s' FROM account"
    assert await scalar(parts, late) is True


async def test_a_login_that_was_ended_ends_no_newer_one(api: Api) -> None:
    stolen = _login(api, -5)
    await api.exchange(stolen)
    assert (await _sign_out(api, stolen)).status_code == 204
    newer = (await api.exchange(_login(api, 2))).json()["access_token"]
    again = await _sign_out(api, stolen)
    assert (again.status_code, again.json()["code"]) == (401, "signed_out")
    assert (await api.exchange(_login(api, 3))).json()["access_token"] == newer


async def test_somebody_without_an_account_is_signed_out_and_nothing_is_made(
    api: Api, parts: Parts
) -> None:
    assert (await _sign_out(api, api.id_token())).status_code == 204
    assert await scalar(parts, "SELECT count(*) FROM identity") == 0


async def test_a_locked_account_can_be_signed_out_and_stays_locked(
    api: Api, parts: Parts
) -> None:
    """What was open before the lock must not come back with the unlock."""
    token = _login(api, -5)
    await api.exchange(token)
    candidate = await candidate_of(parts)
    await parts.lifecycle().lock(candidate, "")
    assert (await _sign_out(api, token)).status_code == 204
    assert (await api.exchange(token)).json()["code"] == "account_locked"
    await parts.lifecycle().unlock(candidate)
    assert (await api.exchange(token)).json()["code"] == "signed_out"


async def test_sign_out_needs_no_proof_of_the_page_and_drops_the_one_there_was(
    api: Api, parts: Parts
) -> None:
    token = _login(api, -5, nonce=nonce_for(VERIFIER))
    assert (await api.exchange(token, nonce_verifier=VERIFIER)).is_success
    assert (await _sign_out(api, token)).status_code == 204
    assert await scalar(parts, "SELECT count(*) FROM nonce_proof") == 0


async def test_sign_out_does_not_wait_for_a_box_that_is_away(
    api: Api, box: Control, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is done when we refuse; what Box is still to be told stays on the list."""
    # A constant of a second; a test should not take that long.
    monkeypatch.setattr("sso_box_api.own_tokens._WAIT_S", 0.1)
    token = _login(api, -5)
    await api.exchange(token)
    await box.fault("POST", "/oauth2/revoke", status=503, times=1000)
    async with asyncio.timeout(5):
        assert (await _sign_out(api, token)).status_code == 204
    assert await scalar(parts, "SELECT state FROM vend") == "revoke_pending"
    assert (await api.exchange(token)).json()["code"] == "signed_out"


@pytest.mark.parametrize(
    ("token", "code"), [(None, "token_missing"), ("a.b.c", "token_malformed")]
)
async def test_sign_out_takes_a_verified_token_only(
    api: Api, token: str | None, code: str
) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = await api.http.delete("/v1/tokens", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, code)


async def test_a_sign_out_while_box_mints_leaves_no_token_of_the_older_login(
    api: Api, emulator: Starlette, parts: Parts
) -> None:
    """It commits after Box minted and before our row: nothing may leave."""
    token = _login(api, -5)
    await api.exchange(token)

    class SignOutOnDownscope(httpx.ASGITransport):
        @override
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await request.aread()
            answer = await super().handle_async_request(request)
            if b"token-exchange" in request.content:
                assert (await _sign_out(api, token)).status_code == 204
            return answer

    mounts = {
        BOX_URL: SignOutOnDownscope(emulator),
        ISSUER: httpx.ASGITransport(api.idp_app),
    }
    async with Api.start_with(parts.settings, mounts, api.idp_app) as slow:
        before = set(emulator.state.world.tokens)
        answer = await slow.exchange(token, profile="preview")
    assert answer.json()["code"] == "signed_out"
    minted = [
        one
        for value, one in emulator.state.world.tokens.items()
        if value not in before and one.is_downscoped
    ]
    assert [one.revoked for one in minted] == [True]


# --- one token ------------------------------------------------------------------------


async def _revoke(
    api: Api, id_token: str | None, *pairs: tuple[str, str], **form: str
) -> httpx.Response:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    if id_token is not None:
        headers["Authorization"] = f"Bearer {id_token}"
    content = urlencode([*form.items(), *pairs])
    return await api.http.post("/oauth2/revoke", content=content, headers=headers)


async def test_a_token_that_is_given_back_dies_and_others_live(
    api: Api, box: Control, audit_log: list[dict[str, Any]]
) -> None:
    first = (await api.exchange()).json()["access_token"]
    other = (await api.exchange(profile="preview")).json()["access_token"]
    hint = {"token_type_hint": "access_token", "client_id": "demo-spa"}
    answer = await _revoke(api, api.id_token(), token=first, **hint, unknown="x")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["cache-control"] == "no-store"
    assert [await box.is_live(token) for token in (first, other)] == [False, True]
    assert (await api.exchange()).json()["access_token"] != first
    assert (await api.exchange(profile="preview")).json()["access_token"] == other
    again = await _revoke(api, api.id_token(), token=first)
    assert again.status_code == 200
    done, nothing = [event for event in audit_log if event["event"] == "revoke"]
    assert (done["outcome"], done["closed"], nothing["closed"]) == ("done", 1, 0)
    assert first not in str(audit_log)


async def test_nobody_revokes_what_was_handed_out_to_another(
    api: Api, box: Control
) -> None:
    """Neither another person nor another application of the same one, nor learns of it."""
    token = (await api.exchange()).json()["access_token"]
    await api.exchange(api.id_token("grace"))
    for stranger in (
        api.id_token("grace"),
        api.id_token(aud="demo-mobile"),
        api.id_token("nobody-yet"),
    ):
        answer = await _revoke(api, stranger, token=token)
        assert (answer.status_code, answer.content) == (200, b"")
    made_up = await _revoke(api, api.id_token(), token="no-token-of-ours")
    assert (made_up.status_code, made_up.content) == (200, b"")
    assert await box.is_live(token)
    assert (await api.exchange()).json()["access_token"] == token


async def test_revoke_answers_errors_as_oauth_asks(api: Api) -> None:
    good = api.id_token()
    missing = await _revoke(api, good)
    assert (missing.status_code, missing.json()["error"]) == (400, "invalid_request")
    twice = await _revoke(api, good, ("token", "b"), token="a")
    assert (twice.status_code, twice.json()["reason"]) == (400, "invalid_form")
    json = await api.http.post("/oauth2/revoke", json={"token": "a"})
    assert (json.status_code, json.json()["reason"]) == (415, "unsupported_media_type")
    in_url = await api.http.post("/oauth2/revoke?id_token=a")
    assert in_url.json()["reason"] == "ambiguous_credentials"


@pytest.mark.parametrize(
    ("claims", "form", "reason"),
    [
        (None, {}, "token_missing"),
        ({"aud": "another-client"}, {}, "token_audience"),
        ({}, {"client_id": "demo-mobile"}, "token_policy"),
    ],
)
async def test_revoke_takes_a_verified_id_token_of_the_stated_client_only(
    api: Api,
    box: Control,
    claims: dict[str, Any] | None,
    form: dict[str, str],
    reason: str,
) -> None:
    token = (await api.exchange()).json()["access_token"]
    id_token = None if claims is None else api.id_token(**claims)
    answer = await _revoke(api, id_token, token=token, **form)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.json()["reason"] == reason
    assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert await box.is_live(token)


async def test_a_login_that_was_ended_revokes_nothing(api: Api, box: Control) -> None:
    old = _login(api, -5)
    await api.exchange(old)
    assert (await _sign_out(api, old)).status_code == 204
    token = (await api.exchange(_login(api, 2))).json()["access_token"]
    answer = await _revoke(api, old, token=token)
    assert (answer.status_code, answer.json()["reason"]) == (401, "signed_out")
    assert await box.is_live(token)

"""Tokens: signed anew for each attempt, cached once for all, narrowed, revoked."""

import asyncio
import json
import time
from email.utils import formatdate
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from sso_box_api.box import (
    Box,
    BoxToken,
    Downscoped,
    Grant,
    InvalidResource,
    RefusedByBox,
    SubjectTokenRejected,
)
from sso_box_api.errors import BoxRefused, BoxUnavailable
from sso_box_api.settings import BoxSettings
from sso_box_devkit.box import Enterprise
from tests.support.box_script import (
    QUICK,
    Script,
    box_settings,
    claims,
    client_over,
    config,
    error,
    forms,
    header,
    refused,
    token,
    user,
)

EXP = "Please check the 'exp' claim."
BY_BOX = {"box-request-id": "r1"}
PARENT = BoxToken("parent-token", time.time() + 3600, 3600)


class Clock:
    def __init__(self, now: float | None = None) -> None:
        self.now = time.time() if now is None else now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def emulated(emulator: Starlette, enterprise: Enterprise) -> Box:
    """The client before the emulator, in process."""
    return client_over(httpx.ASGITransport(emulator), box_settings(enterprise.config()))


async def app_user(client: Box) -> str:
    return (await client.create_app_user("Ada", "sb1-ada", timeout_s=2)).id


# The JWT grant


async def test_an_assertion_has_just_the_claims_that_box_asks_for(
    script: Script,
) -> None:
    clock = Clock(1_800_000_000.9)
    client = client_over(script.transport, clock=clock)
    minted = script.tokens(token())
    await client.user_token("11")
    (form,) = forms(minted)
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert form["client_id"] == "client-1"
    assert form["client_secret"] == "hush-client"
    assert header(form) == {"alg": "RS256", "typ": "JWT", "kid": "abcd1234"}
    said = claims(form)
    assert len(said.pop("jti")) >= 16
    assert said == {
        "iss": "client-1",
        "sub": "11",
        "box_sub_type": "user",
        "aud": "https://api.box.com/oauth2/token",
        "exp": 1_800_000_030,
    }


async def test_the_audience_stays_when_the_base_url_changes(
    emulator: Starlette, enterprise: Enterprise
) -> None:
    settings = box_settings(enterprise.config(), api_url="http://127.0.0.1:9")
    client = client_over(httpx.ASGITransport(emulator), settings)
    assert (await client.service_token()).access_token


async def test_the_emulator_accepts_the_assertions_of_both_kinds(emulated: Box) -> None:
    service = await emulated.service_token()
    mine = await emulated.user_token(await app_user(emulated))
    assert service.access_token != mine.access_token
    assert 3600 <= mine.expires_in <= 4250


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512"])
async def test_each_algorithm_of_box_signs(
    emulator: Starlette, enterprise: Enterprise, algorithm: str
) -> None:
    settings = box_settings(enterprise.config(), jwt_algorithm=algorithm)
    client = client_over(httpx.ASGITransport(emulator), settings)
    assert (await client.service_token()).access_token


async def test_callers_at_one_time_share_a_users_token(
    client: Box, script: Script
) -> None:
    minted = script.tokens(token("T1"), token("T2"))
    tokens = await asyncio.gather(
        *(client.user_token("1") for _ in range(20)), client.user_token("2")
    )
    assert len({t.access_token for t in tokens[:20]}) == 1
    assert tokens[0].access_token != tokens[20].access_token
    assert minted.call_count == 2


async def test_a_user_token_is_minted_each_time(client: Box, script: Script) -> None:
    minted = script.tokens(token("T1"), token("T2"))
    assert (await client.user_token("1")).access_token == "T1"
    assert (await client.user_token("1")).access_token == "T2"
    assert minted.call_count == 2


async def _expect(client: Box) -> None:
    """Have the token of user 1 expected, and there."""
    others = asyncio.all_tasks()
    client.expect_user_token("1")
    await asyncio.wait(asyncio.all_tasks() - others)


async def test_a_user_token_that_was_expected_is_handed_out_once(
    client: Box, script: Script
) -> None:
    script.tokens(token("T1"), token("T2"))
    await _expect(client)
    assert (await client.user_token("1")).access_token == "T1"
    assert (await client.user_token("1")).access_token == "T2"


async def test_a_user_token_that_nobody_fetched_in_time_is_not_handed_out(
    script: Script,
) -> None:
    clock = Clock(1000.0)
    client = client_over(script.transport, clock=clock)
    script.tokens(token("T1"), token("T2"))
    await _expect(client)
    clock.now += 6
    assert (await client.user_token("1")).access_token == "T2"


async def test_a_user_token_that_was_expected_in_vain_is_refused_to_who_asks(
    client: Box, script: Script
) -> None:
    script.tokens((400, {"error": "unauthorized_client"}))
    client.expect_user_token("1")
    with pytest.raises(BoxRefused):
        await client.user_token("1")


async def test_life_counts_from_the_asking(script: Script) -> None:
    clock = Clock(1000.0)
    client = client_over(script.transport, clock=clock)

    def slow(_: httpx.Request) -> tuple[int, Any]:
        clock.now += 9
        return token(expires_in=100)

    script.tokens(slow)
    assert (await client.user_token("1")).expires_at == 1100.0


@pytest.mark.parametrize(
    "first",
    [
        (429, b""),
        (429, {"code": "rate_limit_exceeded"}, {"retry-after": "0"}),
        (503, b"<html>busy</html>"),
        httpx.ReadError("reset"),
        httpx.ConnectError("refused"),
        (200, b'{"access_token": "T'),
        refused("invalid_grant", "Please check the 'jti' claim. A unique value"),
    ],
    ids=["429", "429 told when", "503", "reset", "no connection", "cut", "jti"],
)
async def test_each_attempt_is_signed_anew(
    client: Box, script: Script, first: Any
) -> None:
    minted = script.tokens(first, token())
    await client.user_token("1")
    attempts = forms(minted)
    assert len(attempts) == 2
    assert claims(attempts[0])["jti"] != claims(attempts[1])["jti"]


async def test_box_spending_the_jti_of_a_failed_attempt_does_no_harm(
    emulated: Box, box: Any
) -> None:
    await box.fault("POST", "/oauth2/token", status=503, after_commit=True)
    assert (await emulated.service_token()).access_token


# Clocks


@pytest.mark.parametrize("offset_s", [-300, 300])
async def test_five_minutes_of_skew_are_learnt_from_the_date_header(
    emulated: Box, enterprise: Enterprise, offset_s: int, box: Any
) -> None:
    enterprise.settings.clock_offset_s = offset_s
    await emulated.service_token()
    assert emulated.clock_offset_s == pytest.approx(offset_s, abs=2)
    assert await box.requests() == ["POST /oauth2/token"] * 2


async def test_learnt_skew_is_remembered(
    emulated: Box, enterprise: Enterprise, box: Any
) -> None:
    user_id = await app_user(emulated)
    enterprise.settings.clock_offset_s = 300
    await emulated.user_token(user_id)
    await box.requests()
    await emulated.user_token(user_id)
    assert await box.requests() == ["POST /oauth2/token"]


@pytest.mark.parametrize("date", [{"date": "yesterday"}, {"date": ""}])
async def test_without_a_date_nothing_is_learnt(
    client: Box, script: Script, date: dict[str, str]
) -> None:
    minted = script.tokens(refused("invalid_grant", EXP, **date))
    with pytest.raises(RefusedByBox) as caught:
        await client.service_token()
    assert minted.call_count == 1
    assert "NTP" in caught.value.hint


async def test_a_clock_that_box_goes_on_refusing_is_a_refusal(
    client: Box, script: Script
) -> None:
    minted = script.tokens(refused("invalid_grant", EXP))
    with pytest.raises(RefusedByBox):
        await client.service_token()
    assert minted.call_count == 2


async def test_a_used_jti_is_replaced_also_where_box_shows_no_date(
    client: Box, script: Script
) -> None:
    used = refused("invalid_grant", "Please check the 'jti' claim.", date="")
    minted = script.tokens(used, token())
    assert (await client.service_token()).access_token == "T1"
    assert minted.call_count == 2


async def test_a_date_that_did_not_help_is_not_believed_any_longer(
    script: Script,
) -> None:
    clock = Clock(1_800_000_000)
    client = client_over(script.transport, clock=clock)
    wrong = formatdate(clock.now + 3600, usegmt=True)
    minted = script.tokens(*[refused("invalid_grant", EXP, date=wrong)] * 2, token())
    with pytest.raises(RefusedByBox):
        await client.service_token()
    await client.service_token()
    ends = [claims(form)["exp"] - clock.now for form in forms(minted)]
    assert ends == [30, 3630, 30]


async def test_a_refusal_that_is_not_about_time_teaches_nothing(
    client: Box, script: Script
) -> None:
    date = formatdate(time.time() + 300, usegmt=True)
    minted = script.tokens(
        refused("invalid_grant", "Please check the 'sub' claim.", date=date)
    )
    with pytest.raises(RefusedByBox):
        await client.service_token()
    assert minted.call_count == 1
    assert client.clock_offset_s == 0


async def test_clocks_are_learnt_from_no_other_refusal(
    client: Box, script: Script
) -> None:
    date = formatdate(time.time() + 300, usegmt=True)
    minted = script.tokens(refused("invalid_request", EXP, date=date))
    with pytest.raises(RefusedByBox):
        await client.service_token()
    assert minted.call_count == 1
    assert client.clock_offset_s == 0


# Client credentials


async def test_client_credentials_name_the_subject(script: Script) -> None:
    settings = BoxSettings.model_validate(
        {"client_id": "c", "client_secret": "s", "enterprise_id": "5", **QUICK}
    )
    client = client_over(script.transport, settings)
    minted = script.tokens(token())
    await client.service_token()
    await client.user_token("11")
    common = {
        "client_id": "c",
        "client_secret": "s",
        "grant_type": "client_credentials",
    }
    assert forms(minted) == [
        common | {"box_subject_type": "enterprise", "box_subject_id": "5"},
        common | {"box_subject_type": "user", "box_subject_id": "11"},
    ]


async def test_client_credentials_work_at_the_emulator(
    emulator: Starlette, enterprise: Enterprise
) -> None:
    settings = BoxSettings.model_validate({**enterprise.client_credentials(), **QUICK})
    client = client_over(httpx.ASGITransport(emulator), settings)
    user_id = await app_user(client)
    narrow = await client.downscope(
        await client.user_token(user_id), ["base_preview"], None
    )
    await client.revoke(narrow.access_token)
    assert not await client.is_live(narrow.access_token)


# The service token


async def test_the_service_token_is_fetched_once_for_all_callers(
    client: Box, script: Script
) -> None:
    minted = script.tokens(token())
    tokens = await asyncio.gather(*(client.service_token() for _ in range(50)))
    assert {t.access_token for t in tokens} == {"T1"}
    await client.service_token()
    assert minted.call_count == 1


async def test_a_caller_who_leaves_does_not_take_the_token_from_the_others(
    client: Box, script: Script
) -> None:
    minted = script.tokens(token())
    first = asyncio.create_task(client.service_token())
    second = asyncio.create_task(client.service_token())
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).access_token == "T1"
    assert minted.call_count == 1


async def test_a_renewal_that_is_cancelled_leaves_the_way_free_for_the_next(
    client: Box, script: Script
) -> None:
    script.tokens(token())
    waiting = asyncio.create_task(client.service_token())
    await asyncio.sleep(0)
    assert client._service._minting is not None
    client._service._minting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (await client.service_token()).access_token == "T1"


async def test_a_failed_fetch_fails_for_all_who_wait_and_is_not_remembered(
    client: Box, script: Script
) -> None:
    minted = script.tokens(error(403, "forbidden"), token())
    failed = await asyncio.gather(
        *(client.service_token() for _ in range(5)), return_exceptions=True
    )
    assert all(isinstance(f, RefusedByBox) for f in failed)
    assert (await client.service_token()).access_token == "T1"
    assert minted.call_count == 2


async def test_renewal_ahead_of_expiry_lets_nobody_wait(script: Script) -> None:
    clock = Clock()
    client = client_over(script.transport, clock=clock)
    script.tokens(token("T1"), token("T2"))
    await client.service_token()
    clock.now += 3600 - 299
    assert (await client.service_token()).access_token == "T1"
    renewal = client._service._minting
    assert renewal is not None
    await renewal
    assert (await client.service_token()).access_token == "T2"


@pytest.mark.parametrize(("life", "ahead"), [(3600, 300), (600, 300), (100, 50)])
async def test_a_token_is_renewed_five_minutes_ahead_or_at_half_of_a_short_life(
    script: Script, life: int, ahead: int
) -> None:
    clock = Clock(1000.0)
    client = client_over(script.transport, clock=clock)
    script.tokens(token("T1", expires_in=life), token("T2"))
    await client.service_token()
    clock.now += life - ahead - 1
    renewals = []
    for _ in range(2):
        assert (await client.service_token()).access_token == "T1"
        renewals.append(client._service._minting)
        clock.now += 1
    early, due = renewals
    assert early is None
    assert due is not None
    await due


async def test_a_token_is_never_handed_out_at_its_end(script: Script) -> None:
    clock = Clock(1000.0)
    client = client_over(script.transport, clock=clock)
    script.tokens(token("T1"), token("T2"))
    await client.service_token()
    clock.now += 3600
    assert (await client.service_token()).access_token == "T2"


async def test_a_renewal_that_fails_leaves_the_present_token_until_it_expires(
    script: Script,
) -> None:
    clock = Clock()
    client = client_over(script.transport, clock=clock)
    minted = script.tokens(token("T1"), error(403, "forbidden"))
    await client.service_token()
    clock.now += 3600 - 1
    for _ in range(3):
        assert (await client.service_token()).access_token == "T1"
        await asyncio.sleep(0.01)
    assert minted.call_count > 1
    clock.now += 1
    with pytest.raises(RefusedByBox):
        await client.service_token()


async def test_a_service_token_that_box_revoked_is_replaced_once(
    emulated: Box, box: Any
) -> None:
    user_id = await app_user(emulated)
    revoked = await emulated.service_token()
    await emulated.revoke(revoked.access_token)
    await box.requests()
    assert (await emulated.get_user(user_id)).id == user_id
    assert await box.requests() == [
        f"GET /2.0/users/{user_id}",
        "POST /oauth2/token",
        f"GET /2.0/users/{user_id}",
    ]


async def test_a_second_401_is_a_refusal(client: Box, script: Script) -> None:
    script.tokens(token("T1"), token("T2"))
    challenge = {"www-authenticate": 'Bearer realm="Service", error="invalid_token"'}
    asked = script.on("GET", "/2.0/users/11", (401, b"", challenge))
    with pytest.raises(RefusedByBox) as caught:
        await client.get_user("11")
    used = [call.request.headers["authorization"] for call in asked.calls]
    assert used == ["Bearer T1", "Bearer T2"]
    assert (caught.value.box_status, caught.value.box_code) == (401, "invalid_token")
    assert "enabled" in caught.value.hint


async def test_a_token_that_may_too_little_is_kept(client: Box, script: Script) -> None:
    minted = script.tokens(token("T1"), token("T2"))
    refusal = (401, b"", {"www-authenticate": 'Bearer error="insufficient_scope"'})
    asked = script.on("GET", "/2.0/users/11", refusal)
    script.on("POST", "/2.0/users", refusal)
    for _ in range(2):
        with pytest.raises(RefusedByBox, match="insufficient_scope"):
            await client.get_user("11")
        with pytest.raises(RefusedByBox, match="insufficient_scope"):
            await client.create_app_user("Ada", "sb1-ada", timeout_s=2)
    assert (asked.call_count, minted.call_count) == (2, 1)


async def test_two_calls_refused_together_renew_the_token_once(
    client: Box, script: Script
) -> None:
    minted = script.tokens(token("T1"), token("T2"))

    def answer(request: httpx.Request) -> tuple[Any, ...]:
        old = request.headers["authorization"] == "Bearer T1"
        return (401, b"", BY_BOX) if old else (200, user())

    script.on("GET", "/2.0/users/11", answer)
    await asyncio.gather(*(client.get_user("11") for _ in range(5)))
    assert minted.call_count == 2


async def test_a_late_refusal_does_not_drop_the_token_that_came_since() -> None:
    minted = 0
    renewed = asyncio.Event()

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal minted
        if request.method == "POST":
            minted += 1
            return httpx.Response(200, json=token(f"T{minted}")[1])
        if request.headers["authorization"] == "Bearer T1":
            if request.url.path.endswith("/12"):
                await renewed.wait()
            return httpx.Response(401, headers=BY_BOX)
        return httpx.Response(200, json=user(request.url.path[-2:]))

    client = client_over(httpx.MockTransport(answer))
    late = asyncio.create_task(client.get_user("12"))
    await client.get_user("11")
    renewed.set()
    assert (await late).id == "12"
    assert minted == 2


# Downscoping


async def test_a_downscope_names_scopes_and_the_item_at_box_itself(
    client: Box, script: Script
) -> None:
    item = {"type": "folder", "id": "123", "name": "hush"}
    minted = script.tokens(
        token("1!narrow", restricted_to=[{"scope": "base_preview", "object": item}])
    )
    narrow = await client.downscope(PARENT, ["base_preview", "x"], "folder:123")
    assert forms(minted) == [
        {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": "parent-token",
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "scope": "base_preview x",
            "resource": "https://api.box.com/2.0/folders/123",
        }
    ]
    assert narrow.access_token == "1!narrow"
    assert narrow.expires_in == 3600
    assert narrow.restricted_to == (Grant("base_preview", "folder", "123"),)


async def test_a_file_is_named_and_no_resource_is_left_out(
    client: Box, script: Script
) -> None:
    minted = script.tokens(token())
    await client.downscope(PARENT, ["s"], "file:9")
    await client.downscope(PARENT, ["s"], None)
    first, second = forms(minted)
    assert first["resource"] == "https://api.box.com/2.0/files/9"
    assert "resource" not in second


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        (None, None),
        ([], ()),
        ("x", (Grant("", None, None),)),
        ([7, {}], (Grant("", None, None),) * 2),
        ([{"scope": "s"}], (Grant("s", None, None),)),
        ([{"scope": "s", "object": {"id": 5}}], (Grant("s", None, "5"),)),
    ],
)
async def test_whatever_box_says_it_granted_reaches_the_caller(
    client: Box, script: Script, answer: Any, read: Any
) -> None:
    script.tokens(token(restricted_to=answer))
    assert (await client.downscope(PARENT, ["s"], None)).restricted_to == read


@pytest.mark.parametrize("scopes", [[], [""], ["a b"], ["a\n"], ["ä"]])
async def test_an_empty_or_malformed_scope_is_never_sent(
    client: Box, script: Script, scopes: list[str]
) -> None:
    minted = script.tokens(token())
    with pytest.raises(ValueError, match="scopes"):
        await client.downscope(PARENT, scopes, None)
    assert not minted.called


@pytest.mark.parametrize(
    "resource", ["folder:0", "folder:01", "web_link:1", "file:1/../2", "file:1\n", ""]
)
async def test_a_malformed_resource_is_never_sent(
    client: Box, script: Script, resource: str
) -> None:
    minted = script.tokens(token())
    with pytest.raises(ValueError, match="resource"):
        await client.downscope(PARENT, ["s"], resource)
    assert not minted.called


async def test_the_emulator_narrows_and_says_to_what(emulated: Box) -> None:
    parent = await emulated.user_token(await app_user(emulated))
    narrow = await emulated.downscope(parent, ["base_preview", "item_download"], None)
    assert narrow.access_token != parent.access_token
    assert await emulated.is_live(narrow.access_token)


async def test_a_resource_out_of_reach_is_told_apart(emulated: Box) -> None:
    parent = await emulated.user_token(await app_user(emulated))
    with pytest.raises(InvalidResource):
        await emulated.downscope(parent, ["base_preview"], "folder:999999")


async def test_a_dead_subject_token_is_told_apart(emulated: Box) -> None:
    parent = await emulated.user_token(await app_user(emulated))
    await emulated.revoke(parent.access_token)
    with pytest.raises(SubjectTokenRejected):
        await emulated.downscope(parent, ["base_preview"], None)


async def test_a_subject_token_refused_with_a_challenge_is_told_apart(
    client: Box, script: Script
) -> None:
    challenge = {"www-authenticate": 'Bearer error="invalid_token"'}
    script.tokens((401, b"", challenge), refused("invalid_scope", "no"))
    with pytest.raises(SubjectTokenRejected):
        await client.downscope(PARENT, ["s"], None)
    with pytest.raises(RefusedByBox):
        await client.downscope(PARENT, ["s"], None)


# Revoking


async def test_a_revoked_token_is_dead_at_box(emulated: Box) -> None:
    mine = await emulated.user_token(await app_user(emulated))
    assert await emulated.is_live(mine.access_token)
    await emulated.revoke(mine.access_token)
    assert not await emulated.is_live(mine.access_token)


async def test_revoking_a_dead_token_counts_as_done(emulated: Box) -> None:
    mine = await emulated.user_token(await app_user(emulated))
    await emulated.revoke(mine.access_token)
    await emulated.revoke(mine.access_token)


async def test_a_refused_revocation_of_a_token_that_is_dead_counts_as_done(
    emulated: Box, enterprise: Enterprise, box: Any
) -> None:
    enterprise.settings.revoke_unknown = "error"
    await emulated.revoke("never-issued")
    assert await box.requests() == ["POST /oauth2/revoke", "GET /2.0/users/me"]


async def test_revoking_names_the_client_and_the_token(
    client: Box, script: Script
) -> None:
    revoked = script.on("POST", "/oauth2/revoke", (200, b""))
    await client.revoke("hush-token")
    assert forms(revoked) == [
        {
            "client_id": "client-1",
            "client_secret": "hush-client",
            "token": "hush-token",
        }
    ]


@pytest.mark.parametrize(
    "probe",
    [
        (200, {}),
        (403, b"", BY_BOX),
        (401, b"", {"www-authenticate": 'Bearer error="insufficient_scope"'}),
    ],
)
async def test_a_refused_revocation_of_a_token_that_lives_is_not_done(
    client: Box, script: Script, probe: Any
) -> None:
    script.on("POST", "/oauth2/revoke", refused("invalid_client", "no"))
    script.on("GET", "/2.0/users/me", probe)
    with pytest.raises(RefusedByBox) as caught:
        await client.revoke("hush-token")
    assert caught.value.box_code == "invalid_client"


@pytest.mark.parametrize(
    "by_a_proxy", [{}, {"www-authenticate": 'Basic realm="proxy"'}], ids=["bare", "401"]
)
async def test_an_empty_401_of_a_proxy_does_not_count_as_revoked(
    client: Box, script: Script, by_a_proxy: dict[str, str]
) -> None:
    script.on("GET", "/2.0/users/me", (401, b"", by_a_proxy))
    with pytest.raises(BoxUnavailable, match="not in Box's form"):
        await client.is_live("hush-token")


@pytest.mark.parametrize(
    "by_box", [BY_BOX, {"www-authenticate": 'Bearer realm="Service"'}]
)
async def test_an_empty_401_of_box_says_that_a_token_is_dead(
    client: Box, script: Script, by_box: dict[str, str]
) -> None:
    script.on("GET", "/2.0/users/me", (401, b"", by_box))
    assert not await client.is_live("hush-token")


async def test_a_page_of_a_proxy_does_not_count_as_revoked(
    client: Box, script: Script
) -> None:
    script.on("POST", "/oauth2/revoke", (200, b"<html>Sign in to the guest WLAN"))
    with pytest.raises(BoxUnavailable):
        await client.revoke("hush-token")


# What an answer must hold


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"access_token": "T", "expires_in": "3600"},
        {"access_token": "T", "expires_in": True},
        {"access_token": "T", "expires_in": 0},
        {"access_token": "T\r\nx: y", "expires_in": 1},
        {"access_token": 5, "expires_in": 1},
        {"access_token": "", "expires_in": 1},
    ],
)
async def test_an_answer_without_a_usable_token_is_no_answer(
    client: Box, script: Script, body: Any
) -> None:
    minted = script.tokens((200, body))
    with pytest.raises(BoxUnavailable) as caught:
        await client.user_token("1")
    assert caught.value.reason == "POST /oauth2/token 200 - - not in Box's form"
    assert minted.call_count == 2


# State and refusals


async def test_the_state_follows_the_latest_call(client: Box, script: Script) -> None:
    assert client.state() == "unused"
    script.tokens(token())
    script.on("GET", "/2.0/users/11", (503, b""), (503, b""), (200, user()))
    await client.service_token()
    assert client.state() == "ok"
    with pytest.raises(BoxUnavailable):
        await client.get_user("11")
    assert client.state() == "failing"
    await client.get_user("11")
    assert client.state() == "ok"


async def test_an_app_that_box_refuses_is_failing_although_box_answers(
    emulated: Box, enterprise: Enterprise
) -> None:
    enterprise.settings.app_authorized = False
    with pytest.raises(BoxRefused):
        await emulated.service_token()
    assert emulated.state() == "failing"


@pytest.mark.parametrize(
    ("switch", "value", "said"),
    [
        ("app_authorized", False, "authorize this app"),
        ("user_tokens_enabled", False, "Generate user access tokens"),
    ],
)
async def test_a_refusal_hints_at_the_switch(
    emulated: Box, enterprise: Enterprise, switch: str, value: Any, said: str
) -> None:
    user_id = await app_user(emulated)
    setattr(enterprise.settings, switch, value)
    with pytest.raises(RefusedByBox) as caught:
        await emulated.user_token(user_id)
    assert said in caught.value.hint
    assert caught.value.box_status == 400
    assert caught.value.box_request_id
    assert caught.value.reason == (
        f"POST /oauth2/token 400 {caught.value.box_code} {caught.value.box_request_id}"
    )


async def test_a_key_that_box_does_not_know_hints_at_the_keypair(
    emulator: Starlette, enterprise: Enterprise
) -> None:
    data = enterprise.config()
    mine = config()["boxAppSettings"]["appAuth"]
    data["boxAppSettings"]["appAuth"] |= {
        name: mine[name] for name in ("privateKey", "passphrase")
    }
    client = client_over(httpx.ASGITransport(emulator), box_settings(data))
    with pytest.raises(RefusedByBox) as caught:
        await client.service_token()
    assert "Public Keys" in caught.value.hint


def test_no_token_shows_in_a_repr() -> None:
    narrow = Downscoped("hush-narrow", 1.0, 1, None)
    shown = repr([PARENT, narrow, json.dumps(PARENT.expires_in)])
    assert "parent-token" not in shown
    assert "hush" not in shown

"""A first login at Box through each of Box's bad days, over TCP.

The calls of a login with the production transport; every fault comes from the
emulator. Each time: the login succeeds, in the time it has, with one user at Box, and
the log holds no secret.
"""

import asyncio
import logging
from contextlib import suppress
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from sso_box_api.box import (
    Box,
    ConflictAtBox,
    Downscoped,
    OutcomeUnknown,
    RefusedByBox,
    SubjectTokenRejected,
    within,
)
from sso_box_api.errors import BoxUnavailable
from sso_box_devkit.box import Enterprise
from tests.support.api import Control

EXTERNAL_ID = "sb1-ada"
TOKEN, USERS = "/oauth2/token", "/2.0/users"


@pytest.fixture
def control(address: str, enterprise: Enterprise) -> Control:
    del enterprise
    return Control(httpx.AsyncHTTPTransport(), address)


async def log_in(box: Box) -> Downscoped:
    """Make the calls of one first login, settled as the claim protocol settles them."""
    found = await box.find_app_users(EXTERNAL_ID)
    if not found:
        with suppress(OutcomeUnknown, ConflictAtBox):
            await box.create_app_user("Ada", EXTERNAL_ID, timeout_s=0.5)
        found = await box.find_app_users(EXTERNAL_ID)
    if not found:
        raise BoxUnavailable("settling")
    parent = await box.user_token(found[0].id)
    return await box.downscope(parent, ["base_preview"], None)


async def log_in_as_a_patient_caller(box: Box) -> Downscoped:
    for _ in range(3):
        try:
            with within(5.0):
                return await log_in(box)
        except BoxUnavailable:
            continue
    return await log_in(box)


def secrets_of(enterprise: Enterprise, emulator: Starlette) -> list[str]:
    app = enterprise.config()["boxAppSettings"]
    tokens = [str(value) for value in emulator.state.world.tokens]
    return [app["clientSecret"], app["appAuth"]["passphrase"], "eyJ", *tokens]


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 429},
        {"status": 429, "headers": {"Retry-After": "0"}},
        {
            "status": 429,
            "headers": {"Retry-After": "Fri, 01 Jan 2027 00:00:00 GMT"}
            | {"Date": "Fri, 01 Jan 2027 00:00:00 GMT"},
        },
        {"status": 503, "after_commit": True},
        {"status": 200, "body": "<html>Welcome!</html>", "after_commit": True},
        {"status": 502, "body": "<html>Bad gateway</html>", "after_commit": True},
        {"status": 200, "body": '{"access_token": "T', "after_commit": True},
        {"truncate_at": 20, "after_commit": True},
        {"reset": True, "after_commit": True},
        {"drop": True, "after_commit": True},
        {"drop": True},
    ],
    ids=[
        "429",
        "429 in seconds",
        "429 with a date",
        "answer lost",
        "portal page",
        "gateway page",
        "JSON of a proxy, cut",
        "cut JSON",
        "reset within the body",
        "reset after the work",
        "reset before the work",
    ],
)
async def test_a_first_login_outlives_a_fault_at_every_step(
    tcp_client: Box,
    control: Control,
    enterprise: Enterprise,
    emulator: Starlette,
    caplog: pytest.LogCaptureFixture,
    fault: dict[str, Any],
) -> None:
    caplog.set_level(logging.DEBUG)
    for method, path in (("POST", TOKEN), ("GET", USERS), ("POST", USERS)):
        await control.fault(method, path, **fault)
    async with asyncio.timeout(15):
        token = await log_in_as_a_patient_caller(tcp_client)
    assert await control.is_live(token.access_token)
    assert len(await control.users()) == 1
    assert not [s for s in secrets_of(enterprise, emulator) if s in caplog.text]


@pytest.mark.parametrize(
    "fault", [{"delay_ms": 700}, {"dribble_ms": 20}], ids=["late", "slow body"]
)
async def test_a_slow_box_is_given_up_and_found_again(
    tcp_client: Box, control: Control, fault: dict[str, Any]
) -> None:
    await tcp_client.service_token()
    await control.fault("POST", USERS, after_commit=True, **fault)
    token = await log_in_as_a_patient_caller(tcp_client)
    assert await control.is_live(token.access_token)
    assert len(await control.users()) == 1


@pytest.mark.parametrize("offset_s", [-300, 300])
async def test_a_first_login_corrects_five_minutes_of_skew(
    tcp_client: Box, control: Control, offset_s: int
) -> None:
    await control.settings(clock_offset_s=offset_s)
    await control.requests()
    token = await log_in(tcp_client)
    assert await control.is_live(token.access_token)
    # One refusal taught it; none of the other assertions was refused.
    assert (await control.requests()).count(f"POST {TOKEN}") == 4


@pytest.mark.parametrize("policy", ["allow", "conflict"])
async def test_a_twin_creation_ends_with_one_user_under_each_policy(
    tcp_client: Box, control: Control, policy: str
) -> None:
    """The twin's user appears between our look and our creation."""
    await control.settings(duplicate_external_id=policy)
    first = await tcp_client.create_app_user("Ada", EXTERNAL_ID, timeout_s=2)
    try:
        second = await tcp_client.create_app_user("Ada", EXTERNAL_ID, timeout_s=2)
    except ConflictAtBox:
        assert policy == "conflict"
    else:
        assert policy == "allow"
        oldest, younger = await tcp_client.find_app_users(EXTERNAL_ID)
        assert (oldest.id, younger.id) == (first.id, second.id)
        await tcp_client.delete_user(younger.id)
    assert [u["id"] for u in await control.users()] == [first.id]


async def test_a_login_survives_the_loss_of_the_service_token(
    tcp_client: Box, control: Control
) -> None:
    await tcp_client.revoke((await tcp_client.service_token()).access_token)
    await control.requests()
    with pytest.raises(BoxUnavailable) as caught:
        await tcp_client.create_app_user("Ada", EXTERNAL_ID, timeout_s=2)
    # A creation is never repeated, and this one was certainly not done.
    assert not isinstance(caught.value, OutcomeUnknown)
    assert (await control.requests()).count(f"POST {USERS}") == 1
    await log_in(tcp_client)
    assert len(await control.users()) == 1


async def test_a_user_token_revoked_under_our_feet_is_told_apart(
    tcp_client: Box,
) -> None:
    made = await tcp_client.create_app_user("Ada", EXTERNAL_ID, timeout_s=2)
    parent = await tcp_client.user_token(made.id)
    await tcp_client.terminate_sessions([made.id])
    with pytest.raises(SubjectTokenRejected):
        await tcp_client.downscope(parent, ["base_preview"], None)
    fresh = await tcp_client.user_token(made.id)
    assert (await tcp_client.downscope(fresh, ["base_preview"], None)).access_token


async def test_an_outage_of_the_token_endpoint_ends_in_time_and_is_over_with_it(
    tcp_client: Box, control: Control
) -> None:
    await control.fault("POST", TOKEN, status=429, times=50)
    async with asyncio.timeout(10):
        with within(1.0), pytest.raises(BoxUnavailable) as caught:
            await log_in(tcp_client)
    assert not isinstance(caught.value, OutcomeUnknown | RefusedByBox)
    await control.clear_faults()
    assert (await log_in(tcp_client)).access_token

"""What is retried, how long is waited, and what is told: the table in box.transport."""

import logging
import time
from email.utils import formatdate
from typing import Any

import httpx
import pytest
from tenacity import AsyncRetrying, RetryCallState

from sso_box_api.box import Box, OutcomeUnknown, RefusedByBox
from sso_box_api.box.failures import Failed, Trouble
from sso_box_api.box.hints import hint
from sso_box_api.box.transport import pause
from sso_box_api.errors import BoxUnavailable
from tests.support.box_script import (
    Script,
    box_settings,
    client_over,
    error,
    refused,
    token,
    user,
)

READ = "/2.0/users/11"


@pytest.fixture
def client(script: Script) -> Box:
    script.tokens(token())
    return client_over(script.transport)


@pytest.mark.parametrize(
    "failure",
    [
        (429, b""),
        (500, {"code": "internal_server_error"}),
        (502, b"<html>Bad gateway"),
        (408, b""),
        (307, b"", {"location": "https://elsewhere.example"}),
        (200, b'{"id": "1'),
        (200, b"<html>"),
        (400, {"neither": "code nor error"}),
        (403, b"<html>blocked by policy"),
        (200, b"[" * 200_000),
        (200, user(name="x" * 1024 * 1024)),
        (200, b"not gzip", {"content-encoding": "gzip"}),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("cut"),
    ],
    ids=lambda f: type(f).__name__ if isinstance(f, Exception) else str(f)[:60],
)
async def test_a_read_is_tried_again_after(
    client: Box, script: Script, failure: Any
) -> None:
    asked = script.on("GET", READ, failure, (200, user()))
    assert (await client.get_user("11")).id == "11"
    assert asked.call_count == 2


@pytest.mark.parametrize("status", [400, 403, 405, 410, 412])
async def test_a_definite_refusal_is_not_tried_again(
    client: Box, script: Script, status: int
) -> None:
    asked = script.on("GET", READ, error(status, "forbidden"))
    with pytest.raises(RefusedByBox) as caught:
        await client.get_user("11")
    assert asked.call_count == 1
    assert caught.value.box_status == status


async def test_attempts_are_counted(client: Box, script: Script) -> None:
    asked = script.on("GET", READ, (503, b"", {"box-request-id": "r1"}))
    with pytest.raises(BoxUnavailable) as caught:
        await client.get_user("11")
    assert asked.call_count == 2
    assert caught.value.reason == f"GET {READ} 503 - r1"
    assert not isinstance(caught.value, OutcomeUnknown)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("100", 100),
        ("99999999999999999999", 3600),
        ("Fri, 01 Jan 2027 00:01:40 GMT", 100),
        ("Fri, 01 Jan 2027 00:01:40 -0000", 100),
    ],
)
async def test_a_wait_beyond_the_deadline_is_told_and_not_sat_out(
    client: Box, script: Script, status: int, value: str, told: int
) -> None:
    headers = {"retry-after": value, "date": "Fri, 01 Jan 2027 00:00:00 GMT"}
    asked = script.on("GET", READ, (status, b"", headers))
    with pytest.raises(BoxUnavailable) as caught:
        await client.get_user("11")
    assert asked.call_count == 1
    assert caught.value.retry_after == told


async def test_a_retry_date_is_measured_by_our_clock_where_box_shows_none(
    client: Box, script: Script
) -> None:
    later = formatdate(time.time() + 1000, usegmt=True)
    script.on("GET", READ, (429, b"", {"retry-after": later}))
    with pytest.raises(BoxUnavailable) as caught:
        await client.get_user("11")
    assert caught.value.retry_after == pytest.approx(1000, abs=30)


@pytest.mark.parametrize(
    "value", ["soon", "-5", "1.5", "Fri, 01 Jan 2027 00:00:00 GMT", "²"]
)
async def test_a_retry_after_that_is_past_or_rubbish_does_not_stop_us(
    client: Box, script: Script, value: str
) -> None:
    headers = {"retry-after": value, "date": "Fri, 01 Jan 2027 00:01:00 GMT"}
    asked = script.on("GET", READ, (429, b"", headers), (200, user()))
    await client.get_user("11")
    assert asked.call_count == 2


async def test_retry_after_is_waited_for(client: Box, script: Script) -> None:
    times: list[float] = []

    def note(_: httpx.Request) -> tuple[Any, ...]:
        times.append(time.monotonic())
        if len(times) == 1:
            return 429, b"", {"retry-after": "1"}
        return 200, user()

    script.on("GET", READ, note)
    await client.get_user("11")
    # A lower bound, which a slow machine cannot break.
    assert times[1] - times[0] >= 1


@pytest.mark.parametrize("asked", [None, 7.0])
@pytest.mark.parametrize(
    ("attempt", "most"), [(1, 0.25), (2, 0.5), (3, 1.0), (5, 4.0), (9, 4.0)]
)
def test_jitter_takes_any_part_of_a_growing_pause(
    attempt: int, most: float, asked: float | None
) -> None:
    state = RetryCallState(AsyncRetrying(), None, (), {})
    state.attempt_number = attempt
    failed = Failed(Trouble("GET /"), retry_after_s=asked)
    state.set_exception((Failed, failed, None))
    jitter = sorted(pause(state) - (asked or 0.0) for _ in range(200))
    # That one of these fails by chance is less likely than one in ten to the twelfth.
    assert 0 <= jitter[0] < most / 4
    assert most * 3 / 4 < jitter[-1] <= most


async def test_no_failure_of_the_token_is_multiplied_by_the_call(
    script: Script,
) -> None:
    minted = script.tokens((503, b""))
    client = client_over(script.transport)
    with pytest.raises(BoxUnavailable):
        await client.get_user("11")
    assert minted.call_count == 2


async def test_a_cookie_of_one_answer_does_not_go_with_the_next_call(
    client: Box, script: Script
) -> None:
    asked = script.on("GET", READ, (200, user(), {"set-cookie": "box=hush"}))
    await client.get_user("11")
    await client.get_user("11")
    assert "cookie" not in asked.calls.last.request.headers


@pytest.mark.parametrize(
    "answer",
    [
        (403, {"code": "a\nforged line", "message": "hush"}, {}),
        (403, {"code": "forbidden", "request_id": "r\n"}, {"box-request-id": "x y"}),
        (403, {"code": 7, "error": "forbidden", "message": {"hush": 1}}, {}),
        (403, b"", {"www-authenticate": 'Bearer error="hush\u00e9"'}),
    ],
)
async def test_nothing_of_a_body_but_a_plain_code_and_id_is_shown(
    client: Box, script: Script, answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "sso_box_api")
    script.on("GET", READ, answer)
    with pytest.raises((RefusedByBox, BoxUnavailable)) as caught:
        await client.get_user("11")
    shown = str(caught.value) + repr(vars(caught.value)) + caplog.text
    assert "forged" not in shown
    assert "hush" not in shown
    assert "x y" not in shown


async def test_the_log_names_the_call_and_holds_no_secret(
    script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "sso_box_api")
    script.tokens(
        (429, {"code": "rate_limit_exceeded", "message": "hush"}),
        refused("invalid_grant", "hush: check the 'exp' claim"),
        token("hush-access"),
    )
    script.on("GET", READ, error(404, "not_found"))
    client = client_over(script.transport, box_settings())
    with pytest.raises(RefusedByBox):
        await client.get_user("11")
    assert "POST /oauth2/token 429" in caplog.text
    assert "POST /oauth2/token 400 invalid_grant" in caplog.text
    assert f"GET {READ} 404 not_found req-1" in caplog.text
    for secret in ("hush", "eyJ", "Bearer", "?"):
        assert secret not in caplog.text


@pytest.mark.parametrize(
    ("code", "description", "said"),
    [
        (
            "unauthorized_client",
            "This app is not authorized by the enterprise admin",
            "authorize this app",
        ),
        ("unauthorized_client", "check box_subject_type", "App Access"),
        ("unauthorized_client", "something new", "authorize this app"),
        (
            "invalid_request",
            "Cannot obtain user token based on the enterprise configuration for your app",
            "Generate user access tokens",
        ),
        (
            "invalid_request",
            "Cannot obtain token based on the enterprise configuration for your app",
            "Generate user access tokens",
        ),
        ("invalid_grant", "Grant credentials are invalid", "client secret"),
        (
            "invalid_request",
            "The grant type is unauthorized for this client_id",
            "authentication method",
        ),
        ("invalid_grant", "Please check the 'exp' claim.", "NTP"),
        ("invalid_grant", "Please check the 'jti' claim.", "repeats"),
        ("invalid_grant", "Please check the 'sub' claim.", "enterpriseID"),
        (
            "invalid_grant",
            'Signature verification error. The public key identified by "kid" must',
            "privateKey",
        ),
        ("invalid_grant", "unknown kid", "publicKeyID"),
        ("invalid_client", "The client credentials are invalid", "clientSecret"),
        ("insufficient_scope", "", "Manage users"),
        ("access_denied_insufficient_permissions", "Access denied", "Manage users"),
        ("invalid_scope", "", "scope"),
        ("invalid_resource", "", "does not exist"),
        ("access_from_location_blocked", "", "address"),
        ("invalid_token", "", "enabled"),
        ("something_new", "words nobody has seen", ""),
    ],
)
def test_each_known_refusal_has_its_hint(
    code: str, description: str, said: str
) -> None:
    line = hint(code, description)
    assert said in line
    assert "\n" not in line
    assert bool(line) == bool(said)

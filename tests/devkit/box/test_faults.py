"""Ordered failures, seen over TCP as a client would."""

import asyncio
from email.utils import parsedate_to_datetime

import httpx
import pytest

from tests.support.box_caller import BoxCaller

USER = {"name": "Ada", "is_platform_access_only": True}


async def users(box: BoxCaller) -> int:
    return len((await box.control("GET", "users")).json()["users"])


async def test_a_fault_answers_so_many_times(tcp_box: BoxCaller) -> None:
    token = await tcp_box.token()
    await tcp_box.fault(
        method="POST",
        path="/2.0/users",
        times=2,
        status=429,
        headers={"Retry-After": "7"},
        body={"code": "rate_limit_exceeded"},
    )
    for _ in range(2):
        answer = await tcp_box.call(token, "POST", "/2.0/users", json=USER)
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "7"
        assert answer.json() == {"code": "rate_limit_exceeded"}
    assert await users(tcp_box) == 0
    listed = await tcp_box.call(token, "GET", "/2.0/users")
    assert listed.status_code == 200
    made = await tcp_box.call(token, "POST", "/2.0/users", json=USER)
    assert made.status_code == 201


async def test_a_star_fits_every_path_below(tcp_box: BoxCaller) -> None:
    token = await tcp_box.token()
    await tcp_box.fault(path="/2.0/folders/*", status=503, times=None)
    assert (await tcp_box.call(token, "GET", "/2.0/folders/0")).status_code == 503
    assert (await tcp_box.call(token, "GET", "/2.0/users/me")).status_code == 200
    armed = (await tcp_box.control("GET", "faults")).json()["faults"]
    assert armed[0]["status"] == 503
    await tcp_box.control("DELETE", "faults")
    assert (await tcp_box.call(token, "GET", "/2.0/folders/0")).status_code == 200


async def test_a_text_body_is_sent_as_it_is_and_no_body_is_empty(
    tcp_box: BoxCaller,
) -> None:
    await tcp_box.fault(status=502, body="<html>")
    await tcp_box.fault(status=500)
    assert (await tcp_box.http.get("/2.0/x")).text == "<html>"
    assert (await tcp_box.http.get("/2.0/x")).content == b""


async def test_a_dropped_connection_is_no_answer_and_no_work(
    tcp_box: BoxCaller, capfd: pytest.CaptureFixture[str]
) -> None:
    token = await tcp_box.token()
    await tcp_box.fault(path="/2.0/users", drop=True)
    with pytest.raises(httpx.RemoteProtocolError):
        await tcp_box.call(token, "POST", "/2.0/users", json=USER)
    assert await users(tcp_box) == 0
    assert (await tcp_box.journal())[-1]["status"] is None
    assert (await tcp_box.call(token, "GET", "/2.0/users")).status_code == 200
    assert "ASGI" not in capfd.readouterr().err


async def test_a_drop_after_commit_has_done_the_work(tcp_box: BoxCaller) -> None:
    token = await tcp_box.token()
    await tcp_box.fault(path="/2.0/users", drop=True, after_commit=True)
    with pytest.raises(httpx.RemoteProtocolError):
        await tcp_box.call(token, "POST", "/2.0/users", json=USER)
    assert await users(tcp_box) == 1


async def test_a_failure_after_commit_on_the_token_route_spends_the_jti(
    tcp_box: BoxCaller,
) -> None:
    await tcp_box.fault(path="/oauth2/token", status=500, after_commit=True)
    assertion = tcp_box.signed(tcp_box.claims())
    assert (await tcp_box.present(assertion)).status_code == 500
    again = await tcp_box.present(assertion)
    assert "'jti'" in again.json()["error_description"]


async def test_a_failure_before_the_work_spends_no_jti(tcp_box: BoxCaller) -> None:
    await tcp_box.fault(path="/oauth2/token", status=500)
    assertion = tcp_box.signed(tcp_box.claims())
    assert (await tcp_box.present(assertion)).status_code == 500
    assert (await tcp_box.present(assertion)).status_code == 200


async def test_a_dropped_token_call_closes_the_connection_too(
    tcp_box: BoxCaller,
) -> None:
    await tcp_box.fault(path="/oauth2/token", drop=True)
    with pytest.raises(httpx.RemoteProtocolError):
        await tcp_box.token()


async def test_a_delayed_call_outlasts_an_impatient_client_and_still_lands(
    tcp_box: BoxCaller,
) -> None:
    token = await tcp_box.token()
    await tcp_box.fault(method="POST", path="/2.0/users", delay_ms=300)
    with pytest.raises(httpx.ReadTimeout):
        await tcp_box.call(token, "POST", "/2.0/users", json=USER, timeout=0.1)
    for _ in range(500):
        if await users(tcp_box) == 1:
            break
        await asyncio.sleep(0.02)
    assert await users(tcp_box) == 1


async def test_clearing_the_faults_lets_a_delayed_call_go(tcp_box: BoxCaller) -> None:
    token = await tcp_box.token()
    await tcp_box.fault(method="POST", path="/2.0/users", delay_ms=600_000)
    create = tcp_box.call(token, "POST", "/2.0/users", json=USER, timeout=60)
    call = asyncio.create_task(create)
    while (await tcp_box.journal())[-1]["path"] != "/2.0/users":
        await asyncio.wait([call], timeout=0.01)
    assert await users(tcp_box) == 0
    await tcp_box.control("DELETE", "faults")
    assert (await call).status_code == 201


async def test_a_delay_after_commit_has_done_the_work_and_tells_late(
    tcp_box: BoxCaller,
) -> None:
    token = await tcp_box.token()
    await tcp_box.fault(path="/2.0/users", delay_ms=5_000, after_commit=True)
    with pytest.raises(httpx.ReadTimeout):
        await tcp_box.call(token, "POST", "/2.0/users", json=USER, timeout=0.2)
    assert await users(tcp_box) == 1
    # Seen in the journal on arrival, without a status while it is under way.
    entry = (await tcp_box.journal())[-1]
    assert (entry["path"], entry["status"]) == ("/2.0/users", None)


async def test_a_slow_but_good_call_gets_its_answer(tcp_box: BoxCaller) -> None:
    token = await tcp_box.token()
    for after_commit in (False, True):
        await tcp_box.fault(path="/2.0/users", delay_ms=1, after_commit=after_commit)
        made = await tcp_box.call(token, "POST", "/2.0/users", json=USER)
        assert made.status_code == 201
    assert await users(tcp_box) == 2


async def test_latency_holds_every_call_back(tcp_box: BoxCaller) -> None:
    token = await tcp_box.token()
    await tcp_box.settings(latency_ms=5_000)
    with pytest.raises(httpx.ReadTimeout):
        await tcp_box.call(token, "GET", "/2.0/users/me", timeout=0.2)
    await tcp_box.settings(latency_ms=0)
    assert (await tcp_box.call(token, "GET", "/2.0/users/me")).status_code == 200


async def test_half_a_call_is_no_call(tcp_box: BoxCaller) -> None:
    url = tcp_box.http.base_url
    _, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"POST /2.0/users HTTP/1.1\r\nHost: box\r\nContent-Length: 9\r\n\r\n{")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await tcp_box.token()
    assert [entry["path"] for entry in await tcp_box.journal()] == ["/oauth2/token"]


async def test_date_is_sent_once_and_by_the_emulated_clock(
    tcp_box: BoxCaller,
) -> None:
    await tcp_box.settings(clock_offset_s=86_400)
    first = await tcp_box.present("x")
    await tcp_box.settings(clock_offset_s=0)
    second = await tcp_box.present("x")
    (early,), (late,) = (answer.headers.get_list("date") for answer in (second, first))
    ahead = parsedate_to_datetime(late) - parsedate_to_datetime(early)
    assert ahead.total_seconds() > 86_000


async def test_a_malformed_fault_is_refused(tcp_box: BoxCaller) -> None:
    for fault in ({"staus": 500}, {"times": 0}, {"status": 42}, {"path": 1}):
        refused = await tcp_box.control("POST", "faults", fault)
        assert refused.status_code == 400
    assert (await tcp_box.control("GET", "faults")).json() == {"faults": []}


async def test_in_process_a_drop_reaches_the_caller_as_a_reset(
    box: BoxCaller,
) -> None:
    await box.fault(drop=True)
    with pytest.raises(ConnectionResetError):
        await box.http.get("/2.0/users/me")


async def test_a_truncated_body_ends_early_and_correctly_framed(
    tcp_box: BoxCaller,
) -> None:
    token = await tcp_box.token()
    await tcp_box.fault(path="/2.0/users", truncate_at=10)
    answer = await tcp_box.call(token, "POST", "/2.0/users", json=USER)
    assert (answer.status_code, answer.content) == (201, b'{"type":"u')
    assert answer.headers["content-length"] == "10"
    assert await users(tcp_box) == 1


@pytest.mark.parametrize("more", [{}, {"truncate_at": 3}, {"status": 500, "body": {}}])
async def test_a_reset_breaks_the_connection_inside_the_body(
    tcp_box: BoxCaller, more: dict[str, object], capfd: pytest.CaptureFixture[str]
) -> None:
    token = await tcp_box.token()
    await tcp_box.fault(path="/2.0/users/me", reset=True, **more)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
        await tcp_box.call(token, "GET", "/2.0/users/me")
    assert (await tcp_box.call(token, "GET", "/2.0/users/me")).status_code == 200
    assert "ASGI" not in capfd.readouterr().err


async def test_a_dribbling_body_comes_byte_by_byte(tcp_box: BoxCaller) -> None:
    await tcp_box.fault(status=500, body="abcd", dribble_ms=20)
    async with tcp_box.http.stream("GET", "/2.0/x") as answer:
        chunks = [chunk async for chunk in answer.aiter_raw()]
    assert b"".join(chunks) == b"abcd"
    assert len(chunks) > 1


async def test_a_page_of_html_is_labelled_as_such(tcp_box: BoxCaller) -> None:
    await tcp_box.fault(status=502, body="<html>Bad gateway</html>")
    answer = await tcp_box.http.get("/2.0/x")
    assert answer.headers["content-type"] == "text/html"

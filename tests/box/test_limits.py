"""One deadline for a request, a budget for each Box user, a breaker for each kind."""

import asyncio
from typing import Any

import httpx
import pytest
from typing_extensions import override

from sso_box_api.box import Box, BoxToken, NoVerdict, OutcomeUnknown, within
from sso_box_api.box.breaker import Breaker, Shut
from sso_box_api.box.budget import Budgets, Lane, NoRoom, Pace
from sso_box_api.box.deadline import Allowance, Rank
from tests.support.box_script import Script, box_settings, client_over, token, user

READ = "/2.0/users/11"


def client_with(script: Script, **settings: Any) -> Box:
    script.tokens(token())
    return client_over(script.transport, box_settings(**settings))


# The deadline


async def test_one_deadline_bounds_all_the_calls_of_a_request(script: Script) -> None:
    box = client_with(script, deadline_s=60.0)
    await box.service_token()
    read = script.on("GET", READ, (429, b"", {"retry-after": "2"}))
    with within(1.0), pytest.raises(NoVerdict) as caught:
        await box.get_user("11")
    assert caught.value.retry_after == 2
    assert read.call_count == 1


async def test_a_request_out_of_time_sends_nothing_more(script: Script) -> None:
    box = client_with(script)
    await box.service_token()
    read = script.on("GET", READ, (200, user()))
    posted = script.on("POST", "/2.0/users", (201, user()))
    with within(0.0):
        with pytest.raises(NoVerdict):
            await box.get_user("11")
        with pytest.raises(NoVerdict) as caught:
            await box.create_app_user("Ada", "sb1-ada", timeout_s=2)
    assert not isinstance(caught.value, OutcomeUnknown)
    assert (read.call_count, posted.call_count) == (0, 0)


async def test_work_that_outlives_its_caller_states_its_own_time(
    script: Script,
) -> None:
    box = client_with(script)
    script.on("GET", READ, (200, user()))
    with within(0.0):
        with within(5.0):
            assert (await box.get_user("11")).id == "11"
        with pytest.raises(NoVerdict):
            await box.get_user("11")


async def test_a_shared_token_does_not_fail_with_the_caller_who_asked_first(
    script: Script,
) -> None:
    box = client_with(script)

    async def hurried() -> None:
        with within(0.0), pytest.raises(NoVerdict):
            await box.service_token()

    _, shared = await asyncio.gather(hurried(), box.service_token())
    assert shared.access_token == "T1"


async def test_a_throttled_mint_tells_its_wait_to_who_has_less_time(
    script: Script,
) -> None:
    """The mint, which serves all who ask, could still sit that time out."""
    box = client_over(script.transport, box_settings(deadline_s=60.0))
    minted = script.tokens((429, b"", {"retry-after": "40"}), token())
    with within(0.2), pytest.raises(NoVerdict, match="no token within") as caught:
        await box.user_token("11")
    assert 35 <= (caught.value.retry_after or 0) <= 40
    # Who comes while that lasts does not sit out even its own deadline.
    with within(30.0), pytest.raises(NoVerdict) as caught:
        await box.user_token("11")
    assert 35 <= (caught.value.retry_after or 0) <= 40
    assert minted.call_count == 1
    mint = box._user("11")._minting
    assert mint is not None
    mint.cancel()


# The budgets


def test_no_minute_holds_more_calls_than_the_limit() -> None:
    pace, now, sent = Pace(1000), 0.0, []
    while now < 180:
        now += pace.wait_s(now)
        pace.take(now)
        sent.append(now)
    for start in sent[::50]:
        assert sum(start <= at < start + 60 for at in sent) <= 1000
    assert sum(120 <= at < 180 for at in sent) >= 890


def test_a_tenth_of_the_limit_goes_at_once() -> None:
    pace = Pace(240)
    for _ in range(24):
        assert pace.wait_s(0.0) == 0.0
        pace.take(0.0)
    assert pace.wait_s(0.0) > 0


async def test_a_call_waits_for_its_turn(script: Script) -> None:
    box = client_with(script, calls_per_minute=2)
    read = script.on("GET", READ, (200, user()))
    await box.get_user("11")
    with pytest.raises(NoVerdict, match="budget") as caught:
        await box.get_user("11")
    assert 55 <= (caught.value.retry_after or 0) <= 60
    assert read.call_count == 1


async def test_a_turn_within_the_deadline_is_waited_for() -> None:
    budgets = Budgets(calls_per_minute=6000, uploads_per_minute=1)
    clock = asyncio.get_running_loop().time
    given, started = Allowance(clock() + 60), clock()
    for _ in range(605):
        await budgets.wait(Lane("api", "service"), given)
    assert clock() - started >= 0.05


async def test_each_user_and_each_kind_has_its_own_budget() -> None:
    budgets = Budgets(calls_per_minute=1, uploads_per_minute=1)
    given = Allowance(asyncio.get_running_loop().time() + 5)
    lanes = [
        Lane("api", "service"),
        Lane("api", "11"),
        Lane("upload", "11"),
        Lane("upload", "12"),
    ]
    for lane in lanes:
        await budgets.wait(lane, given)
    for lane in lanes:
        with pytest.raises(NoRoom):
            await budgets.wait(lane, given)


async def test_tokens_have_no_published_limit() -> None:
    budgets = Budgets(calls_per_minute=1, uploads_per_minute=1)
    given = Allowance(asyncio.get_running_loop().time() + 5)
    for _ in range(50):
        await budgets.wait(Lane("token", "11"), given)


async def test_background_work_never_takes_the_places_of_logins() -> None:
    budgets, lane = (
        Budgets(calls_per_minute=100, uploads_per_minute=1),
        Lane("api", "service"),
    )
    ends = asyncio.get_running_loop().time() + 0.1
    refused = 0
    for _ in range(50):
        try:
            await budgets.wait(lane, Allowance(ends, Rank.BACKGROUND))
        except NoRoom:
            refused += 1
    assert refused >= 40
    for _ in range(4):
        await budgets.wait(lane, Allowance(ends))


async def test_after_a_429_the_others_of_that_user_wait_too(script: Script) -> None:
    box = client_with(script)
    read = script.on("GET", READ, (429, b"", {"retry-after": "30"}), (200, user()))
    with pytest.raises(NoVerdict):
        await box.get_user("11")
    with pytest.raises(NoVerdict) as caught:
        await box.get_user("12")
    assert 25 <= (caught.value.retry_after or 0) <= 30
    assert read.call_count == 1
    assert (await box.user_token("11")).access_token == "T1"


async def test_a_retry_after_of_an_outage_holds_nobody_else(script: Script) -> None:
    """The breaker is for that: one server of Box may fail, and the next answer."""
    box = client_with(script, max_attempts=1)
    read = script.on("GET", READ, (503, b"", {"retry-after": "30"}), (200, user()))
    with pytest.raises(NoVerdict) as caught:
        await box.get_user("11")
    assert caught.value.retry_after == 30
    assert (await box.get_user("11")).id == "11"
    assert read.call_count == 2


def test_a_hold_is_never_longer_than_the_minute_that_box_counts_by() -> None:
    pace = Pace(1000)
    pace.hold(100.0, 3600.0)
    assert pace.wait_s(100.0) == 60.0


# The breaker


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    """Broken by three failures in a row."""
    breaker = Breaker("api", failures=3, rest_s=5.0, clock=clock)
    for _ in range(3):
        breaker.note(answered=False, probe=breaker.admit())
    return breaker


def test_failures_in_a_row_shut_it_for_a_while(breaker: Breaker, clock: Clock) -> None:
    clock.now = 2.0
    with pytest.raises(Shut) as caught:
        breaker.admit()
    assert caught.value.retry_after_s == 3.0


def test_an_answer_in_between_keeps_it_open(clock: Clock) -> None:
    breaker = Breaker("api", failures=3, rest_s=5.0, clock=clock)
    for answered in (False, False, True, False, None, False):
        breaker.note(answered=answered, probe=breaker.admit())
    assert breaker.admit() is False


def test_after_the_rest_one_probe_goes_and_the_others_wait_for_it(
    breaker: Breaker, clock: Clock
) -> None:
    clock.now = 5.0
    assert breaker.admit() is True
    with pytest.raises(Shut):
        breaker.admit()
    breaker.note(answered=True, probe=True)
    assert breaker.admit() is False


def test_a_probe_that_fails_is_a_new_rest(breaker: Breaker, clock: Clock) -> None:
    clock.now = 5.0
    breaker.note(answered=False, probe=breaker.admit())
    with pytest.raises(Shut) as caught:
        breaker.admit()
    assert caught.value.retry_after_s == 5.0


def test_a_probe_whose_caller_leaves_makes_room_for_the_next(
    breaker: Breaker, clock: Clock
) -> None:
    clock.now = 5.0
    breaker.note(answered=None, probe=breaker.admit())
    assert breaker.admit() is True


def test_stragglers_neither_prolong_the_rest_nor_end_the_probe(
    breaker: Breaker, clock: Clock
) -> None:
    clock.now = 4.0
    breaker.note(answered=False, probe=False)
    clock.now = 5.0
    assert breaker.admit() is True
    breaker.note(answered=False, probe=False)
    with pytest.raises(Shut):
        breaker.admit()


def test_a_late_answer_opens_it_for_all(breaker: Breaker) -> None:
    breaker.note(answered=True, probe=False)
    assert breaker.admit() is False


def test_a_late_call_that_says_nothing_leaves_it_shut(breaker: Breaker) -> None:
    breaker.note(answered=None, probe=False)
    with pytest.raises(Shut):
        breaker.admit()


def test_a_probe_that_fails_after_a_late_answer_is_one_failure(
    breaker: Breaker, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    clock.now = 5.0
    assert breaker.admit() is True
    breaker.note(answered=True, probe=False)
    caplog.clear()
    breaker.note(answered=False, probe=True)
    assert breaker.admit() is False
    assert "none is sent" not in caplog.text
    for _ in range(2):
        breaker.note(answered=False, probe=False)
    with pytest.raises(Shut) as caught:
        breaker.admit()
    assert caught.value.retry_after_s == 5.0


async def test_an_outage_costs_no_call_and_says_when_to_come_back(
    script: Script,
) -> None:
    box = client_with(script, breaker_failures=2, breaker_rest_s=60.0)
    await box.service_token()
    read = script.on("GET", READ, httpx.ReadTimeout("slow"))
    posted = script.on("POST", "/2.0/users", (201, user()))
    with pytest.raises(NoVerdict):
        await box.get_user("11")
    with pytest.raises(NoVerdict) as caught:
        await box.get_user("11")
    assert 55 <= (caught.value.retry_after or 0) <= 60
    with pytest.raises(NoVerdict) as caught:
        await box.create_app_user("Ada", "sb1-ada", timeout_s=2)
    assert not isinstance(caught.value, OutcomeUnknown)
    assert (read.call_count, posted.call_count) == (2, 0)
    # Another kind of call goes on.
    assert (await box.user_token("11")).access_token == "T1"


async def test_after_the_rest_the_service_comes_back_by_itself(script: Script) -> None:
    box = client_with(script, breaker_failures=2, breaker_rest_s=0.01)
    failing = ((503, b""), (503, b""), (200, user()))
    script.on("GET", READ, *failing)
    with pytest.raises(NoVerdict):
        await box.get_user("11")
    await asyncio.sleep(0.02)
    assert (await box.get_user("11")).id == "11"


async def test_throttling_is_no_outage(script: Script) -> None:
    box = client_with(script, breaker_failures=1)
    script.on("GET", READ, (429, b""), (200, user()))
    assert (await box.get_user("11")).id == "11"


async def test_a_call_squeezed_in_before_its_deadline_proves_no_outage(
    script: Script,
) -> None:
    box = client_with(script, breaker_failures=1, max_attempts=1)
    await box.service_token()
    script.on("GET", READ, httpx.ReadTimeout("slow"), (200, user()))
    with within(0.1), pytest.raises(NoVerdict):
        await box.get_user("11")
    assert (await box.get_user("11")).id == "11"


# What a failure tells


@pytest.mark.parametrize(
    ("answer", "seen", "step"),
    [
        (
            (503, {"code": "unavailable"}, {"box-request-id": "r1"}),
            (503, "unavailable", "r1"),
            "status.box.com",
        ),
        (
            (429, {"code": "rate_limit_exceeded"}, {"box-request-id": "r2"}),
            (429, "rate_limit_exceeded", "r2"),
            "CALLS_PER_MINUTE",
        ),
        ((502, b"<html>"), (502, "", ""), "status.box.com"),
        ((200, b"<html>"), (200, "", ""), "HTTPS_PROXY"),
        (httpx.ConnectError("refused"), (None, "", ""), "firewall"),
    ],
    ids=["503", "429", "gateway", "portal", "no connection"],
)
async def test_a_failure_carries_code_request_id_and_next_step(
    script: Script, answer: Any, seen: tuple[Any, ...], step: str
) -> None:
    box = client_with(script, max_attempts=1)
    script.on("GET", READ, answer)
    with pytest.raises(NoVerdict) as caught:
        await box.get_user("11")
    error = caught.value
    assert (error.box_status, error.box_code, error.box_request_id) == seen
    assert step in error.hint


async def test_a_refusal_nobody_knows_still_names_a_next_step(script: Script) -> None:
    box = client_with(script)
    script.on("GET", READ, (418, {"code": "new_code"}, {"box-request-id": "r9"}))
    with pytest.raises(Exception, match="new_code r9") as caught:
        await box.get_user("11")
    assert "Box support" in getattr(caught.value, "hint", "")


# Under load


async def test_nobody_queues_longer_than_leaves_time_for_the_rest_of_a_login() -> None:
    """In a longer queue look-ups would take the time of the creations behind them."""
    budgets = Budgets(calls_per_minute=60, uploads_per_minute=1)
    given, lane = Allowance(asyncio.get_running_loop().time() + 60), Lane("api", "x")
    for _ in range(6):
        await budgets.wait(lane, given)
    waiting = [asyncio.create_task(budgets.wait(lane, given)) for _ in range(4)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [
        asyncio.CancelledError,
        asyncio.CancelledError,
        NoRoom,
        NoRoom,
    ]


async def test_a_pause_that_box_asks_for_holds_those_in_the_queue_too() -> None:
    budgets = Budgets(calls_per_minute=600, uploads_per_minute=1)
    given, lane = Allowance(asyncio.get_running_loop().time() + 60), Lane("api", "x")
    for _ in range(60):
        await budgets.wait(lane, given)
    queued = asyncio.create_task(budgets.wait(lane, given))
    await asyncio.sleep(0)
    budgets.hold(lane, 30)
    with pytest.raises(NoRoom) as told:
        await queued
    assert told.value.wait_s > 25


def test_after_a_pause_the_calls_go_at_their_pace() -> None:
    """Those that came during it too: they do not all go at its end."""
    pace, sent = Pace(1000), []
    pace.hold(0.0, 20)
    for tenth in range(300):
        now = tenth / 10
        for _ in range(2):
            sent.append(now + pace.wait_s(now))
            pace.take(now)
    assert min(sent) == 20
    assert sum(20 <= at < 21 for at in sent) <= 120


class Hanging(httpx.AsyncBaseTransport):
    """Answers no call under ``path`` while it ``hangs``, and the script all others."""

    def __init__(self, script: Script, path: str) -> None:
        self._inner, self._path = script.transport, path
        self.hangs, self.sent, self.asked = True, 0, asyncio.Event()

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.hangs and request.url.path == self._path:
            self.sent += 1
            self.asked.set()
            await asyncio.Event().wait()
        return await self._inner.handle_async_request(request)


def client_of(hanging: Hanging, script: Script, **settings: Any) -> Box:
    script.tokens(token())
    return client_over(hanging, box_settings(max_attempts=1, **settings))


async def test_a_hanging_box_opens_the_breaker_by_its_writes_alone(
    script: Script,
) -> None:
    box_hangs = Hanging(script, "/2.0/users")
    box = client_of(box_hangs, script, breaker_failures=2)
    for _ in range(2):
        with pytest.raises(OutcomeUnknown, match="users time-out"):
            await box.create_app_user("Ada", "sb1-ada", timeout_s=0.6)
    with pytest.raises(NoVerdict, match="Box does not answer") as caught:
        await box.create_app_user("Ada", "sb1-ada", timeout_s=0.6)
    assert not isinstance(caught.value, OutcomeUnknown)
    assert box_hangs.sent == 2


async def test_a_deadline_shorter_than_a_call_opens_the_breaker_as_well(
    script: Script,
) -> None:
    box_hangs = Hanging(script, READ)
    times = {"deadline_s": 0.1, "call_timeout_s": 5.0}
    box = client_of(box_hangs, script, breaker_failures=2, **times)
    await box.service_token()
    for _ in range(2):
        with pytest.raises(NoVerdict, match="time-out"):
            await box.get_user("11")
    with pytest.raises(NoVerdict, match="Box does not answer"):
        await box.get_user("11")


async def test_a_write_is_not_sent_with_too_little_time_to_see_it_through(
    script: Script,
) -> None:
    box = client_with(script)
    await box.service_token()
    posted = script.on("POST", "/2.0/users", (201, user()))
    with within(0.5), pytest.raises(NoVerdict, match="too little time") as caught:
        await box.create_app_user("Ada", "sb1-ada", timeout_s=2)
    assert not isinstance(caught.value, OutcomeUnknown)
    assert posted.call_count == 0


async def test_what_waited_while_the_breaker_shut_is_not_sent(script: Script) -> None:
    box = client_with(script, breaker_failures=1, max_attempts=1, max_connections=1)
    await box.service_token()
    read = script.on("GET", READ, (503, b""))
    calls = [box.get_user("11") for _ in range(5)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(outcome, NoVerdict) for outcome in outcomes)
    assert read.call_count == 1


async def test_callers_who_leave_say_nothing_about_box(script: Script) -> None:
    box_hangs = Hanging(script, READ)
    box = client_of(box_hangs, script, breaker_failures=1)
    script.on("GET", READ, (200, user()))
    leaving = asyncio.create_task(box.get_user("11"))
    await box_hangs.asked.wait()
    leaving.cancel()
    await asyncio.wait([leaving])
    box_hangs.hangs = False
    assert (await box.get_user("11")).id == "11"


async def test_a_wait_for_a_connection_of_ours_is_no_failure_of_box(
    script: Script,
) -> None:
    box_hangs = Hanging(script, READ)
    box = client_of(box_hangs, script, breaker_failures=1, max_connections=1)
    await box.service_token()
    first = asyncio.create_task(box.get_user("11"))
    await box_hangs.asked.wait()
    with within(0.1), pytest.raises(NoVerdict, match="deadline has passed"):
        await box.get_user("11")
    assert box_hangs.sent == 1
    first.cancel()
    await asyncio.wait([first])
    box_hangs.hangs = False
    script.on("GET", READ, (200, user()))
    assert (await box.get_user("11")).id == "11"


# The calls under way at once; in which order stands in test_turns.py


async def test_a_mint_that_finds_no_place_before_its_deadline_is_not_sent(
    script: Script,
) -> None:
    box_hangs = Hanging(script, "/oauth2/token")
    box = client_of(box_hangs, script, max_token_calls=1)
    parent = BoxToken("parent", 2e9, 3600)
    first = asyncio.create_task(box.downscope(parent, ["s"], None))
    await box_hangs.asked.wait()
    with (
        within(0.05),
        pytest.raises(NoVerdict, match="too many are under way") as caught,
    ):
        await box.downscope(parent, ["s"], None)
    assert caught.value.retry_after == 1
    assert box_hangs.sent == 1
    first.cancel()
    await asyncio.wait([first])
    box_hangs.hangs = False
    assert (await box.downscope(parent, ["s"], None)).access_token == "T1"


async def test_mints_leave_connections_to_the_other_calls(script: Script) -> None:
    box_hangs = Hanging(script, "/oauth2/token")
    box = client_of(box_hangs, script, max_token_calls=1, max_connections=2)
    box_hangs.hangs = False
    await box.service_token()
    box_hangs.hangs = True
    parent = BoxToken("parent", 2e9, 3600)
    mints = [asyncio.create_task(box.downscope(parent, ["s"], None)) for _ in "abc"]
    await box_hangs.asked.wait()
    script.on("GET", READ, (200, user()))
    assert (await box.get_user("11")).id == "11"
    for mint in mints:
        mint.cancel()
    await asyncio.wait(mints)


async def test_slow_uploads_leave_connections_to_the_logins(script: Script) -> None:
    box_hangs = Hanging(script, "/api/2.0/files/content")
    box = client_of(box_hangs, script, max_uploads=2, max_connections=3)
    slow = [asyncio.create_task(box.upload_file("0", n, b"x")) for n in "abcd"]
    await box_hangs.asked.wait()
    script.on("GET", READ, (200, user()))
    assert (await box.get_user("11")).id == "11"
    assert (await box.user_token("12")).access_token == "T1"
    assert box_hangs.sent == 2
    for upload in slow:
        upload.cancel()
    await asyncio.wait(slow)


async def test_out_of_time_not_even_a_token_is_asked_for(script: Script) -> None:
    tokens = script.tokens(token())
    box = client_over(script.transport, box_settings())
    with within(0.0), pytest.raises(NoVerdict):
        await box.get_user("11")
    await asyncio.sleep(0)
    assert tokens.call_count == 0


async def test_while_the_breaker_is_shut_nobody_queues(script: Script) -> None:
    box = client_with(script, breaker_failures=1, calls_per_minute=1, max_attempts=1)
    await box.service_token()
    script.on("GET", READ, (503, b""))
    with pytest.raises(NoVerdict, match="503"):
        await box.get_user("11")
    with pytest.raises(NoVerdict, match="Box does not answer"):
        await box.get_user("11")

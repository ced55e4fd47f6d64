"""One call to Box with all its attempts: the only place that decides what is retried.

==================================  =====================  =====================
what came back                      repeatable call        a write, sent once
==================================  =====================  =====================
connection never stood, 429         again                  NoVerdict
time-out, reset, cut or slow body   again                  OutcomeUnknown
5xx, 408, 3xx, not in Box's form    again                  OutcomeUnknown
breaker shut, budget or queue full   NoVerdict at once      NoVerdict at once
401; 400 naming exp or jti          once more, at once     RefusedByBox
any other 4xx in Box's form         RefusedByBox           RefusedByBox
==================================  =====================  =====================

Repeatable are reads, PUTs, deletes, revocations and token calls, the last because
each attempt is prepared, and so signed, anew. "Again" waits for Retry-After if Box sent
one, plus full jitter, within ``max_attempts`` and the deadline that the request has
for all its calls together (``deadline.within``); after that it is NoVerdict, which is
503 box_unavailable. What a write came to when its outcome is unknown is for its caller
to look up. Each attempt waits for its turn in the budget of its Box user and, where it
is a token call or an upload, in the queue of those, and passes the breaker of its
kind: uploads that are slow or fail stop no login. Only an answer in Box's form counts
as Box's word: a proxy's 404 must not make a person disappear.
Sources: developer.box.com "Rate limits" and "Common errors"; RFC 9110 section 10.2.3.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from typing import Literal, TypeVar, get_args

import aiohttp
import httpx
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

from sso_box_api.box.answers import (
    Answer,
    Parse,
    Unreadable,
    accepted,
    judge,
    read_answer,
    where_of,
)
from sso_box_api.box.breaker import Breaker, Shut
from sso_box_api.box.budget import Budgets, CallKind, Lane, NoRoom
from sso_box_api.box.connection import never_stood
from sso_box_api.box.deadline import Allowance, allowance
from sso_box_api.box.failures import Failed, Refusal, Trouble
from sso_box_api.box.turns import Turns
from sso_box_api.settings import BoxSettings

logger = logging.getLogger(__name__)

T = TypeVar("T")
Prepare = Callable[[], Awaitable[httpx.Request]]
Recover = Callable[[Refusal], bool]
State = Literal["unused", "ok", "failing"]
CallOutcome = Literal["ok", "refused", "throttled", "failed", "unsent"]
CountCall = Callable[[CallKind, CallOutcome, float], object]

_jitter = wait_random_exponential(multiplier=0.25, max=4)


class Caller:
    """Sends requests to Box. ``state`` is the outcome of the latest attempt.

    ``count_call`` is told how each attempt ended, and how many seconds it took; one that
    was abandoned by who waited for it ended in nothing.
    """

    def __init__(
        self,
        settings: BoxSettings,
        transport: httpx.AsyncBaseTransport,
        count_call: CountCall | None = None,
    ) -> None:
        self._settings = settings
        self._count_call = count_call
        # Without an httpx client round it, which would keep cookies, follow redirects
        # and log URLs, at a tenth of what a call costs.
        self._transport = transport
        self._budgets = Budgets(
            calls_per_minute=settings.calls_per_minute,
            uploads_per_minute=settings.uploads_per_minute,
        )
        self._breakers = {
            kind: Breaker(
                kind, failures=settings.breaker_failures, rest_s=settings.breaker_rest_s
            )
            for kind in get_args(CallKind)
        }
        # A rush of mints or slow uploads leaves connections to the other calls.
        self._turns: dict[CallKind, Turns] = {
            "token": Turns(settings.max_token_calls),
            "upload": Turns(settings.max_uploads),
        }
        # Who waits for a connection of ours has not found Box wanting.
        self._connections = asyncio.Semaphore(settings.max_connections)
        self._usual_s = min(settings.call_timeout_s, settings.deadline_s)
        self.state: State = "unused"

    async def call(
        self,
        lane: Lane,
        prepare: Prepare,
        parse: Parse[T],
        recover: Recover | None = None,
    ) -> T:
        """Make a repeatable call; ``prepare`` builds each attempt's request anew.

        ``recover`` may mend the cause of a refusal; if so, the call is made once more.
        Raises ``NoVerdict`` and ``RefusedByBox``, and whatever ``prepare`` does.
        """
        given = allowance(self._settings.deadline_s)

        async def attempt() -> T:
            steps = (lane, prepare, parse, given, self._settings.call_timeout_s)
            request, outcome = await self._attempt(*steps)
            if recover and isinstance(outcome, Refusal) and recover(outcome):
                logger.info("%s %s, once more", where_of(request), outcome)
                request, outcome = await self._attempt(*steps)
            return accepted(request, outcome)

        try:
            return await attempt()
        except Failed as failed:
            return await self._again(attempt, failed, given)

    async def _again(
        self, attempt: Callable[[], Awaitable[T]], first: Failed, given: Allowance
    ) -> T:
        """Go on after the first attempt, which counts as one."""
        # Only made here, for hardly any call comes so far, and it costs a tenth of one.
        limit = stop_after_attempt(self._settings.max_attempts)
        retrying = AsyncRetrying(
            retry=retry_if_exception(lambda e: isinstance(e, Failed) and e.again),
            wait=pause,
            stop=lambda s: limit(s) or s.upcoming_sleep >= given.left_s,
            before_sleep=_log_retry,
            reraise=True,
        )
        try:
            async for turn in retrying:
                with turn:
                    if turn.retry_state.attempt_number == 1:
                        raise first
                    return await attempt()
        except Failed as failed:
            raise failed.unavailable() from None
        raise AssertionError  # the engine returns or raises

    async def call_once(
        self, lane: Lane, prepare: Prepare, parse: Parse[T], *, timeout_s: float
    ) -> T:
        """Make a call that must never be repeated, within ``timeout_s`` in all.

        Raises ``OutcomeUnknown`` if it may have been done, plain ``NoVerdict`` if it
        was not, ``RefusedByBox`` if Box said no.
        """
        given = _at_most(timeout_s, allowance(timeout_s))
        try:
            # With less time than that it would only be sent to be given up.
            request, outcome = await self._attempt(
                lane, prepare, parse, given, timeout_s, least_s=timeout_s / 2
            )
        except Failed as failed:
            logger.warning("%s", failed)
            if failed.maybe_done:
                raise failed.unknown() from None
            raise failed.unavailable() from None
        return accepted(request, outcome)

    def pauses(self) -> dict[CallKind, bool]:
        """Of which kinds no calls are sent now, because too many failed in a row."""
        return {kind: breaker.is_shut for kind, breaker in self._breakers.items()}

    def held_s(self, lane: Lane) -> float:
        """Seconds for which Box wants no more calls of this lane; 0 if none."""
        return self._budgets.held_s(lane)

    async def _attempt(
        self,
        lane: Lane,
        prepare: Prepare,
        parse: Parse[T],
        given: Allowance,
        timeout_s: float,
        *,
        least_s: float = 0.0,
    ) -> tuple[httpx.Request, T | Refusal]:
        try:
            self._breakers[lane.kind].check()
            await self._budgets.wait(lane, given)
            async with self._turn(lane, given):
                # Prepared last, for what is signed here lives half a minute.
                async with asyncio.timeout_at(given.ends):
                    request = await prepare()
                    await self._connections.acquire()
                try:
                    if given.left_s <= least_s:
                        raise self._unsent(lane, "too little time is left", None)
                    timeout_s = min(timeout_s, given.left_s)
                    outcome = await self._admitted(lane, request, parse, timeout_s)
                finally:
                    self._connections.release()
        except Shut as shut:
            raise self._unsent(
                lane, "Box does not answer", shut.retry_after_s
            ) from None
        except NoRoom as full:
            raise self._unsent(lane, full.why, full.wait_s) from None
        except TimeoutError:
            raise self._unsent(lane, "the deadline has passed", None) from None
        return request, outcome

    def _unsent(self, lane: Lane, why: str, wait_s: float | None) -> Failed:
        self._count(lane, "unsent", 0.0)
        trouble = Trouble(f"{lane.kind} call not sent,", why)
        return Failed(trouble, answered=None, again=False, retry_after_s=wait_s)

    def _count(self, lane: Lane, outcome: CallOutcome, seconds: float) -> None:
        if self._count_call is not None:
            self._count_call(lane.kind, outcome, seconds)

    def _turn(self, lane: Lane, given: Allowance) -> AbstractAsyncContextManager[None]:
        turns = self._turns.get(lane.kind)
        return nullcontext() if turns is None else turns.turn(lane.subject, given)

    async def _admitted(
        self, lane: Lane, request: httpx.Request, parse: Parse[T], timeout_s: float
    ) -> T | Refusal:
        breaker = self._breakers[lane.kind]
        probe = breaker.admit()
        # Nothing is learnt about Box where the caller leaves.
        answered: bool | None = None
        try:
            outcome = await self._send(lane, request, parse, timeout_s)
            answered = True
        except Failed as failed:
            answered = failed.answered
            raise
        finally:
            breaker.note(answered=answered, probe=probe)
        return outcome

    async def _send(
        self, lane: Lane, request: httpx.Request, parse: Parse[T], timeout_s: float
    ) -> T | Refusal:
        started = time.perf_counter()
        try:
            answer = await self._answer(request, timeout_s)
            outcome = judge(where_of(request), answer, parse)
        except Failed as failed:
            end: CallOutcome = "throttled" if failed.answered else "failed"
            self._count(lane, end, time.perf_counter() - started)
            self.state = "failing"
            if failed.answered and failed.retry_after_s:
                self._budgets.hold(lane, failed.retry_after_s)
            raise
        end = "refused" if isinstance(outcome, Refusal) else "ok"
        self._count(lane, end, time.perf_counter() - started)
        self.state = "ok"
        return outcome

    async def _answer(self, request: httpx.Request, timeout_s: float) -> Answer:
        # A connection gets half of the time, so that one that never stands is known
        # as such and does not look like a write that may have been done.
        half = timeout_s / 2
        limits = httpx.Timeout(timeout_s, connect=half, pool=half)
        request.extensions = {"timeout": limits.as_dict()}
        answered: bool | None = False
        try:
            async with asyncio.timeout(timeout_s):
                return await self._exchange(request)
        except TimeoutError:
            what, maybe_done = "time-out", True
        except Unreadable:
            what, maybe_done = "body too large", True
        except (httpx.HTTPError, aiohttp.ClientError, OSError) as error:
            what = type(error.__cause__ or error).__name__
            maybe_done = not never_stood(error)
        if timeout_s < self._usual_s / 2:
            # Squeezed in before a deadline: no proof that Box is down.
            answered = None
        trouble = Trouble(where_of(request), what)
        raise Failed(trouble, maybe_done=maybe_done, answered=answered)

    async def _exchange(self, request: httpx.Request) -> Answer:
        response = await self._transport.handle_async_request(request)
        try:
            return await read_answer(response)
        finally:
            await response.aclose()


def _at_most(seconds: float, given: Allowance) -> Allowance:
    ends = asyncio.get_running_loop().time() + seconds
    return replace(given, ends=min(given.ends, ends))


def pause(state: RetryCallState) -> float:
    """Seconds before the next attempt: what Box asked for, and full jitter on top."""
    failed = state.outcome.exception() if state.outcome else None
    asked = failed.retry_after_s if isinstance(failed, Failed) else None
    return (asked or 0.0) + _jitter(state)


def _log_retry(state: RetryCallState) -> None:
    failed = state.outcome.exception() if state.outcome else None
    logger.warning(
        "%s, attempt %d, again in %.1f s",
        failed,
        state.attempt_number,
        state.upcoming_sleep,
    )

"""One call to Box with all its attempts: the only place that decides what is retried.

==================================  =====================  =====================
what came back                      repeatable call        a write, sent once
==================================  =====================  =====================
connection never stood, 429         again                  BoxUnavailable
time-out, reset, cut or slow body   again                  OutcomeUnknown
5xx, 408, 3xx, not in Box's form    again                  OutcomeUnknown
401; 400 naming exp or jti          once more, at once     RefusedByBox
any other 4xx in Box's form         RefusedByBox           RefusedByBox
==================================  =====================  =====================

Repeatable are reads, deletes, revocations and token calls, the last because each
attempt is prepared, and so signed, anew. "Again" waits for Retry-After if Box sent
one, plus full jitter, within ``max_attempts`` and ``deadline_s``; after that it is
BoxUnavailable. Only a body in Box's form counts as Box's word: a proxy's 404 must not
make a person disappear. Sources: developer.box.com "Rate limits" and "Common
errors"; RFC 9110 section 10.2.3 (Retry-After).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from math import ceil
from typing import Literal, TypeVar

import aiohttp
import httpx
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from sso_box_api.box.answers import (
    Answer,
    Refusal,
    Unreadable,
    http_date,
    read_answer,
    read_refusal,
)
from sso_box_api.box.connection import never_stood
from sso_box_api.box.hints import hint
from sso_box_api.errors import BoxRefused, BoxUnavailable
from sso_box_api.settings import BoxSettings

logger = logging.getLogger(__name__)

T = TypeVar("T")
Prepare = Callable[[], Awaitable[httpx.Request]]
Parse = Callable[[Answer], T]  # raises Unreadable
Recover = Callable[[Refusal], bool]
State = Literal["unused", "ok", "failing"]

MAX_RETRY_AFTER_S = 3_600

_jitter = wait_random_exponential(multiplier=0.25, max=4)


class RefusedByBox(BoxRefused):
    """Box said no, and asking again will not help.

    ``box_status``, ``box_code`` and ``box_request_id`` are what Box's support asks
    for; ``hint`` is one line on the switch to turn, "" where none is known.
    """

    def __init__(self, where: str, refusal: Refusal) -> None:
        super().__init__(f"{where} {refusal}")
        self.box_status = refusal.status
        self.box_code = refusal.code
        self.box_request_id = refusal.request_id
        self.hint = hint(refusal.code, refusal.description)


class ConflictAtBox(RefusedByBox):
    """409: something of that value exists already."""


class NotFoundAtBox(RefusedByBox):
    """404: no such thing, or none that we may see; Box does not tell them apart."""


class InvalidResource(RefusedByBox):
    """The file or folder of a downscope is none that the subject can reach."""


class SubjectTokenRejected(BoxUnavailable):
    """Box does not take the user token of a downscope; mint a fresh one and retry."""


class OutcomeUnknown(BoxUnavailable):
    """A write was sent, or may have been, and no usable answer came."""


class _Failed(Exception):
    """No verdict came. ``maybe_done``: the request may have reached Box."""

    def __init__(
        self, reason: str, *, maybe_done: bool, retry_after_s: float | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.maybe_done = maybe_done
        self.retry_after_s = retry_after_s

    def unavailable(self) -> BoxUnavailable:
        return BoxUnavailable(self.reason, retry_after=self._whole_seconds())

    def unknown(self) -> OutcomeUnknown:
        return OutcomeUnknown(self.reason, retry_after=self._whole_seconds())

    def _whole_seconds(self) -> int | None:
        return None if self.retry_after_s is None else ceil(self.retry_after_s)


class Caller:
    """Sends requests to Box. ``state`` is the outcome of the latest attempt."""

    def __init__(self, settings: BoxSettings, http: httpx.AsyncClient) -> None:
        self._settings = settings
        self._http = http
        self.state: State = "unused"

    async def call(
        self, prepare: Prepare, parse: Parse[T], recover: Recover | None = None
    ) -> T:
        """Make a repeatable call; ``prepare`` builds each attempt's request anew.

        ``recover`` may mend the cause of a refusal; if so, the call is made once more.
        Raises ``BoxUnavailable`` and ``RefusedByBox``, and whatever ``prepare`` does.
        """
        deadline_s = self._settings.deadline_s
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(_Failed),
            wait=_pause,
            stop=stop_after_attempt(self._settings.max_attempts)
            | stop_before_delay(deadline_s),
            before_sleep=_log_retry,
            reraise=True,
        )
        try:
            async with asyncio.timeout(deadline_s):
                return await retrying(self._try, prepare, parse, recover)
        except TimeoutError:
            self.state = "failing"
            raise BoxUnavailable(f"no answer within {deadline_s:g} s") from None
        except _Failed as failed:
            raise failed.unavailable() from None

    async def call_once(
        self, prepare: Prepare, parse: Parse[T], *, timeout_s: float
    ) -> T:
        """Make a call that must never be repeated, within ``timeout_s`` in all.

        Raises ``OutcomeUnknown`` if it may have been done, plain ``BoxUnavailable``
        if it was not, ``RefusedByBox`` if Box said no.
        """
        sent = False
        now = asyncio.get_running_loop().time
        ends = now() + timeout_s
        try:
            async with asyncio.timeout_at(ends):
                request = await prepare()
                sent = True
                outcome = await self._attempt(request, parse, ends - now())
        except TimeoutError:
            self.state = "failing"
            error = OutcomeUnknown if sent else BoxUnavailable
            raise error(f"no answer within {timeout_s:g} s") from None
        except _Failed as failed:
            logger.warning("%s", failed.reason)
            if failed.maybe_done:
                raise failed.unknown() from None
            raise failed.unavailable() from None
        return _accepted(request, outcome)

    async def _try(
        self, prepare: Prepare, parse: Parse[T], recover: Recover | None
    ) -> T:
        timeout_s = self._settings.call_timeout_s
        request = await prepare()
        outcome = await self._attempt(request, parse, timeout_s)
        if recover and isinstance(outcome, Refusal) and recover(outcome):
            logger.info("%s %s, once more", _where(request), outcome)
            request = await prepare()
            outcome = await self._attempt(request, parse, timeout_s)
        return _accepted(request, outcome)

    async def _attempt(
        self, request: httpx.Request, parse: Parse[T], timeout_s: float
    ) -> T | Refusal:
        try:
            answer = await self._answer(request, timeout_s)
            outcome = _judge(_where(request), answer, parse)
        except _Failed:
            self.state = "failing"
            raise
        self.state = "ok"
        return outcome

    async def _answer(self, request: httpx.Request, timeout_s: float) -> Answer:
        # A connection gets half of the time, so that one that never stands is known
        # as such and does not look like a write that may have been done.
        half = timeout_s / 2
        limits = httpx.Timeout(timeout_s, connect=half, pool=half)
        request.extensions = {"timeout": limits.as_dict()}
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
        raise _Failed(f"{_where(request)} {what}", maybe_done=maybe_done)

    async def _exchange(self, request: httpx.Request) -> Answer:
        response = await self._http.send(request, stream=True, follow_redirects=False)
        try:
            return await read_answer(response)
        finally:
            await response.aclose()


def _judge(where: str, answer: Answer, parse: Parse[T]) -> T | Refusal:
    """Tell an answer and a refusal from everything else, which is a failure."""
    reason = f"{where} {answer.status} - {answer.request_id or '-'}"
    if answer.status == httpx.codes.TOO_MANY_REQUESTS:
        raise _Failed(reason, maybe_done=False, retry_after_s=_retry_after(answer))
    try:
        if httpx.codes.is_success(answer.status):
            return parse(answer)
        late = answer.status == httpx.codes.REQUEST_TIMEOUT
        if httpx.codes.is_client_error(answer.status) and not late:
            return read_refusal(answer)
    except Unreadable:
        reason += " unreadable"
    raise _Failed(reason, maybe_done=True, retry_after_s=_retry_after(answer))


def _accepted(request: httpx.Request, outcome: T | Refusal) -> T:
    if not isinstance(outcome, Refusal):
        return outcome
    where = _where(request)
    advice = hint(outcome.code, outcome.description)
    logger.warning("%s %s; %s", where, outcome, advice or "no advice on this")
    if "subject_token" in outcome.description:
        raise SubjectTokenRejected(f"{where} {outcome}")
    if outcome.code == "invalid_resource":
        raise InvalidResource(where, outcome)
    kinds = {404: NotFoundAtBox, 409: ConflictAtBox}
    raise kinds.get(outcome.status, RefusedByBox)(where, outcome)


def _retry_after(answer: Answer) -> float | None:
    """Seconds that Box asks to wait; a date is measured against Box's own clock."""
    value = answer.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        seconds = float(value)
    elif moment := http_date(value):
        seconds = (moment - (answer.date or datetime.now(UTC))).total_seconds()
    else:
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def _pause(state: RetryCallState) -> float:
    failed = state.outcome.exception() if state.outcome else None
    asked = failed.retry_after_s if isinstance(failed, _Failed) else None
    return (asked or 0.0) + _jitter(state)


def _log_retry(state: RetryCallState) -> None:
    failed = state.outcome.exception() if state.outcome else None
    logger.warning(
        "%s, attempt %d, again in %.1f s",
        failed,
        state.attempt_number,
        state.upcoming_sleep,
    )


def _where(request: httpx.Request) -> str:
    return f"{request.method} {request.url.path}"

"""What came back from Box, read within bounds and judged: result, refusal, no verdict.

Box documents two forms of refusal: the API's error object and OAuth's ``error`` with
``error_description``. 401 and 403 often have an empty body and say why in
WWW-Authenticate (RFC 6750 section 3). Anything on the way can answer with no body, so
one counts only with a header that Box sends.
"""

import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx

from sso_box_api.box.failures import (
    ConflictAtBox,
    Failed,
    InvalidResource,
    NotFoundAtBox,
    Refusal,
    RefusedByBox,
    SubjectTokenRejected,
    Trouble,
)
from sso_box_api.box.hints import UNREADABLE

logger = logging.getLogger(__name__)

T = TypeVar("T")

MAX_BODY_BYTES = 1024 * 1024
MAX_RETRY_AFTER_S = 3_600


class Unreadable(Exception):
    """An answer that is not what Box documents. Never carries any of it."""


@dataclass(frozen=True)
class Answer:
    """Status, headers and whole body of one response."""

    status: int
    headers: httpx.Headers
    body: bytes = field(repr=False)

    def json(self) -> dict[str, Any]:
        """Return the body as a JSON object; raises ``Unreadable``."""
        try:
            data = json.loads(self.body)
        except (ValueError, RecursionError):
            raise Unreadable from None
        if not isinstance(data, dict):
            raise Unreadable
        return data

    @property
    def request_id(self) -> str:
        return _plain(self.headers.get("box-request-id"))

    @property
    def date(self) -> datetime | None:
        """Box's clock, to the second."""
        return _http_date(self.headers.get("date"))


Parse = Callable[[Answer], T]  # raises Unreadable


async def read_answer(response: httpx.Response) -> Answer:
    """Read a streamed response whole; ``Unreadable`` beyond ``MAX_BODY_BYTES``.

    As it comes: no encoding was accepted, so one that is there is no answer of Box's.
    """
    body = bytearray()
    if not isinstance(response.stream, httpx.AsyncByteStream):
        raise Unreadable
    async for chunk in response.stream:
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise Unreadable
    return Answer(response.status_code, response.headers, bytes(body))


def judge(where: str, answer: Answer, parse: Parse[T]) -> T | Refusal:
    """Tell a result and a refusal from everything else; raises ``Failed`` for that."""
    throttled = answer.status == httpx.codes.TOO_MANY_REQUESTS
    what = ""
    if not throttled:
        try:
            if httpx.codes.is_success(answer.status):
                return parse(answer)
            late = answer.status == httpx.codes.REQUEST_TIMEOUT
            if httpx.codes.is_client_error(answer.status) and not late:
                return _read_refusal(answer)
        except Unreadable:
            what = UNREADABLE
    code, request_id = _code_of(answer), answer.request_id
    raise Failed(
        Trouble(where, what, answer.status, code, request_id),
        maybe_done=not throttled,
        answered=throttled,
        retry_after_s=_retry_after(answer),
    )


def _read_refusal(answer: Answer) -> Refusal:
    """Read a 4xx; ``Unreadable`` if it is not in Box's form."""
    data = {} if _empty_by_box(answer) else answer.json()
    code = _plain(data.get("code")) or _plain(data.get("error")) or _challenge(answer)
    if data and not code:
        raise Unreadable
    description = data.get("error_description") or data.get("message")
    return Refusal(
        answer.status,
        code,
        answer.request_id or _plain(data.get("request_id")),
        description if isinstance(description, str) else "",
        answer.date,
    )


def _empty_by_box(answer: Answer) -> bool:
    if answer.body or answer.status == httpx.codes.NOT_FOUND:
        return False
    challenge = answer.headers.get("www-authenticate", "")
    return bool(answer.request_id) or challenge.lower().startswith("bearer")


def _challenge(answer: Answer) -> str:
    challenge = answer.headers.get("www-authenticate", "")
    found = re.search(r'error="([a-z_]{1,64})"', challenge)
    return found.group(1) if found else ""


def _code_of(answer: Answer) -> str:
    """Return Box's code in an answer that is no refusal, "" if there is none."""
    try:
        return _plain(answer.json().get("code")) if answer.body else ""
    except Unreadable:
        return ""


def _retry_after(answer: Answer) -> float | None:
    """Seconds that Box asks to wait; a date is measured against Box's own clock."""
    value = answer.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        seconds = float(value)
    elif moment := _http_date(value):
        seconds = (moment - (answer.date or datetime.now(UTC))).total_seconds()
    else:
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def accepted(request: httpx.Request, outcome: T | Refusal) -> T:
    """Return the result; raises what the refusal amounts to."""
    if not isinstance(outcome, Refusal):
        return outcome
    where = where_of(request)
    if "subject_token" in outcome.description:
        raise SubjectTokenRejected(
            Trouble(where, "", outcome.status, outcome.code, outcome.request_id)
        )
    if outcome.code == "invalid_resource":
        raise InvalidResource(where, outcome)
    kinds = {404: NotFoundAtBox, 409: ConflictAtBox}
    refused = kinds.get(outcome.status, RefusedByBox)(where, outcome)
    if isinstance(refused, NotFoundAtBox):
        # What that means, and whether it is a fault at all, only who asked can tell.
        logger.info("%s", refused.reason)
    else:
        logger.warning("%s; %s", refused.reason, refused.hint)
    raise refused


def where_of(request: httpx.Request) -> str:
    """Name a call in logs: its query may hold an external id, so it stays out."""
    return f"{request.method} {request.url.path}"


def is_id(value: str) -> bool:
    """Whether a text is an id of Box's: decimal digits."""
    return re.fullmatch(r"[0-9]{1,20}", value) is not None


def _http_date(value: str | None) -> datetime | None:
    """Parse an HTTP date (RFC 9110 section 5.6.7); None if it is none."""
    try:
        moment = parsedate_to_datetime(value or "")
    except (ValueError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _plain(value: object) -> str:
    """Keep a code or an id only if it is one: it goes to logs, where text can forge."""
    if isinstance(value, str) and re.fullmatch(r"[\w.-]{1,64}", value, re.ASCII):
        return value
    return ""

"""What an answer of Box's amounts to: a result, a refusal, or no verdict at all."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

import httpx

from sso_box_api.box.answers import (
    Answer,
    Refusal,
    Unreadable,
    code_of,
    http_date,
    read_refusal,
)
from sso_box_api.box.failures import (
    ConflictAtBox,
    Failed,
    InvalidResource,
    NotFoundAtBox,
    RefusedByBox,
    SubjectTokenRejected,
    Trouble,
)
from sso_box_api.box.hints import UNREADABLE

logger = logging.getLogger(__name__)

T = TypeVar("T")
Parse = Callable[[Answer], T]  # raises Unreadable

MAX_RETRY_AFTER_S = 3_600


def judge(where: str, answer: Answer, parse: Parse[T]) -> T | Refusal:
    """Tell an answer and a refusal from everything else, which is a failure."""
    throttled = answer.status == httpx.codes.TOO_MANY_REQUESTS
    what = ""
    if not throttled:
        try:
            if httpx.codes.is_success(answer.status):
                return parse(answer)
            late = answer.status == httpx.codes.REQUEST_TIMEOUT
            if httpx.codes.is_client_error(answer.status) and not late:
                return read_refusal(answer)
        except Unreadable:
            what = UNREADABLE
    code, request_id = code_of(answer), answer.request_id
    raise Failed(
        Trouble(where, what, answer.status, code, request_id),
        maybe_done=not throttled,
        answered=throttled,
        retry_after_s=_retry_after(answer),
    )


def accepted(request: httpx.Request, outcome: T | Refusal) -> T:
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
    logger.warning("%s; %s", refused.reason, refused.hint)
    raise refused


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


def where_of(request: httpx.Request) -> str:
    """Name a call in logs: its query may hold an external id, so it stays out."""
    return f"{request.method} {request.url.path}"

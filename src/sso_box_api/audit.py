"""The audit trail: one JSON event per exchange, per sign-out and revocation of people's
own, and per command that changes accounts.

An event is filled as the work goes and written whatever its outcome. Tokens appear as
SHA-256 only; nothing an attacker can set freely appears unbounded. The service writes
events to standard output, ``trail`` says how; a command, whose result stands there, to
standard error.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import partial
from typing import Literal, Self, TextIO

from pydantic_core import to_json
from typing_extensions import override

from sso_box_api.errors import SsoBoxError

# Libraries whose messages may quote URLs, headers or statement parameters.
_QUIET = ("aiohttp", "asyncio", "asyncpg", "httpcore", "httpx", "sqlalchemy")


@dataclass(slots=True)
class RequestEvent:
    """Who asked for what, what came of it, and for how long it was worked on.

    As a context it is written at its end. What is None is left out. ``closed``: how
    many tokens end by it.
    """

    event: Literal["exchange", "sign_out", "revoke"]
    request_id: str
    client_address: str
    door: str | None = None
    outcome: str = "failed"
    code: str | None = None
    reason: str | None = None
    provider: str | None = None
    namespace: str | None = None
    subject: str | None = None
    client_id: str | None = None
    id_token_sha256: str | None = None
    profile: str | None = None
    scopes: tuple[str, ...] | None = None
    resource: str | None = None
    account_id: str | None = None
    box_user_id: str | None = None
    first_login: bool | None = None
    vend_id: str | None = None
    vend: str | None = None
    closed: int | None = None
    duration_ms: float | None = None
    started: float = field(default_factory=time.perf_counter, repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: object, error: BaseException | None, traceback: object
    ) -> None:
        if error is None:
            self.outcome = "granted" if self.event == "exchange" else "done"
        elif isinstance(error, SsoBoxError):
            self.code, self.reason = error.code, error.reason
            self.outcome = "refused" if error.status < 500 else "failed"  # noqa: PLR2004 - HTTP
        seconds = time.perf_counter() - self.started
        self.duration_ms = round(seconds * 1000, 1)
        # Each text in it was verified to be one, so that the quicker encoder will do.
        _deliver(to_json(_filled(self, _REQUEST_FIELDS)))
        if _count is not None:
            _count(self, seconds)


@dataclass(slots=True)
class AdministrationEvent:
    """What an administrator did to whom; ``by`` is the operating system's user.

    ``old_box_user_id`` and ``new_box_user_id``: what the account was bound to, and is.
    """

    act: str
    provider: str | None = None
    namespace: str | None = None
    subject: str | None = None
    client_id: str | None = None
    account_id: str | None = None
    reason: str | None = None
    outcome: str = "failed"
    old_box_user_id: str | None = None
    new_box_user_id: str | None = None
    to_account_id: str | None = None
    counts: dict[str, int] | None = None
    by: str = field(default_factory=lambda: f"uid {os.getuid()}")
    event: str = "administration"


@contextmanager
def administration(event: AdministrationEvent) -> Iterator[AdministrationEvent]:
    """Write the event at the end of the block, as failed if that raises."""
    try:
        yield event
        event.outcome = "done"
    finally:
        _deliver(json.dumps(_filled(event, _ADMINISTRATION_FIELDS)).encode())


def _names(event: type) -> tuple[str, ...]:
    return tuple(f.name for f in fields(event) if f.name != "started")


_REQUEST_FIELDS = _names(RequestEvent)
_ADMINISTRATION_FIELDS = _names(AdministrationEvent)


def _filled(event: object, names: tuple[str, ...]) -> dict[str, object]:
    line: dict[str, object] = {
        "at": datetime.now(UTC).isoformat(timespec="milliseconds")
    }
    for name in names:
        value = getattr(event, name)
        if value is not None:
            line[name] = value
    return line


def print_line(line: bytes, *, to: TextIO | None = None) -> None:
    """Write a line at once; to standard output where nothing else is said."""
    print(line.decode(), file=to or sys.stdout, flush=True)


_deliver: Callable[[bytes], object] = print_line


@contextmanager
def delivered(deliver: Callable[[bytes], object]) -> Iterator[None]:
    """Hand each event of the block, a line of JSON, to ``deliver`` instead."""
    global _deliver  # noqa: PLW0603 - where events go is the same for a whole process
    before, _deliver = _deliver, deliver
    try:
        yield
    finally:
        _deliver = before


Count = Callable[[RequestEvent, float], object]

_count: Count | None = None


@contextmanager
def counted(count: Count) -> Iterator[None]:
    """Show ``count`` each request's event of the block, and the seconds it took."""
    global _count  # noqa: PLW0603 - as above
    before, _count = _count, count
    try:
        yield
    finally:
        _count = before


class _JsonLines(logging.Formatter):
    @override
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure_logging() -> None:
    """Send the log to standard error as JSON lines."""
    log = logging.StreamHandler(sys.stderr)
    log.setFormatter(_JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [log]
    root.setLevel(logging.INFO)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


@contextmanager
def events_to_standard_error() -> Iterator[None]:
    """Send the audit events of a command there, for its result has standard output."""
    with delivered(partial(print_line, to=sys.stderr)):
        yield

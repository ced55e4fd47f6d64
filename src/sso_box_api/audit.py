"""The audit trail: one JSON event per exchange, per sign-out and revocation of people's
own, and per command that changes accounts.

An event is filled as the work goes and written whatever its outcome. Tokens appear as
SHA-256 only; nothing an attacker can set freely appears unbounded. The service writes
events to standard output; a command, whose result stands there, to standard error.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Literal, TextIO

from typing_extensions import override

from sso_box_api.errors import SsoBoxError

_audit = logging.getLogger("sso_box_api.audit")

# Libraries whose messages may quote URLs, headers or statement parameters.
_QUIET = ("aiohttp", "asyncio", "asyncpg", "httpcore", "httpx", "sqlalchemy")


@dataclass(slots=True)
class ExchangeEvent:
    """Who asked for what, what came of it, and for how long it was worked on."""

    door: str
    request_id: str
    client_address: str
    outcome: str = "failed"
    code: str | None = None
    reason: str | None = None
    provider: str | None = None
    namespace: str | None = None
    subject: str | None = None
    client_id: str | None = None
    id_token_sha256: str | None = None
    profile: str | None = None
    scopes: tuple[str, ...] = ()
    resource: str | None = None
    account_id: str | None = None
    box_user_id: str | None = None
    first_login: bool = False
    vend_id: str | None = None
    vend: str | None = None
    started: float = field(default_factory=time.perf_counter, repr=False)

    def write(self) -> None:
        event = asdict(self)
        started = event.pop("started")
        event["duration_ms"] = round((time.perf_counter() - started) * 1000, 1)
        _write("exchange", event)


@dataclass(slots=True)
class OwnTokensEvent:
    """What somebody did to tokens of their own. ``closed``: how many end by it."""

    act: Literal["sign_out", "revoke"]
    request_id: str
    client_address: str
    outcome: str = "failed"
    code: str | None = None
    reason: str | None = None
    provider: str | None = None
    namespace: str | None = None
    subject: str | None = None
    client_id: str | None = None
    id_token_sha256: str | None = None
    account_id: str | None = None
    closed: int = 0


@contextmanager
def recorded(event: OwnTokensEvent) -> Iterator[None]:
    """Write the event at the end of the block, whatever came of it."""
    try:
        yield
        event.outcome = "done"
    except SsoBoxError as error:
        event.code, event.reason = error.code, error.reason
        event.outcome = "refused" if error.status < 500 else "failed"  # noqa: PLR2004 - HTTP
        raise
    finally:
        _write(event.act, asdict(event))


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


@contextmanager
def administration(event: AdministrationEvent) -> Iterator[AdministrationEvent]:
    """Write the event at the end of the block, as failed if that raises."""
    try:
        yield event
        event.outcome = "done"
    finally:
        _write("administration", asdict(event))


def _write(kind: str, event: dict[str, object]) -> None:
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    filled = {key: value for key, value in event.items() if value is not None}
    _audit.info("%s", json.dumps({"event": kind, "at": at, **filled}))


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
    """Send the log to standard error as JSON lines, audit events to standard output."""
    log = logging.StreamHandler(sys.stderr)
    log.setFormatter(_JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [log]
    root.setLevel(logging.INFO)
    _audit.handlers[:] = [_handler(sys.stdout)]
    _audit.propagate = False
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


@contextmanager
def events_to_standard_error() -> Iterator[None]:
    """Send the audit events of a command there, for its result has standard output."""
    events = _handler(sys.stderr)
    level, propagate = _audit.level, _audit.propagate
    _audit.addHandler(events)
    _audit.setLevel(logging.INFO)
    _audit.propagate = False
    try:
        yield
    finally:
        _audit.removeHandler(events)
        _audit.setLevel(level)
        _audit.propagate = propagate


def _handler(stream: TextIO) -> logging.Handler:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s"))
    return handler

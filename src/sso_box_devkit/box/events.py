"""The events of an enterprise: what an admin's tools read to notice changes of users.

Box gives the stream (`admin_logs_streaming`) at least once and in no order; here it is
once and in order. The older `admin_logs` is the same list.
"""

import secrets
from dataclasses import dataclass, field
from typing import Any

MAX_LIMIT = 500
DEFAULT_LIMIT = 100


@dataclass(frozen=True)
class Event:
    """``source`` is what it happened to, as an answer shows it."""

    event_type: str
    created_at: float
    created_by: dict[str, Any]
    source: dict[str, Any]
    event_id: str = field(default_factory=lambda: secrets.token_hex(16))


class Events:
    """Positions go on after a clearing, so a reader's position stays valid."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._cleared = 0

    def record(self, event: Event) -> None:
        self._events.append(event)

    @property
    def end(self) -> int:
        return self._cleared + len(self._events)

    def since(self, position: int) -> list[Event]:
        return self._events[max(0, position - self._cleared) :]

    def clear(self) -> None:
        self._cleared = self.end
        self._events.clear()

"""GET /2.0/events for a whole enterprise, and the noting down of what shows there."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sso_box_devkit.box.access import Caller
from sso_box_devkit.box.events import DEFAULT_LIMIT, MAX_LIMIT, Event
from sso_box_devkit.box.items import mini_user, timestamp
from sso_box_devkit.box.paging import MAX_DIGITS, page_limit
from sso_box_devkit.box.responses import BoxError, invalid_parameter

_STREAMS = ("admin_logs", "admin_logs_streaming")


def note(caller: Caller, event_type: str, source: dict[str, Any]) -> None:
    """``source`` is what it happened to."""
    enterprise = caller.enterprise
    by = mini_user(caller.user)
    enterprise.events.record(Event(event_type, enterprise.now(), by, source))


async def list_events(request: Request, caller: Caller) -> Response:
    """``stream_position`` omitted or 0 is the oldest, ``now`` the end."""
    query = request.query_params
    if query.get("stream_type") not in _STREAMS:
        raise BoxError(501, "not_emulated", "Only the streams of an admin are emulated")
    caller.require_service_account()
    events = caller.enterprise.events
    position = query.get("stream_position", "0")
    if position != "now" and not (position.isdecimal() and len(position) <= MAX_DIGITS):
        raise invalid_parameter("stream_position", "Not a position of the stream")
    start = events.end if position == "now" else int(position)
    chunk = events.since(start)[: page_limit(query, DEFAULT_LIMIT, MAX_LIMIT)]
    types = [name for name in query.get("event_type", "").split(",") if name]
    shown = [_shown(e) for e in chunk if not types or e.event_type in types]
    following = max(start, events.end - len(events.since(start))) + len(chunk)
    return JSONResponse(
        {
            "chunk_size": len(shown),
            "next_stream_position": str(following),
            "entries": shown,
        }
    )


def _shown(event: Event) -> dict[str, Any]:
    at = timestamp(event.created_at)
    return {
        "type": "event",
        "event_id": event.event_id,
        "event_type": event.event_type,
        "created_at": at,
        "recorded_at": at,
        "created_by": event.created_by,
        "source": event.source,
        "session_id": "",
        "additional_details": {},
    }

"""Box's two ways to turn pages: offset and limit, or an opaque marker."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from starlette.datastructures import QueryParams

from sso_box_devkit.box.responses import BoxError

MAX_LIMIT = 1000
DEFAULT_LIMIT = 100
MAX_OFFSET = 10_000
MAX_DIGITS = 18

T = TypeVar("T")


def page(
    query: QueryParams,
    entries: Sequence[T],
    show: Callable[[T], dict[str, Any]],
    order: Sequence[dict[str, str]],
) -> dict[str, Any]:
    """One page by marker where the caller asks for it, by offset otherwise."""
    if query.get("usemarker") == "true":
        return marker_page(query, entries, show)
    return {**offset_page(query, entries, show), "order": list(order)}


def marker_page(
    query: QueryParams, entries: Sequence[T], show: Callable[[T], dict[str, Any]]
) -> dict[str, Any]:
    """Without a total; an empty next_marker is the end."""
    limit = page_limit(query)
    start = _start_of(query.get("marker") or "0")
    end = start + limit
    return {
        "entries": [show(entry) for entry in entries[start:end]],
        "limit": limit,
        "next_marker": f"m{end}" if end < len(entries) else "",
    }


def offset_page(
    query: QueryParams,
    entries: Sequence[T],
    show: Callable[[T], dict[str, Any]],
    *,
    default: int = DEFAULT_LIMIT,
    maximum: int = MAX_LIMIT,
) -> dict[str, Any]:
    limit, offset = page_limit(query, default, maximum), number(query, "offset", 0)
    if offset > MAX_OFFSET:
        raise BoxError(400, "invalid_offset", "The offset is above 10000")
    return {
        "total_count": len(entries),
        "entries": [show(entry) for entry in entries[offset : offset + limit]],
        "offset": offset,
        "limit": limit,
    }


def page_limit(
    query: QueryParams, default: int = DEFAULT_LIMIT, maximum: int = MAX_LIMIT
) -> int:
    """A limit above the maximum is clamped."""
    return min(number(query, "limit", default), maximum)


def number(query: QueryParams, name: str, default: int) -> int:
    value = query.get(name, str(default))
    if not value.isdecimal() or len(value) > MAX_DIGITS:
        raise BoxError(400, f"invalid_{name}", f"Invalid {name}")
    return int(value)


def _start_of(marker: str) -> int:
    position = marker.removeprefix("m")
    if not position.isdecimal() or len(position) > MAX_DIGITS:
        raise BoxError(400, "invalid_parameter", "Invalid marker")
    return int(position)

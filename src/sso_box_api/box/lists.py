"""Box's two forms of a list, by offset and by marker, and the parts of its objects.

Source: developer.box.com "Offset-based Pagination", "Marker-based Pagination".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sso_box_api.box.answers import Answer, Unreadable, is_id

T = TypeVar("T")
Read = Callable[[Any], T]  # of one entry or object; raises Unreadable


@dataclass(frozen=True)
class Page(Generic[T]):
    """A part of a list, and where the next begins; None after the last."""

    entries: list[T]
    next: str | None


def offset_page(read: Read[T], size: int, offset: int, answer: Answer) -> Page[T]:
    """Read the page at ``offset`` for which ``size`` entries were asked."""
    data = answer.json()
    entries, total, limit = (data.get(x) for x in ("entries", "total_count", "limit"))
    if not isinstance(entries, list) or not isinstance(total, int):
        raise Unreadable
    # Box may serve smaller pages than were asked for.
    step = limit if isinstance(limit, int) and 0 < limit <= size else size
    more = offset + step < total
    return Page([read(x) for x in entries], str(offset + step) if more else None)


def marker_page(read: Read[T], answer: Answer) -> Page[T]:
    """Read a page; its last one has a null or empty ``next_marker``, or none."""
    data = answer.json()
    entries, marker = data.get("entries"), data.get("next_marker")
    if not isinstance(entries, list) or not isinstance(marker, str | None):
        raise Unreadable
    return Page([read(entry) for entry in entries], marker or None)


def whole(read: Read[T]) -> Callable[[Answer], T]:
    """Parse an answer that is one object."""
    return lambda answer: read(answer.json())


def text(data: Mapping[str, Any], name: str) -> str | None:
    """Return a text of an object, None if there is none."""
    value = data.get(name)
    return value if isinstance(value, str) else None


def id_of(data: object) -> str:
    """Read the id of one of Box's objects; raises ``Unreadable``."""
    value = data.get("id") if isinstance(data, dict) else None
    if not is_id(str(value)):
        raise Unreadable
    return str(value)


def checked_id(value: str) -> str:
    """Let nothing but an id into a path; raises ``ValueError``."""
    if not is_id(value):
        raise ValueError("not an id of Box's")
    return value

"""What the token endpoint hands out, read strictly where a token could leak by it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from sso_box_api.box.answers import Unreadable

# Far above what Box is seen to give, far below what a date can hold.
MAX_LIFE_S = 30 * 86_400


@dataclass(frozen=True)
class BoxToken:
    """An access token with all rights of its subject; ``expires_at`` in epoch seconds."""

    access_token: str = field(repr=False)
    expires_at: float
    expires_in: int
    subject: str = ""


@dataclass(frozen=True)
class Grant:
    """One entry of Box's ``restricted_to``: a scope, and the item it holds for."""

    scope: str
    object_type: str | None
    object_id: str | None


@dataclass(frozen=True)
class Downscoped:
    """A narrowed token and what Box says it granted; None if Box did not say."""

    access_token: str = field(repr=False)
    expires_at: float
    expires_in: int
    restricted_to: tuple[Grant, ...] | None


def read_token(data: Mapping[str, object], asked_at: float, subject: str) -> BoxToken:
    """Read a token answer; life counts from ``asked_at``. Raises ``Unreadable``."""
    token, life = data.get("access_token"), data.get("expires_in")
    if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
        raise Unreadable
    if not isinstance(life, int) or isinstance(life, bool):
        raise Unreadable
    if not 0 < life <= MAX_LIFE_S:
        raise Unreadable
    return BoxToken(token, asked_at + life, life, subject)


def read_grants(value: object) -> tuple[Grant, ...] | None:
    """Read ``restricted_to``.

    What makes no sense becomes a grant that matches no request: the token exists at
    Box, so the caller has to see it to revoke it.
    """
    if value is None:
        return None
    entries = value if isinstance(value, list) else [value]
    return tuple(_grant(entry) for entry in entries)


def _grant(entry: object) -> Grant:
    entry = entry if isinstance(entry, dict) else {}
    item = entry.get("object")
    item = item if isinstance(item, dict) else {}
    scope, kind, item_id = entry.get("scope"), item.get("type"), item.get("id")
    return Grant(
        scope if isinstance(scope, str) else "",
        kind if isinstance(kind, str) else None,
        None if item_id is None else str(item_id),
    )

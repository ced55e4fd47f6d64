"""App users at Box: looked up by our external id, created once, read, deleted.

Box does not say that an external id is unique, matched exactly, or findable at once;
so nothing here relies on it, and every match is compared again.
Source: developer.box.com "Create App User", "List enterprise users", "Pagination".
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode

from sso_box_api.box.answers import Answer, Unreadable
from sso_box_api.box.api import Api
from sso_box_api.box.auth import nothing
from sso_box_api.box.failures import NotFoundAtBox, NoVerdict, Trouble

NAME_MAX = 50  # code points, as OpenAPI counts maxLength
PAGE_SIZE = 100
MAX_PAGES = 10
# Box leaves external_app_user_id out unless it is asked for.
_FIELDS = "id,name,login,status,is_platform_access_only,external_app_user_id,created_at"


@dataclass(frozen=True)
class BoxUser:
    """A user as Box shows it; ``created_at`` as RFC 3339. None where Box is silent."""

    id: str
    name: str
    login: str
    status: str
    is_platform_access_only: bool | None
    external_app_user_id: str | None
    created_at: str | None


class Users(Api):
    """The users API, called as the service account."""

    async def find_app_users(self, external_app_user_id: str) -> list[BoxUser]:
        """Return every user with exactly this external id, the oldest first.

        Raises ``BoxUnavailable``, also when the list has no end; ``BoxRefused``.
        """
        found: list[BoxUser] = []
        offset = 0
        for _ in range(MAX_PAGES):
            page = await self._page(external_app_user_id, offset)
            found += page.users
            offset += page.limit
            if offset >= page.total:
                wanted = [
                    u for u in found if u.external_app_user_id == external_app_user_id
                ]
                return sorted({u.id: u for u in wanted}.values(), key=_age)
        # An id not seen in a part of the list is not an id that is not there.
        raise NoVerdict(Trouble(f"GET /2.0/users more than {MAX_PAGES} pages"))

    async def create_app_user(
        self, name: str, external_app_user_id: str, *, timeout_s: float
    ) -> BoxUser:
        """Create a user by one single POST, within ``timeout_s`` seconds in all.

        Raises ``OutcomeUnknown`` if it may exist now, ``ConflictAtBox``,
        ``BoxRefused``; plain ``BoxUnavailable`` if it was certainly not created.
        """
        body = {
            "name": short_name(name),
            "is_platform_access_only": True,
            "external_app_user_id": external_app_user_id,
            "space_amount": self._settings.user_quota_bytes,
        }
        parse = partial(_created, external_app_user_id)
        path = f"/2.0/users?fields={_FIELDS}"
        return await self._api("POST", path, parse, body=body, once_within_s=timeout_s)

    async def get_user(self, box_user_id: str) -> BoxUser:
        """Read one user. Raises ``NotFoundAtBox``, ``BoxUnavailable``, ``BoxRefused``."""
        path = f"/2.0/users/{_id(box_user_id)}?fields={_FIELDS}"
        return await self._api("GET", path, lambda answer: _user(answer.json()))

    async def delete_user(self, box_user_id: str) -> None:
        """Delete one user who owns no content; one who is gone counts as done.

        Raises ``BoxUnavailable``, ``BoxRefused``.
        """
        try:
            await self._api("DELETE", f"/2.0/users/{_id(box_user_id)}", nothing)
        except NotFoundAtBox:
            return

    async def _page(self, external_app_user_id: str, offset: int) -> "_Page":
        query = {
            "external_app_user_id": external_app_user_id,
            "fields": _FIELDS,
            "limit": str(PAGE_SIZE),
            "offset": str(offset),
        }
        return await self._api("GET", f"/2.0/users?{urlencode(query)}", _read_page)


@dataclass(frozen=True)
class _Page:
    users: list[BoxUser]
    total: int
    limit: int


def _read_page(answer: Answer) -> _Page:
    data = answer.json()
    entries, total, limit = (data.get(x) for x in ("entries", "total_count", "limit"))
    if not isinstance(entries, list) or not isinstance(total, int):
        raise Unreadable
    # Box may serve smaller pages than were asked for.
    step = limit if isinstance(limit, int) and 0 < limit <= PAGE_SIZE else PAGE_SIZE
    return _Page([_user(entry) for entry in entries], total, step)


def _created(external_app_user_id: str, answer: Answer) -> BoxUser:
    user = _user({"status": "active", **answer.json()})
    if user.external_app_user_id not in {None, external_app_user_id}:
        raise Unreadable
    return user


def _user(data: Any) -> BoxUser:
    if not isinstance(data, dict):
        raise Unreadable
    status, user_id = data.get("status"), data.get("id")
    if not isinstance(status, str) or not re.fullmatch(r"[0-9]{1,20}", str(user_id)):
        raise Unreadable
    app_only = data.get("is_platform_access_only")
    return BoxUser(
        id=str(user_id),
        name=_text(data, "name") or "",
        login=_text(data, "login") or "",
        status=status,
        is_platform_access_only=app_only if isinstance(app_only, bool) else None,
        external_app_user_id=_text(data, "external_app_user_id"),
        created_at=_text(data, "created_at"),
    )


def _text(data: dict[str, Any], name: str) -> str | None:
    value = data.get(name)
    return value if isinstance(value, str) else None


def _age(user: BoxUser) -> tuple[datetime, int]:
    """Order by age; a user whose age is not known counts as young."""
    try:
        created = datetime.fromisoformat(user.created_at or "")
    except ValueError:
        created = datetime.max.replace(tzinfo=UTC)
    if created.tzinfo is None:
        created = created.replace(tzinfo=UTC)
    return created, int(user.id)


def _id(box_user_id: str) -> str:
    if not re.fullmatch(r"[0-9]{1,20}", box_user_id):
        raise ValueError("box_user_id")
    return box_user_id


def short_name(name: str) -> str:
    """Cut a name to what Box takes, between characters as a reader sees them."""
    name = unicodedata.normalize("NFC", name).strip()
    end = NAME_MAX
    while 0 < end < len(name) and _joined(name, end):
        end -= 1
    # A "character" longer than the limit is no character anybody wrote.
    return (name[:end] or name[:NAME_MAX]).rstrip()


def _joined(name: str, position: int) -> bool:
    """Whether what stands at ``position`` belongs to what stands before it.

    The cases of Unicode Standard Annex 29 that occur in names: marks, joiners, skin
    tones, the two letters of a flag, Hangul written in parts.
    """
    before, here = name[position - 1], name[position]
    zero_width_joiner = "\u200d"
    if unicodedata.category(here) in {"Mn", "Mc", "Me"}:
        return True
    if zero_width_joiner in {before, here} or "\U0001f3fb" <= here <= "\U0001f3ff":
        return True
    if "\u1160" <= here <= "\u11ff":
        return True
    return _is_flag_letter(here) and _odd(_is_flag_letter(c) for c in name[:position])


def _is_flag_letter(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def _odd(flags: Iterable[bool]) -> bool:
    """Whether the sequence ends in an odd run of true."""
    run = 0
    for flag in flags:
        run = run + 1 if flag else 0
    return run % 2 == 1

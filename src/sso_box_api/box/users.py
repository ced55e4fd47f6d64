"""Users at Box: found, created once, read, changed, deleted; their sessions ended.

Box does not say that an external id is unique, matched exactly, or findable at once;
so nothing here relies on it, and every match is compared again.
Source: developer.box.com "Create App User", "List enterprise users", "Pagination".
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal
from urllib.parse import urlencode

from sso_box_api.box.answers import Answer, Unreadable
from sso_box_api.box.api import Api, Ensured
from sso_box_api.box.auth import nothing
from sso_box_api.box.failures import NotFoundAtBox, NoVerdict, Trouble
from sso_box_api.box.lists import checked_id, id_of, marker_page, text, whole
from sso_box_api.box.names import short_job_title, short_name
from sso_box_api.box.patience import patiently

PAGE_SIZE = 100
# Of the longest names and logins, what is read of one answer holds about so many.
LISTING_PAGE_SIZE = 500
Status = Literal["active", "inactive"]
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


@dataclass(frozen=True, slots=True)
class UserAttributes:
    """What a new user is given; None leaves it to Box. ``space_amount`` is in bytes.

    -1 is unlimited space, None that of ``SSO_BOX_BOX__USER_QUOTA_BYTES``.
    """

    space_amount: int | None = None
    language: str | None = None
    timezone: str | None = None
    job_title: str | None = None
    is_external_collab_restricted: bool | None = None


_LEFT_TO_BOX = UserAttributes()


@dataclass(frozen=True)
class Standing:
    """A user and its place at Box; None where Box is silent, or has none."""

    user: BoxUser
    enterprise_id: str | None
    role: str | None


class Users(Api):
    """The users API, called as the service account."""

    async def find_app_users(self, external_app_user_id: str) -> list[BoxUser]:
        """Return every user with exactly this external id, the oldest first.

        Raises ``BoxUnavailable``, also when the list has no end; ``BoxRefused``.
        """
        query = {"external_app_user_id": external_app_user_id, "fields": _FIELDS}
        found = await self._list_by_offset(
            "/2.0/users", query, _user, page_size=PAGE_SIZE
        )
        wanted = [u for u in found if u.external_app_user_id == external_app_user_id]
        return sorted({u.id: u for u in wanted}.values(), key=_age)

    async def create_app_user(
        self,
        name: str,
        external_app_user_id: str,
        *,
        timeout_s: float,
        attributes: UserAttributes = _LEFT_TO_BOX,
    ) -> BoxUser:
        """Create a user by one single POST, within ``timeout_s`` seconds in all.

        Raises ``OutcomeUnknown`` if it may exist now, ``ConflictAtBox``,
        ``BoxRefused``; plain ``BoxUnavailable`` if it was certainly not created.
        """
        key = {
            "is_platform_access_only": True,
            "external_app_user_id": external_app_user_id,
        }
        parse = partial(_created, external_app_user_id)
        return await self._create(name, key, attributes, parse, timeout_s)

    async def create_managed_user(
        self,
        name: str,
        login: str,
        *,
        timeout_s: float,
        attributes: UserAttributes = _LEFT_TO_BOX,
    ) -> BoxUser:
        """Create a user with an e-mail login by one single POST, as an app user is.

        Raises the same; ``ConflictAtBox`` where anybody at Box has the login.
        """
        parse = partial(_created_managed, login)
        return await self._create(name, {"login": login}, attributes, parse, timeout_s)

    async def _create(
        self,
        name: str,
        key: Mapping[str, object],
        attributes: UserAttributes,
        parse: Callable[[Answer], BoxUser],
        timeout_s: float,
    ) -> BoxUser:
        body = {"name": short_name(name), **key, **self._given(attributes)}
        path = f"/2.0/users?fields={_FIELDS}"
        return await self._api("POST", path, parse, body=body, once_within_s=timeout_s)

    def _given(self, attributes: UserAttributes) -> dict[str, object]:
        title = attributes.job_title
        values = {
            "space_amount": self._settings.user_quota_bytes,
            **{k: v for k, v in asdict(attributes).items() if v is not None},
        }
        return (
            values if title is None else {**values, "job_title": short_job_title(title)}
        )

    async def ensure_managed_user(self, name: str, login: str) -> Ensured[BoxUser]:
        """Create a user with an e-mail login, or find it (POST /2.0/users).

        Raises ``ConflictAtBox`` where the login belongs to another enterprise, and
        what every write raises.
        """
        make = self.create_managed_user(
            name, login, timeout_s=self._settings.call_timeout_s
        )
        return await self._ensure(make, partial(self.find_managed_user, login), 409)

    async def find_managed_user(self, login: str) -> BoxUser | None:
        """Find a user by the whole login (GET /2.0/users, which filters by prefix).

        Letters of ASCII are compared without their case, others exactly.
        """
        query = {"filter_term": login, "user_type": "managed", "fields": _FIELDS}
        found = await self._list_by_offset(
            "/2.0/users", query, _user, page_size=PAGE_SIZE
        )
        return next((user for user in found if same_login(user.login, login)), None)

    async def get_user(self, box_user_id: str) -> BoxUser:
        """Read one user. Raises ``NotFoundAtBox``, ``BoxUnavailable``, ``BoxRefused``."""
        path = f"/2.0/users/{checked_id(box_user_id)}?fields={_FIELDS}"
        return await self._api("GET", path, whole(_user))

    async def examine_user(self, box_user_id: str) -> Standing:
        """Read a user with enterprise and role. Raises what ``get_user`` raises."""
        fields = f"{_FIELDS},enterprise,role"
        path = f"/2.0/users/{checked_id(box_user_id)}?fields={fields}"
        return await self._api("GET", path, whole(_standing))

    async def service_account_id(self) -> str:
        """Return the id of the user that the service's own token stands for."""
        return await self._api("GET", "/2.0/users/me?fields=id", whole(id_of))

    async def every_user(
        self, *, page_size: int = LISTING_PAGE_SIZE
    ) -> AsyncIterator[list[BoxUser]]:
        """Yield all users of the enterprise that the app sees, a page at a time.

        GET /2.0/users by marker: a list by offset ends at 10,000. Waits as Box asks.
        Raises ``BoxUnavailable``, also where a marker leads back to itself;
        ``BoxRefused``.
        """
        asked = {
            "usemarker": "true",
            "user_type": "managed",  # app users included, other enterprises' not
            "limit": str(page_size),
            "fields": _FIELDS,
        }
        parse = partial(marker_page, _user)
        while True:
            path = f"/2.0/users?{urlencode(asked)}"
            page = await patiently(partial(self._api, "GET", path, parse))
            yield page.entries
            if page.next is None:
                return
            if page.next == asked.get("marker"):
                raise NoVerdict(Trouble("GET /2.0/users", "the list has no end"))
            asked["marker"] = page.next

    async def update_user(
        self,
        box_user_id: str,
        *,
        name: str | None = None,
        status: Status | None = None,
        external_app_user_id: str | None = None,
        space_amount: int | None = None,
    ) -> BoxUser:
        """Change what is given (PUT /2.0/users/ID); the same twice is the same once.

        ``space_amount`` in bytes, -1 for unlimited.
        Raises ``NotFoundAtBox``, ``BoxUnavailable``, ``BoxRefused``.
        """
        changes = {
            "name": None if name is None else short_name(name),
            "status": status,
            "external_app_user_id": external_app_user_id,
            "space_amount": space_amount,
        }
        body = {key: value for key, value in changes.items() if value is not None}
        path = f"/2.0/users/{checked_id(box_user_id)}?fields={_FIELDS}"
        return await self._api("PUT", path, whole(_user), body=body)

    async def delete_user(self, box_user_id: str) -> None:
        """Delete one user who owns no content; one who is gone counts as done.

        Raises ``BoxUnavailable``, ``BoxRefused``.
        """
        try:
            await self._api("DELETE", f"/2.0/users/{checked_id(box_user_id)}", nothing)
        except NotFoundAtBox:
            return

    async def terminate_sessions(self, box_user_ids: Sequence[str]) -> None:
        """Ask Box to end every session of these users; it does so a little later.

        POST /2.0/users/terminate_sessions, which may be repeated.
        Raises ``BoxUnavailable``, ``BoxRefused``.
        """
        ids = [checked_id(box_user_id) for box_user_id in box_user_ids]
        body = {"user_ids": ids, "user_logins": list[str]()}
        path = "/2.0/users/terminate_sessions"
        await self._api("POST", path, nothing, body=body)


def _created(external_app_user_id: str, answer: Answer) -> BoxUser:
    user = _user({"status": "active", **answer.json()})
    if user.external_app_user_id not in {None, external_app_user_id}:
        raise Unreadable
    return user


def _created_managed(login: str, answer: Answer) -> BoxUser:
    user = _user({"status": "active", "login": login, **answer.json()})
    # An id of somebody else would give this person that user's content.
    if not same_login(user.login, login) or user.is_platform_access_only is True:
        raise Unreadable
    return user


def same_login(one: str, other: str) -> bool:
    """Compare as Box does, but for letters that only Unicode takes for the same."""
    return one == other or (
        one.isascii() and other.isascii() and one.lower() == other.lower()
    )


def _user(data: Any) -> BoxUser:
    if not isinstance(data, dict):
        raise Unreadable
    status = data.get("status")
    if not isinstance(status, str):
        raise Unreadable
    app_only = data.get("is_platform_access_only")
    return BoxUser(
        id=id_of(data),
        name=text(data, "name") or "",
        login=text(data, "login") or "",
        status=status,
        is_platform_access_only=app_only if isinstance(app_only, bool) else None,
        external_app_user_id=text(data, "external_app_user_id"),
        created_at=text(data, "created_at"),
    )


def _standing(data: Any) -> Standing:
    user = _user(data)
    enterprise = data.get("enterprise")
    known = isinstance(enterprise, dict)
    return Standing(user, id_of(enterprise) if known else None, text(data, "role"))


def _age(user: BoxUser) -> tuple[datetime, int]:
    """Order by age; a user whose age is not known counts as young."""
    try:
        created = datetime.fromisoformat(user.created_at or "")
    except ValueError:
        created = datetime.max.replace(tzinfo=UTC)
    if created.tzinfo is None:
        created = created.replace(tzinfo=UTC)
    return created, int(user.id)

"""Questions to Box that change nothing: what the diagnosis asks.

Source: developer.box.com "Get current user", "List enterprise users", "CORS".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import httpx

from sso_box_api.box.answers import Answer, Unreadable
from sso_box_api.box.api import Api
from sso_box_api.box.budget import CallKind, Lane
from sso_box_api.box.failures import NoVerdict, Refusal
from sso_box_api.box.lists import Page, id_of, offset_page, whole
from sso_box_api.box.transport import Recover

_SAMPLE = 1000  # the most that Box lists at once


@dataclass(frozen=True)
class Whoami:
    """The service account; ``enterprise_id`` None where Box did not say."""

    enterprise_id: str | None


@dataclass(frozen=True)
class SeenUser:
    """A user as far as the diagnosis cares."""

    id: str
    is_app_user: bool
    is_active: bool


class _AsExpected(Exception):
    """Box refused a call without a token, as it should."""

    def __init__(self, date: datetime | None) -> None:
        super().__init__()
        self.date = date


class Probes(Api):
    """Read-only calls. All raise ``NoVerdict``, and ``RefusedByBox`` where said."""

    def __init__(self, client: Api) -> None:
        """Ask over the connection of a client, with its tokens and budgets."""
        # What a client is made of is set once and never exchanged, so it can be shared.
        vars(self).update(vars(client))

    async def reach(self) -> float | None:
        """Call the API without a token; return how far Box's clock is ahead, if told.

        Raises ``RefusedByBox`` for any answer but the 401 that Box gives to that.
        """

        def note(refusal: Refusal) -> bool:
            if refusal.status == httpx.codes.UNAUTHORIZED:
                raise _AsExpected(refusal.date)
            return False

        try:
            await self._without_token("api", "GET", "/2.0/users/me", note)
        except _AsExpected as answer:
            date = answer.date
            return None if date is None else date.timestamp() - self._clock()
        return None

    async def reach_uploads(self) -> None:
        """Call the upload host without a token; any refusal shows that it is there."""

        def note(refusal: Refusal) -> bool:
            raise _AsExpected(refusal.date)

        try:
            await self._without_token("upload", "POST", "/2.0/files/content", note)
        except _AsExpected:
            return
        except NoVerdict as silent:
            if silent.box_status is None or not 400 <= silent.box_status < 500:  # noqa: PLR2004 - HTTP
                raise

    async def _without_token(
        self, kind: CallKind, method: str, path: str, note: Recover
    ) -> None:
        host = self._settings.upload_url if kind == "upload" else None

        async def prepare() -> httpx.Request:
            return self._request(method, path, {}, host=host)

        def impossible(_: Answer) -> None:
            raise Unreadable  # what lets a call without a token in is not Box

        await self._caller.call(Lane(kind, "probe"), prepare, impossible, note)

    async def whoami(self) -> Whoami:
        """Ask whom the service token stands for (GET /2.0/users/me)."""
        path = "/2.0/users/me?fields=id,enterprise"
        return await self._api("GET", path, whole(_whoami))

    async def sample_users(self) -> Page[SeenUser]:
        """See the first users; ``RefusedByBox`` without 'Manage users'."""
        fields = "id,status,is_platform_access_only"
        path = f"/2.0/users?fields={fields}&limit={_SAMPLE}&offset=0"
        return await self._api(
            "GET", path, partial(offset_page, _seen_user, _SAMPLE, 0)
        )

    async def see_root(self) -> None:
        """See the root folder; ``RefusedByBox`` without a content scope."""
        await self._api("GET", "/2.0/folders/0?fields=id", Answer.json)

    async def see_groups(self) -> None:
        """See the groups; ``RefusedByBox`` without 'Manage groups'."""
        await self._api("GET", "/2.0/groups?limit=1", Answer.json)

    async def as_page(self, origin: str) -> None:
        """Call the API as a page of ``origin`` does; ``RefusedByBox`` if Box minds."""
        used = await self.service_token()
        headers = {"authorization": f"Bearer {used.access_token}", "origin": origin}

        async def prepare() -> httpx.Request:
            return self._request("GET", "/2.0/users/me?fields=id", headers)

        await self._caller.call(Lane("api", "service"), prepare, Answer.json)


def _whoami(data: Mapping[str, Any]) -> Whoami:
    id_of(data)
    enterprise = data.get("enterprise")
    known = isinstance(enterprise, dict)
    return Whoami(id_of(enterprise) if known else None)


def _seen_user(data: Any) -> SeenUser:
    return SeenUser(
        id_of(data),
        data.get("is_platform_access_only") is True,
        data.get("status") == "active",
    )

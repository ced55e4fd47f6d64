"""Calls to Box's API in the name of the service account or of a user.

Between ``auth``, which has the tokens, and the modules that know the endpoints. Here
stand the three forms that those share: a call, a whole list, and a thing that shall be
there, whoever made it. Source of the list forms: developer.box.com "Pagination".
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar
from urllib.parse import urlencode

import httpx

from sso_box_api.box.answers import Parse
from sso_box_api.box.auth import Auth, refuses_the_token
from sso_box_api.box.budget import CallKind, Lane
from sso_box_api.box.failures import (
    NoVerdict,
    OutcomeUnknown,
    Refusal,
    RefusedByBox,
    Trouble,
)
from sso_box_api.box.lists import Read, marker_page, offset_page
from sso_box_api.box.tokens import BoxToken

T = TypeVar("T")

MAX_PAGES = 10
MAX_MARKER_PAGES = 50


@dataclass(frozen=True)
class Ensured(Generic[T]):
    """What is there now. ``created``: by this very call, as far as Box told."""

    thing: T
    created: bool


class Api(Auth):
    """Everything that is asked of Box with an access token."""

    async def _api(
        self,
        method: str,
        path: str,
        parse: Parse[T],
        *,
        body: Mapping[str, object] | None = None,
        as_user: str | None = None,
        once_within_s: float | None = None,
    ) -> T:
        """Call the API as the service account, or with the token of a user.

        ``once_within_s`` is for a write that must not be repeated: there a refused
        token is ``BoxUnavailable``, for nothing was done.
        """
        content = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"content-type": "application/json"}

        def build(authorization: Mapping[str, str]) -> httpx.Request:
            return self._request(method, path, {**headers, **authorization}, content)

        return await self._authorized("api", build, parse, as_user, once_within_s)

    async def _authorized(
        self,
        kind: CallKind,
        build: Callable[[Mapping[str, str]], httpx.Request],
        parse: Parse[T],
        as_user: str | None,
        once_within_s: float | None,
    ) -> T:
        """Make a call with a kept token, which is renewed once if Box refuses it."""
        kept = self._service if as_user is None else self._user(as_user)
        lane = Lane(kind, as_user or "service")
        used: BoxToken | None = None

        async def prepare() -> httpx.Request:
            nonlocal used
            used = await kept.get()
            return build({"authorization": f"Bearer {used.access_token}"})

        def renew(refusal: Refusal) -> bool:
            if not refuses_the_token(refusal.status, refusal.code):
                return False
            kept.forget(used)
            return True

        if once_within_s is None:
            return await self._caller.call(lane, prepare, parse, renew)
        try:
            return await self._caller.call_once(
                lane, prepare, parse, timeout_s=once_within_s
            )
        except RefusedByBox as refused:
            if not refuses_the_token(refused.box_status, refused.box_code):
                raise
            kept.forget(used)
            raise NoVerdict(Trouble(refused.reason), retry_after_s=1) from None

    async def _write(
        self,
        method: str,
        path: str,
        parse: Parse[T],
        body: Mapping[str, object],
        *,
        as_user: str | None = None,
    ) -> T:
        """Send a write that must not be repeated, with the time of one call."""
        within_s = self._settings.call_timeout_s
        return await self._api(
            method, path, parse, body=body, as_user=as_user, once_within_s=within_s
        )

    async def _ensure(
        self,
        make: Awaitable[T],
        look: Callable[[], Awaitable[T | None]],
        *there_by: int,
    ) -> Ensured[T]:
        """Make a thing once, or find it where Box says or may mean that it is there.

        ``there_by`` are the statuses of that. A write with an unknown outcome is settled
        by the look alone; if that shows nothing, its ``OutcomeUnknown`` stands.
        """
        try:
            return Ensured(await make, created=True)
        except RefusedByBox as refused:
            if refused.box_status not in there_by:
                raise
            found = await look()
            if found is None:
                raise
        except OutcomeUnknown as unknown:
            try:
                found = await look()
            except NoVerdict:
                raise unknown from None
            if found is None:
                raise
        return Ensured(found, created=False)

    async def _list_by_offset(
        self, path: str, query: Mapping[str, str], read: Read[T], *, page_size: int
    ) -> list[T]:
        """Return a whole list; raises ``NoVerdict`` where it has no end."""
        found: list[T] = []
        offset = 0
        for _ in range(MAX_PAGES):
            asked = {**query, "limit": str(page_size), "offset": str(offset)}
            parse = partial(offset_page, read, page_size, offset)
            page = await self._api("GET", f"{path}?{urlencode(asked)}", parse)
            found += page.entries
            if page.next is None:
                return found
            offset = int(page.next)
        raise _endless(path)

    async def _list_by_marker(
        self,
        path: str,
        query: Mapping[str, str],
        read: Read[T],
        *,
        as_user: str | None = None,
    ) -> list[T]:
        """Return a whole list; raises ``NoVerdict`` where it has no end."""
        found: list[T] = []
        asked = {**query, "limit": "1000"}
        for _ in range(MAX_MARKER_PAGES):
            page = await self._api(
                "GET",
                f"{path}?{urlencode(asked)}",
                partial(marker_page, read),
                as_user=as_user,
            )
            found += page.entries
            if page.next is None:
                return found
            asked["marker"] = page.next
        raise _endless(path)


def _endless(path: str) -> NoVerdict:
    # What was not seen in a part of a list is not what is not there.
    return NoVerdict(Trouble(f"GET {path} more pages than there can be"))

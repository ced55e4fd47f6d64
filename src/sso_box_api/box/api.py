"""Calls to Box's API in the name of the service account or of a user.

Between ``auth``, which has the tokens, and the modules that know the endpoints.
"""

import json
from collections.abc import Callable, Mapping
from typing import TypeVar

import httpx

from sso_box_api.box.answers import Refusal
from sso_box_api.box.auth import Auth
from sso_box_api.box.budget import Kind, Lane
from sso_box_api.box.failures import NoVerdict, RefusedByBox, Trouble
from sso_box_api.box.tokens import BoxToken
from sso_box_api.box.verdict import Parse

T = TypeVar("T")


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
        kind: Kind,
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
            if refusal.status != httpx.codes.UNAUTHORIZED:
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
            if refused.box_status != httpx.codes.UNAUTHORIZED:
                raise
            kept.forget(used)
            raise NoVerdict(Trouble(refused.reason), retry_after_s=1) from None

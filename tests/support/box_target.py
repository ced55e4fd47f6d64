"""A Box to hold to the contract: where it is, and the app users made there for a run."""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import httpx

from tests.support.box_caller import BoxCaller, Hidden

LOOPBACK = {"127.0.0.1", "::1", "localhost"}
FIELDS = "id,name,login,status,is_platform_access_only,external_app_user_id,created_at"
PREFIX = "contract-"
PAUSES_S = (0, 1, 2, 4, 8)

T = TypeVar("T")


@dataclass(frozen=True)
class Target:
    """Box's two hosts, and the content of the config.json of an app there."""

    api_url: str
    upload_url: str
    config: dict[str, Any] = field(repr=False)

    @classmethod
    def read(cls, config: Path, url: str | None = None) -> Self:
        """Of real Box, or of whatever answers for both of its hosts at ``url``."""
        content = json.loads(config.read_bytes())
        if url is None:
            return cls("https://api.box.com", "https://upload.box.com/api", content)
        parsed = httpx.URL(url)
        # Secrets and tokens go there.
        if parsed.scheme != "https" and parsed.host not in LOOPBACK:
            raise ValueError("plain http is for loopback addresses only")
        return cls(url, f"{url.rstrip('/')}/api", content)


@dataclass(frozen=True)
class AppUser:
    """What was asked for, and what Box said when it was made."""

    name: str
    external_id: str
    made: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.made["id"])


class Person(NamedTuple):
    """An app user with a token of its own."""

    user: AppUser
    token: Hidden


class AppUsers:
    """The app users of one run, told from all others by ids that nobody else has."""

    def __init__(
        self,
        box: BoxCaller,
        service_token: str,
        pauses_s: Sequence[float] = PAUSES_S,
    ) -> None:
        self._box = box
        self._service_token = service_token
        self._pauses_s = pauses_s
        self._made: dict[str, str | None] = {}

    async def add(self, name: str) -> AppUser:
        external_id = new_external_id()
        # Noted first: Box may create a user and its answer may get lost.
        self._made[external_id] = None
        answer = await self._post(name, external_id)
        assert answer.status_code == 201, answer.text
        user = AppUser(name, external_id, answer.json())
        self._made[external_id] = user.id
        return user

    async def find(self, external_id: str) -> list[dict[str, Any]]:
        """Those with exactly this id: Box does not say that its filter is exact."""
        query = {"external_app_user_id": external_id, "fields": FIELDS}
        answer = await self._box.call(
            self._service_token, "GET", "/2.0/users", params=query
        )
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["entries"]
        return [
            user for user in found if user.get("external_app_user_id") == external_id
        ]

    async def delete(self, user_id: str) -> httpx.Response:
        """With all that the user owns."""
        query = {"force": "true", "notify": "false"}
        path = f"/2.0/users/{user_id}"
        return await self._box.call(self._service_token, "DELETE", path, params=query)

    async def remove(self) -> None:
        """Delete each of them; whoever could not be deleted is named."""
        left = []
        for external_id in self._made:
            try:
                await self._remove(external_id)
            except (AssertionError, httpx.HTTPError):
                left.append(external_id)
        assert not left, f"still at Box, delete them there: {left}"

    async def _post(self, name: str, external_id: str) -> httpx.Response:
        body = {
            "name": name,
            "is_platform_access_only": True,
            "external_app_user_id": external_id,
            "space_amount": 1_073_741_824,
        }
        return await self._box.call(
            self._service_token,
            "POST",
            "/2.0/users",
            params={"fields": FIELDS},
            json=body,
        )

    async def _remove(self, external_id: str) -> None:
        known = self._made[external_id]
        await self._delete_all({known} if known else set())
        # Those whose answer was lost.
        await self._delete_all({user["id"] for user in await self.find(external_id)})

    async def _delete_all(self, user_ids: set[str]) -> None:
        for user_id in user_ids:
            ask = partial(self.delete, user_id)
            answer = await eventually(ask, _no_longer_there, self._pauses_s)
            assert _no_longer_there(answer)


def new_external_id() -> str:
    return f"{PREFIX}{uuid.uuid4().hex[:24]}"


async def eventually(
    ask: Callable[[], Awaitable[T]],
    done: Callable[[T], bool],
    pauses_s: Sequence[float] = PAUSES_S,
) -> T:
    """The first answer that will do, or the last.

    Box documents no time after which what one call did shows in the next.
    """
    answer = await ask()
    for pause_s in pauses_s:
        if done(answer):
            break
        await asyncio.sleep(pause_s)
        answer = await ask()
    return answer


def _no_longer_there(answer: httpx.Response) -> bool:
    return answer.status_code in {204, 404}

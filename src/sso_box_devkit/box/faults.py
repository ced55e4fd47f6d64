"""Failures on order: a status, a delay, a lost connection, before or after the work.

Set with ``POST /_emulator/faults``; the first one that fits a call is used up.
"""

import asyncio
import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Fault(BaseModel):
    """``times`` None lasts until the faults are cleared. ``path`` may end in ``*``.

    Without ``status`` and ``drop`` the call is only slow. ``after_commit`` does the
    work at once, then waits, then fails: what was done is not told.
    """

    model_config = ConfigDict(extra="forbid")

    method: str = "*"
    path: str = "*"
    times: Annotated[int, Field(ge=1)] | None = 1
    status: Annotated[int, Field(ge=200, le=599)] | None = None
    headers: dict[str, str] = {}
    body: Any = None
    delay_ms: float = Field(default=0, ge=0, le=600_000)
    after_commit: bool = False
    drop: bool = False

    def fits(self, method: str, path: str) -> bool:
        if self.method not in ("*", method):
            return False
        if self.path.endswith("*"):
            return path.startswith(self.path[:-1])
        return path == self.path

    async def play(
        self, app: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer in place of ``app``, or round it."""
        held: list[Message] = []
        if self.after_commit:
            await app(scope, receive, _collector(held))
        await asyncio.sleep(self.delay_ms / 1000)
        if self.drop:
            await hang_up(receive)
        elif self.status is not None:
            await self._fail(send, self.status)
        elif held:
            for message in held:
                await send(message)
        else:
            await app(scope, receive, send)

    async def _fail(self, send: Send, status: int) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        if self.body is None or isinstance(self.body, str):
            content = (self.body or "").encode()
        else:
            content = json.dumps(self.body).encode()
            headers.setdefault("content-type", "application/json")
        headers["content-length"] = str(len(content))
        raw = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": content})


class Faults:
    """The ordered failures of one enterprise, oldest first."""

    def __init__(self) -> None:
        self._armed: list[tuple[Fault, int | None]] = []

    def arm(self, fault: Fault) -> None:
        self._armed.append((fault, fault.times))

    def take(self, method: str, path: str) -> Fault | None:
        for position, (fault, left) in enumerate(self._armed):
            if not fault.fits(method, path):
                continue
            if left == 1:
                del self._armed[position]
            elif left is not None:
                self._armed[position] = (fault, left - 1)
            return fault
        return None

    def armed(self) -> list[dict[str, Any]]:
        """With ``times`` as what is left of it."""
        return [{**fault.model_dump(), "times": left} for fault, left in self._armed]

    def clear(self) -> None:
        self._armed.clear()


async def hang_up(receive: Receive) -> None:
    """Close the connection without a byte of an answer.

    ASGI has no word for it: an application that returns or raises without an answer
    makes the server write a 500. Under uvicorn the bound ``receive`` leads to the
    transport; after the abort the client sees a disconnect ("server disconnected
    without sending a response"). In process there is no connection to close, so
    the caller gets a ConnectionResetError.
    """
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionResetError("fault: connection dropped")
    transport.abort()
    # Only once uvicorn knows of the disconnect does it accept a missing answer.
    while (await receive())["type"] != "http.disconnect":
        pass


def _collector(held: list[Message]) -> Send:
    async def collect(message: Message) -> None:
        held.append(message)

    return collect

"""Failures on order: a status, a delay, a damaged body, a lost connection.

Before the work or after it.

Set with ``POST /_emulator/faults``; the first one that fits a call is used up.
"""

import asyncio
import json
from contextlib import suppress
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY = "http.response.body"


class Fault(BaseModel):
    """``times`` None lasts until the faults are cleared. ``path`` may end in ``*``.

    Without ``status`` and ``drop`` the answer is the emulator's own, late or damaged.
    ``after_commit`` does the work at once, then waits, then fails: what was done is
    not told. ``truncate_at`` ends a body after so many bytes as if that were all of
    it; with ``reset`` the connection breaks there instead (half-way, if no place is
    named). ``dribble_ms`` is the pause before each single byte of a body.
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
    truncate_at: Annotated[int, Field(ge=0)] | None = None
    reset: bool = False
    dribble_ms: float = Field(default=0, ge=0, le=10_000)

    def fits(self, method: str, path: str) -> bool:
        if self.method not in ("*", method):
            return False
        if self.path.endswith("*"):
            return path.startswith(self.path[:-1])
        return path == self.path

    @property
    def spoils(self) -> bool:
        """Whether the answer is no longer the emulator's own."""
        return self.status is not None or self.truncate_at is not None or self.reset

    async def play(
        self,
        app: ASGIApp,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        cleared: asyncio.Event,
    ) -> None:
        """Answer in place of ``app``, or round it; once ``cleared``, without delay."""
        held: list[Message] = []
        if self.after_commit:
            await app(scope, receive, _collector(held))
        with suppress(TimeoutError):
            async with asyncio.timeout(self.delay_ms / 1000):
                await cleared.wait()
        if self.drop:
            await hang_up(receive)
            return
        if self.status is not None:
            held = [*self._failure(self.status)]
        elif not held:
            await app(scope, receive, _collector(held))
        await self._send(held, receive, send)

    def _failure(self, status: int) -> tuple[Message, Message]:
        headers = {name.lower(): value for name, value in self.headers.items()}
        if self.body is None or isinstance(self.body, str):
            content = (self.body or "").encode()
            if content.startswith(b"<"):
                headers.setdefault("content-type", "text/html")
        else:
            content = json.dumps(self.body).encode()
            headers.setdefault("content-type", "application/json")
        headers["content-length"] = str(len(content))
        raw = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()]
        return (
            {"type": "http.response.start", "status": status, "headers": raw},
            {"type": BODY, "body": content},
        )

    async def _send(self, held: list[Message], receive: Receive, send: Send) -> None:
        start, *rest = held
        body = b"".join(message.get("body", b"") for message in rest)
        half = len(body) // 2 if self.reset else len(body)
        sent = body[: half if self.truncate_at is None else self.truncate_at]
        if len(sent) != len(body) and not self.reset:
            MutableHeaders(raw=start["headers"])["content-length"] = str(len(sent))
        await send(start)
        for chunk in _bytes_of(sent) if self.dribble_ms else [sent]:
            await asyncio.sleep(self.dribble_ms / 1000)
            await send({"type": BODY, "body": chunk, "more_body": True})
        if self.reset:
            await hang_up(receive)
        else:
            await send({"type": BODY, "body": b"", "more_body": False})


class Faults:
    """The ordered failures of one enterprise, oldest first."""

    def __init__(self) -> None:
        self._armed: list[tuple[Fault, int | None]] = []
        self.cleared = asyncio.Event()

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
        """Remove all that are left, and let go whom one delays."""
        self._armed.clear()
        self.cleared.set()
        self.cleared = asyncio.Event()


async def hang_up(receive: Receive) -> None:
    """Close the connection without a further byte of an answer.

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


def _bytes_of(body: bytes) -> list[bytes]:
    return [body[at : at + 1] for at in range(len(body))]


def _collector(held: list[Message]) -> Send:
    async def collect(message: Message) -> None:
        held.append(message)

    return collect

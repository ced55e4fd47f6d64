"""Box as a process sees it that is stopped, or answered badly, at one of its calls."""

import asyncio
from typing import Literal

import httpx
from typing_extensions import override

# Stopped before the call left; after Box had done it; answered 503 without doing it.
Fate = Literal["stop before", "stop after", "unavailable"]


class Interrupted(httpx.AsyncBaseTransport):
    """Passes calls on, until the one that is fated.

    ``reached``: that one came; ``stopped``: and it hangs until its task is cancelled.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self._fate: Fate = "stop before"
        self._left = 0
        self._held = ""
        self.holding = 0
        self.reached = asyncio.Event()
        self.stopped = asyncio.Event()
        self.go_on = asyncio.Event()

    def arm(self, number: int, fate: Fate) -> None:
        """Let the ``number``-th call from now, counted from 1, meet its fate."""
        self._left, self._fate = number, fate
        self.reached, self.stopped = asyncio.Event(), asyncio.Event()

    def hold(self, path: str) -> None:
        """Let calls to ``path`` wait for ``go_on``; ``holding`` counts those that do."""
        self._held = path

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == self._held:
            self.holding += 1
            try:
                await self.go_on.wait()
            finally:
                self.holding -= 1
        self._left -= 1
        if self._left != 0:
            return await self._inner.handle_async_request(request)
        self.reached.set()
        if self._fate == "unavailable":
            return httpx.Response(503, stream=httpx.ByteStream(b""))
        if self._fate == "stop after":
            await self._inner.handle_async_request(request)
        self.stopped.set()
        never: asyncio.Future[httpx.Response] = asyncio.Future()
        return await never

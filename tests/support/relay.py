"""A way to PostgreSQL that can go silent: packets are dropped, and nobody hangs up.

Or it can be cut, which is what a server that was stopped looks like; or be deaf, as a
pooler in transaction mode is: what PostgreSQL tells of its own accord is dropped.

In a thread of its own, so that it passes everything on whatever the test is busy with.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Self
from urllib.parse import urlsplit


class Relay:
    """Passes connections on to the server of a database URL; ``url`` leads through it.

    ``held``: connections that were opened in the silence, and wait for its end.
    ``dropped``: notifications that nobody was told of.
    """

    def __init__(self, url: str, loop: asyncio.AbstractEventLoop) -> None:
        self._to = urlsplit(url)
        self._loop = loop
        self._heard = asyncio.Event()
        self._passing: set[_Passing] = set()
        self._accepting: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None
        self._is_deaf = False
        self.held = 0
        self.dropped = 0

    @classmethod
    @contextmanager
    def to(cls, *urls: str) -> Iterator[list[Self]]:
        """Run one relay for each URL."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        relays = [cls(url, loop) for url in urls]
        try:
            for relay in relays:
                asyncio.run_coroutine_threadsafe(relay._start(), loop).result()
            yield relays
        finally:
            asyncio.run_coroutine_threadsafe(_end(relays), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    @property
    def url(self) -> str:
        assert self._server
        port = self._server.sockets[0].getsockname()[1]
        netloc = self._to.netloc.rsplit(":", 1)[0] + f":{port}"
        return self._to._replace(netloc=netloc).geturl()

    def silence(self) -> None:
        """Pass nothing on any more: what stands never again, what is opened later."""
        asyncio.run_coroutine_threadsafe(self._silence(), self._loop).result()

    def restore(self) -> None:
        """Let through what is opened, and what was opened in the silence."""
        self._loop.call_soon_threadsafe(self._heard.set)

    def cut(self) -> None:
        """Hang up on everybody, and refuse whoever comes from now on."""
        asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result()

    def lead_elsewhere(self, *, is_deaf: bool) -> None:
        """Hang up on everybody; who comes from now on is told nothing, or is again."""
        self._is_deaf = is_deaf
        asyncio.run_coroutine_threadsafe(self._hang_up(), self._loop).result()

    async def _cut(self) -> None:
        await self.close()
        await self._hang_up()

    async def _hang_up(self) -> None:
        for each in self._passing:
            each.hang_up()

    async def _silence(self) -> None:
        self._heard.clear()
        for each in self._passing:
            each.is_silent = True

    async def _start(self) -> None:
        self._heard.set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1")

    async def close(self) -> None:
        """Accept nobody any more, and lose nobody who was accepted a moment ago.

        A connection that asyncio accepted, and did not hand on before the server was
        closed, is one that nobody closes (``Server._attach`` fails).
        """
        assert self._server
        for listener in self._server.sockets:
            self._loop.remove_reader(listener.fileno())
        await asyncio.sleep(0)
        self._server.close()

    def abort(self) -> None:
        """Close what is still open, unsent or not."""
        for writer in self._writers:
            writer.transport.abort()

    def _accept(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        # No coroutine: one that is cancelled before its first step closes nothing.
        self._writers.append(writer)
        task = self._loop.create_task(self._serve(reader, writer))
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)
        task.add_done_callback(lambda _: writer.close())

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.held += 1
        try:
            await self._heard.wait()
        finally:
            self.held -= 1
        each = _Passing(self._drop if self._is_deaf else None)
        self._passing.add(each)
        try:
            with suppress(OSError):
                answers, requests = await asyncio.open_connection(
                    self._to.hostname, self._to.port
                )
                self._writers.append(requests)
                await each.pass_on((reader, requests), (answers, writer))
        finally:
            self._passing.discard(each)

    def _drop(self) -> None:
        self.dropped += 1


class _Passing:
    """One connection of the service, as two of ours.

    ``drop``: what to call for each notification, which is not passed on then.
    """

    def __init__(self, drop: Callable[[], None] | None) -> None:
        self.is_silent = False
        self._drop = drop
        self._pumps: list[asyncio.Task[None]] = []

    def hang_up(self) -> None:
        for pump in self._pumps:
            pump.cancel()

    async def pass_on(
        self, *ways: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    ) -> None:
        """Both ways, until one end hangs up."""
        of_requests, of_answers = ways
        pumps = self._pumps = [
            asyncio.create_task(self._pump(*of_requests)),
            asyncio.create_task(
                self._pump_all_but_notifications(*of_answers, self._drop)
                if self._drop
                else self._pump(*of_answers)
            ),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.hang_up()
            await asyncio.gather(*pumps, return_exceptions=True)
            for _, writer in ways:
                writer.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(65_536):
            if not self.is_silent:
                writer.write(data)

    async def _pump_all_but_notifications(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        drop: Callable[[], None],
    ) -> None:
        """By the messages of the protocol (PostgreSQL manual, section 54.7)."""
        with suppress(asyncio.IncompleteReadError):
            # The answer to the request for TLS, which is no message.
            writer.write(await reader.readexactly(1))
            while True:
                head = await reader.readexactly(5)
                body = await reader.readexactly(int.from_bytes(head[1:]) - 4)
                if head[:1] == b"A":
                    drop()
                else:
                    writer.write(head + body)


async def _end(relays: Sequence[Relay]) -> None:
    for relay in relays:
        await relay.close()
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in others:
            task.cancel()
        await asyncio.wait(others)
    for relay in relays:
        relay.abort()

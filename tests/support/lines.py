"""Connections to one worker each, and a steady load over all of them.

The kernel gives a connection to a worker of its choice, and there it stays. So who
knows the worker of each connection knows that every worker was asked.
"""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, NamedTuple

import psutil

from tests.support.commands import FULL, WORKERS, Server
from tests.support.secrecy import WATCH

_TRIES = 60
_STOPPED_AT_MOST_S = 1.0
# Shorter, the load would take the whole machine from the tests beside it.
_PAUSE_S = 0.005 if FULL else 0.03


class Answer(NamedTuple):
    """``started`` and ``ended`` by ``time.monotonic``, as the caller saw it."""

    worker: int
    request_id: str
    status: int
    body: dict[str, Any]
    started: float
    ended: float

    @property
    def code(self) -> str:
        return str(self.body.get("code", ""))

    @property
    def token(self) -> str:
        return str(self.body["access_token"])


class Line:
    """A keep-alive connection; one request at a time."""

    def __init__(
        self,
        server: Server,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.server = server
        self._reader = reader
        self._writer = writer
        self.worker = 0

    @classmethod
    async def open(cls, server: Server) -> "Line":
        line = cls(server, *await asyncio.open_connection("127.0.0.1", server.port))
        try:
            # It was accepted before it is answered.
            await line.ask("GET", "/livez")
        except BaseException:
            line.close()
            raise
        port = line._writer.get_extra_info("sockname")[1]
        line.worker = server.worker_of(port) or 0
        assert line.worker, "no worker has the connection"
        return line

    async def ask(
        self,
        method: str,
        path: str,
        token: str = "",
        body: Mapping[str, object] | None = None,
    ) -> Answer:
        """Raises ``ConnectionError`` where the worker hangs up."""
        content = json.dumps(body).encode() if body else b""
        head = [
            f"{method} {path} HTTP/1.1",
            "Host: api",
            f"Content-Length: {len(content)}",
        ]
        if token:
            head.append(f"Authorization: Bearer {token}")
        if content:
            head.append("Content-Type: application/json")
        started = time.monotonic()
        self._writer.write("\r\n".join([*head, "", ""]).encode() + content)
        try:
            top = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            status, *named = top.lower().rstrip().split("\r\n")
            headers = dict(line.split(": ", 1) for line in named)
            length = int(headers.get("content-length", 0))
            answer = await self._reader.readexactly(length)
        except asyncio.IncompleteReadError as error:
            raise ConnectionResetError("the server hung up") from error
        if " 200 " not in status:
            WATCH.read(f"{status} to {method} {path}", f"{top} {answer.decode()}")
        return Answer(
            self.worker,
            headers.get("x-request-id", ""),
            int(status.split()[1]),
            json.loads(answer) if answer else {},
            started,
            time.monotonic(),
        )

    def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def lines(servers: Iterable[Server]) -> AsyncIterator[list[Line]]:
    """One line to each worker of each server."""
    opened: list[Line] = []
    try:
        for server in servers:
            held: list[Line] = []
            for _ in range(_TRIES):
                with suppress(TimeoutError):
                    held.append(await _to_another(server, held))
                    opened.append(held[-1])
                if len(held) == WORKERS:
                    break
            assert len({line.worker for line in held}) == WORKERS
        yield opened
    finally:
        for line in opened:
            line.close()


async def _to_another(server: Server, held: Iterable[Line]) -> Line:
    """Open a line to a worker that has none: the others are stopped meanwhile.

    For so short a time that the process above them does not take them for dead.
    """
    with ExitStack() as stopped:
        for line in held:
            worker = psutil.Process(line.worker)
            stopped.callback(worker.resume)
            worker.suspend()
        async with asyncio.timeout(_STOPPED_AT_MOST_S):
            return await Line.open(server)


@dataclass
class Load:
    """What each worker answered one person, in the order of the questions.

    ``warm``: from when on each worker has answered each order three times.
    """

    warm: float = 0.0
    answers: dict[int, list[Answer]] = field(default_factory=lambda: defaultdict(list))

    _more: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, answer: Answer) -> None:
        self.answers[answer.worker].append(answer)
        self._more.set()

    @property
    def all(self) -> list[Answer]:
        return [answer for of_one in self.answers.values() for answer in of_one]

    @property
    def tokens(self) -> set[str]:
        return {answer.token for answer in self.all if answer.status == 200}

    def last_success_after(self, moment: float) -> float:
        """Seconds from ``moment`` to the start of the last success; 0 if before."""
        started = [a.started for a in self.all if a.status == 200]
        return max(0.0, max(started, default=moment) - moment)

    def last_success_between(self, begin: float, end: float) -> float:
        """When the last success began of those that ended in between."""
        ended = [a for a in self.all if a.status == 200 and begin < a.ended < end]
        return max((answer.started for answer in ended), default=begin)

    async def served_everywhere(self) -> None:
        """Wait until every worker's last answer is a success."""
        while not all(of_one[-1].status == 200 for of_one in self.answers.values()):
            await self._next()

    async def refused_everywhere(self, code: str, *, times: int = 3) -> None:
        """Wait until every worker's last answers are this refusal."""
        while not all(
            [a.code for a in of_one[-times:]] == [code] * times
            for of_one in self.answers.values()
        ):
            await self._next()

    async def _next(self) -> None:
        self._more.clear()
        await self._more.wait()

    def last_successes(self) -> dict[int, Answer]:
        """Of each worker the last one."""
        return {
            worker: [a for a in of_one if a.status == 200][-1]
            for worker, of_one in self.answers.items()
        }


@asynccontextmanager
async def steady_load(
    over: Sequence[Line], id_token: str, orders: Sequence[Mapping[str, object]]
) -> AsyncIterator[Load]:
    """Ask over every line, one order after the other, until the block ends.

    It begins once every worker has answered each order three times with success.
    """
    load, ended = Load(), asyncio.Event()

    async def ask(line: Line, order: Mapping[str, object]) -> Answer:
        answer = await line.ask("POST", "/v1/token", id_token, order)
        load.add(answer)
        return answer

    async def ask_on(line: Line) -> None:
        # To the end of an answer: the next one over this line is somebody else's.
        for order in cycle(orders):
            if ended.is_set():
                return
            await ask(line, order)
            await asyncio.sleep(_PAUSE_S)

    for line in over:
        for order in [*orders] * 3:
            answer = await ask(line, order)
            assert answer.status == 200, answer.body
    load.warm = time.monotonic()
    tasks = [asyncio.create_task(ask_on(line)) for line in over]
    try:
        yield load
    finally:
        ended.set()
        # A line that was cut would look like one that is refused for ever.
        await asyncio.gather(*tasks)

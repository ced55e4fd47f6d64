"""Processes of the service that are stopped or killed at a point of a first login.

A point is where something leaves the process or arrives there: a call to Box before it
is sent and once it is answered, a transaction that wrote before and after its commit.
Nothing of the service is replaced: the calls are seen by a transport round the
production one, the transactions by the database library's own events. So a point that
somebody adds to the code shows here by itself.
"""

import asyncio
import multiprocessing
import os
import re
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection as Pipe
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.orm import Session
from typing_extensions import override

from sso_box_api.app import create_app
from sso_box_api.box import open_transport
from sso_box_api.errors import SsoBoxError
from sso_box_api.exchange import ExchangeRequest
from sso_box_api.identity import ProviderTransport, UnverifiedToken
from sso_box_api.parts import open_parts
from sso_box_api.settings import BoxSettings, Settings

# Not the locks of FOR UPDATE, nor what ON CONFLICT does instead.
_WRITES = re.compile(
    r"(?<!FOR )(?<!KEY )(?<!DO )(INSERT INTO|UPDATE|DELETE FROM) (\w+)"
)
_VERBS = {"INSERT INTO": "insert", "UPDATE": "update", "DELETE FROM": "delete"}

# The public certificates are read here, once for all who are forked.
open_transport(BoxSettings.model_validate({"config": "{}"}))
ProviderTransport([])


@dataclass
class Points:
    """Counts the points of this process as it comes to them, and acts at one."""

    die_at: str | None = None
    stop_at: str | None = None
    seen: list[str] = field(default_factory=list)

    def reach(self, point: str) -> None:
        # What is done several times is a point once and once more.
        if point in self.seen:
            point += ", again"
        if point in self.seen:
            return
        self.seen.append(point)
        if point == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if point == self.stop_at:
            os.kill(os.getpid(), signal.SIGSTOP)

    def watch_commits(self) -> None:
        self._watch_transactions()
        event.listen(Engine, "before_cursor_execute", partial(self._alone, "before"))
        event.listen(Engine, "after_cursor_execute", partial(self._alone, "after"))

    def _watch_transactions(self) -> None:
        writes: list[str] = []

        def note(
            connection: Connection, _: object, statement: str, *__: object
        ) -> None:
            if not _commits_by_itself(connection):
                writes.extend(_writes_in(statement))

        def before(session: Session) -> None:
            session.flush()
            if writes and not session.in_nested_transaction():
                self.reach(f"commit of {', '.join(dict.fromkeys(writes))}: before")

        def after(session: Session) -> None:
            if writes and not session.in_nested_transaction():
                done = ", ".join(dict.fromkeys(writes))
                writes.clear()
                self.reach(f"commit of {done}: after")

        event.listen(Engine, "before_cursor_execute", note)
        event.listen(Session, "before_commit", before)
        event.listen(Session, "after_commit", after)

    def _alone(
        self, when: str, connection: Connection, _: object, statement: str, *__: object
    ) -> None:
        """A statement that is a transaction by itself."""
        writes = _writes_in(statement)
        if writes and _commits_by_itself(connection):
            self.reach(f"commit of {', '.join(writes)}: {when}")


def _writes_in(statement: str) -> list[str]:
    return [f"{_VERBS[verb]} {table}" for verb, table in _WRITES.findall(statement)]


def _commits_by_itself(connection: Connection) -> bool:
    options = connection.get_execution_options()
    return "isolation_level" not in options


class Watched(httpx.AsyncBaseTransport):
    """The production transport, with a point before and after each call."""

    def __init__(self, transport: httpx.AsyncBaseTransport, points: Points) -> None:
        self._transport = transport
        self._points = points

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        call = f"{request.method} {re.sub(r'/[0-9]+(?=/|$)', '/ID', request.url.path)}"
        if request.url.path == "/oauth2/token":
            call += f" ({_purpose(request.content)})"
        self._points.reach(f"{call}: before")
        response = await self._transport.handle_async_request(request)
        body = await response.aread()
        self._points.reach(f"{call}: after")
        return httpx.Response(
            response.status_code, headers=response.headers, content=body
        )

    @override
    async def aclose(self) -> None:
        await self._transport.aclose()


def _purpose(form: bytes) -> str:
    if b"token-exchange" in form:
        return "downscope"
    return "token"


@dataclass
class Victim:
    """A process with one first login under way; ``report`` is what it tells at the end."""

    process: BaseProcess
    report: Pipe

    async def ended(self) -> int | None:
        """Wait for its end; negative is the signal that killed it."""
        # In this thread alone: starting another process asks after this one, too.
        while self.process.exitcode is None:  # noqa: ASYNC110 - nothing to wait on
            await asyncio.sleep(0.01)
        return self.process.exitcode

    async def told(self) -> tuple[list[str], str]:
        """The points it came to, and the Box user or the error's code."""
        assert await self.ended() == 0
        points, outcome = self.report.recv()
        return points, outcome

    async def stopped(self) -> None:
        while not self._is_stopped():  # noqa: ASYNC110 - nothing to wait on
            await asyncio.sleep(0.01)

    def _is_stopped(self) -> bool:
        """By the state in proc(5)'s stat, which follows the name in brackets."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        return stat.rsplit(")", 1)[1].split()[0] == "T"

    def go_on(self) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGCONT)


class Victims:
    """Starts them from a process that has imported everything once."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__])
        self._children: list[BaseProcess] = []

    def log_in(
        self,
        settings: dict[str, Any],
        id_token: str,
        *,
        die_at: str | None = None,
        stop_at: str | None = None,
    ) -> Victim:
        ours, theirs = self._context.Pipe()
        process = self._start(_log_in, settings, id_token, die_at, stop_at, theirs)
        theirs.close()
        return Victim(process, ours)

    def serve(self, settings: dict[str, Any], port: int) -> BaseProcess:
        return self._start(_serve, settings, port)

    def _start(self, target: Callable[..., None], *args: object) -> BaseProcess:
        process = self._context.Process(target=target, args=args, daemon=True)
        process.start()
        self._children.append(process)
        return process

    def close(self) -> None:
        for process in self._children:
            with suppress(ValueError):
                process.kill()
                process.join()


def _log_in(
    values: dict[str, Any],
    id_token: str,
    die_at: str | None,
    stop_at: str | None,
    report: Pipe,
) -> None:
    points = Points(die_at, stop_at)
    points.watch_commits()
    outcome = asyncio.run(_exchange(values, id_token, points))
    report.send((points.seen, outcome))


async def _exchange(values: dict[str, Any], id_token: str, points: Points) -> str:
    settings = Settings.model_validate(values)
    watched = Watched(open_transport(settings.box), points)
    async with open_parts(settings, mounts={settings.box.api_url: watched}) as parts:
        binder = parts.binder()
        request = ExchangeRequest(UnverifiedToken(id_token))
        try:
            return (
                await parts.exchange(binder, parts.provisioner()).exchange(request)
            ).box_user_id
        except SsoBoxError as error:
            return error.code
        finally:
            await binder.close()


def _serve(values: dict[str, Any], port: int) -> None:
    app = create_app(Settings.model_validate(values))
    uvicorn.run(app, port=port, access_log=False, log_config=None)

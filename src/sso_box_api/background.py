"""What every serve process does beside its requests: the work that takes time.

It is done every few seconds, and at once when a lock says so. Everything to do is a
row, so that any process can go on where another one stopped. Each job does a little of
its work when it is called, and says whether it is worth calling again at once.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from sso_box_api import vending
from sso_box_api.db import Database
from sso_box_api.errors import DatabaseUnavailable

Job = Callable[[], Awaitable[bool]]

_log = logging.getLogger(__name__)

_TIDY_EVERY_S = 300.0
_DELETE_AT_ONCE = 500
_RECONNECT_S = 0.5
_RECONNECT_AT_MOST_S = 10.0


class Background:
    """Two tasks of this process: one works, the other listens and wakes it."""

    def __init__(
        self, database: Database, jobs: Sequence[Job], *, interval_s: float
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._interval_s = interval_s
        self._wake = asyncio.Event()
        self._reconnect_s = _RECONNECT_S
        self._tidy_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._work_for_ever(), name="background work"),
            asyncio.create_task(self._listen_for_ever(), name="background listener"),
        ]

    async def close(self) -> None:
        """Stop, and wait for that. What was under way stays pending for the others."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work_for_ever(self) -> None:
        while True:
            # At the start the listener wakes it, once it hears.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await self._wake.wait()
            # Before the round: what becomes pending during it gets one of its own.
            self._wake.clear()
            try:
                await self._round()
            except DatabaseUnavailable as error:
                _log.warning("background work waits for the database: %s", error.reason)
            except Exception:  # noqa: BLE001 - nobody would start it again
                _log.exception("unexpected error in background work")

    async def _round(self) -> None:
        for work in self._jobs:
            while await work():
                pass
        now = asyncio.get_running_loop().time()
        if now >= self._tidy_at:
            await self._tidy()
            self._tidy_at = now + _TIDY_EVERY_S

    async def _tidy(self) -> None:
        async with self._database.transaction() as session:
            await vending.bury(session)
        deleted = _DELETE_AT_ONCE
        while deleted == _DELETE_AT_ONCE:
            async with self._database.transaction() as session:
                deleted = await vending.delete_expired(session, limit=_DELETE_AT_ONCE)

    async def _listen_for_ever(self) -> None:
        while True:
            try:
                await self._listen()
            except DatabaseUnavailable as error:
                _log.warning("locks are seen by the interval alone: %s", error.reason)
            except Exception:  # noqa: BLE001 - nobody would start it again
                _log.exception("unexpected error while listening for locks")
            await asyncio.sleep(self._reconnect_s)
            self._reconnect_s = min(2 * self._reconnect_s, _RECONNECT_AT_MOST_S)

    async def _listen(self) -> None:
        """Wake the work at each notification, until the connection is lost."""
        channel = vending.PENDING_CHANNEL
        async with self._database.listening(channel, self._wake.set) as listener:
            self._reconnect_s = _RECONNECT_S
            # For what was told while nobody listened.
            self._wake.set()
            while True:
                await listener.check_after(self._interval_s)

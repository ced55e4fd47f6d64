"""What every serve process does beside its requests: work that others left unfinished.

It is done every few seconds, and at once when a lock says so. Everything to do is a
row, so that any process can go on where another one stopped.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from time import monotonic

from sso_box_api import accounts, vending
from sso_box_api.db import Database
from sso_box_api.errors import DatabaseUnavailable
from sso_box_api.listener import listening
from sso_box_api.memory import LIVE_S, Memory

_log = logging.getLogger(__name__)

# Does a part of its work; true if it is worth going on at once.
Job = Callable[[], Awaitable[bool]]

_TIDY_EVERY_S = 300.0
_DELETE_AT_ONCE = 500
_ASK_EVERY_S = 0.5
_RECONNECT_S = 0.5
_RECONNECT_AT_MOST_S = 10.0


class Background:
    """A task of this process for each job, and one that listens and wakes them.

    Apart, so that slow work of one kind never keeps the kill switch waiting. The
    listener keeps ``memory`` true.
    """

    def __init__(
        self,
        database: Database,
        memory: Memory,
        jobs: Sequence[Job],
        *,
        interval_s: float,
    ) -> None:
        self._database = database
        self._memory = memory
        self._jobs = {job: asyncio.Event() for job in (*jobs, self._tidy_at_times)}
        self._interval_s = interval_s
        self._reconnect_s = _RECONNECT_S
        self._deaf_because = ""
        self._tidy_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [
            *(asyncio.create_task(self._work_for_ever(job)) for job in self._jobs),
            asyncio.create_task(self._listen_for_ever(), name="background listener"),
        ]

    async def close(self) -> None:
        """Stop, and wait for that. What was under way stays pending for the others."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work_for_ever(self, job: Job) -> None:
        wake = self._jobs[job]
        while True:
            # At the start the listener wakes it, once it hears.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await wake.wait()
            # Before the round: what becomes pending during it gets one of its own.
            wake.clear()
            try:
                while await job():
                    pass
            except DatabaseUnavailable as error:
                _log.warning("background work waits for the database: %s", error.reason)
            except Exception:  # noqa: BLE001 - nobody would start it again
                _log.exception("unexpected error in background work")

    async def _tidy_at_times(self) -> bool:
        now = asyncio.get_running_loop().time()
        if now >= self._tidy_at:
            await self._tidy()
            self._tidy_at = now + _TIDY_EVERY_S
        return False

    async def _tidy(self) -> None:
        async with self._database.transaction() as session:
            await vending.bury(session)
        async with self._database.transaction() as session:
            await vending.forget_mints(session)
        deleted = _DELETE_AT_ONCE
        while deleted == _DELETE_AT_ONCE:
            async with self._database.transaction() as session:
                deleted = await vending.delete_expired(session, limit=_DELETE_AT_ONCE)

    async def _listen_for_ever(self) -> None:
        while True:
            try:
                await self._listen()
            except DatabaseUnavailable as error:
                self._tell_deaf(error.reason)
            except Exception:  # noqa: BLE001 - nobody would start it again
                _log.exception("unexpected error while listening for locks")
            await asyncio.sleep(self._reconnect_s)
            self._reconnect_s = min(2 * self._reconnect_s, _RECONNECT_AT_MOST_S)

    def _tell_deaf(self, reason: str) -> None:
        """Once for each reason, however long it lasts and however often it is tried."""
        if reason != self._deaf_because:
            _log.warning("each login asks the database: %s", reason)
        self._deaf_because = reason

    async def _listen(self) -> None:
        """Pass on what is told, and ask whether all arrives, until it does not."""
        heard = {
            vending.PENDING_CHANNEL: lambda _: self._wake_all(),
            accounts.FORGET_CHANNEL: self._memory.forget,
        }
        async with listening(self._database, heard) as listener:
            self._reconnect_s = _RECONNECT_S
            if self._deaf_because:
                _log.info("logins are remembered again")
            self._deaf_because = ""
            # For what was told while nobody listened.
            self._memory.forget_all()
            self._wake_all()
            try:
                while True:
                    asked_at = monotonic()
                    await listener.check(within_s=LIVE_S)
                    self._memory.heard_until(asked_at)
                    await listener.pause(_ASK_EVERY_S)
            finally:
                self._memory.hear_no_more()

    def _wake_all(self) -> None:
        for wake in self._jobs.values():
            wake.set()

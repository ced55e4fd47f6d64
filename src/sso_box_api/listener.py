"""What PostgreSQL tells of its own accord, on a connection that is known to hear it.

Beside the way of a request: what ``memory`` may be trusted for stands on it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import asyncpg
from sqlalchemy import func, select

from sso_box_api.db import Database
from sso_box_api.errors import ConfigurationError, DatabaseUnavailable

__all__ = ["Listener", "NothingHeard", "listening", "require_notifications"]


class NothingHeard(DatabaseUnavailable):
    """The listening connection stands, and no notification arrives there."""


class Listener:
    """A connection that listens, and may be gone without a word."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._lost = asyncio.Event()
        connection.add_termination_listener(lambda _: self._lost.set())

    async def check(self, *, within_s: float) -> None:
        """Ask whether it is there, and raise if it does not answer in time.

        PostgreSQL sends in order: what was told before the answer has arrived.
        ``listening`` turns what is raised into ``DatabaseUnavailable``.
        """
        await self._connection.execute("SELECT 1", timeout=within_s)

    async def pause(self, seconds: float) -> None:
        """Wait, and raise at once if the connection is lost meanwhile."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._lost.wait()
                raise _lost()


@asynccontextmanager
async def listening(
    database: Database, heard: Mapping[str, Callable[[str], object]]
) -> AsyncIterator[Listener]:
    """Call by each channel's name with the payload of each NOTIFY there.

    On a direct connection of its own, of which it is proved first that it hears what
    the others send. Raises ``DatabaseUnavailable``, also for what is asked of the
    listener, and ``NothingHeard``.
    """
    proof = f"sso_box_proof_{uuid4().hex}"
    told = asyncio.Event()

    def notified(_: object, __: int, channel: str, payload: object) -> None:
        heard[channel](str(payload))

    async with database.directly() as connection:
        connection.add_termination_listener(lambda _: told.set())
        # In one transaction: behind a pooler each could go to another server.
        async with connection.transaction():
            for channel in heard:
                await connection.add_listener(channel, notified)
            await connection.add_listener(proof, lambda *_: told.set())
        # Not over this connection, for what the others are connected to counts.
        await database.execute(select(func.pg_notify(proof, "")), {})
        await _wait(told, within_s=database.timeout_s)
        if connection.is_closed():
            raise _lost()
        yield Listener(connection)


async def _wait(told: asyncio.Event, *, within_s: float) -> None:
    try:
        async with asyncio.timeout(within_s):
            await told.wait()
    except TimeoutError:
        raise NothingHeard(
            "no notification arrives; SSO_BOX_DATABASE_LISTEN_URL has to lead past any"
            " pooler"
        ) from None


def _lost() -> DatabaseUnavailable:
    return DatabaseUnavailable("the listening connection was lost")


async def require_notifications(database: Database) -> None:
    """Raise ``ConfigurationError`` unless a NOTIFY reaches a listening connection.

    Behind a pooler in transaction mode a LISTEN is lost without an error.
    """
    try:
        async with listening(database, {}):
            pass
    except NothingHeard:
        problem = (
            "SSO_BOX_DATABASE_LISTEN_URL: no notification arrives; put a direct"
            " postgresql:// URL of the same database, not a pooler's"
        )
        raise ConfigurationError([problem]) from None

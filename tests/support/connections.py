"""Connections to the database that outlive a test.

To open them, and to compile every statement anew, is most of what a start costs.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

from sso_box_api.db import Database
from sso_box_api.parts import Mounts, Parts, open_parts
from sso_box_api.settings import DatabaseSettings, Settings

_AT_MOST = 4

_kept: dict[Hashable, list[Database]] = defaultdict(list)


@asynccontextmanager
async def connected(settings: DatabaseSettings) -> AsyncIterator[Database]:
    """A database for one process, with the connections of one that has ended."""
    values = (getattr(settings, name) for name in DatabaseSettings.model_fields)
    kept = _kept[asyncio.get_running_loop(), *values]
    database = kept.pop() if kept else Database(settings)
    try:
        yield database
    finally:
        if len(kept) < _AT_MOST:
            kept.append(database)
        else:
            await database.close()


@asynccontextmanager
async def opened(
    settings: Settings, *, mounts: Mounts | None = None
) -> AsyncIterator[Parts]:
    """The parts of one more process."""
    async with (
        connected(settings) as database,
        open_parts(settings, mounts=mounts, database=database) as parts,
    ):
        yield parts


async def forget() -> None:
    """Close what is kept, for who cuts connections or changes what new ones are like."""
    for databases in _kept.values():
        while databases:
            await databases.pop().close()

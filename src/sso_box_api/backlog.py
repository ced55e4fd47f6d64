"""What is left to do at Box and who is locked as a whole, for health and metrics.

All processes see the same, for it is read from the rows.
"""

from typing import NamedTuple

from sso_box_api import accounts, vending
from sso_box_api.db import Database


class Backlog(NamedTuple):
    """How many there are of each now, and whether the database lets that change."""

    is_read_only: bool
    pending_revocations: int
    suspensions: int
    left_over_box_users: int


async def read_backlog(database: Database) -> Backlog:
    """Count the rows; raises ``DatabaseUnavailable``."""
    is_read_only = not await database.takes_writes()
    async with database.transaction() as session:
        pending, _ = await vending.count_pending(session)
        return Backlog(
            is_read_only,
            pending,
            len(await accounts.list_suspensions(session)),
            await accounts.count_orphans(session),
        )

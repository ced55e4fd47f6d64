"""Box users that first logins may have left behind: looked for, listed, deleted.

The part of the claim protocol that is done in the background, by any serve process. It
deletes only what a process of this service made and gave to nobody, and only without
force: Box refuses where somebody has put content there. See docs/claim-protocol.md.
"""

import logging

from sso_box_api import accounts
from sso_box_api.accounts import Recheck
from sso_box_api.box import Box, within
from sso_box_api.db import Database
from sso_box_api.errors import BoxUnavailable, SsoBoxError

_log = logging.getLogger(__name__)

_AT_ONCE = 8
_DEADLINE_S = 10.0
# Longer than the deadline by what the database may take before and after.
LEASE_S = 30.0


class LeftOvers:
    """Works on the rows that ``binding`` and crashes leave."""

    def __init__(self, database: Database, box: Box) -> None:
        self._database = database
        self._box = box

    async def work(self) -> bool:
        """Take some of what is due; True if it is worth going on at once.

        Raises ``DatabaseUnavailable``.
        """
        try:
            with within(_DEADLINE_S, background=True):
                return await self._recheck() or await self._delete_spares()
        except BoxUnavailable as error:
            _log.warning("left-over Box users wait: %s", error.reason)
            return False

    async def _recheck(self) -> bool:
        async with self._database.transaction() as session:
            due = await accounts.take_rechecks(session, limit=_AT_ONCE, lease_s=LEASE_S)
        for recheck in due:
            await self._look(recheck)
        return len(due) == _AT_ONCE

    async def _look(self, recheck: Recheck) -> None:
        found = await self._box.find_app_users(recheck.external_app_user_id)
        ids = [user.id for user in found]
        async with self._database.transaction() as session:
            for box_user_id in await accounts.finish_recheck(session, recheck, ids):
                _log.warning("Box user %s is bound to nobody", box_user_id)

    async def _delete_spares(self) -> bool:
        async with self._database.transaction() as session:
            spares = await accounts.take_spares(
                session, limit=_AT_ONCE, lease_s=LEASE_S
            )
        for box_user_id in spares:
            await delete_spare(self._database, self._box, box_user_id)
        return len(spares) == _AT_ONCE


async def delete_spare(database: Database, box: Box, box_user_id: str) -> None:
    """Delete a listed user that nobody got; it stays listed where Box says no.

    Raises ``BoxUnavailable``, ``DatabaseUnavailable``.
    """
    try:
        await box.delete_user(box_user_id)
    except BoxUnavailable:
        raise
    except SsoBoxError as error:
        _log.warning("orphan %s stays at Box: %s", box_user_id, error.reason)
        return
    async with database.transaction() as session:
        await accounts.resolve_orphan(session, box_user_id)

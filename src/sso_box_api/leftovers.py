"""Box users that first logins may have left behind: looked for, listed, deleted.

The part of the claim protocol that is done in the background, by any serve process. It
deletes only what a process of this service made and gave to nobody, and only without
force: Box refuses where somebody has put content there. See docs/claim-protocol.md.
"""

import logging
from collections.abc import Iterable
from uuid import UUID

from sso_box_api import accounts
from sso_box_api.box import Box, BoxUser, within
from sso_box_api.db import AsyncSession, Database
from sso_box_api.errors import BoxRefused, BoxUnavailable

_log = logging.getLogger(__name__)

_AT_ONCE = 8
_DEADLINE_S = 10.0
# Longer than the deadline by what the database may take before and after.
_LEASE_S = 30.0


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
            due = await accounts.take_rechecks(
                session, limit=_AT_ONCE, lease_s=_LEASE_S
            )
        for recheck in due:
            try:
                found = await self._box.find_app_users(recheck.external_app_user_id)
            except BoxRefused as refused:
                _log.warning("a recheck waits: %s", refused.reason)
                continue
            async with self._database.transaction() as session:
                ids = [user.id for user in found]
                for box_user_id in await accounts.finish_recheck(session, recheck, ids):
                    _log.warning("Box user %s is bound to nobody", box_user_id)
        return len(due) == _AT_ONCE

    async def _delete_spares(self) -> bool:
        async with self._database.transaction() as session:
            spares = await accounts.take_spares(
                session, limit=_AT_ONCE, lease_s=_LEASE_S
            )
        for box_user_id in spares:
            await self._delete(box_user_id)
        return len(spares) == _AT_ONCE

    async def list_duplicates(
        self, session: AsyncSession, account_id: UUID, users: Iterable[BoxUser]
    ) -> None:
        """List users that a look-up showed beside the bound one."""
        for user in users:
            reason = "duplicate found by look-up"
            if await accounts.report_orphan(session, account_id, user.id, reason):
                _log.warning("Box user %s is bound to nobody: %s", user.id, reason)

    async def list_spare(
        self, session: AsyncSession, account_id: UUID, user: BoxUser
    ) -> bool:
        """List a user that this process made in vain; False if somebody has got it.

        Whoever lists it deletes it, once that is committed.
        """
        reason = "made by a process that lost its claim"
        return await accounts.report_orphan(
            session, account_id, user.id, reason, spare=True, lease_s=_LEASE_S
        )

    async def delete_spare(self, box_user_id: str) -> None:
        """Try at once; what does not come off is done in the background."""
        try:
            await self._delete(box_user_id)
        except BoxUnavailable as error:
            _log.warning("spare Box user %s waits: %s", box_user_id, error.reason)

    async def _delete(self, box_user_id: str) -> None:
        """Delete a taken user; one that Box keeps is left to an administrator."""
        try:
            await self._box.delete_user(box_user_id)
        except BoxRefused as refused:
            _log.warning("spare Box user %s stays: %s", box_user_id, refused.reason)
            async with self._database.transaction() as session:
                await accounts.keep_spares(session, box_user_id)
            return
        async with self._database.transaction() as session:
            await accounts.resolve_orphan(session, box_user_id)

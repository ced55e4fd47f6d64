"""Telling Box to kill what the ledger lists: the half of the kill switch that takes time.

Whoever has time for it works here, the command that locks and every serve process, and
shares the rows by leases. A lease is committed before Box is called, so that a process
which dies at it is replaced when the lease ends.
"""

import asyncio
import logging
from uuid import UUID

from sso_box_api import vending
from sso_box_api.box import Box, within
from sso_box_api.db import Database
from sso_box_api.errors import BoxUnavailable, SsoBoxError
from sso_box_api.vending import DamagedHandle, LedgerKeys, SealedVend

_log = logging.getLogger(__name__)

_AT_ONCE = 8
_DEADLINE_S = 10.0
# Longer than the deadline by what the database may take before and after.
_LEASE_S = 15.0
_POLL_S = 0.05


class Revoker:
    """``put_off_s``: the wait of a token that Box did not kill at its first try."""

    def __init__(
        self,
        database: Database,
        box: Box,
        keys: LedgerKeys,
        *,
        put_off_s: float,
        background: bool,
    ) -> None:
        self._database = database
        self._box = box
        self._keys = keys
        self._put_off_s = put_off_s
        self._background = background

    async def work(self, account_id: UUID | None = None) -> bool:
        """Take a few tokens and have Box kill them; True if it is worth going on.

        It is not when none is free, or while Box is unavailable. Raises
        ``DatabaseUnavailable``.
        """
        async with self._database.transaction() as session:
            await vending.close_due(session, limit=_AT_ONCE)
            vends = await vending.take_pending(
                session,
                self._keys.ids,
                limit=_AT_ONCE,
                lease_s=_LEASE_S,
                account_id=account_id,
            )
        tasks = [asyncio.create_task(self._revoke(vend)) for vend in vends]
        try:
            return all(await asyncio.gather(*tasks)) and bool(tasks)
        finally:
            # Where one failed or this was stopped, nothing goes on unseen.
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def finish(self, account_id: UUID) -> None:
        """Work until nothing of an account is left to do, by whomever.

        Bound it in time: it tries again, with growing pauses, what Box does not kill.
        """
        while True:
            while await self.work(account_id):
                pass
            async with self._database.transaction() as session:
                if not await vending.worth_waiting(session, self._keys.ids, account_id):
                    return
            await asyncio.sleep(_POLL_S)

    async def watch(self, account_id: UUID, *, within_s: float) -> None:
        """Wait for what the background does for an account, ``within_s`` at most.

        Does none of it: whoever leaves in the middle would keep the others waiting.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + within_s
        while loop.time() < until:
            async with self._database.transaction() as session:
                if not await vending.worth_waiting(session, self._keys.ids, account_id):
                    return
            await asyncio.sleep(_POLL_S)

    async def _revoke(self, vend: SealedVend) -> bool:
        """Have Box kill one token; False if Box is unavailable, for others too."""
        try:
            token = self._keys.open(vend.id, vend.account_id, vend.handle)
            with within(_DEADLINE_S, background=self._background):
                await self._box.revoke(token)
        except DamagedHandle as error:
            _log.error("%s; it dies at Box when it expires", error)
            async with self._database.transaction() as session:
                await vending.leave_to_expire(session, vend.id)
        except SsoBoxError as error:
            _log.warning("vend %s is still to be revoked: %s", vend.id, error.code)
            async with self._database.transaction() as session:
                await vending.put_off(session, vend, self._put_off_s)
            return not isinstance(error, BoxUnavailable)
        else:
            async with self._database.transaction() as session:
                await vending.mark_revoked(session, vend.id)
        return True

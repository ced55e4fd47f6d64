"""What an administrator does to an account: show, lock, unlock.

The kill switch has two halves. Ours is one transaction: the account is locked and its
tokens are marked for revocation, so that this service refuses at once. Box's half is
told afterwards, token by token; what Box has not accepted yet stays listed.
"""

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime

from sso_box_api import accounts, vending
from sso_box_api.accounts import Account, Candidate, Person
from sso_box_api.box import Box
from sso_box_api.db import Database
from sso_box_api.errors import SsoBoxError
from sso_box_api.vending import DamagedHandle, LedgerKeys, SealedVend

_log = logging.getLogger(__name__)

_REVOKE_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class LockReport:
    """What a lock or unlock reached.

    ``revoked``: tokens that Box has killed. ``pending``: tokens that this service no
    longer hands out but Box may still honour, until ``latest_expiry`` at the longest.
    """

    account: Account
    revoked: int
    pending: int
    latest_expiry: datetime | None


class Lifecycle:
    """Account administration, used by the command line."""

    def __init__(
        self,
        database: Database,
        box: Box,
        keys: LedgerKeys,
        *,
        realm: str,
        box_app: tuple[str, str],
    ) -> None:
        self._database = database
        self._box = box
        self._keys = keys
        self._realm = realm
        self._box_app = box_app

    async def ensure(self, person: Person) -> None:
        """Make the rows of somebody who never signed in, so that they can be locked."""
        async with self._database.transaction() as session:
            await accounts.ensure_row(
                session, person, realm=self._realm, box_app=self._box_app
            )

    async def lock(
        self, candidate: Candidate, reason: str, *, wait_s: float = 5.0
    ) -> LockReport:
        """Lock the account and kill its tokens, waiting ``wait_s`` for Box at most."""
        account_id = candidate.account.id
        async with self._database.transaction() as session:
            await accounts.lock(session, account_id, reason)
            await accounts.drop_proofs(session, account_id)
            await vending.close_account(session, account_id)
            pending = await vending.still_to_revoke(session, account_id)
        return await self._finish(candidate, pending, wait_s)

    async def unlock(self, candidate: Candidate, *, wait_s: float = 5.0) -> LockReport:
        """Let the person in again; tokens from before the lock are killed all the same.

        Those that a lock could not revoke are tried again, and stay on the list.
        """
        account_id = candidate.account.id
        async with self._database.transaction() as session:
            pending = await vending.still_to_revoke(session, account_id)
            await accounts.unlock(session, account_id)
        return await self._finish(candidate, pending, wait_s)

    async def _finish(
        self, candidate: Candidate, pending: list[SealedVend], wait_s: float
    ) -> LockReport:
        revoked = await self._revoke_all(pending, wait_s)
        async with self._database.transaction() as session:
            count, latest = await vending.count_pending(session, candidate.account.id)
            account = await accounts.find(
                session, candidate.namespace, candidate.subject
            )
        return LockReport(account or candidate.account, revoked, count, latest)

    async def _revoke_all(self, vends: list[SealedVend], wait_s: float) -> int:
        places = asyncio.Semaphore(_REVOKE_AT_ONCE)

        async def revoke(vend: SealedVend) -> bool:
            async with places:
                return await self._revoke(vend)

        tasks = [asyncio.create_task(revoke(vend)) for vend in vends]
        if not tasks:
            return 0
        done, late = await asyncio.wait(tasks, timeout=wait_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        return sum(task.result() for task in done)

    async def _revoke(self, vend: SealedVend) -> bool:
        try:
            token = self._keys.open(vend.id, vend.account_id, vend.handle)
            await self._box.revoke(token)
            async with self._database.transaction() as session:
                await vending.mark_revoked(session, vend.id)
        except DamagedHandle as error:
            _log.error("%s; it dies at Box when it expires", error)
            return False
        except SsoBoxError as error:
            _log.warning("vend %s is still to be revoked: %s", vend.id, error.code)
            return False
        return True

"""What an administrator does to an account: show, lock, unlock.

The kill switch has two halves. Ours is one transaction: the account is locked and its
tokens are marked for revocation, so that this service refuses at once. Box's half is
told afterwards, token by token, here and in the background of every serve process.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from sso_box_api import accounts, vending
from sso_box_api.accounts import Account, Candidate, Person
from sso_box_api.db import Database
from sso_box_api.revocation import Revoker


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
        revoker: Revoker,
        *,
        realm: str,
        box_app: tuple[str, str],
    ) -> None:
        self._database = database
        self._revoker = revoker
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
            pending = await vending.close_account(session, account_id)
        return await self._finish(candidate, pending, wait_s)

    async def unlock(self, candidate: Candidate, *, wait_s: float = 5.0) -> LockReport:
        """Let the person in again; tokens from before the lock are killed all the same.

        Those that a lock could not revoke are tried again, and stay on the list.
        """
        account_id = candidate.account.id
        async with self._database.transaction() as session:
            pending = await vending.hurry(session, account_id)
            await accounts.unlock(session, account_id)
        return await self._finish(candidate, pending, wait_s)

    async def _finish(
        self, candidate: Candidate, pending: int, wait_s: float
    ) -> LockReport:
        """Revoke together with the serve processes, which the commit has woken."""
        account_id = candidate.account.id
        if pending:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._revoker.finish(account_id)
        async with self._database.transaction() as session:
            left, latest = await vending.count_pending(session, account_id)
            account = await accounts.find(
                session, candidate.namespace, candidate.subject
            )
        revoked = max(0, pending - left)
        return LockReport(account or candidate.account, revoked, left, latest)

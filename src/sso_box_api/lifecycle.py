"""What an administrator does to one account: lock, unlock, relink, unlink, recreate.

The kill switch has two halves. Ours is one transaction: the account is changed and its
tokens are marked for revocation, so that this service refuses at once. Box's half is
told afterwards, token by token, here and in the background of every serve process.
Each act writes an audit event, also where it fails.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sso_box_api import accounts, vending
from sso_box_api.accounts import Account, BoxApp, Candidate, Person
from sso_box_api.audit import AdministrationEvent, administration
from sso_box_api.box import Box, NotFoundAtBox, RefusedByBox
from sso_box_api.db import Database
from sso_box_api.errors import CommandRefused
from sso_box_api.revocation import Revoker

_ADMINS = ("admin", "coadmin")
_SERVICE_ACCOUNT = "AutomationUser_"  # how Box begins the login of one


@dataclass(frozen=True, slots=True)
class LockReport:
    """What a change reached.

    ``revoked``: tokens that Box has killed. ``pending``: tokens that this service no
    longer hands out but Box may still honour, until ``latest_expiry`` at the longest.
    """

    account: Account
    revoked: int
    pending: int
    latest_expiry: datetime | None


@dataclass(frozen=True, slots=True)
class LinkReport:
    """What a change of the binding reached.

    ``former_box_user_id``: whom nobody reaches through the account any more.
    """

    tokens: LockReport
    former_box_user_id: str | None


class Lifecycle:
    """Account administration, used by the command line."""

    def __init__(
        self,
        database: Database,
        box: Box,
        revoker: Revoker,
        *,
        realm: str,
        box_app: BoxApp,
    ) -> None:
        self._database = database
        self._box = box
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
        with administration(_event("lock", candidate, reason)):
            async with self._database.transaction() as session:
                await accounts.lock(session, account_id, reason)
                await accounts.drop_proofs(session, account_id)
                pending = await vending.close_account(session, account_id)
        return await self._finish(candidate, [account_id], pending, wait_s)

    async def unlock(self, candidate: Candidate, *, wait_s: float = 5.0) -> LockReport:
        """Let the person in again; tokens from before the lock are killed all the same.

        Those that a lock could not revoke are tried again, and stay on the list.
        """
        account_id = candidate.account.id
        with administration(_event("unlock", candidate)):
            async with self._database.transaction() as session:
                pending = await vending.hurry(session, account_id)
                await accounts.unlock(session, account_id)
        return await self._finish(candidate, [account_id], pending, wait_s)

    async def relink(
        self,
        candidate: Candidate,
        box_user_id: str,
        reason: str | None = None,
        *,
        wait_s: float = 5.0,
    ) -> LinkReport:
        """Bind the account to a Box user that is there, and kill its tokens.

        A removed account is one no more; a locked one stays locked. Raises
        ``CommandRefused``, ``BoxUnavailable``, ``BoxRefused``.
        """
        account_id = candidate.account.id
        with administration(_event("relink", candidate, reason)) as event:
            event.new_box_user_id = box_user_id
            kind = await self._require_linkable(box_user_id)
            async with self._database.transaction() as session:
                former = await accounts.relink(
                    session, account_id, box_user_id, kind=kind, box_app=self._box_app
                )
                event.old_box_user_id = former
                pending = await vending.close_account(session, account_id)
        former = None if former == box_user_id else former
        tokens = await self._finish(candidate, [account_id], pending, wait_s)
        return LinkReport(tokens, former)

    async def move(
        self,
        candidate: Candidate,
        to_account: UUID,
        reason: str | None = None,
        *,
        wait_s: float = 5.0,
    ) -> LinkReport:
        """Put one identity onto another account, and kill the tokens of both.

        Raises ``CommandRefused``.
        """
        left = candidate.account.id
        if left == to_account:
            raise CommandRefused("the identity is on that account already")
        with administration(_event("relink", candidate, reason)) as event:
            event.to_account_id = str(to_account)
            event.old_box_user_id = candidate.account.box_user_id
            async with self._database.transaction() as session:
                former = await accounts.move(
                    session, candidate.account.identity_id, left, to_account
                )
                both = sorted({left, to_account})
                pending = sum([await vending.close_account(session, x) for x in both])
                account = await accounts.find(
                    session, candidate.namespace, candidate.subject
                )
                event.new_box_user_id = account.box_user_id if account else None
        return LinkReport(await self._finish(candidate, both, pending, wait_s), former)

    async def unlink(
        self, candidate: Candidate, reason: str | None = None, *, wait_s: float = 5.0
    ) -> LinkReport:
        """Remove the account, which gives its Box user up, and kill its tokens."""
        account_id = candidate.account.id
        with administration(_event("unlink", candidate, reason)) as event:
            async with self._database.transaction() as session:
                former = await accounts.unlink(session, account_id)
                event.old_box_user_id = former
                await accounts.drop_proofs(session, account_id)
                pending = await vending.close_account(session, account_id)
        tokens = await self._finish(candidate, [account_id], pending, wait_s)
        return LinkReport(tokens, former)

    async def recreate(
        self, candidate: Candidate, reason: str | None = None, *, wait_s: float = 5.0
    ) -> LinkReport:
        """Let the next login make a new Box user where Box certainly has none.

        Raises ``CommandRefused``, ``BoxUnavailable``, ``BoxRefused``.
        """
        account_id = candidate.account.id
        with administration(_event("recreate", candidate, reason)) as event:
            async with self._database.transaction() as session:
                former = await accounts.require_recreatable(
                    session, account_id, self._box_app
                )
            event.old_box_user_id = former
            await self._require_gone(candidate.account, former)
            async with self._database.transaction() as session:
                await accounts.recreate(
                    session, account_id, self._box_app, examined=former
                )
                pending = await vending.close_account(session, account_id)
        tokens = await self._finish(candidate, [account_id], pending, wait_s)
        return LinkReport(tokens, former)

    async def _require_linkable(self, box_user_id: str) -> str:
        """Return the kind of a Box user that an account may have."""
        try:
            found = await self._box.examine_user(box_user_id)
        except NotFoundAtBox:
            raise CommandRefused(
                f"Box has no user {box_user_id}, or none that this app sees"
            ) from None
        except RefusedByBox as refused:
            if refused.box_status != 403:  # noqa: PLR2004 - HTTP
                raise
            raise CommandRefused(
                f"Box does not let this app have user {box_user_id}: {refused.reason}"
            ) from None
        user = found.user
        if user.status != "active":
            raise CommandRefused(
                f"Box user {user.id} has the status {user.status}; activate it first"
            )
        if found.enterprise_id != self._box_app[1]:
            raise CommandRefused(
                f"Box user {user.id} is not of enterprise {self._box_app[1]}"
            )
        own = await self._box.service_account_id()
        if user.id == own or user.login.startswith(_SERVICE_ACCOUNT):
            raise CommandRefused(f"Box user {user.id} is an app's service account")
        if user.is_platform_access_only:
            return "app"
        # Silence on either is no leave to hand out an administrator's content.
        if found.role in {*_ADMINS, None} or user.is_platform_access_only is None:
            raise CommandRefused(
                f"Box user {user.id} is an administrator at Box, or Box does not say"
                " that it is none"
            )
        return "managed"

    async def _require_gone(self, account: Account, box_user_id: str | None) -> None:
        """Refuse while Box shows the account's user, or one that a login would adopt."""
        if box_user_id is not None and await self._has(box_user_id):
            raise CommandRefused(
                f"Box still has user {box_user_id}; use `account relink --to-box-user"
                f" {box_user_id}`"
            )
        for user in await self._box.find_app_users(account.external_app_user_id):
            raise CommandRefused(
                f"Box has user {user.id} under the external id of this account; use"
                f" `account relink --to-box-user {user.id}`"
            )

    async def _has(self, box_user_id: str) -> bool:
        try:
            await self._box.get_user(box_user_id)
        except NotFoundAtBox:
            return False
        return True

    async def _finish(
        self,
        candidate: Candidate,
        account_ids: Sequence[UUID],
        pending: int,
        wait_s: float,
    ) -> LockReport:
        """Revoke together with the serve processes, which the commit has woken."""
        if pending:
            try:
                async with asyncio.timeout(wait_s):
                    for account_id in account_ids:
                        await self._revoker.finish(account_id)
            except TimeoutError:
                await self._hand_over(account_ids)
        async with self._database.transaction() as session:
            counts = [
                await vending.count_pending(session, account_id)
                for account_id in account_ids
            ]
            account = await accounts.find(
                session, candidate.namespace, candidate.subject
            )
        left = sum(count for count, _ in counts)
        latest = max((at for _, at in counts if at is not None), default=None)
        revoked = max(0, pending - left)
        return LockReport(account or candidate.account, revoked, left, latest)

    async def _hand_over(self, account_ids: Sequence[UUID]) -> None:
        """Let the serve processes have at once what this one was still at."""
        async with self._database.transaction() as session:
            for account_id in account_ids:
                await vending.hurry(session, account_id)


def _event(
    act: str, candidate: Candidate, reason: str | None = None
) -> AdministrationEvent:
    return AdministrationEvent(
        act,
        provider=candidate.provider,
        namespace=candidate.namespace,
        subject=candidate.subject,
        account_id=str(candidate.account.id),
        reason=reason,
    )

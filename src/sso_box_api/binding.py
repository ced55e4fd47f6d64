"""Find or create exactly one Box user: the claim protocol's side at Box.

``accounts/claim.py`` holds the database steps; here stand the calls to Box between them.
At most one Box user is ever bound to an identity, and none that is known to be left
over goes unreported:

- who wins the claim looks first, and adopts what it finds;
- before the POST leaves, that fact is committed; whoever finds it without a Box user
  only looks, until the POST has either shown its user or can no longer do so;
- binding is set-once; who made a user and lost deletes that one user, or reports it.

No transaction is open across a call. See docs/claim-protocol.md for the states.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

from sso_box_api import accounts
from sso_box_api.accounts import Account, Person, Won
from sso_box_api.box import (
    Box,
    BoxUser,
    ConflictAtBox,
    OutcomeUnknown,
    RefusedByBox,
    within,
)
from sso_box_api.db import Database
from sso_box_api.errors import (
    BoxLoginTaken,
    BoxRefused,
    BoxUnavailable,
    NoBoxUser,
    ProvisioningInProgress,
    SsoBoxError,
)
from sso_box_api.kinds import Kind, Sent, kinds_of
from sso_box_api.leftovers import LeftOvers
from sso_box_api.settings import ClaimSettings, ProviderSettings

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Lease:
    """The claim this process holds, until PostgreSQL's clock or a later fence says no."""

    account: Account
    fence: int
    person: Person
    kind: Kind


class Binder:
    """First logins of this process, one flight per identity, shared by its callers."""

    def __init__(
        self,
        database: Database,
        box: Box,
        times: ClaimSettings,
        *,
        realm: str,
        box_app: tuple[str, str],
        providers: Sequence[ProviderSettings],
    ) -> None:
        self._database = database
        self._box = box
        self._times = times
        self._realm = realm
        self._box_app = box_app
        self._kinds = kinds_of(box, providers)
        self._leftovers = LeftOvers(database, box)
        self._flights: dict[tuple[str, str], asyncio.Task[Account]] = {}

    async def bind(self, person: Person, signed_in_at: int) -> Account:
        """Return the account with its Box user, making both on a first login.

        The work goes on when the caller leaves or has waited long enough: an
        abandoned creation would have to be settled by the next login.
        Raises what the account's gate raises, ``EmailNotAllowed``, ``NoBoxUser``,
        ``BoxLoginTaken``, ``BoxUserConflict``, ``ProvisioningInProgress``,
        ``BoxRefused``, ``BoxUnavailable``.
        """
        self._kinds[person.provider].check(person)
        key = (person.namespace, person.subject)
        flight = self._flights.get(key)
        joined = flight is not None
        if flight is None:
            flight = asyncio.create_task(self._fly(person))
            self._flights[key] = flight
            flight.add_done_callback(lambda task: self._landed(key, task))
        try:
            async with asyncio.timeout(self._times.caller_wait_s):
                account = await asyncio.shield(flight)
        except TimeoutError:
            raise ProvisioningInProgress("caller_wait", retry_after=2) from None
        account.check_gate(signed_in_at)
        # To who joins, whoever came before may have had a token minted by now.
        return replace(account, is_new=False) if joined else account

    async def close(self) -> None:
        """Wait for the flights that are under way; each has its own deadline."""
        if self._flights:
            await asyncio.wait(self._flights.values())

    def _landed(self, key: tuple[str, str], task: asyncio.Task[Account]) -> None:
        del self._flights[key]
        if task.cancelled():
            return
        match task.exception():
            case None:
                pass
            case SsoBoxError() as error:
                _log.warning("a first login failed: %s", error)
            case error:
                _log.error("a first login failed unexpectedly", exc_info=error)

    async def _fly(self, person: Person) -> Account:
        try:
            # Its own time at Box, for it goes on when its callers are gone.
            with within(self._times.flight_deadline_s):
                async with asyncio.timeout(self._times.flight_deadline_s):
                    account = await self._begin(person)
                    while account is None:
                        account = await self._attempt(person)
                    return account
        except TimeoutError:
            raise ProvisioningInProgress("flight_deadline") from None

    async def _begin(self, person: Person) -> Account | None:
        """Take the claim of somebody who was never here; None where somebody was."""
        kind = self._kinds[person.provider]
        won = await accounts.claim_new(
            self._database,
            person,
            kind=kind.name,
            realm=self._realm,
            box_app=self._box_app,
            lease_s=self._times.lease_s,
        )
        if won is None:
            return None
        return await self._provision(_Lease(won.account, won.fence, person, kind), won)

    async def _attempt(self, person: Person) -> Account | None:
        """Take one turn at the claim; None to come again."""
        kind = self._kinds[person.provider]
        async with self._database.transaction() as session:
            claim = await accounts.take_claim(
                session,
                person,
                kind=kind.name,
                realm=self._realm,
                box_app=self._box_app,
                lease_s=self._times.lease_s,
            )
        match claim:
            case accounts.Bound(account=account):
                return account
            case accounts.RefusedEarlier(refusal=refusal, seconds=seconds):
                raise BoxRefused(
                    f"remembered: {refusal}", retry_after=max(1, ceil(seconds))
                )
            case accounts.Held(seconds=seconds):
                await asyncio.sleep(min(seconds, self._times.lookup_interval_s))
                return None
            case accounts.Won(account=account, fence=fence):
                lease = _Lease(account, fence, person, kind)
                return await self._provision(lease, claim)

    async def _provision(self, lease: _Lease, won: Won) -> Account | None:
        try:
            if won.sent_ago_s is None:
                account = await self._look_up(lease, None)
            else:
                sent = self._sent(won.sent_ago_s)
                account = await self._look_up(lease, sent)
                if account is None:
                    account = await self._settle(lease, sent, won.sent_ago_s)
            return account or await self._create(lease)
        except BoxLoginTaken:
            # Whoever overtook us may have made the very user who is in the way.
            if not await self._renew(lease):
                return None
            # A login is one user's alone, so no POST of ours has made another.
            await self._release(lease, post="settled")
            raise
        except SsoBoxError as error:
            await self._release(lease, error)
            raise

    async def _look_up(self, lease: _Lease, sent: Sent | None) -> Account | None:
        """Adopt the user that Box already holds for this person, if any.

        ``sent``: the POST that may have made it, where one went out.
        """
        found = await lease.kind.find(lease.person, lease.account, sent)
        if not found:
            return None
        first, *others = found
        return await self._record(lease, first, others=others)

    async def _settle(
        self, lease: _Lease, sent: Sent, sent_ago_s: float
    ) -> Account | None:
        """Look until an earlier POST must have shown its user, then give up on it."""
        loop = asyncio.get_running_loop()
        settled_at = loop.time() + self._times.settled_after_s - sent_ago_s
        while loop.time() < settled_at:
            remaining = settled_at - loop.time()
            await asyncio.sleep(min(self._times.lookup_interval_s, remaining))
            if (account := await self._look_up(lease, sent)) is not None:
                return account
            if not await self._renew(lease):
                raise ProvisioningInProgress("claim_lost")
        return None

    async def _create(self, lease: _Lease) -> Account | None:
        """POST once; settle by looking when the outcome is not known."""
        if not lease.kind.rules.create:
            raise NoBoxUser("create is false")
        loop = asyncio.get_running_loop()
        marked_at = loop.time()
        ours = await accounts.mark_create_sent(
            self._database, lease.account.id, lease.fence, lease_s=self._times.lease_s
        )
        if not ours:
            return None
        lease_left = marked_at + self._times.lease_s - loop.time()
        if lease_left <= self._times.post_timeout_s:
            await self._release(lease, post="not made")
            return None
        sent = self._sent(ago_s=0.0)
        try:
            user = await lease.kind.create(
                lease.person, lease.account, timeout_s=self._times.post_timeout_s
            )
        except (OutcomeUnknown, ConflictAtBox):
            account = await self._settle(lease, sent, 0.0)
            if account is None:
                await self._release(lease, post="settled")
            return account
        except BoxLoginTaken:
            # Perhaps taken by a user who was made between our look and our POST.
            account = await self._look_up(lease, None)
            if account is None:
                raise
            return account
        except (BoxRefused, BoxUnavailable) as error:
            await self._release(lease, error, post="not made")
            raise
        # Whoever waits for this login needs it next, and Box takes longer than the row.
        self._box.expect_user_token(user.id)
        return await self._record(lease, user, ours=True)

    def _sent(self, ago_s: float) -> Sent:
        return Sent.ago(ago_s, timeout_s=self._times.post_timeout_s)

    async def _record(
        self,
        lease: _Lease,
        user: BoxUser,
        *,
        ours: bool = False,
        others: Sequence[BoxUser] = (),
    ) -> Account:
        """Bind ``user``, or yield to who bound first. ``ours``: we just made it.

        Whoever is left over is listed in the same transaction.
        """
        account, kind = lease.account, lease.kind
        inactive, settle_s = user.status == "inactive", self._times.settled_after_s
        if ours and not inactive:
            bound = await accounts.record_new(
                self._database, account, user.id, kind=kind.name, settle_s=settle_s
            )
            if bound is not None:
                return bound
        async with self._database.transaction() as session:
            bound = await accounts.record(
                session,
                account,
                user.id,
                kind=kind.name,
                ours=ours,
                settle_s=settle_s,
                inactive=inactive,
            )
            if bound is None:
                raise kind.conflict("bound to another account")
            left_over = [u for u in (user, *others) if u.id != bound.box_user_id]
            spare = bool(ours and left_over) and await self._leftovers.list_spare(
                session, account.id, user
            )
            if not ours:
                await self._leftovers.list_duplicates(session, account.id, left_over)
        if spare:
            await self._leftovers.delete_spare(user.id)
        return bound

    async def _renew(self, lease: _Lease) -> bool:
        return await accounts.renew(
            self._database, lease.account.id, lease.fence, lease_s=self._times.lease_s
        )

    async def _release(
        self,
        lease: _Lease,
        error: SsoBoxError | None = None,
        *,
        post: accounts.Post = "unknown",
    ) -> None:
        """Give the claim up; does nothing once it is given up or taken over."""
        refusal = None
        if isinstance(error, RefusedByBox):
            refusal = f"{error.reason}; {error.hint}"
        await accounts.release(
            self._database,
            lease.account.id,
            lease.fence,
            post=post,
            refusal=refusal,
            refusal_memory_s=self._times.refusal_memory_s,
        )

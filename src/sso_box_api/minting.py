"""Get one narrowed token from Box, and list it before anybody has it.

Called by ``vendor`` where no live token is to be had. Whatever goes wrong after Box has
minted, the token is killed and stays on the list until it is dead.
"""

import logging
from dataclasses import dataclass
from typing import Literal

from cachetools import TTLCache

from sso_box_api import accounts, vending
from sso_box_api.accounts import Account
from sso_box_api.box import (
    Box,
    Downscoped,
    InvalidResource,
    NotFoundAtBox,
    Rank,
    SubjectTokenRejected,
    ranked,
    within,
)
from sso_box_api.db import AsyncSession, Database
from sso_box_api.errors import (
    BoxRefused,
    BoxUserInactive,
    BoxUserMissing,
    ResourceNotAccessible,
    SsoBoxError,
)
from sso_box_api.settings import Settings
from sso_box_api.vending import Grant, LedgerKeys, LiveVend, VendKey

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """One authorised request of one person whose Box user is bound.

    ``signed_in_at``: when the person logged in, in epoch seconds. ``rejected_sha256``:
    of the token that Box no longer took from the caller, in lower-case hex. ``rank``:
    how it queues at Box. ``is_first``: nobody can have asked for this token before.
    """

    account: Account
    grant: Grant
    provider: str
    client_id: str
    signed_in_at: int
    rejected_sha256: str = ""
    rank: Rank = Rank.LOGIN
    is_first: bool = False

    @property
    def resource(self) -> str | None:
        return str(self.grant.resource) if self.grant.resource else None

    @property
    def vend_key(self) -> VendKey:
        return VendKey.of(self.account.identity_id, self.client_id, self.grant)


class Minter:
    """The mints of this process."""

    def __init__(
        self, database: Database, box: Box, keys: LedgerKeys, settings: Settings
    ) -> None:
        self._database = database
        self._box = box
        self._keys = keys
        self._limits = settings.limits
        self._rate = vending.MintRate(self._limits.mints_per_minute)
        self._strict = settings.vending.scope_answer == "strict"
        self._deadline_s = settings.box.deadline_s
        # Box users that were missing or inactive a moment ago; a relinked account has
        # another one at once.
        self._gone: TTLCache[str, type[SsoBoxError]] = TTLCache(maxsize=10_000, ttl=60)
        # What Box would not let a Box user have a moment ago, by user and resource.
        self._out_of_reach: TTLCache[tuple[str, str | None], bool] = TTLCache(
            maxsize=10_000, ttl=self._limits.resource_refusal_memory_s
        )

    async def mint(self, order: Order) -> LiveVend:
        """Get a downscoped token from Box; hand it on only once its row stands.

        Raises what the account's gate raises, ``ProvisioningInProgress``,
        ``TooManyMints``, ``BoxUserMissing``, ``BoxUserInactive``, ``ResourceNotAccessible``,
        ``BoxGrantedWrongScope``, ``BoxRefused``, ``BoxUnavailable``,
        ``DatabaseUnavailable``.
        """
        self._recall(order)
        await self._rate.take(self._database, order.account.id)
        with ranked(order.rank):
            token = await self._downscope(order)
        try:
            self._check_answer(order.grant, token)
            if order.resource is None and (vend := await self._list(order, token)):
                return vend
            return await self._list_in_turn(order, token)
        except Exception:
            # Whatever went wrong, the token is out at Box and nobody may have it.
            await self._list_and_revoke(order, token)
            raise

    def _recall(self, order: Order) -> None:
        """Refuse what Box refused a moment ago, without a call."""
        box_user_id = order.account.bound_user_id
        if (gone := self._gone.get(box_user_id)) is not None:
            raise gone("remembered")
        if (box_user_id, order.resource) in self._out_of_reach:
            raise ResourceNotAccessible("remembered")

    async def _downscope(self, order: Order) -> Downscoped:
        box_user_id = order.account.bound_user_id
        scopes, resource = order.grant.scopes, order.resource
        try:
            parent = await self._box.user_token(box_user_id)
            try:
                return await self._box.downscope(parent, scopes, resource)
            except SubjectTokenRejected:
                # Box refuses a just-minted parent now and then; a second one passes.
                parent = await self._box.user_token(box_user_id)
                return await self._box.downscope(parent, scopes, resource)
        except InvalidResource as error:
            self._out_of_reach[box_user_id, resource] = True
            raise ResourceNotAccessible(error.reason) from error
        except BoxRefused:
            await self._raise_if_gone(box_user_id)
            raise

    async def _raise_if_gone(self, box_user_id: str) -> None:
        """Look whether the Box user is why Box refused; such a user is never remade."""
        try:
            user = await self._box.get_user(box_user_id)
        except NotFoundAtBox as error:
            self._gone[box_user_id] = BoxUserMissing
            raise BoxUserMissing(error.reason) from error
        if user.status == "inactive":
            self._gone[box_user_id] = BoxUserInactive
            raise BoxUserInactive

    def _check_answer(self, grant: Grant, token: Downscoped) -> None:
        entries = token.restricted_to
        if not self._strict and not entries:
            _log.warning("Box sent no restricted_to; accepted by SCOPE_ANSWER=log")
        vending.check_answer(
            grant,
            [(e.scope, e.object_type, e.object_id) for e in entries or ()],
            strict=self._strict,
        )

    async def _list(self, order: Order, token: Downscoped) -> LiveVend | None:
        """List it if the gate is open, in one statement; None if it is not."""
        return await vending.insert_if(
            self._database,
            accounts.open_gate(
                order.account,
                order.signed_in_at,
                provider=order.provider,
                client_id=order.client_id,
            ),
            self._keys,
            order.vend_key,
            account_id=order.account.id,
            provider=order.provider,
            token=token.access_token,
            expires_at=token.expires_at,
            max_life_s=order.grant.max_life_s,
        )

    async def _list_in_turn(self, order: Order, token: Downscoped) -> LiveVend:
        """List it once the gate has let it pass, or say why the gate is shut."""
        async with self._database.transaction() as session:
            bound = order.resource is not None
            await accounts.gate_for_vend(
                session,
                order.account,
                order.signed_in_at,
                provider=order.provider,
                client_id=order.client_id,
                alone=bound,
            )
            vend = await self._insert(session, order, token, "live")
            if bound:
                keep = self._limits.resource_tokens_per_account
                await vending.close_surplus(session, order.account.id, keep=keep)
            return vend

    async def _insert(
        self,
        session: AsyncSession,
        order: Order,
        token: Downscoped,
        state: Literal["live", "revoke_pending"],
    ) -> LiveVend:
        return await vending.insert(
            session,
            self._keys,
            order.vend_key,
            account_id=order.account.id,
            provider=order.provider,
            token=token.access_token,
            expires_at=token.expires_at,
            state=state,
            max_life_s=order.grant.max_life_s,
        )

    async def _list_and_revoke(self, order: Order, token: Downscoped) -> None:
        """Kill a token that must not leave; its row keeps it on the list until dead."""
        try:
            async with self._database.transaction() as session:
                vend = await self._insert(session, order, token, "revoke_pending")
        except SsoBoxError as error:
            _log.warning("a refused token could not be listed: %s", error.code)
            vend = None
        try:
            # The request's own time may be up, which is no reason to leave it live.
            with within(self._deadline_s):
                await self._box.revoke(token.access_token)
            if vend is not None:
                async with self._database.transaction() as session:
                    await vending.mark_revoked(session, vend.id)
        except SsoBoxError as error:
            _log.warning("a refused token is still to be revoked: %s", error.code)

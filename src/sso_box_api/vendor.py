"""Which token does an authorised request get? The live one, else one minted now.

A token that Box refused to the caller is the exception: Box is asked once whether it
still takes it, and only then it is closed and another one minted. The row decides that
for all processes. Nothing is renewed for people who do not ask.
"""

import asyncio
import logging
from functools import partial
from typing import Literal
from weakref import WeakValueDictionary

from cachetools import TTLCache

from sso_box_api import accounts, vending
from sso_box_api.box import Box, within
from sso_box_api.db import Database
from sso_box_api.errors import SsoBoxError
from sso_box_api.memory import Memory
from sso_box_api.minting import Minter, Order
from sso_box_api.vending import LedgerKeys, LiveVend, VendKey

_log = logging.getLogger(__name__)

_POLL_S = 0.1
# What keeps a renewal from coming about will most likely do so a moment later.
_RENEW_AGAIN_S = 30
_MOST_RENEWALS = 10_000


class Vendor:
    """``renew_below_s``: a token with less life left than that is not given out again.

    ``probe_s``: how long a call to Box may take; then another process may ask anew.
    ``memory``: where an old token is dropped once there is a new one.
    """

    def __init__(
        self,
        database: Database,
        box: Box,
        keys: LedgerKeys,
        minter: Minter,
        memory: Memory,
        *,
        renew_below_s: int,
        probe_s: float,
    ) -> None:
        self._database = database
        self._box = box
        self._keys = keys
        self._minter = minter
        self._renew_below_s = renew_below_s
        self._probe_s = probe_s
        # Who asks for the same token at the same time waits for the one being minted.
        self._minting: WeakValueDictionary[VendKey, asyncio.Lock] = (
            WeakValueDictionary()
        )
        self._memory = memory
        self._renewals: set[asyncio.Task[None]] = set()
        self._renewed: TTLCache[VendKey, bool] = TTLCache(
            maxsize=_MOST_RENEWALS, ttl=_RENEW_AGAIN_S
        )

    async def vend(self, order: Order) -> tuple[LiveVend, Literal["reused", "minted"]]:
        """Hand out the live token there is, else the one that is minted now.

        Raises what ``Minter.mint`` raises, and ``BoxRefusesToken``.
        """
        # Of who was never here before, none is listed.
        first = None if order.is_first else await self._reuse(order)
        if first is not None and first.sha256 != order.rejected_sha256:
            return first, "reused"
        lock = self._minting.setdefault(order.vend_key, asyncio.Lock())
        waited = lock.locked()
        async with lock:
            # Whom this waited for may have minted it; but meanwhile the person may have
            # signed out.
            vend = await self._reuse(order, gate=True) if waited else first
            while vend is not None:
                if vend.sha256 != order.rejected_sha256 or (
                    first is not None and vend.was_probed_after(first)
                ):
                    return vend, "reused"
                await self._probe(order, vend)
                vend = await self._reuse(order, gate=True)
            return await self._minter.mint(order), "minted"

    def renew(self, order: Order) -> None:
        """Have a token minted in the background, for one that is still handed out."""
        if order.vend_key in self._renewed:
            return
        self._renewed[order.vend_key] = True
        renewal = asyncio.create_task(self._renew(order))
        self._renewals.add(renewal)
        renewal.add_done_callback(self._renewals.discard)

    async def close(self) -> None:
        """Wait for the renewals that are under way; each has its own deadline."""
        if self._renewals:
            await asyncio.wait(self._renewals)

    async def _renew(self, order: Order) -> None:
        lock = self._minting.setdefault(order.vend_key, asyncio.Lock())
        try:
            async with lock:
                # Another process may have renewed it.
                newest = await self._reuse(order)
                if newest is None or newest.is_aging:
                    with within(self._probe_s):
                        await self._minter.mint(order)
        except SsoBoxError as error:
            _log.warning("a token was not renewed: %s", error.code)
        except Exception:  # noqa: BLE001 - nobody waits for it
            _log.exception("a token was not renewed")
        else:
            self._memory.forget(str(order.account.id))

    async def _reuse(self, order: Order, *, gate: bool = False) -> LiveVend | None:
        find = partial(
            vending.find_live,
            keys=self._keys,
            key=order.vend_key,
            renew_below_s=self._renew_below_s,
            # A lock of all leaves tokens live until their page comes, also where it was
            # committed since the account was read. Who mints instead is refused.
            unless=accounts.suspension(order.provider, order.client_id),
        )
        if not gate:
            return await find(self._database)
        async with self._database.transaction() as session:
            await accounts.gate_for_vend(
                session,
                order.account,
                order.signed_in_at,
                provider=order.provider,
                client_id=order.client_id,
            )
            return await find(session)

    async def _probe(self, order: Order, vend: LiveVend) -> None:
        """Ask Box whether it takes a token, or wait for who asks; the row tells then."""
        async with self._database.transaction() as session:
            ours = await vending.take_probe(
                session, order.vend_key, vend, lease_s=self._probe_s
            )
        if not ours:
            await asyncio.sleep(_POLL_S)
            return
        is_live = None
        try:
            is_live = await self._box.is_live(vend.token)
        finally:
            # Also where there is no answer: nobody need wait for the lease to end.
            async with self._database.transaction() as session:
                await vending.end_probe(session, vend.id, is_live=is_live)

"""Which token does an authorised request get? The live one, else one minted now.

A token that Box refused to the caller is the exception: Box is asked once whether it
still takes it, and only then it is closed and another one minted. The row decides that
for all processes.
"""

import asyncio
from typing import Literal
from weakref import WeakValueDictionary

from sso_box_api import accounts, vending
from sso_box_api.box import Box
from sso_box_api.db import Database
from sso_box_api.minting import Minter, Order
from sso_box_api.vending import LedgerKeys, LiveVend, VendKey

_POLL_S = 0.1


class Vendor:
    """``renew_below_s``: a token with less life left than that is not given out again.

    ``probe_s``: how long a call to Box may take; then another process may ask anew.
    """

    def __init__(
        self,
        database: Database,
        box: Box,
        keys: LedgerKeys,
        minter: Minter,
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

    async def vend(self, order: Order) -> tuple[LiveVend, Literal["reused", "minted"]]:
        """Hand out the live token there is, else the one that is minted now.

        Raises what ``Minter.mint`` raises, and ``BoxRefusesToken``.
        """
        first = await self._reuse(order)
        if first is not None and first.sha256 != order.rejected_sha256:
            return first, "reused"
        lock = self._minting.setdefault(order.vend_key, asyncio.Lock())
        waited = lock.locked()
        async with lock:
            # While this waited, the person may have signed out.
            while (vend := await self._reuse(order, gate=waited)) is not None:
                if vend.sha256 != order.rejected_sha256 or (
                    first is not None and vend.was_probed_after(first)
                ):
                    return vend, "reused"
                await self._probe(order, vend)
                waited = True
            return await self._minter.mint(order), "minted"

    async def _reuse(self, order: Order, *, gate: bool = False) -> LiveVend | None:
        async with self._database.transaction() as session:
            if gate:
                await accounts.gate_for_vend(
                    session,
                    order.account,
                    order.signed_in_at,
                    provider=order.provider,
                    client_id=order.client_id,
                )
            return await vending.find_live(
                session, self._keys, order.vend_key, renew_below_s=self._renew_below_s
            )

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

"""Give the accounts over to another Box app or enterprise, for ``db rebind``.

Only who the new app sees keeps the Box user. Who it does not see stays with the former
app, which keeps refusing the start, or is told to begin anew.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal
from uuid import UUID

from sso_box_api import accounts, vending
from sso_box_api.accounts import BoxApp, Elsewhere
from sso_box_api.audit import AdministrationEvent, administration
from sso_box_api.box import Box, NotFoundAtBox, patiently
from sso_box_api.db import Database

_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Rebound:
    """An account of another Box app: whether the new one sees its user.

    ``unbound``: nothing was bound yet, so that there is nothing to see.
    """

    account: UUID
    box_user_id: str | None
    state: Literal["seen", "missing", "unbound"]
    done: bool


class Rebinding:
    """One pass over the accounts that belong elsewhere."""

    def __init__(self, database: Database, box: Box, *, box_app: BoxApp) -> None:
        self._database = database
        self._box = box
        self._box_app = box_app

    async def run(
        self, *, apply: bool, unbind_missing: bool
    ) -> AsyncIterator[list[Rebound]]:
        """Tell of each account, a batch at a time, and with ``apply`` give it over.

        ``unbind_missing`` gives the others over too, without their Box user. Whoever
        was given over before an end by force stays so; run it again for the others.
        Raises ``BoxUnavailable``, ``BoxRefused``.
        """
        after: UUID | None = None
        while True:
            async with self._database.transaction() as session:
                batch = await accounts.page_elsewhere(
                    session, self._box_app, after, limit=_AT_ONCE
                )
            if not batch:
                return
            states = await asyncio.gather(*map(self._state, batch))
            staying = not unbind_missing
            done = [apply and not (state == "missing" and staying) for state in states]
            if apply:
                await self._give_over(batch, states, unbind_missing=unbind_missing)
            yield [
                Rebound(row.id, row.box_user_id, state, was_done)
                for row, state, was_done in zip(batch, states, done, strict=True)
            ]
            after = batch[-1].id

    async def _state(self, row: Elsewhere) -> Literal["seen", "missing", "unbound"]:
        if row.box_user_id is None:
            return "unbound"
        try:
            await patiently(partial(self._box.get_user, row.box_user_id))
        except NotFoundAtBox:
            return "missing"
        return "seen"

    async def _give_over(
        self,
        batch: Sequence[Elsewhere],
        states: Sequence[str],
        *,
        unbind_missing: bool,
    ) -> None:
        rows = list(zip(batch, states, strict=True))
        missing = [row for row, state in rows if state == "missing"]
        others = [row for row, state in rows if state != "missing"]
        async with self._database.transaction() as session:
            await accounts.rebind(session, others, self._box_app)
        if not (unbind_missing and missing):
            return
        async with self._database.transaction() as session:
            await accounts.rebind_without_user(session, missing, self._box_app)
            await vending.close_accounts(session, [row.id for row in missing])
        for row in missing:
            event = AdministrationEvent("rebind", account_id=str(row.id))
            with administration(event):
                event.old_box_user_id = row.box_user_id

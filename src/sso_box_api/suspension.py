"""Locking a whole provider or client, as in an incident, and letting it in again.

Beside ``lifecycle``, which locks one account. The suspension is one row, and its commit
refuses everybody it is about; it waits for nobody. Closing what was handed out before is
work for minutes where there are many: it is done in pages, by the command and by every
serve process, and goes on where one of them died. Then ``revocation`` has Box kill it.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from sso_box_api import accounts, vending
from sso_box_api.accounts import Suspension, SuspensionKind
from sso_box_api.audit import AdministrationEvent, administration
from sso_box_api.db import Database
from sso_box_api.errors import CommandRefused, DatabaseUnavailable
from sso_box_api.revocation import Revoker

_PAGE = 500
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class SuspensionReport:
    """What a suspension reached, or its end; ``suspension`` is None once it is lifted.

    ``revoked``: tokens that Box has killed since, by whomever. ``pending``: tokens that this service no
    longer hands out but Box may still honour, until ``latest_expiry`` at the longest.
    """

    suspension: Suspension | None
    revoked: int
    pending: int
    latest_expiry: datetime | None


class Suspensions:
    """Used by the command line, and by every serve process in its background."""

    def __init__(self, database: Database, revoker: Revoker) -> None:
        self._database = database
        self._revoker = revoker

    async def suspend(
        self, kind: SuspensionKind, value: str, reason: str, *, wait_s: float = 5.0
    ) -> SuspensionReport:
        """Refuse everybody of a provider or client, and kill their tokens.

        Waits ``wait_s`` for Box at most; what is left then is done by serve processes.
        """
        with administration(_event("lock", kind, value, reason)):
            async with self._database.transaction() as session:
                await accounts.suspend(session, kind, value, reason)
                await vending.wake_sweepers(session)
        return await self._kill(kind, value, wait_s)

    async def lift(
        self, kind: SuspensionKind, value: str, *, wait_s: float = 5.0
    ) -> SuspensionReport:
        """Let them in again; every token from before is closed first, and killed.

        Raises ``CommandRefused`` where nothing is locked, or not all is closed yet.
        """
        with administration(_event("unlock", kind, value)):
            closed = await self._close_all(kind, value, wait_s)
            async with self._database.transaction() as session:
                await accounts.lift_suspension(session, kind, value)
        return await self._kill(kind, value, wait_s, closed.closed_tokens)

    async def in_force(self) -> list[Suspension]:
        """Return what is in force. Raises ``DatabaseUnavailable``."""
        async with self._database.transaction() as session:
            return await accounts.list_suspensions(session)

    async def work(self) -> bool:
        """Close a page of what is suspended; True if it is worth going on.

        A first pass waits for nobody. Only a pass that begins once the suspension is
        settled is the last. Raises ``DatabaseUnavailable``.
        """
        unclosed = [s for s in await self.in_force() if not s.closed]
        return any([await self._close_page(suspension) for suspension in unclosed])

    async def _close_page(self, suspension: Suspension) -> bool:
        if not suspension.settled and suspension.closed_to is None:
            await self._settle(suspension)
        async with self._database.transaction() as session:
            taken = await accounts.take_suspension(session, suspension)
            if taken is None:
                return False
            closed_to, count = await vending.close_page(
                session, taken.kind, taken.value, taken.closed_to, limit=_PAGE
            )
            await accounts.note_closed(session, taken, closed_to, tokens=count)
        return closed_to is not None

    async def _settle(self, suspension: Suspension) -> None:
        with suppress(DatabaseUnavailable):  # a mint may hang; others must not wait
            async with self._database.transaction() as session:
                await accounts.settle_suspension(session, suspension)

    async def _close_all(
        self, kind: SuspensionKind, value: str, wait_s: float
    ) -> Suspension:
        try:
            async with asyncio.timeout(wait_s):
                while (found := await self._find(kind, value)) and not found.closed:
                    if not await self.work():
                        await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise CommandRefused(
                "tokens from before are still being closed; try again with a longer"
                " --wait"
            ) from None
        if found is None:
            raise CommandRefused(f"this {kind} is not locked: {value}")
        return found

    async def _find(self, kind: SuspensionKind, value: str) -> Suspension | None:
        found = [s for s in await self.in_force() if (s.kind, s.value) == (kind, value)]
        return found[0] if found else None

    async def _kill(
        self, kind: SuspensionKind, value: str, wait_s: float, closed_tokens: int = 0
    ) -> SuspensionReport:
        """Close and revoke together with the serve processes, which are awake.

        ``closed_tokens``: by a suspension that is lifted.
        """
        with suppress(TimeoutError, DatabaseUnavailable):
            async with asyncio.timeout(wait_s):
                await self._finish(kind, value)
        left, latest = await self._outstanding(kind, value)
        found = await self._find(kind, value)
        closed = found.closed_tokens if found else closed_tokens
        return SuspensionReport(found, max(0, closed - left), left, latest)

    async def _finish(self, kind: SuspensionKind, value: str) -> None:
        while True:
            while await self.work():
                pass
            while await self._revoker.work():
                pass
            suspension = await self._find(kind, value)
            left, _ = await self._outstanding(kind, value)
            if not left and (suspension is None or suspension.closed):
                return
            await asyncio.sleep(_POLL_S)

    async def _outstanding(
        self, kind: SuspensionKind, value: str
    ) -> tuple[int, datetime | None]:
        async with self._database.transaction() as session:
            return await vending.count_outstanding(session, kind, value)


def _event(
    act: str, kind: SuspensionKind, value: str, reason: str | None = None
) -> AdministrationEvent:
    return AdministrationEvent(
        act,
        provider=value if kind == "provider" else None,
        client_id=value if kind == "client" else None,
        reason=reason,
    )

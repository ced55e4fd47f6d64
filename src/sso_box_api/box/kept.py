"""One subject's token, minted by one task for all who ask and kept while it lives."""

import asyncio
from collections.abc import Awaitable, Callable

from sso_box_api.box.deadline import allowance, within
from sso_box_api.box.failures import NoVerdict, Trouble
from sso_box_api.box.tokens import BoxToken

RENEW_AHEAD_S = 300


class KeptToken:
    """Renewed ahead of its expiry when somebody asks, and never handed out past it.

    ``deadline_s`` is the time of a mint: it serves many, so no caller's own holds.
    ``held_s`` tells for how many seconds more Box wants no mint.
    """

    def __init__(
        self,
        mint: Callable[[], Awaitable[BoxToken]],
        *,
        clock: Callable[[], float],
        deadline_s: float,
        held_s: Callable[[], float],
    ) -> None:
        self._mint = mint
        self._clock = clock
        self._deadline_s = deadline_s
        self._held_s = held_s
        self._token: BoxToken | None = None
        self._minting: asyncio.Task[BoxToken] | None = None

    async def get(self) -> BoxToken:
        """Return a token that lives; nobody waits for a renewal while one does.

        Raises ``NoVerdict``, ``RefusedByBox``.
        """
        token, now = self._token, self._clock()
        if token and now < token.expires_at - min(RENEW_AHEAD_S, token.expires_in / 2):
            return token
        minting = self._start()
        if token and now < token.expires_at:
            return token
        return await self._wait(minting)

    async def fresh(self) -> BoxToken:
        """Return a token that is minted now, together with all who ask meanwhile."""
        return await self._wait(self._start())

    def forget(self, refused: BoxToken | None) -> None:
        """Drop the token that Box refused, unless another call has renewed it since."""
        if self._token is refused:
            self._token = None

    def _start(self) -> asyncio.Task[BoxToken]:
        if self._minting is None:
            if allowance(self._deadline_s).left_s <= 0:
                raise NoVerdict(Trouble("no time is left to get a token"))
            self._minting = asyncio.create_task(self._fetch())
            self._minting.add_done_callback(self._done)
        return self._minting

    async def _fetch(self) -> BoxToken:
        with within(self._deadline_s):
            self._token = await self._mint()
        return self._token

    def _done(self, task: asyncio.Task[BoxToken]) -> None:
        self._minting = None
        if not task.cancelled():
            task.exception()  # whoever waits is told; nobody has to

    async def _wait(self, minting: asyncio.Task[BoxToken]) -> BoxToken:
        given = allowance(self._deadline_s)
        try:
            # The mint may have the time to wait for as long as Box asked, and its
            # caller not.
            if self._held_s() < given.left_s:
                async with asyncio.timeout_at(given.ends):
                    # Shielded: who leaves must not take the token from the others.
                    return await asyncio.shield(minting)
        except TimeoutError:
            pass
        late = Trouble("no token within the deadline")
        raise NoVerdict(late, retry_after_s=self._held_s() or None)

"""Tokens of Box: kept for all who ask, and read strictly where one could leak by it."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from sso_box_api.box.answers import Unreadable
from sso_box_api.box.deadline import allowance, within
from sso_box_api.box.failures import NoVerdict, Trouble

RENEW_AHEAD_S = 300
_EXPECTED_FOR_S = 5
# Far above what Box is seen to give, far below what a date can hold.
MAX_LIFE_S = 30 * 86_400


@dataclass(frozen=True)
class BoxToken:
    """An access token with all rights of its subject; ``expires_at`` in epoch seconds."""

    access_token: str = field(repr=False)
    expires_at: float
    expires_in: int
    subject: str = ""


@dataclass(frozen=True)
class Grant:
    """One entry of Box's ``restricted_to``: a scope, and the item it holds for."""

    scope: str
    object_type: str | None
    object_id: str | None


@dataclass(frozen=True)
class Downscoped:
    """A narrowed token and what Box says it granted; None if Box did not say."""

    access_token: str = field(repr=False)
    expires_at: float
    expires_in: int
    restricted_to: tuple[Grant, ...] | None


class KeptToken:
    """One subject's token, minted by one task for all who ask.

    Renewed ahead of its expiry when somebody asks, and never handed out past it.

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
        self._expected: tuple[asyncio.Task[BoxToken], float] | None = None

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

    def expect(self) -> None:
        """Begin with the mint that somebody will ask for as ``fresh`` in a moment."""
        with suppress(NoVerdict):
            self._expected = self._start(), self._clock()

    async def fresh(self) -> BoxToken:
        """Return a token that is minted now, together with all who ask meanwhile.

        Raises ``NoVerdict``, ``RefusedByBox``.
        """
        expected, self._expected = self._expected, None
        if expected and self._clock() - expected[1] < _EXPECTED_FOR_S:
            return await self._wait(expected[0])
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


def read_token(data: Mapping[str, object], asked_at: float, subject: str) -> BoxToken:
    """Read a token answer; life counts from ``asked_at``. Raises ``Unreadable``."""
    token, life = data.get("access_token"), data.get("expires_in")
    if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
        raise Unreadable
    if not isinstance(life, int) or isinstance(life, bool):
        raise Unreadable
    if not 0 < life <= MAX_LIFE_S:
        raise Unreadable
    return BoxToken(token, asked_at + life, life, subject)


def read_grants(value: object) -> tuple[Grant, ...] | None:
    """Read ``restricted_to``.

    What makes no sense becomes a grant that matches no request: the token exists at
    Box, so the caller has to see it to revoke it.
    """
    if value is None:
        return None
    entries = value if isinstance(value, list) else [value]
    return tuple(_grant(entry) for entry in entries)


def _grant(entry: object) -> Grant:
    entry = entry if isinstance(entry, dict) else {}
    item = entry.get("object")
    item = item if isinstance(item, dict) else {}
    scope, kind, item_id = entry.get("scope"), item.get("type"), item.get("id")
    return Grant(
        scope if isinstance(scope, str) else "",
        kind if isinstance(kind, str) else None,
        None if item_id is None else str(item_id),
    )

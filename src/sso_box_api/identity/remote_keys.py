"""The keys of one provider: fetched, kept, renewed.

On the way of a request only while cold, or when a token names a key not seen before:
once started, sets are renewed before they expire.
A good set is replaced by a good set and by nothing else: a failed fetch leaves it.
"""

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from sso_box_api.errors import KeyFetchesLimited, KeysUnavailable
from sso_box_api.identity.documents import FetchProblem
from sso_box_api.identity.key_source import FetchedKeys, KeySource
from sso_box_api.identity.keyset import KeySet
from sso_box_api.settings import ProviderSettings

logger = logging.getLogger(__name__)

# How often tokens with unknown keys may make us ask the provider. The last one is kept
# for people who were verified before, so that no stranger can use it up.
UNKNOWN_KEY_FETCHES = 3
UNKNOWN_KEY_REFILL_S = 60
KEPT_FOR_KNOWN_PEOPLE = 1

# A fetch that found a new key is given back: the provider rotated, and nobody abused
# anything. Bounded, for a provider whose answers are never twice the same.
ROTATIONS_GIVEN_BACK = 20
ROTATION_REFILL_S = 60

# After failures in a row: pauses of 1, 2, 4 … seconds.
MAX_PAUSE_S = 32
_MAX_DOUBLINGS = 5

# When a set is renewed, as a part of its life; spread, so that processes which started
# together do not ask together.
RENEW_AT = 0.8
RENEW_SPREAD = 0.1
# However due a renewal seems, so that no clock can make it spin.
_MIN_SLEEP_S = 1.0

# The reasons of ``KeysUnavailable``, for the log and the audit event.
FETCH_FAILED = "keys_fetch_failed"
FETCHES_LIMITED = "keys_fetches_limited"
FETCH_OVERLAPPED = "keys_fetch_overlapped"


@dataclass(frozen=True, slots=True)
class KeysState:
    """For ``/readyz``. ``age_s`` counts from the last good fetch."""

    state: Literal["unfetched", "fresh", "stale", "unavailable"]
    age_s: float | None
    keys: int


class RemoteKeys:
    """One provider's current ``KeySet``, shared by all requests of this process.

    At most one fetch runs at a time. It is a task of its own: a caller that goes away
    does not end it, and everybody who needs it waits for the same one.
    """

    def __init__(
        self,
        provider: ProviderSettings,
        source: KeySource,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._provider = provider
        self._source = source
        self._clock = clock
        self._sleep = sleep
        self._renewal: asyncio.Task[None] | None = None
        self._renew_after_s = 0.0
        self._held: FetchedKeys | None = None
        self._fetched_at = -math.inf
        self._completed = 0
        self._failures = 0
        self._pause_until = -math.inf
        self._unknown_keys = TokenBucket(
            UNKNOWN_KEY_FETCHES, UNKNOWN_KEY_REFILL_S, clock()
        )
        self._rotations = TokenBucket(ROTATIONS_GIVEN_BACK, ROTATION_REFILL_S, clock())
        self._flight: asyncio.Task[None] | None = None
        self._spent = False  # one of them, for the flight

    def start(self) -> None:
        """Fetch now and renew from now on, in the background, whatever comes of it."""
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._keep_fresh())

    @property
    def completed(self) -> int:
        """Fetches that have ended, well or not. Read it when a request arrives."""
        return self._completed

    async def current(self) -> KeySet:
        """The set as it is held, fetched first if there is none.

        An expired set is served at once while one fetch renews it. Raises
        ``KeysUnavailable``.
        """
        paused = self._pause_s() > 0
        state = self.state().state
        if state == "stale" and not paused:
            self._flight = self._fetching()
        if state not in {"fresh", "stale"}:
            if paused and not self.in_flight:
                raise self._unavailable()
            await self._landed()
        return self._usable()

    async def newer(self, arrived: int, *, known_person: bool) -> KeySet:
        """The set for a request whose token the current one could not judge.

        ``arrived`` is ``completed`` at its arrival: whatever was fetched since then is
        new enough, so a flood of such requests causes one fetch. ``known_person``:
        whether the token claims to be about somebody who was verified before. Raises
        ``KeysUnavailable`` where that fetch failed or too many were asked for.
        """
        if self._completed == arrived:
            if not self.in_flight:
                self._spend(0 if known_person else KEPT_FOR_KNOWN_PEOPLE)
            await self._landed()
        if self._failures or self._completed == arrived:
            raise self._unavailable()
        return self._usable()

    def state(self) -> KeysState:
        if self._held is None:
            return KeysState("unavailable" if self._failures else "unfetched", None, 0)
        age_s = self._clock() - self._fetched_at
        state: Literal["fresh", "stale", "unavailable"]
        if 0 <= age_s < self._held.ttl_s:  # negative: the clock was set back
            state = "fresh"
        elif age_s < self._held.ttl_s + self._provider.keys_max_stale_s:
            state = "stale"
        else:
            state = "unavailable"
        return KeysState(state, age_s, len(self._held.keys))

    async def close(self) -> None:
        running = [task for task in (self._renewal, self._flight) if task is not None]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    def _spend(self, kept: int) -> None:
        if not self._unknown_keys.take(self._clock(), kept):
            wait_s = math.ceil(self._unknown_keys.wait_s(kept))
            raise KeyFetchesLimited(FETCHES_LIMITED, retry_after=wait_s)
        self._spent = True

    async def _keep_fresh(self) -> None:
        while True:
            if self._renewal_in_s() <= 0:
                await self._landed()
            await self._sleep(max(self._renewal_in_s(), _MIN_SLEEP_S))

    def _renewal_in_s(self) -> float:
        """Seconds until the next fetch is due, as things stand now."""
        if self._failures:
            return self._pause_s()
        age_s = self._clock() - self._fetched_at
        return self._renew_after_s - age_s if age_s >= 0 else 0

    @property
    def in_flight(self) -> bool:
        """Whether a fetch runs, which may have begun before a request arrived."""
        return self._flight is not None and not self._flight.done()

    def _fetching(self) -> asyncio.Task[None]:
        """The fetch under way, begun if there is none."""
        if self._flight is None or self._flight.done():
            return asyncio.create_task(self._fetch())
        return self._flight

    async def _landed(self) -> None:
        self._flight = self._fetching()
        # Unlike an await of the task, this neither cancels it with the caller nor
        # raises its cancellation here.
        await asyncio.wait([self._flight])

    async def _fetch(self) -> None:
        try:
            fetched = await self._source.fetch()
        except FetchProblem as problem:
            pause_s = 2 ** min(self._failures, _MAX_DOUBLINGS)
            self._failures += 1
            self._pause_until = self._clock() + pause_s
            logger.warning("keys of provider %s: %s", self._provider.id, problem)
        else:
            self._give_back(fetched.keys)
            self._held, self._fetched_at = fetched, self._clock()
            self._failures = 0
            self._pause_until = -math.inf
            spread = random.uniform(-RENEW_SPREAD, RENEW_SPREAD)  # noqa: S311 - no secret
            self._renew_after_s = fetched.ttl_s * RENEW_AT * (1 + spread)
            if fetched.keys.leaks_private:
                logger.error(
                    "provider %s publishes private keys; it must replace them",
                    self._provider.id,
                )
        self._spent = False
        self._completed += 1

    def _give_back(self, fetched: KeySet) -> None:
        held = self._held.keys.materials if self._held else frozenset()
        rotated = not fetched.materials <= held
        if self._spent and rotated and self._rotations.take(self._clock()):
            self._unknown_keys.put_back()

    def _usable(self) -> KeySet:
        if self._held is None or self.state().state == "unavailable":
            raise self._unavailable()
        return self._held.keys

    def _pause_s(self) -> float:
        """How long to leave a provider alone that failed just now."""
        left_s = self._pause_until - self._clock()
        return left_s if 0 < left_s <= MAX_PAUSE_S else 0  # else the clock was set

    def _unavailable(self) -> KeysUnavailable:
        retry_after = max(math.ceil(self._pause_s()), 1)
        return KeysUnavailable(FETCH_FAILED, retry_after=retry_after)


class TokenBucket:
    """``size`` at once, then one more every ``refill_s`` seconds."""

    def __init__(self, size: int, refill_s: float, now: float) -> None:
        self._size = size
        self._refill_s = refill_s
        self._level = float(size)
        self._at = now

    def take(self, now: float, kept: int = 0) -> bool:
        """Take one, unless fewer than ``kept`` would be left."""
        gained = max(now - self._at, 0) / self._refill_s
        self._level = min(self._level + gained, self._size)
        self._at = now
        if self._level < 1 + kept:
            return False
        self._level -= 1
        return True

    def put_back(self) -> None:
        self._level = min(self._level + 1, self._size)

    def wait_s(self, kept: int = 0) -> float:
        """Seconds until the next one is there, just after ``take`` refused."""
        return (1 + kept - self._level) * self._refill_s

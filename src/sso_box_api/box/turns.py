"""Who is next where only so many calls may be under way: first logins, then others.

Of one rank each Box user has a turn before anyone has a second one, so that no person's
many requests keep the others waiting. And so that no rank waits for ever, every eighth
turn is that of whoever has waited longest. docs/adr/0008 says why this is our own code.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sso_box_api.box.budget import NoRoom
from sso_box_api.box.deadline import Allowance, Rank

# How many of a rank may wait for each that is under way: with answers of Box's usual
# third of a second that is as long as a queue for a budget may be. How long one takes
# nobody knows before, so who finds the queue full is told to come again in a second.
QUEUE_FOR_EACH = 8
FULL_S = 1.0
# Every so many turns.
OLDEST_FIRST = 8


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    arrival: int
    turn: asyncio.Future[None]


class _Queue:
    """Who waits in one rank: in turn by Box user, of each who came first."""

    def __init__(self) -> None:
        self._users: OrderedDict[str, deque[_Waiter]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._users.values()))

    def add(self, user: str, waiter: _Waiter) -> None:
        self._users.setdefault(user, deque()).append(waiter)

    def discard(self, user: str, waiter: _Waiter) -> None:
        if waiter in self._users.get(user, ()):
            self._users[user].remove(waiter)
            if not self._users[user]:
                del self._users[user]

    def fronts(self) -> Iterator[tuple[int, str]]:
        """The longest wait of each user, by its arrival, in the order of their turns."""
        return ((waiters[0].arrival, user) for user, waiters in self._users.items())

    def pop(self, user: str) -> _Waiter:
        """Take the first of a user, who goes behind all the others then."""
        waiters = self._users.pop(user)
        waiter = waiters.popleft()
        if waiters:
            self._users[user] = waiters
        return waiter


class Turns:
    """At most ``limit`` calls under way at once."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._longest = limit * QUEUE_FOR_EACH
        self._queues = {rank: _Queue() for rank in Rank}
        self._arrivals = 0
        self._given = 0

    @asynccontextmanager
    async def turn(self, user: str, allowance: Allowance) -> AsyncIterator[None]:
        """Hold a place; raises ``NoRoom`` if none comes free before the deadline."""
        await self._wait(user, allowance)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, user: str, allowance: Allowance) -> None:
        if self._free:
            self._free -= 1
            return
        queue = self._queues[allowance.rank]
        if len(queue) >= self._longest:
            raise NoRoom(FULL_S, "too many are under way")
        self._arrivals += 1
        turn = asyncio.get_running_loop().create_future()
        waiter = _Waiter(self._arrivals, turn)
        queue.add(user, waiter)
        try:
            async with asyncio.timeout_at(allowance.ends):
                await turn
        except BaseException as left:
            queue.discard(user, waiter)
            # Its turn came as it left, so that is another one's.
            if turn.done() and not turn.cancelled():
                self._pass_on()
            if isinstance(left, TimeoutError):
                raise NoRoom(FULL_S, "too many are under way") from None
            raise

    def _pass_on(self) -> None:
        """Give a place to the next who waits, or have it free."""
        while (waiter := self._next()) is not None:
            # One that was cancelled may not have come to leave the queue yet.
            if not waiter.turn.done():
                self._given += 1
                waiter.turn.set_result(None)
                return
        self._free += 1

    def _next(self) -> _Waiter | None:
        waiting = [queue for queue in self._queues.values() if len(queue)]
        if not waiting:
            return None
        if self._given % OLDEST_FIRST == OLDEST_FIRST - 1:
            queue = min(waiting, key=lambda queue: min(queue.fronts()))
            _, user = min(queue.fronts())
        else:
            queue = waiting[0]
            _, user = next(queue.fronts())
        return queue.pop(user)

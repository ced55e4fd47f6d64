"""Box's limits, kept by waiting: calls a minute for each Box user.

The service account is one such user, and all first logins share it. Box does not
publish a limit for the token endpoint, so there only the calls under way at once are
bounded (``turns``), and Box's own Retry-After is obeyed. Source: developer.box.com
"Rate limits". docs/adr/0008 says why this is our own code.
"""

import asyncio
from dataclasses import dataclass
from typing import Literal

from cachetools import LRUCache

from sso_box_api.box.deadline import Allowance

CallKind = Literal["token", "api", "upload"]

MAX_SUBJECTS = 10_000
# Box counts by the minute, so a longer Retry-After is asked about again after one.
MAX_HOLD_S = 60.0
# Who would wait longer is told to come again. If each call of a login could wait for
# all the time there is, a queue of look-ups would leave none for the creations behind.
MAX_QUEUE_S = 2.5


@dataclass(frozen=True, slots=True)
class Lane:
    """What a call counts against: the kind of endpoint, and whose token it carries."""

    kind: CallKind
    subject: str


class NoRoom(Exception):
    """A call's turn would come too late; ``wait_s`` seconds from now it may be better."""

    def __init__(self, wait_s: float, why: str = "the budget is used up") -> None:
        super().__init__()
        self.wait_s = wait_s
        self.why = why


class Pace:
    """At most ``per_minute`` calls in any minute: a tenth at once, the rest evenly.

    The generic cell rate algorithm: one number says when the next call is due, and
    so how long a call would wait is known before it waits. None is no limit.
    """

    def __init__(self, per_minute: int | None) -> None:
        burst = max(1, (per_minute or 0) // 10)
        steady = max(1, (per_minute or 0) - burst)
        self._gap_s = 60 / steady if per_minute else 0.0
        self._credit_s = self._gap_s * (burst - 1)
        self._due = 0.0
        self._held_until = 0.0

    def wait_s(self, now: float) -> float:
        """Seconds until the next call may go."""
        return max(0.0, self._due - self._credit_s - now, self._held_until - now)

    def take(self, now: float) -> None:
        """Take the place that ``wait_s`` told of."""
        self._due = max(self._due, now, self._held_until) + self._gap_s

    def held_s(self, now: float) -> float:
        """Seconds of a hold that are left."""
        return max(0.0, self._held_until - now)

    def hold(self, now: float, seconds: float) -> None:
        """Let nothing go for a while, because Box said so."""
        self._held_until = max(self._held_until, now + min(seconds, MAX_HOLD_S))


class Budgets:
    """The paces of one process, by kind of call and Box user."""

    def __init__(self, *, calls_per_minute: int, uploads_per_minute: int) -> None:
        self._rates: dict[CallKind, int | None] = {
            "api": calls_per_minute,
            "upload": uploads_per_minute,
            "token": None,
        }
        self._paces: LRUCache[tuple[Lane, bool], Pace] = LRUCache(MAX_SUBJECTS)

    async def wait(self, lane: Lane, allowance: Allowance) -> None:
        """Wait for this call's turn; raises ``NoRoom`` at once if that is too late.

        Background work queues at half of the rate before it joins the common queue:
        however much of it there is, a login finds places free.
        """
        clock = asyncio.get_running_loop().time
        for background in (True, False) if allowance.background else (False,):
            pace, now = self._pace(lane, background=background), clock()
            wait_s = pace.wait_s(now)
            longest_s = allowance.left_s if background else MAX_QUEUE_S
            if wait_s > 0 and wait_s >= min(longest_s, allowance.left_s):
                raise NoRoom(wait_s)
            pace.take(now)
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            # Box may have asked for a pause while this call was in the queue.
            if (held_s := pace.held_s(clock())) > 0:
                raise NoRoom(held_s)

    def hold(self, lane: Lane, seconds: float) -> None:
        """Send nothing in this lane for the time that Box asked for."""
        now = asyncio.get_running_loop().time()
        self._pace(lane, background=False).hold(now, seconds)

    def held_s(self, lane: Lane) -> float:
        """Seconds that are left of such a hold, 0 if there is none."""
        now = asyncio.get_running_loop().time()
        return self._pace(lane, background=False).held_s(now)

    def _pace(self, lane: Lane, *, background: bool) -> Pace:
        key = (lane, background)
        if key not in self._paces:
            rate = self._rates[lane.kind]
            self._paces[key] = Pace(rate // 2 if rate and background else rate)
        return self._paces[key]

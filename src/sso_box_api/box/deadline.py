"""How long the work for one request may take at Box, and who goes first in its queues.

Context variables, so that no call on the way down can forget to hand them on. Each call
reads them once, in ``transport``.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import IntEnum


class Rank(IntEnum):
    """Whose calls go first where calls have to queue; the smaller."""

    FIRST_LOGIN = 0
    LOGIN = 1
    BACKGROUND = 2


@dataclass(frozen=True, slots=True)
class Allowance:
    """``ends`` on the clock of the event loop."""

    ends: float
    rank: Rank = Rank.LOGIN

    @property
    def left_s(self) -> float:
        return self.ends - asyncio.get_running_loop().time()

    @property
    def background(self) -> bool:
        """Whether this gives way to logins."""
        return self.rank is Rank.BACKGROUND


_ends: ContextVar[float | None] = ContextVar("box_ends", default=None)
_rank: ContextVar[Rank] = ContextVar("box_rank", default=Rank.LOGIN)


@contextmanager
def within(seconds: float, *, background: bool = False) -> Iterator[None]:
    """Give all calls to Box in this block one deadline, their retries and waits too.

    The innermost block counts: work that outlives its caller states its own time.
    ``background`` leaves half of the service account's budget to the logins.
    """
    token = _ends.set(_from_now(seconds))
    try:
        with ranked(Rank.BACKGROUND if background else _rank.get()):
            yield
    finally:
        _ends.reset(token)


@contextmanager
def ranked(rank: Rank) -> Iterator[None]:
    """Queue the calls of this block, and of the tasks begun in it, in this rank."""
    token = _rank.set(rank)
    try:
        yield
    finally:
        _rank.reset(token)


def allowance(default_s: float) -> Allowance:
    """Return the block's allowance; outside of any, each call has ``default_s``."""
    ends = _ends.get()
    return Allowance(_from_now(default_s) if ends is None else ends, _rank.get())


def _from_now(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds

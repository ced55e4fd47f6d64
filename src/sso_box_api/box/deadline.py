"""How long the work for one request may take at Box: all of its calls together.

A context variable, so that no call on the way down can forget to hand it on. Each call
reads it once, in ``transport``.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Allowance:
    """``ends`` on the clock of the event loop; ``background`` gives way to logins."""

    ends: float
    background: bool = False

    @property
    def left_s(self) -> float:
        return self.ends - asyncio.get_running_loop().time()


_current: ContextVar[Allowance | None] = ContextVar("box_allowance", default=None)


@contextmanager
def within(seconds: float, *, background: bool = False) -> Iterator[None]:
    """Give all calls to Box in this block one deadline, their retries and waits too.

    The innermost block counts: work that outlives its caller states its own time.
    ``background`` leaves half of the service account's budget to the logins.
    """
    token = _current.set(_from_now(seconds, background=background))
    try:
        yield
    finally:
        _current.reset(token)


def allowance(default_s: float) -> Allowance:
    """Return the block's allowance; outside of any, each call has ``default_s``."""
    return _current.get() or _from_now(default_s, background=False)


def _from_now(seconds: float, *, background: bool) -> Allowance:
    return Allowance(asyncio.get_running_loop().time() + seconds, background)

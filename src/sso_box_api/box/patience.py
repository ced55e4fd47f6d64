"""Calls of work that takes minutes: they give way to logins and wait as Box asks."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sso_box_api.box.deadline import within
from sso_box_api.box.failures import NoVerdict

T = TypeVar("T")

_CALL_S = 120.0
_TRIES = 5


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Make one repeatable call, again after the pause that Box or a limit asks for.

    Raises what it raises; ``NoVerdict`` only once several pauses did not help.
    """
    for _ in range(_TRIES - 1):
        try:
            with within(_CALL_S, background=True):
                return await call()
        except NoVerdict as silent:
            await asyncio.sleep(silent.retry_after or 0)
    with within(_CALL_S, background=True):
        return await call()

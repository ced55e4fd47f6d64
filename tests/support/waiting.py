"""Waiting for what others bring about: another task, another process, Box, the rows."""

import asyncio
from collections.abc import Awaitable, Callable

PATIENCE_S = 60.0


async def until(
    condition: Callable[[], Awaitable[object]], *, within_s: float = PATIENCE_S
) -> None:
    """Ask again until the answer is true. Raises ``TimeoutError``."""
    async with asyncio.timeout(within_s):
        while not await condition():  # noqa: ASYNC110 - nobody of them tells
            await asyncio.sleep(0.005)

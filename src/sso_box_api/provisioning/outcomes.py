"""What came of a step, as it is written down: the last line of each step's way.

Functions take the session of a transaction that the worker opened.
"""

from collections.abc import Awaitable, Callable

from sso_box_api import furnishing
from sso_box_api.db import AsyncSession
from sso_box_api.furnishing import Step

Note = Callable[[AsyncSession], Awaitable[None]]


async def success(step: Step, box_id: str | None, session: AsyncSession) -> None:
    if step.kind == "membership" and not (step.params or {})["member"]:
        await furnishing.drop(session, step)
    else:
        await furnishing.done(session, step, box_id)


async def pending(step: Step, code: str, wait_s: float, session: AsyncSession) -> None:
    await furnishing.put_off(session, step, code, state="pending", wait_s=wait_s)


async def failed(step: Step, code: str, wait_s: float, session: AsyncSession) -> None:
    await furnishing.put_off(session, step, code, state="failed", wait_s=wait_s)


async def skipped(step: Step, session: AsyncSession) -> None:
    await furnishing.skip(session, step, "parent_gone")


def code_of(error: BaseException) -> str:
    """Name a failure by our code and Box's; nothing else of what Box said is kept."""
    ours = getattr(error, "code", "internal_error")
    return f"{ours} {getattr(error, 'box_code', '')}".strip()

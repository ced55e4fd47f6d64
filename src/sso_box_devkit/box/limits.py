"""Box's budgets of calls: for each user, so many in any minute.

Box publishes 1000 calls and 240 uploads a minute and user; unset, nothing is counted.
The minute is this machine's: the emulated clock may jump.
"""

import math
from collections import defaultdict, deque
from time import monotonic

from starlette.responses import Response

from sso_box_devkit.box.responses import BoxError
from sso_box_devkit.box.settings import Settings

_MINUTE_S = 60
_UPLOADS = "/api/"


class CallLimits:
    """The calls of the last minute, by user and kind."""

    def __init__(self) -> None:
        self._calls: defaultdict[tuple[str, bool], deque[float]] = defaultdict(deque)

    def spend(self, settings: Settings, path: str, user_id: str) -> int | None:
        """None, or the whole seconds to wait; a refused call costs nothing (ours)."""
        is_upload = path.startswith(_UPLOADS)
        limit = settings.uploads_per_minute if is_upload else settings.calls_per_minute
        if limit is None:
            return None
        now, calls = monotonic(), self._calls[user_id, is_upload]
        while calls and calls[0] <= now - _MINUTE_S:
            calls.popleft()
        if len(calls) < limit:
            calls.append(now)
            return None
        return math.ceil(calls[0] + _MINUTE_S - now) if calls else _MINUTE_S

    def clear(self) -> None:
        self._calls.clear()


def too_many(settings: Settings, wait_s: int, request_id: str) -> Response:
    """Box was seen to leave Retry-After out."""
    message = "Request rate limit exceeded, please try again later"
    response = BoxError(429, "rate_limit_exceeded", message).response(request_id)
    if settings.limits_tell_retry_after:
        response.headers["retry-after"] = str(wait_s)
    return response

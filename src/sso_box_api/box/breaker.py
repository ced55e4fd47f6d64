"""Spares callers the wait for a Box that does not answer.

After enough failures in a row nothing is sent for a while and every caller is told so
at once; then one call goes as a probe, and its outcome decides for all.
docs/adr/0008 says why this is our own code.
"""

import logging
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)


class Shut(Exception):
    """Nothing is sent now; ``retry_after_s`` seconds from now it may be."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__()
        self.retry_after_s = retry_after_s


class Breaker:
    """For one kind of call. Every ``admit`` is followed by exactly one ``note``."""

    def __init__(
        self,
        name: str,
        *,
        failures: int,
        rest_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._limit = failures
        self._rest_s = rest_s
        self._clock = clock
        self._failures = 0
        self._rests_until = 0.0
        self._probing = False

    @property
    def is_shut(self) -> bool:
        """Whether Box failed, and has not answered since."""
        return self._failures >= self._limit

    def check(self) -> None:
        """Raise ``Shut`` where a call need not even be prepared."""
        left_s = self._rests_until - self._clock()
        if self.is_shut and (left_s > 0 or self._probing):
            raise Shut(max(left_s, 1.0))

    def admit(self) -> bool:
        """Let a call go now, True for the probe. Raises ``Shut`` while none may."""
        self.check()
        self._probing = self.is_shut
        return self._probing

    def note(self, *, answered: bool | None, probe: bool) -> None:
        """Tell how an admitted call went; None if that says nothing about Box."""
        if probe:
            self._probing = False
        if answered:
            if self.is_shut:
                logger.warning("Box answers %s calls again", self._name)
            self._failures = 0
        elif answered is False:
            self._failures += 1
            # Not by stragglers, which were sent before: they would prolong the rest. And
            # where one of them was answered, the failure of the probe is but the first.
            if self._failures == self._limit or (
                probe and self._failures > self._limit
            ):
                self._rest()

    def _rest(self) -> None:
        self._rests_until = self._clock() + self._rest_s
        logger.warning(
            "%d %s calls to Box failed in a row; none is sent for %g s",
            self._failures,
            self._name,
            self._rest_s,
        )

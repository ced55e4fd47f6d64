"""Where the service's audit events go: a buffer in memory, and standard output behind it.

A request never waits for whoever reads the events. Lines that find the buffer full are
dropped and counted, and the count itself becomes a line; a process that is killed loses
what it had not written, a tenth of a second's worth.
"""

import json
import logging
import os
import select
import threading
from collections import deque
from typing import Final, Self

_log = logging.getLogger(__name__)

MOST_LINES: Final = 10_000
_GATHER_S = 0.1
_PATIENCE_S = 2.0
_REST_S = 1.0


class Trail:
    """Writes lines to a file descriptor from a thread of its own, while it is open.

    Whole lines only, and no more of them at once than a pipe takes as one (PIPE_BUF,
    pipe(7)): several workers share the descriptor.
    """

    def __init__(self, descriptor: int, *, most_lines: int = MOST_LINES) -> None:
        self._descriptor = descriptor
        self._most_lines = most_lines
        self._lines: deque[bytes] = deque()
        # Counted by the one thread or by the other, never by both.
        self._refused = 0
        self._taken = 0
        self._written = 0
        self._lost = 0
        self._told = 0
        self._is_torn = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="audit", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Write what is left, unless nobody has read for seconds."""
        self._closing.set()
        self._thread.join(_PATIENCE_S)
        # A chunk that nobody takes may still be on its way; it counts as lost.
        if lost := self._dropped + len(self._lines):
            _log.error("%d audit events were lost at the end", lost)

    def add(self, line: bytes) -> None:
        """Take a line, in no time."""
        if len(self._lines) >= self._most_lines:
            self._refused += 1
            return
        # Wakes nobody: to hand over to a thread costs more than the line itself.
        self._lines.append(line + b"\n")

    @property
    def dropped(self) -> int:
        """How many lines are known to be lost, whether that was told or not."""
        return self._refused + self._lost

    def _work(self) -> None:
        is_over = False
        while not is_over:
            is_over = self._closing.wait(_GATHER_S)
            try:
                self._write_all()
            except OSError as error:
                self._lost = self._taken - self._written
                _log.error("audit events cannot be written: %s", error.strerror)
                self._closing.wait(_REST_S)

    def _write_all(self) -> None:
        self._confess()
        chunk = b""
        while self._lines:
            line = self._lines.popleft()
            self._taken += 1
            if chunk and len(chunk) + len(line) > select.PIPE_BUF:
                self._write(chunk)
                chunk = b""
            chunk += line
        self._write(chunk)

    @property
    def _dropped(self) -> int:
        return self._refused + self._taken - self._written - self._told

    def _confess(self) -> None:
        dropped = self._dropped
        if not dropped:
            return
        _log.error("%d audit events were dropped", dropped)
        line = json.dumps({"event": "events_dropped", "count": dropped})
        self._write(line.encode() + b"\n", counted=False)
        self._told += dropped

    def _write(self, chunk: bytes, *, counted: bool = True) -> None:
        # What a full disk cut off keeps a line of its own.
        left = b"\n" + chunk if chunk and self._is_torn else chunk
        while left:
            try:
                written = os.write(self._descriptor, left)
                self._is_torn = not left[:written].endswith(b"\n")
                left = left[written:]
            except BlockingIOError:
                # Somebody else who has the descriptor made it so.
                select.select([], [self._descriptor], [])
        if counted:
            self._written += chunk.count(b"\n")

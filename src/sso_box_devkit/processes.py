"""Child processes that end with us: started in groups of their own, waited for, stopped.

A group of its own keeps the terminal's Ctrl-C away from the child, so that the
parent alone decides the order in which things stop.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final, Self

_POLL_S: Final = 0.02


class ChildFailed(Exception):
    """A child ended, or was not ready in time; the text holds its last lines."""


class StopRequested(Exception):
    """A signal to stop arrived."""


class StopSignals:
    """While entered, SIGINT, SIGTERM and SIGHUP are noted instead of raised.

    An exception raised between starting a child and remembering it would leave an
    orphan; a note, looked at between the steps, cannot.
    """

    _SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self._requested = False

    def __enter__(self) -> Self:
        self._former = {s: signal.signal(s, self._note) for s in self._SIGNALS}
        if self._former[signal.SIGHUP] == signal.SIG_IGN:
            # nohup means to outlive the terminal.
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise StopRequested if one of the signals came."""
        if self._requested:
            message = "asked to stop"
            raise StopRequested(message)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._requested = True


class Child:
    """One running child whose output goes to the file ``log``."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        user: tuple[int, int] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self._log = log
        self._stop_signal = stop_signal
        uid, gid = user or (None, None)
        log.touch(mode=0o600)
        with log.open("wb") as out:
            self.process = subprocess.Popen(  # noqa: S603  our own commands, no shell
                [os.fspath(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=env,
                user=uid,
                group=gid,
                extra_groups=None if user is None else [],
                start_new_session=True,
            )
        self._watcher = _watch(self.process.pid, stop_signal)

    def wait_until(
        self,
        ready: Callable[[], bool],
        *,
        limit_s: float,
        stop: StopSignals | None = None,
    ) -> None:
        """Return once ``ready`` says so.

        Raises ChildFailed where the child ends first or ``limit_s`` passes, and
        StopRequested where ``stop`` was.
        """
        deadline = time.monotonic() + limit_s
        while not ready():
            self.check_alive()
            if stop is not None:
                stop.check()
            if time.monotonic() > deadline:
                message = (
                    f"{self.name} was not ready after {limit_s:g} s\n{self.tail()}"
                )
                raise ChildFailed(message)
            time.sleep(_POLL_S)

    def check_alive(self) -> None:
        """Raise ChildFailed if the child has ended."""
        code = self.process.poll()
        if code is not None:
            message = f"{self.name} ended with status {code}\n{self.tail()}"
            raise ChildFailed(message)

    def tail(self, lines: int = 12) -> str:
        text = self._log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(f"  {line}" for line in text.splitlines()[-lines:])

    def stop(self, *, grace_s: float = 8.0) -> None:
        """Ask the child to stop, then end whatever is left of its group."""
        # First, so that it cannot signal a pid that is somebody else's by then.
        self._watcher.kill()
        self._watcher.communicate()
        if self.process.poll() is None:
            self.process.send_signal(self._stop_signal)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(grace_s)
        # Workers of a child that died by itself would otherwise live on.
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def _watch(pid: int, stop_signal: signal.Signals) -> subprocess.Popen[bytes]:
    """Have ``pid`` signalled should we end without stopping it, killed outright say.

    The watcher reads from a pipe that nobody writes to and only we hold open.
    """
    script = f"read -r _; kill -s {stop_signal.name.removeprefix('SIG')} {pid}"
    return subprocess.Popen(  # noqa: S603  a fixed script and a number
        ["/bin/sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

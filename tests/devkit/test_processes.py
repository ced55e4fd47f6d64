"""Children end when told, when they fail, and even when nobody is left to tell them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sso_box_devkit.processes import Child, ChildFailed, StopRequested, StopSignals

# A parent that does not heed SIGTERM, with a child of its own.
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork()
print(os.getpid(), flush=True)
time.sleep(600)
"""

PARENT = """
import pathlib, sys, time
from sso_box_devkit.processes import Child
child = Child("c", ["sleep", "600"], log=pathlib.Path(sys.argv[1]))
print(child.process.pid, flush=True)
time.sleep(600)
"""


def _alive(pid: int) -> bool:
    """Tell whether the process runs; one that ended but was not reaped does not."""
    command = ["ps", "-o", "stat=", "-p", str(pid)]
    state = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


def _wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while _alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "child.log"


def test_a_child_that_ends_early_is_reported_with_its_last_words(log: Path) -> None:
    child = Child("part", ["sh", "-c", "echo last words >&2; exit 7"], log=log)
    try:
        with pytest.raises(
            ChildFailed, match=r"part ended with status 7\n  last words"
        ):
            child.wait_until(lambda: False, limit_s=10)
    finally:
        child.stop()


def test_a_child_that_is_never_ready_is_given_up(log: Path) -> None:
    child = Child("part", ["sleep", "600"], log=log)
    try:
        with pytest.raises(ChildFailed, match=r"part was not ready after 0\.1 s"):
            child.wait_until(lambda: False, limit_s=0.1)
    finally:
        child.stop()
    assert child.process.returncode == -signal.SIGTERM


def test_stopping_ends_the_whole_group_of_a_child_that_ignores_it(
    log: Path,
) -> None:
    child = Child("part", [sys.executable, "-c", STUBBORN], log=log)
    try:
        child.wait_until(lambda: log.read_text().count("\n") == 2, limit_s=10)
    finally:
        child.stop(grace_s=0.1)
    for pid in map(int, log.read_text().split()):
        _wait_until_gone(pid)


def test_a_child_ends_although_its_parent_was_killed_outright(log: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, log], stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert _alive(pid)
        parent.kill()
    _wait_until_gone(pid)


@pytest.fixture
def stop() -> Iterator[StopSignals]:
    before = signal.getsignal(signal.SIGTERM)
    with StopSignals() as noted:
        yield noted
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_noted_and_raised_only_where_asked(
    stop: StopSignals, number: signal.Signals
) -> None:
    stop.check()
    os.kill(os.getpid(), number)
    time.sleep(0)
    with pytest.raises(StopRequested):
        stop.check()

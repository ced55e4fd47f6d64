"""The machine: which core runs what, and what a process takes of it."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

_PACKAGES = ("fastapi", "uvicorn", "cryptography", "boxsdk", "flask", "gunicorn")


@dataclass(frozen=True)
class Cores:
    """Who runs where. Empty sets where processes cannot be pinned (macOS)."""

    server: frozenset[int]
    others: frozenset[int]

    @property
    def everywhere(self) -> frozenset[int]:
        return self.server | self.others


def cores() -> Cores:
    """One core for the server that is measured, the others for all else."""
    if not hasattr(os, "sched_getaffinity"):
        return Cores(frozenset(), frozenset())
    first, *others = sorted(os.sched_getaffinity(0))
    return Cores(frozenset({first}), frozenset(others or {first}))


@contextmanager
def on(chosen: frozenset[int]) -> Iterator[None]:
    """Whatever is started in here runs on these cores, its children too."""
    if not chosen:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, chosen)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_s(pid: int) -> float:
    """Seconds that a process and its children have spent on a CPU."""
    return sum(sum(_times(process)) for process in _family(pid))


def memory_mb(pid: int) -> float:
    """Memory of a process and its children; what they share counts once (PSS)."""
    taken = 0
    for process in _family(pid):
        memory = process.memory_full_info()
        taken += getattr(memory, "pss", memory.uss)
    return round(taken / 1e6, 1)


def _family(pid: int) -> list[psutil.Process]:
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def _times(process: psutil.Process) -> tuple[float, float]:
    times = process.cpu_times()
    return times.user, times.system


def describe() -> dict[str, object]:
    """What a reader needs to know of the machine, and how busy it was."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "pinned": bool(cores().server),
        "load_average": load_average(),
        "os": platform.platform(terse=True),
        "python": platform.python_version(),
        "node": _node_version(),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def load_average() -> list[float]:
    """Of the last 1, 5 and 15 minutes: above the number of cores, somebody waits."""
    return [round(load, 2) for load in os.getloadavg()]


def _cpu_model() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _node_version() -> str | None:
    if (node := shutil.which("node")) is None:
        return None
    command = [node, "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own command
    return done.stdout.strip()

"""Cold start and memory: from the start of the command to its first answer."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from statistics import median

from benchmarks import machine
from benchmarks.rounds import Size
from benchmarks.stack import Server, Stack, has_express


def measure(stack: Stack, database_url: str, size: Size) -> dict[str, object]:
    """Start each server some times, in turn."""
    starts: dict[str, Callable[[], AbstractContextManager[Server]]] = {
        "service": lambda: stack.service(database_url),
        "bare": stack.bare,
        "flask": stack.flask,
    }
    if has_express():
        starts["express"] = stack.express
    seconds: dict[str, list[float]] = {name: [] for name in starts}
    memory: dict[str, list[float]] = {name: [] for name in starts}
    for _ in range(size.starts):
        for name, start in starts.items():
            with start() as server:
                seconds[name].append(server.start_s)
                memory[name].append(machine.memory_mb(server.pid))
    return {
        "starts": size.starts,
        "cold_start_ms": {n: round(1e3 * median(s)) for n, s in seconds.items()},
        "memory_mb_after_start": {n: median(taken) for n, taken in memory.items()},
    }

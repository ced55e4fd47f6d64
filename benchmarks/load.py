"""Asks a server in a closed loop: so many requests over so many connections.

A process of its own, so that it can have a core of its own, and no more than it needs
to be: it writes prepared bytes and counts the bytes of the answer. Rounds have a fixed
number of requests and end with the last answer: a fixed time would cut slow servers'
work off uncounted, and leave them busy with it in the next server's round.
"""

import asyncio
import json
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from typing import NamedTuple, cast
from urllib.parse import urlsplit

import uvloop
from typing_extensions import override

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"
_OK = "200"
_P99 = 0.99


class Round(NamedTuple):
    """What one round took. ``cpu_s`` is the generator's own, to tell who was slow."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_s: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


class LoadFailed(Exception):
    """Some answers were not 200; a server that refuses is not a fast one."""


class Load:
    """The generator's process, as seen from the one that gives the orders."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.load"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self,
        url: str,
        tokens: Sequence[str],
        *,
        requests: int | None = None,
        connections: int = 1,
    ) -> Round:
        """Post to ``url`` with one token after the other, from the first again.

        ``requests``: as many as there are tokens by default. Raises LoadFailed.
        """
        order = {
            "url": url,
            "tokens": list(tokens),
            "requests": requests or len(tokens),
            "connections": connections,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "failed" in answer:
            raise LoadFailed(f"{url}: {answer['failed']}")
        return Round(**answer)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class _Connection(asyncio.Protocol):
    """One keep-alive connection: the next request follows the last byte of an answer."""

    def __init__(self, requests: Iterator[bytes], results: "_Results") -> None:
        self._requests = requests
        self._results = results
        self._received = bytearray()
        self._expected = 0
        self._sent = 0.0
        self.done = asyncio.get_running_loop().create_future()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports behave as one and are none.
        self._transport = cast("asyncio.Transport", transport)

    def send_next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self.done.set_result(None)
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(request)

    @override
    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._expected:
            end = self._received.find(_HEAD_END)
            if end < 0:
                return
            head = bytes(self._received[:end]).lower()
            length = head.partition(_LENGTH)[2].partition(b"\r\n")[0]
            self._expected = end + len(_HEAD_END) + int(length)
        if len(self._received) >= self._expected:
            self._results.note(time.perf_counter() - self._sent, self._received)
            self._received.clear()
            self._expected = 0
            self.send_next()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionResetError("closed by the server"))


class _Results:
    """How long each answer took, and with which status it came."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.statuses: Counter[str] = Counter()
        self.refusal = ""

    def note(self, seconds: float, answer: bytearray) -> None:
        self.times.append(seconds)
        status = answer[9:12].decode()
        self.statuses[status] += 1
        if status != _OK and not self.refusal:
            self.refusal = answer.partition(_HEAD_END)[2][:300].decode()


async def _run(order: dict[str, object]) -> dict[str, object]:
    results = _Results()
    url, total = urlsplit(str(order["url"])), int(str(order["requests"]))
    tokens = order["tokens"]
    assert isinstance(tokens, list)
    # Prepared before the clock starts.
    prepared = [_request(url.netloc, url.path, token) for token in tokens]
    requests = islice(cycle(prepared), total)
    assert url.hostname is not None
    assert url.port is not None
    host, port = url.hostname, url.port
    loop = asyncio.get_running_loop()
    opened = [
        await loop.create_connection(lambda: _Connection(requests, results), host, port)
        for _ in range(int(str(order["connections"])))
    ]
    started, cpu = time.perf_counter(), _cpu_s()
    for _, connection in opened:
        connection.send_next()
    try:
        await asyncio.gather(*(connection.done for _, connection in opened))
    except OSError as error:
        return {"failed": f"{error} after {len(results.times)} answers"}
    seconds = time.perf_counter() - started
    if set(results.statuses) != {_OK}:
        return {"failed": f"{dict(results.statuses)} {results.refusal}"}
    times = sorted(results.times)
    return {
        "requests": total,
        "seconds": seconds,
        "p50_ms": 1e3 * times[len(times) // 2],
        "p99_ms": 1e3 * times[int(_P99 * len(times))],
        "cpu_s": _cpu_s() - cpu,
    }


def _request(host: str, path: str, token: str) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
        "Accept: application/json\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for line in sys.stdin:
            print(json.dumps(runner.run(_run(json.loads(line)))), flush=True)


if __name__ == "__main__":
    main()

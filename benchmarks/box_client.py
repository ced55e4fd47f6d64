"""What our Box client costs in a first login: ``make bench-box``.

A first login is four calls: find, create, user token, downscope. Against one emulator
that adds 30 ms to each call, in turn, so that a busy machine slows all alike:

- one at a time: our client beside the bare calls by aiohttp, made with the same
  bodies, the assertion signed beforehand; the difference is what the client adds;
- 32 at once: our client beside Box's official Node SDK, which is left out, with a line
  that says so, where Node or the package cannot be had.

How many logins a second there are depends on what else the machine does, and on the
emulator; how much CPU a client spends on one depends on the client alone.

Prints one JSON object: medians, their differences and ratios. The limits that the
client keeps by default would hold 32 at once back, so they are raised here.
"""

import asyncio
import json
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

import aiohttp
import httpx

from sso_box_api.box import Box, load_credentials, open_transport
from sso_box_api.box.assertion import sign_assertion
from sso_box_api.settings import BoxSettings
from tests.support.node import FOLDER, MISSING, is_installed, node

LATENCY_MS = 30
ALONE = 40
ROUNDS = 5
LOGINS = 160
AT_ONCE = 32
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name


class Spent(NamedTuple):
    """What a round took: on the wall, and on the CPU of the client alone."""

    seconds: float
    cpu_s: float


class Ours:
    """First logins by our client."""

    def __init__(self, box: Box) -> None:
        self.box = box

    async def log_in(self, external_id: str) -> None:
        assert not await self.box.find_app_users(external_id)
        user = await self.box.create_app_user("Benchmark", external_id, timeout_s=10)
        parent = await self.box.user_token(user.id)
        assert await self.box.downscope(parent, ["base_explorer"], None) is not None


class Bare:
    """The same four calls and nothing else: no client can be below this."""

    def __init__(self, box: Box, url: str, http: aiohttp.ClientSession) -> None:
        self._box = box
        self._url = url
        self._http = http

    async def log_in(self, external_id: str) -> float:
        """Return the seconds on the wire, without what it takes to sign."""
        app = self._box._credentials  # noqa: SLF001 - the benchmark's other half
        service = await self._box.service_token()
        bearer = {"authorization": f"Bearer {service.access_token}"}
        users = f"{self._url}/2.0/users"
        started = time.perf_counter()
        query = {"external_app_user_id": external_id, "fields": "id"}
        async with self._http.get(users, params=query, headers=bearer) as answer:
            assert (await answer.json())["total_count"] == 0
        body = {
            "name": "Benchmark",
            "is_platform_access_only": True,
            "external_app_user_id": external_id,
        }
        async with self._http.post(users, json=body, headers=bearer) as answer:
            user_id = (await answer.json())["id"]
        spent = time.perf_counter() - started
        assert app.private_key is not None
        now = time.time()
        assertion = sign_assertion(
            app, app.private_key, "user", user_id, algorithm="RS256", box_now=now
        )
        client = {"client_id": app.client_id, "client_secret": app.client_secret}
        started = time.perf_counter()
        form = {"grant_type": JWT_BEARER, **client, "assertion": assertion}
        token = await self._token(form)
        await self._token(
            {
                "grant_type": EXCHANGE,
                "subject_token": token,
                "subject_token_type": ACCESS_TOKEN,
                "scope": "base_explorer",
            }
        )
        return spent + time.perf_counter() - started

    async def _token(self, form: dict[str, str]) -> str:
        async with self._http.post(f"{self._url}/oauth2/token", data=form) as answer:
            token: str = (await answer.json())["access_token"]
            return token


async def alone(ours: Ours, bare: Bare) -> dict[str, float]:
    times: dict[str, list[float]] = {"bare": [], "ours": []}
    for number in range(ALONE + 3):
        times["bare"].append(await bare.log_in(f"bare-{number}"))
        started = time.perf_counter()
        await ours.log_in(f"ours-{number}")
        times["ours"].append(time.perf_counter() - started)
    # The first few open connections and warm both sides up.
    medians = {name: median(taken[3:]) * 1_000 for name, taken in times.items()}
    medians["added"] = medians["ours"] - medians["bare"]
    return {name: round(ms, 2) for name, ms in medians.items()}


async def ours_at_once(ours: Ours, prefix: str) -> Spent:
    numbers = iter(range(LOGINS))

    async def worker() -> None:
        for number in numbers:
            await ours.log_in(f"{prefix}-{number}")

    started, cpu = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(worker())
    return Spent(time.perf_counter() - started, time.process_time() - cpu)


async def at_once(
    ours: Ours, by_node: Callable[[str], Awaitable[Spent]] | None
) -> dict[str, object]:
    spent: dict[str, list[Spent]] = {"ours": []}
    # The first round warms up both.
    for number in range(ROUNDS + 1):
        run = secrets.token_hex(3)
        spent["ours"].append(await ours_at_once(ours, f"o{run}{number}"))
        if by_node is not None:
            spent.setdefault("node_sdk", []).append(await by_node(f"n{run}{number}"))
    rates = {n: median(LOGINS / s.seconds for s in x[1:]) for n, x in spent.items()}
    cpu = {n: median(1e3 * s.cpu_s / LOGINS for s in x[1:]) for n, x in spent.items()}
    report: dict[str, object] = {
        "logins_per_s": {name: round(rate, 1) for name, rate in rates.items()},
        "client_cpu_ms_per_login": {name: round(ms, 2) for name, ms in cpu.items()},
    }
    if by_node is not None:
        report["throughput_ratio_to_node_sdk"] = round(
            rates["ours"] / rates["node_sdk"], 2
        )
        report["cpu_ratio_of_node_sdk"] = round(cpu["node_sdk"] / cpu["ours"], 2)
    return report


@asynccontextmanager
async def emulator(config: Path) -> AsyncIterator[str]:
    command = [sys.executable, "-m", "sso_box_devkit", "box", "--config-out"]
    process = await asyncio.create_subprocess_exec(
        *command, str(config), stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().split()[-1]
        settings = {"latency_ms": LATENCY_MS}
        async with httpx.AsyncClient(base_url=url) as http:
            answer = await http.patch("/_emulator/settings", json=settings)
            assert answer.is_success
        yield url
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def node_sdk(
    url: str, config: Path
) -> AsyncIterator[Callable[[str], Awaitable[Spent]] | None]:
    if not is_installed():
        print(f"the Node SDK is left out: {MISSING}", file=sys.stderr)
        yield None
        return
    process = await asyncio.create_subprocess_exec(
        node(),
        str(FOLDER / "first_login.mjs"),
        url,
        str(config),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout
    assert await stdout.readline() == b"ready\n"

    async def run(prefix: str) -> Spent:
        stdin.write(f"{LOGINS} {AT_ONCE} {prefix}\n".encode())
        await stdin.drain()
        seconds, cpu_s = (await stdout.readline()).split()
        return Spent(float(seconds), float(cpu_s))

    try:
        yield run
    finally:
        stdin.close()
        await process.wait()


def _box(url: str, config: Path) -> BoxSettings:
    values = {"config_file": config, "api_url": url, "calls_per_minute": 10**9}
    return BoxSettings.model_validate(values)


async def measure(folder: Path) -> dict[str, object]:
    config = folder / "config.json"
    async with emulator(config) as url, aiohttp.ClientSession() as bare_http:
        settings = _box(url, config)
        async with open_transport(settings) as http:
            box = Box(load_credentials(settings), settings, http)
            ours = Ours(box)
            one = await alone(ours, Bare(box, url, bare_http))
            async with node_sdk(url, config) as by_node:
                many = await at_once(ours, by_node)
    return {
        "added_latency_ms_per_call": LATENCY_MS,
        "one_at_a_time_ms": {"logins": ALONE, **one},
        f"{AT_ONCE}_at_once": {"rounds": ROUNDS, "logins": LOGINS, **many},
    }


def main() -> None:
    with TemporaryDirectory() as folder:
        print(json.dumps(asyncio.run(measure(Path(folder)))))


if __name__ == "__main__":
    main()

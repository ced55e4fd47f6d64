"""One first login at a time, 30 ms added per Box call, beside its bare Box calls.

A first login is four calls: find, create, user token, downscope. The bare calls are the
same four by aiohttp on a kept connection, with the assertion signed beforehand: no
service can be below them. What the service adds to them is everything that it does.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

import aiohttp
import jwt
from benchmarks.rounds import Size
from benchmarks.stack import Server, Stack
from cryptography.hazmat.primitives.serialization import load_pem_private_key

LATENCY_MS = 30
_WARM_UPS = 2
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name
_SCOPES = "base_explorer item_preview item_download item_upload item_rename item_delete"


def measure(
    stack: Stack, service: Server, others: Sequence[Server], size: Size
) -> dict[str, object]:
    servers = [service, *others]
    names = ["box_calls", *(server.name for server in servers)]
    times: dict[str, list[float]] = {name: [] for name in names}
    stack.add_latency(LATENCY_MS)
    with asyncio.Runner() as runner:
        bare = runner.run(_opened(stack))
        for _ in range(size.alone + _WARM_UPS):
            (subject,) = stack.people(1)
            times["box_calls"].append(1e3 * runner.run(bare.log_in(subject)))
            for server in servers:
                token = stack.token(stack.people(1)[0])
                done = stack.load.run(server.token_url, [token])
                times[server.name].append(done.p50_ms)
        runner.run(bare.close())
    stack.add_latency(0)
    kept = {name: taken[_WARM_UPS:] for name, taken in times.items()}
    return {
        "added_latency_ms_per_call": LATENCY_MS,
        "logins": size.alone,
        "median_ms": {name: round(median(taken), 1) for name, taken in kept.items()},
        "over_its_box_calls_ms": _over(kept[service.name], kept["box_calls"]),
    }


def _over(ours: list[float], bare: list[float]) -> float:
    """Median of the differences, each between neighbours in time."""
    return round(median(a - b for a, b in zip(ours, bare, strict=True)), 1)


async def _opened(stack: Stack) -> "_Bare":
    bare = _Bare(stack.box_url, stack.box_config)
    await bare.open()
    return bare


class _Bare:
    """Box's four calls and nothing else."""

    def __init__(self, url: str, config_file: Path) -> None:
        config = json.loads(config_file.read_text(encoding="utf-8"))
        self._enterprise: str = config["enterpriseID"]
        self._app: dict[str, Any] = config["boxAppSettings"]
        self._users = f"{url}/2.0/users"
        self._tokens = f"{url}/oauth2/token"
        key = self._app["appAuth"]
        self._key = load_pem_private_key(
            key["privateKey"].encode(), key["passphrase"].encode()
        )

    async def open(self) -> None:
        self._http = aiohttp.ClientSession()
        service = await self._token(self._assertion("enterprise", self._enterprise))
        self._bearer = {"authorization": f"Bearer {service}"}

    async def close(self) -> None:
        await self._http.close()

    async def log_in(self, subject: str) -> float:
        """Return the seconds that the calls took, without those of the signature."""
        started = time.perf_counter()
        query = {"external_app_user_id": subject, "fields": "id"}
        async with self._http.get(
            self._users, params=query, headers=self._bearer
        ) as answer:
            assert (await answer.json())["total_count"] == 0
        body = {
            "name": "A Person",
            "is_platform_access_only": True,
            "external_app_user_id": subject,
        }
        async with self._http.post(
            self._users, json=body, headers=self._bearer
        ) as answer:
            user_id = (await answer.json())["id"]
        spent = time.perf_counter() - started
        form = self._assertion("user", user_id)
        started = time.perf_counter()
        token = await self._token(form)
        await self._token(
            {
                "grant_type": _EXCHANGE,
                "subject_token": token,
                "subject_token_type": _ACCESS_TOKEN,
                "scope": _SCOPES,
            }
        )
        return spent + time.perf_counter() - started

    def _assertion(self, kind: str, subject: str) -> dict[str, str]:
        claims = {
            "iss": self._app["clientID"],
            "sub": subject,
            "box_sub_type": kind,
            "aud": "https://api.box.com/oauth2/token",
            "jti": uuid4().hex,
            "exp": int(time.time()) + 45,
        }
        header = {"kid": self._app["appAuth"]["publicKeyID"]}
        return {
            "grant_type": _JWT_BEARER,
            "client_id": self._app["clientID"],
            "client_secret": self._app["clientSecret"],
            "assertion": jwt.encode(claims, self._key, "RS256", header),  # type: ignore[arg-type]  # an RSA key; the loader's type is wider
        }

    async def _token(self, form: dict[str, str]) -> str:
        async with self._http.post(self._tokens, data=form) as answer:
            token: str = (await answer.json())["access_token"]
            return token

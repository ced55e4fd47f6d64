"""An OpenID Connect issuer for the tests of the keys: counts, rotates, goes down.

A plain ASGI application, to be reached through ``httpx.ASGITransport``. The devkit's
IdP is the one to log in at; this one is made to misbehave.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.tokens import SigningKey

_FAMILIES = ("RS", "PS", "ES")
_EVERY_ALG = [f"{family}{size}" for family in _FAMILIES for size in (256, 384, 512)]
_EVERY_ALG += ["EdDSA"]


class FakeIssuer:
    """``requests`` has the path of each request, in order.

    ``gate`` holds answers back while it is cleared; ``down`` answers 503 to all;
    ``absent_status`` is that of paths which are not served.
    """

    def __init__(self, *keys: SigningKey, issuer: str = "https://idp.example") -> None:
        self.issuer = issuer
        self.jwks: list[Any] = [key.jwk() for key in keys]
        self.discovery_path = "/.well-known/openid-configuration"
        self.keys_path = "/keys"
        self.metadata: dict[str, Any] = {
            "issuer": issuer,
            "id_token_signing_alg_values_supported": _EVERY_ALG,
        }
        self.headers: dict[str, str] = {}
        self.down = False
        self.absent_status = 404
        self.gate = asyncio.Event()
        self.gate.set()
        self.requests: list[str] = []

    def publish(self, *keys: SigningKey) -> None:
        self.jwks = [key.jwk() for key in keys]

    @property
    def key_fetches(self) -> int:
        return sum(path.startswith("/keys") for path in self.requests)

    @property
    def discoveries(self) -> int:
        return self.requests.count(self.discovery_path)

    def client(self) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self)
        return httpx.AsyncClient(transport=transport, trust_env=False)

    async def __call__(
        self,
        scope: Any,
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        del receive
        self.requests.append(scope["path"])
        await self.gate.wait()
        status, content = self._answer(scope["path"])
        headers = [("content-type", "application/json"), *self.headers.items()]
        start = {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.encode(), value.encode()) for name, value in headers],
        }
        await send(start)
        body = json.dumps(content).encode()
        await send({"type": "http.response.body", "body": body})

    def _answer(self, path: str) -> tuple[int, object]:
        if self.down:
            return 503, {"error": "down"}
        jwks_uri = self.issuer.rstrip("/") + self.keys_path
        documents: dict[str, object] = {
            self.discovery_path: {"jwks_uri": jwks_uri, **self.metadata},
            self.keys_path: {"keys": self.jwks},
        }
        if path in documents:
            return 200, documents[path]
        return self.absent_status, {"error": "no such page"}


class Clock:
    """A clock that stands still until it is told to move."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Sleeps:
    """Sleeps of which the test decides when they end; ``asked`` has their lengths."""

    asked: list[float] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        await self.ended.wait()
        self.ended.clear()


def provider_values(**changes: Any) -> dict[str, Any]:
    """Settings of the provider that ``FakeIssuer`` and ``good_claims`` stand for."""
    return {
        "id": "main",
        "issuer": "https://idp.example",
        "client_ids": ["spa", "mobile"],
    } | changes

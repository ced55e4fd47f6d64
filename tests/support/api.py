"""The service under test and its two neighbours, as a caller of each sees them."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlencode

import httpx
from asgi_lifespan import LifespanManager
from starlette.applications import Starlette

from sso_box_api.app import create_app
from sso_box_api.parts import Mounts
from sso_box_api.settings import Settings
from sso_box_api.trail import Trail
from tests.support.connections import connected

BOX_URL = "https://api.box.com"
ISSUER = "https://idp.example"
GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:id_token"


@dataclass
class Api:
    """A running service. ``idp`` mints genuine tokens of the local IdP."""

    http: httpx.AsyncClient
    idp_app: Starlette

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        settings: Settings,
        emulator: Starlette,
        idp_app: Starlette,
        *,
        clock: Callable[[], float] = time.time,
    ) -> AsyncIterator[Self]:
        mounts = {
            BOX_URL: httpx.ASGITransport(emulator),
            ISSUER: httpx.ASGITransport(idp_app),
        }
        async with cls.start_with(settings, mounts, idp_app, clock=clock) as api:
            yield api

    @classmethod
    @asynccontextmanager
    async def start_with(
        cls,
        settings: Settings,
        mounts: Mounts,
        idp_app: Starlette,
        *,
        clock: Callable[[], float] = time.time,
        trail: Trail | None = None,
    ) -> AsyncIterator[Self]:
        async with connected(settings) as database:
            app = create_app(
                settings, mounts=mounts, clock=clock, database=database, trail=trail
            )
            # Slow machines start it in more than the five seconds that are usual.
            running = LifespanManager(app, startup_timeout=60, shutdown_timeout=60)
            async with running as manager:
                to_app = httpx.ASGITransport(manager.app)
                http = httpx.AsyncClient(transport=to_app, base_url="https://api.test")
                async with http:
                    yield cls(http, idp_app)

    @property
    def idp(self) -> Any:
        return self.idp_app.state.idp

    def id_token(self, subject: str = "ada", **claims: Any) -> str:
        token: str = self.idp.mint(**{"sub": subject, "aud": "demo-spa", **claims})
        return token

    async def exchange(
        self, token: str | None = None, *, door: str = "json", **body: Any
    ) -> httpx.Response:
        """Exchange through either door with the same words."""
        token = token or self.id_token()
        if door == "json":
            headers = {"Authorization": f"Bearer {token}"}
            return await self.http.post("/v1/token", headers=headers, json=body)
        form = {
            "grant_type": GRANT,
            "subject_token": token,
            "subject_token_type": ID_TOKEN_TYPE,
            "client_id": body.pop("client_id", "demo-spa"),
            **body,
        }
        if "scope" in form:
            form["scope"] = " ".join(form["scope"])
        return await self.http.post(
            "/oauth2/token",
            content=urlencode(form),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )


@dataclass
class Control:
    """The emulator: its control routes, and Box as a page sees it."""

    transport: httpx.AsyncBaseTransport
    base_url: str

    async def call(
        self, method: str, path: str, token: str | None = None, **kwargs: Any
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with httpx.AsyncClient(
            transport=self.transport, base_url=self.base_url
        ) as http:
            return await http.request(method, path, headers=headers, **kwargs)

    async def settings(self, **values: Any) -> None:
        answer = await self.call("PATCH", "/_emulator/settings", json=values)
        assert answer.is_success, answer.text

    async def fault(self, method: str, path: str, **values: Any) -> None:
        fault = {"method": method, "path": path, "times": 1, **values}
        answer = await self.call("POST", "/_emulator/faults", json=fault)
        assert answer.is_success, answer.text

    async def clear_faults(self) -> None:
        await self.call("DELETE", "/_emulator/faults")

    async def users(self) -> list[dict[str, Any]]:
        answer = await self.call("GET", "/_emulator/users")
        users: list[dict[str, Any]] = answer.json()["users"]
        return users

    async def requests(self) -> list[str]:
        """The calls since the last look, as ``METHOD path``; empties the journal."""
        answer = await self.call("GET", "/_emulator/requests?since=0")
        await self.call("DELETE", "/_emulator/requests")
        return [f"{r['method']} {r['path']}" for r in answer.json()["requests"]]

    async def is_live(self, token: str) -> bool:
        """Ask Box itself whether a token still works."""
        return (await self.call("GET", "/2.0/users/me", token)).status_code != 401

"""Two servers of two workers each, on one database and one Box, as in production.

Each server reaches PostgreSQL through relays of its own, one for its statements and one
for its listening connections, so that each of them can go silent.
"""

import asyncio
import json
import os
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import httpx
import pytest
from cryptography.fernet import Fernet
from starlette.applications import Starlette
from starlette.types import Message, Receive, Scope, Send

from sso_box_devkit.box import Enterprise
from sso_box_devkit.box.faults import Fault
from sso_box_devkit.box.state import World
from sso_box_devkit.serving import serve_in_thread
from tests.support.api import ISSUER
from tests.support.commands import FULL, Ended, Server, run, serving
from tests.support.lines import Line, Load, lines
from tests.support.postgres import TEMPLATE, clone_database, own_name
from tests.support.relay import Relay
from tests.support.servers import free_port
from tests.support.waiting import until

# At full size every time is the one that is shipped.
GRACE_S = 30.0 if FULL else 1.6
METRICS_TOKEN = "of-the-scraper-of-this-site"
TIMES = {
    "SSO_BOX_VENDING__GRACE_S": str(GRACE_S),
    "SSO_BOX_DATABASE_TIMEOUT_S": "1",
    "SSO_BOX_VENDING__SWEEP_INTERVAL_S": "0.5",
    "SSO_BOX_BOX__BREAKER_REST_S": "0.2",
}
SWEPT_WITHIN_S = 30.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """First: a run in several processes takes from the others what comes last.

    So the servers are started in one of them only.
    """
    here = f"{Path(__file__).parent}{os.sep}"
    items.sort(key=lambda item: not str(item.path).startswith(here))


class Ways(NamedTuple):
    """One server's ways to PostgreSQL."""

    statements: Relay
    listening: Relay


@dataclass
class Site:
    """The servers, and what stands round them."""

    servers: list[Server]
    ways: list[Ways]
    lines: list[Line]
    env: Mapping[str, str] = field(repr=False)
    folder: Path
    box: httpx.AsyncClient
    enterprise: Enterprise
    postgres: asyncpg.Connection
    idp: Any
    world: World
    _numbers: Iterator[int] = field(default_factory=count)

    def id_token(self, subject: str, **claims: object) -> str:
        token: str = self.idp.mint(sub=subject, aud="demo-spa", **claims)
        return token

    async def command(
        self, *arguments: str, killed_after_commit: bool = False
    ) -> Ended:
        """Run a command of the service straight at PostgreSQL."""
        return await run(
            arguments,
            self.env,
            self.folder / f"command-{next(self._numbers)}.log",
            killed_after_commit=killed_after_commit,
        )

    async def lock(self, subject: str, *more: str, killed: bool = False) -> Ended:
        return await self.command(
            *("account", "lock", ISSUER, subject, "--json", *more),
            killed_after_commit=killed,
        )

    async def alive(self, tokens: set[str]) -> set[str]:
        """Those that Box still takes."""
        answers = [
            await self.box.get("/2.0/users/me", headers=_bearer(token))
            for token in tokens
        ]
        assert {answer.status_code for answer in answers} <= {200, 401}
        statuses = [answer.status_code for answer in answers]
        return {t for t, s in zip(tokens, statuses, strict=True) if s != 401}

    async def all_dead(self, tokens: set[str]) -> None:
        await until(lambda: self._none_alive(tokens), within_s=SWEPT_WITHIN_S)

    async def _none_alive(self, tokens: set[str]) -> bool:
        return not await self.alive(tokens)

    def tokens_at_box(self) -> set[str]:
        """Every narrowed token that Box ever minted for this site."""
        return {
            value
            for value, token in [*self.world.tokens.items()]
            if token.is_downscoped and token.enterprise is self.enterprise
        }

    def assert_warm(self, load: Load) -> None:
        """Each worker's last success came out of its own memory, as the audit says."""
        audited: dict[str, dict[str, Any]] = {}
        for server in self.servers:
            audited |= server.audited()
        last = load.last_successes()
        assert set(last) == {line.worker for line in self.lines}
        came = {worker: audited[a.request_id]["vend"] for worker, a in last.items()}
        assert set(came.values()) == {"remembered"}, came

    def fault(self, path: str, **values: Any) -> None:
        self.enterprise.faults.arm(Fault(method="POST", path=path, **values))

    async def listeners(self) -> set[int]:
        """The backends that listen for this database's processes."""
        rows = await self.postgres.fetch(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'sso-box-api listener'"
        )
        return {row["pid"] for row in rows}

    async def everybody_listens(self) -> None:
        async def do() -> bool:
            return len(await self.listeners()) == len(self.lines)

        await until(do)


class Holding:
    """Box, which can keep the answer to a narrowing back once it has minted.

    ``held``: answers that are kept back now.
    """

    def __init__(self, box: Starlette) -> None:
        self._box = box
        # The test is in another thread.
        self._goes_on = threading.Event()
        self._goes_on.set()
        self.held = 0

    @contextmanager
    def holding(self) -> Iterator[None]:
        self._goes_on.clear()
        try:
            yield
        finally:
            self._goes_on.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        held: list[Message] = []

        async def collect(message: Message) -> None:
            held.append(message)

        if self._goes_on.is_set() or scope["path"] != "/oauth2/token":
            await self._box(scope, receive, send)
            return
        await self._box(scope, receive, collect)
        if any(b'restricted_to":[{' in m.get("body", b"") for m in held):
            self.held += 1
            await asyncio.to_thread(self._goes_on.wait)
            self.held -= 1
        for message in held:
            await send(message)


@pytest.fixture(scope="module")
def holding(emulator: Starlette) -> Holding:
    return Holding(emulator)


@pytest.fixture(scope="module")
async def site(
    postgres_url: str,
    emulator: Starlette,
    holding: Holding,
    idp_app: Starlette,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("killswitch")
    url = await clone_database(postgres_url, TEMPLATE, own_name(folder.name))
    enterprise: Enterprise = emulator.state.world.found()
    with ExitStack() as running:
        running.enter_context(pytest.MonkeyPatch.context()).setenv(
            "PYTHONPATH", str(Path(__file__).parents[2])
        )
        box_url = running.enter_context(serve_in_thread(holding))
        env = {
            "SSO_BOX_DATABASE_URL": url,
            "SSO_BOX_DATABASE_POOL_SIZE": "4",
            "SSO_BOX_SECRET_KEYS": Fernet.generate_key().decode(),
            "SSO_BOX_BOX__CONFIG": json.dumps(enterprise.config()),
            "SSO_BOX_BOX__API_URL": box_url,
            "SSO_BOX_BOX__UPLOAD_URL": f"{box_url}/api",
            "SSO_BOX_PROVIDERS": json.dumps([_provider(idp_app)]),
            "SSO_BOX_ALLOW_LOOPBACK_HTTP": "true",
            "SSO_BOX_METRICS_TOKEN": METRICS_TOKEN,
            **({} if FULL else TIMES),
        }
        relays = running.enter_context(Relay.to(url, url, url, url))
        ways = [Ways(*relays[:2]), Ways(*relays[2:])]
        servers = [
            running.enter_context(
                serving(free_port(), env | _through(way), folder / f"serve-{n}.log")
            )
            for n, way in enumerate(ways)
        ]
        await asyncio.gather(*(is_up(server) for server in servers))
        postgres = await asyncpg.connect(url)
        box = httpx.AsyncClient(base_url=box_url)
        async with box, lines(servers) as opened:
            site = Site(
                *(servers, ways, opened, env, folder, box, enterprise, postgres),
                *(idp_app.state.idp, emulator.state.world),
            )
            await site.everybody_listens()
            yield site
        await postgres.close()


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _provider(idp_app: Starlette) -> dict[str, object]:
    return {
        "id": "main",
        "issuer": ISSUER,
        "client_ids": ["demo-spa"],
        "jwks_inline": idp_app.state.idp.jwks(),
    }


def _through(ways: Ways) -> dict[str, str]:
    return {
        "SSO_BOX_DATABASE_URL": ways.statements.url,
        "SSO_BOX_DATABASE_LISTEN_URL": ways.listening.url,
    }


async def is_up(server: Server) -> None:
    async with asyncio.timeout(60), httpx.AsyncClient() as http:
        while True:
            try:
                if (await http.get(f"{server.url}/livez")).is_success:
                    return
            except httpx.TransportError:
                await asyncio.sleep(0.02)

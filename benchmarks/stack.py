"""What a run needs: PostgreSQL, the Box emulator, a provider, and servers to measure.

All are processes of their own on loopback but the provider, whose key signs the tokens
here. A server that is measured has a core of its own where there are two.
"""

import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import asyncpg
import httpx
from benchmarks import machine
from benchmarks.load import Load
from cryptography.fernet import Fernet

from sso_box_api import migrations
from sso_box_api.settings import DatabaseSettings
from sso_box_devkit.idp.app import create_idp
from sso_box_devkit.idp.provider import Idp
from sso_box_devkit.postgres import Postgres, start_postgres
from sso_box_devkit.processes import Child
from sso_box_devkit.serving import serve_in_thread
from sso_box_devkit.stack import HOST, Ports, choose_ports, local_http

FOLDER = Path(__file__).parent
_BIN = Path(sys.executable).parent
_NODE_FOLDER = FOLDER / "node"
_CLIENT_ID = "demo-spa"
_START_LIMIT_S = 60
_THREADS = 32


@dataclass(frozen=True)
class Server:
    """A server that is running. ``start_s``: from its start to its first answer."""

    name: str
    url: str
    child: Child = field(repr=False)
    start_s: float

    @property
    def token_url(self) -> str:
        """Where an ID token goes in and a Box token comes out."""
        return f"{self.url}/v1/token"

    @property
    def pid(self) -> int:
        return self.child.process.pid


@dataclass(frozen=True)
class Stack:
    """The third parties, and the means to start servers beside them."""

    folder: Path
    cores: machine.Cores
    load: Load
    postgres: Postgres
    box_url: str
    box_pid: int
    idp: Idp
    http: httpx.Client
    secret_key: str = field(repr=False)
    _numbers: Iterator[int] = field(default_factory=count)

    @property
    def box_config(self) -> Path:
        return self.folder / "box-config.json"

    @property
    def postgres_log(self) -> Path:
        return self.folder / "postgres" / "postgres.log"

    def people(self, many: int) -> list[str]:
        """Subjects of people who have never logged in anywhere."""
        return [f"person-{next(self._numbers)}" for _ in range(many)]

    def token(self, subject: str) -> str:
        """Sign an ID token of this person that nobody has seen before."""
        return self.idp.mint(
            sub=subject, name="A Person", jti=f"token-{next(self._numbers)}"
        )

    def tokens(self, subjects: list[str]) -> list[str]:
        return [self.token(subject) for subject in subjects]

    def add_latency(self, latency_ms: int) -> None:
        """Have each Box call take this much longer."""
        settings = {"latency_ms": latency_ms}
        url = f"{self.box_url}/_emulator/settings"
        self.http.patch(url, json=settings).raise_for_status()

    def box_calls(self) -> int:
        answer = self.http.get(f"{self.box_url}/_emulator/requests")
        return len(answer.raise_for_status().json()["requests"])

    def make_database(self, name: str) -> str:
        """Make a database with the service's schema; return its address."""

        async def create() -> None:
            connection = await asyncpg.connect(self.postgres.url)
            await connection.execute(f"CREATE DATABASE {name}")
            await connection.close()

        asyncio.run(create())
        url = f"{self.postgres.url.rsplit('/', 1)[0]}/{name}"
        migrations.upgrade(DatabaseSettings.model_validate({"database_url": url}))
        return url

    @contextmanager
    def service(
        self,
        database_url: str,
        *,
        workers: int = 1,
        pinned: bool = True,
        more: Mapping[str, str] | None = None,
    ) -> Iterator[Server]:
        """Run the service by its own command, as in production.

        ``more``: further settings, by the names of their variables.
        """
        provider = {
            "id": "bench",
            "kind": "generic",
            "issuer": self.idp.issuer,
            "client_ids": [_CLIENT_ID],
        }
        settings = {
            "SSO_BOX_DATABASE_URL": database_url,
            "SSO_BOX_SECRET_KEYS": self.secret_key,
            "SSO_BOX_BOX__CONFIG_FILE": str(self.box_config),
            "SSO_BOX_BOX__API_URL": self.box_url,
            "SSO_BOX_BOX__UPLOAD_URL": f"{self.box_url}/api",
            # Box's budget of a service account is 1000 calls a minute: 500 first
            # logins. What the machine can do beyond that is measured all the same.
            "SSO_BOX_BOX__CALLS_PER_MINUTE": "1000000000",
            "SSO_BOX_PROVIDERS": json.dumps([provider]),
            "SSO_BOX_ALLOW_LOOPBACK_HTTP": "true",
            **(more or {}),
        }
        command: list[str | Path] = [
            _BIN / "sso-box-api",
            "serve",
            "--workers",
            str(workers),
            "--port",
        ]
        with self._started("service", command, settings, pinned=pinned) as server:
            yield server

    @contextmanager
    def bare(self) -> Iterator[Server]:
        """Run the bare FastAPI route."""
        command: list[str | Path] = [
            Path(sys.executable),
            "-m",
            "benchmarks.servers.bare",
        ]
        with self._started("bare", command, {}) as server:
            yield server

    @contextmanager
    def flask(self) -> Iterator[Server]:
        """Run the quickstart in Flask: one process, a thread for each connection."""
        command: list[str | Path] = [
            *(_BIN / "gunicorn", "benchmarks.servers.flask_quickstart:app"),
            *("--worker-class=gthread", f"--threads={_THREADS}", "--no-control-socket"),
            "--bind",
        ]
        with self._started("flask", command, self._quickstart()) as server:
            yield server

    @contextmanager
    def express(self) -> Iterator[Server]:
        """Run the quickstart in Express; see ``has_express``."""
        command: list[str | Path] = [
            _node() or "node",
            _NODE_FOLDER / "express_quickstart.mjs",
        ]
        environment = {**self._quickstart(), "NODE_ENV": "production"}
        with self._started("express", command, environment) as server:
            yield server

    def _quickstart(self) -> dict[str, str]:
        return {
            "BOX_URL": self.box_url,
            "BOX_CONFIG_FILE": str(self.box_config),
            "OIDC_ISSUER": self.idp.issuer,
            "OIDC_CLIENT_ID": _CLIENT_ID,
        }

    @contextmanager
    def _started(
        self,
        name: str,
        command: Sequence[str | Path],
        settings: Mapping[str, str],
        *,
        pinned: bool = True,
    ) -> Iterator[Server]:
        port = choose_ports(Ports(0, 0, 0, 0)).api
        place = f"{HOST}:{port}" if command[-1] == "--bind" else str(port)
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SSO_BOX_")}
        log = self.folder / f"{name}-{port}.log"
        url = f"http://{HOST}:{port}"
        where = self.cores.server if pinned else self.cores.everywhere
        started = time.perf_counter()
        with machine.on(where):
            child = Child(name, [*command, place], log=log, env={**kept, **settings})
        try:
            _await(self.http, child, f"{url}/livez")
            yield Server(name, url, child, time.perf_counter() - started)
        finally:
            child.stop()


@contextmanager
def running(folder: Path) -> Iterator[Stack]:
    """Start the third parties; stop everything at the end."""
    places = machine.cores()
    ports = choose_ports(Ports(0, 0, 0, 0))
    with ExitStack() as cleanup:
        cleanup.enter_context(machine.on(places.others))
        load = Load()
        cleanup.callback(load.close)
        http = cleanup.enter_context(local_http())
        box = Child(
            "Box emulator",
            [
                *(sys.executable, "-m", "sso_box_devkit", "box"),
                *("--port", str(ports.box)),
                *("--config-out", folder / "box-config.json"),
            ],
            log=folder / "box.log",
        )
        cleanup.callback(box.stop)
        idp = create_idp(f"http://{HOST}:{ports.idp}")
        cleanup.enter_context(serve_in_thread(idp, ports.idp))
        postgres = start_postgres(folder / "postgres")
        cleanup.callback(postgres.stop)
        box_url = f"http://{HOST}:{ports.box}"
        _await(http, box, f"{box_url}/_emulator/requests")
        yield Stack(
            folder=folder,
            cores=places,
            load=load,
            postgres=postgres,
            box_url=box_url,
            box_pid=box.process.pid,
            idp=idp.state.idp,
            http=http,
            secret_key=Fernet.generate_key().decode(),
        )


def has_express() -> bool:
    """Whether ``make bench`` found a Node.js to install the quickstart for."""
    # npm writes this last.
    installed = (_NODE_FOLDER / "node_modules/.package-lock.json").exists()
    return installed and _node() is not None


def _node() -> str | None:
    return shutil.which("node", path=f"{_BIN}{os.pathsep}{os.environ['PATH']}")


def _await(http: httpx.Client, child: Child, url: str) -> None:
    """Ask until there is an answer, often: a cold start is measured by it."""
    deadline = time.monotonic() + _START_LIMIT_S
    while True:
        try:
            http.get(url).raise_for_status()
        except httpx.TransportError:
            child.check_alive()
            assert time.monotonic() < deadline, child.tail()
            time.sleep(0.005)
        else:
            return

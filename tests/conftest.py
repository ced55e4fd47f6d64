"""The stack that the tests run on: a real PostgreSQL, the Box emulator, the local IdP.

Our own code is never replaced. Hosts are: either mounted in process, for logic, or
served over loopback TCP, for faults, races and several processes.
"""

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any

import asyncpg
import httpx
import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr
from sqlmodel import SQLModel
from starlette.applications import Starlette

from sso_box_api import audit
from sso_box_api.parts import Parts
from sso_box_api.settings import DatabaseSettings, Settings
from sso_box_devkit.box import Enterprise, create_box_emulator
from sso_box_devkit.box.settings import Settings as EmulatorSettings
from sso_box_devkit.idp import create_idp
from tests.support.api import BOX_URL, ISSUER, Api, Control
from tests.support.collecting import read_server, read_tables
from tests.support.connections import connected, forget, opened
from tests.support.contract import PROBLEMS, checked
from tests.support.postgres import (
    TEMPLATE,
    clone_database,
    own_name,
    start_migrated_postgres,
)
from tests.support.relay import Relay
from tests.support.secrecy import WATCH
from tests.support.secrecy_plugin import Secrecy, search
from tests.support.servers import serve_in_thread
from tests.support.shared_postgres import SharedPostgres, shared_url


class Figures:
    """What tests record with ``record_property``, as one JSON object after the run."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._counted: Counter[str] = Counter()
        self._figures: dict[str, dict[str, object]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self._counted[report.outcome] += 1
        if report.when == "teardown" and report.user_properties:
            self._figures[report.nodeid] = dict(report.user_properties)

    def pytest_unconfigure(self) -> None:
        seconds = round(time.monotonic() - self._started, 1)
        summary = {**self._counted, "seconds": seconds, "figures": self._figures}
        sys.stdout.write(json.dumps(summary) + "\n")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Secrecy())
    # The workers of a parallel run report to the process that has these.
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(SharedPostgres())
        if os.environ.get("TEST_SIZE") == "full":
            config.pluginmanager.register(Figures())


@pytest.fixture(scope="session", autouse=True)
def _secrets_stay_secret() -> Iterator[None]:
    """The first to begin, so that it ends after all that could still tell something."""
    yield
    search()


@pytest.fixture(scope="session", autouse=True)
def _clean_environment(_secrets_stay_secret: None) -> Iterator[None]:
    """No setting of the developer's shell reaches the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("SSO_BOX_"):
                patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def postgres_url(
    _clean_environment: None, pytestconfig: pytest.Config
) -> Iterator[str]:
    """A server with one migrated template database, which nobody connects to.

    All workers of a parallel run share it: ``own_name`` names the databases of one.
    """
    with ExitStack() as running:
        url = shared_url(pytestconfig)
        if url is None:
            url = running.enter_context(start_migrated_postgres()).url
        WATCH.url("database password", url)
        yield url
        asyncio.run(read_server(url, own_name("")))


@pytest.fixture(scope="session")
def _database_url(postgres_url: str) -> str:
    return asyncio.run(clone_database(postgres_url, TEMPLATE, own_name("test")))


@pytest.fixture
async def database_url(_database_url: str) -> str:
    """A migrated, empty database; emptying it is much quicker than a new clone."""
    tables = reversed(SQLModel.metadata.sorted_tables)
    # A hundred times quicker than TRUNCATE, where there are a few rows.
    deletions = ";".join(f"DELETE FROM {table.name}" for table in tables)  # noqa: S608 - our own names
    settings = DatabaseSettings(database_url=SecretStr(_database_url))
    async with connected(settings) as database, database.transaction() as session:
        raw = await (await session.connection()).get_raw_connection()
        # SQLAlchemy itself would send one statement after the other.
        driver: asyncpg.Connection | None = raw.driver_connection
        assert driver is not None
        await read_tables(driver, [t.name for t in SQLModel.metadata.sorted_tables])
        await driver.execute(deletions)
    return _database_url


@pytest.fixture
def way_to_database(database_url: str) -> Iterator[Relay]:
    """A way to the database of this test alone, which it may cut."""
    with Relay.to(database_url) as [way]:
        yield way


@pytest.fixture(scope="session", autouse=True)
async def _connections_end() -> AsyncIterator[None]:
    yield
    await forget()


@pytest.fixture(scope="session")
def emulator() -> Starlette:
    return checked(create_box_emulator())


@pytest.fixture(autouse=True)
def _box_answers_as_its_contract_says() -> Iterator[None]:
    """Of the test before, too, where an answer came late."""
    yield
    problems = [*PROBLEMS]
    PROBLEMS.clear()
    assert not problems, "\n".join(problems)


@pytest.fixture
def enterprise(emulator: Starlette) -> Enterprise:
    """The emulator's first enterprise, empty and with every switch as it should be."""
    enterprise: Enterprise = emulator.state.world.default
    enterprise.reset()
    enterprise.settings = EmulatorSettings()
    return enterprise


@pytest.fixture
def box(emulator: Starlette, enterprise: Enterprise) -> Control:
    """The emulator's control routes."""
    del enterprise
    return Control(httpx.ASGITransport(emulator), BOX_URL)


@pytest.fixture(scope="session")
def emulator_url(emulator: Starlette) -> Iterator[str]:
    """The emulator over TCP: the production transport, with faults that ASGI hides."""
    with serve_in_thread(emulator) as url:
        yield url


@pytest.fixture(scope="session")
def idp_app() -> Starlette:
    return create_idp(ISSUER)


@pytest.fixture
def settings_values(database_url: str, enterprise: Enterprise) -> dict[str, Any]:
    """The settings of the mounted stack; a test changes what it is about."""
    return {
        "database_url": database_url,
        "secret_keys": Fernet.generate_key().decode(),
        "box": {"config": json.dumps(enterprise.config())},
        "providers": [
            {
                "id": "main",
                "kind": "generic",
                "issuer": ISSUER,
                "client_ids": ["demo-spa", "demo-mobile"],
            }
        ],
        # Nothing ends or begins by the clock while a slow machine runs a test that is
        # not about that; which is, sets its own times.
        "vending": {"sweep_interval_s": 3600.0},
        "claim": {
            "lease_s": 60.0,
            "post_timeout_s": 19.0,
            "lookup_settle_s": 0.5,
            "lookup_interval_s": 0.05,
            "caller_wait_s": 8.0,
            "refusal_memory_s": 5.0,
        },
    }


@pytest.fixture
def settings(settings_values: dict[str, Any]) -> Settings:
    return Settings.model_validate(settings_values)


@pytest.fixture
async def api(
    settings: Settings, emulator: Starlette, idp_app: Starlette
) -> AsyncIterator[Api]:
    """The service, talking to the mounted emulator and IdP."""
    async with Api.start(settings, emulator, idp_app) as api:
        yield api


@pytest.fixture
async def parts(settings: Settings, emulator: Starlette) -> AsyncIterator[Parts]:
    """A second process beside the service: the administrator's command line."""
    mounts = {BOX_URL: httpx.ASGITransport(emulator)}
    async with opened(settings, mounts=mounts) as parts:
        yield parts


@pytest.fixture
def audit_log() -> Iterator[list[dict[str, Any]]]:
    """The audit events of a test, as they would be printed."""
    events: list[dict[str, Any]] = []

    def deliver(line: str | bytes) -> None:
        WATCH.read("an audit event", line if isinstance(line, str) else line.decode())
        events.append(json.loads(line))

    with audit.delivered(deliver):
        yield events

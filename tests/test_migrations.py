"""The migrations make the tables that the code describes, and take them away again."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from click.testing import CliRunner
from pydantic import SecretStr

from sso_box_api.cli import main
from sso_box_api.migrations import SCHEMA
from sso_box_api.settings import DatabaseSettings
from tests.support.postgres import clone_database, drop_database, own_name

ROOT = Path(__file__).parents[1]
FULL = os.environ.get("TEST_SIZE") == "full"


@pytest.fixture
def alembic(postgres_url: str) -> Iterator[Config]:
    """Alembic as the project configures it, on an empty database of its own."""
    name = own_name("migrations")
    url = asyncio.run(clone_database(postgres_url, "template0", name))
    config = Config(ROOT / "alembic.ini")
    config.attributes["settings"] = DatabaseSettings(database_url=SecretStr(url))
    yield config
    asyncio.run(drop_database(postgres_url, name))


def _sql(alembic: Config, statement: str) -> list[Any]:
    url = alembic.attributes["settings"].database_url.get_secret_value()

    async def run() -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            return [row[0] for row in await connection.fetch(statement)]
        finally:
            await connection.close()

    return asyncio.run(run())


def test_migrations_lead_to_the_models_and_back(alembic: Config) -> None:
    command.upgrade(alembic, "head")
    command.check(alembic)
    command.downgrade(alembic, "base")
    command.upgrade(alembic, "head")
    command.check(alembic)


_IS_VALID = (
    "SELECT indisvalid FROM pg_index"
    " WHERE indexrelid = 'ix_account_recheck_at'::regclass"
)


def test_migrations_can_be_repeated_from_wherever_one_was_interrupted(
    alembic: Config,
) -> None:
    """What was done of a migration stays where it ended its own transaction."""
    command.upgrade(alembic, "0004")
    _sql(alembic, "UPDATE alembic_version SET version_num = '0003'")
    _sql(
        alembic,
        "UPDATE pg_index SET indisvalid = false"
        " WHERE indexrelid = 'ix_account_recheck_at'::regclass",
    )
    command.upgrade(alembic, "head")
    assert _sql(alembic, _IS_VALID) == [True]
    command.check(alembic)


def test_a_migration_may_take_longer_than_a_request_waits(alembic: Config) -> None:
    """Its own lock_timeout bounds it, not the time-out of the service's statements."""
    settings = alembic.attributes["settings"]
    short = settings.model_copy(update={"database_timeout_s": 1.0})
    alembic.attributes["settings"] = short
    command.upgrade(alembic, "0002")
    locked, url = threading.Event(), settings.database_url.get_secret_value()

    async def hold() -> None:
        connection = await asyncpg.connect(url)
        async with connection.transaction():
            await connection.execute("LOCK TABLE vend")
            locked.set()
            await asyncio.sleep(1.5)
        await connection.close()

    holder = threading.Thread(target=asyncio.run, args=[hold()])
    holder.start()
    assert locked.wait(timeout=30)
    command.upgrade(alembic, "0003")
    holder.join()


@pytest.fixture
def sso_box_api(alembic: Config, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The command, on that database."""
    url = alembic.attributes["settings"].database_url.get_secret_value()
    monkeypatch.setenv("SSO_BOX_DATABASE_URL", url)
    return lambda *words: CliRunner().invoke(main, words, catch_exceptions=False)


def test_a_version_older_than_the_database_says_so_and_changes_nothing(
    alembic: Config, sso_box_api: Callable[..., Any]
) -> None:
    assert sso_box_api("db", "upgrade").exit_code == 0
    _sql(alembic, "UPDATE alembic_version SET version_num = '9999'")
    checked = sso_box_api("db", "check")
    assert checked.exit_code == 2
    assert f"`sso-box-api db downgrade {SCHEMA}`" in checked.stderr
    for words in (["upgrade"], ["downgrade", "0009"]):
        refused = sso_box_api("db", *words)
        assert refused.exit_code == 2
        assert "'9999'; if a newer version was here, use that one" in refused.stderr
    assert _sql(alembic, "SELECT version_num FROM alembic_version") == ["9999"]


def test_a_newer_version_takes_the_database_back(
    alembic: Config, sso_box_api: Callable[..., Any]
) -> None:
    assert sso_box_api("db", "upgrade").exit_code == 0
    assert sso_box_api("db", "downgrade", "base").exit_code == 2
    assert sso_box_api("db", "downgrade", "0009").exit_code == 0
    assert _sql(alembic, "SELECT version_num FROM alembic_version") == ["0009"]
    too_old = sso_box_api("db", "check")
    assert too_old.exit_code == 2
    assert "`sso-box-api db upgrade`" in too_old.stderr


@pytest.mark.skipif(not FULL, reason="full size only: it starts two processes")
def test_two_migration_jobs_at_once_are_one_after_the_other(alembic: Config) -> None:
    url = alembic.attributes["settings"].database_url.get_secret_value()
    program = str(Path(sys.executable).parent / "sso-box-api")
    jobs = [
        subprocess.Popen([program, "db", "upgrade"], env={"SSO_BOX_DATABASE_URL": url})
        for _ in range(2)
    ]
    assert [job.wait(timeout=60) for job in jobs] == [0, 0]
    command.check(alembic)


def test_every_migration_gives_way_to_logins() -> None:
    """Each bounds its wait for locks, and builds indexes of tables that grow beside them."""
    for file in sorted((ROOT / "alembic" / "versions").glob("*.py")):
        upgrade, downgrade = file.read_text().split("def downgrade()")
        assert "SET LOCAL lock_timeout" in upgrade, file
        assert "SET LOCAL statement_timeout" in upgrade, file
        assert "SET LOCAL lock_timeout" in downgrade, file

"""A PostgreSQL for the tests, and databases cloned from a prepared template."""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
from pydantic import SecretStr

from sso_box_api import migrations
from sso_box_api.settings import DatabaseSettings
from sso_box_devkit.postgres import Postgres, start_postgres

TEMPLATE = "template_migrated"


def own_name(name: str) -> str:
    """The name of a database of this process, on a server that others use, too."""
    return f"{name}_{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"


@contextmanager
def start_migrated_postgres() -> Iterator[Postgres]:
    """Run a server with the migrated database ``TEMPLATE``, which nobody connects to."""
    with start_test_postgres() as server:
        url = asyncio.run(clone_database(server.url, "template0", TEMPLATE))
        migrations.upgrade(DatabaseSettings(database_url=SecretStr(url)))
        yield server


@contextmanager
def start_test_postgres() -> Iterator[Postgres]:
    """Run a server whose files are gone afterwards; ``.url`` is the superuser's."""
    with tempfile.TemporaryDirectory(prefix="sso-box-test-") as folder:
        server = start_postgres(Path(folder) / "postgres")
        try:
            yield server
        finally:
            server.stop()


async def clone_database(admin_url: str, template: str, name: str) -> str:
    """Copy the database ``template``, which nobody may be connected to; return the URL."""
    await _run(
        admin_url, f"CREATE DATABASE {_quoted(name)} TEMPLATE {_quoted(template)}"
    )
    return urlsplit(admin_url)._replace(path=f"/{name}").geturl()


async def drop_database(admin_url: str, name: str) -> None:
    """Drop the database ``name``, ending whatever is still connected to it."""
    await _run(admin_url, f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)")


async def _run(admin_url: str, statement: str) -> None:
    connection = await asyncpg.connect(admin_url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'

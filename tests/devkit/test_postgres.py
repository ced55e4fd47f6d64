"""The embedded PostgreSQL: reachable by our drivers, alone, and gone when told."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from sso_box_devkit.postgres import Postgres, start_postgres
from tests.support.postgres import (
    clone_database,
    drop_database,
    start_test_postgres,
)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with start_test_postgres() as running:
        yield running


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not tmp_path: each start of a pytest as root closes the folder above it to the
    # unprivileged account that the server then runs as, in the midst of other runs.
    with tempfile.TemporaryDirectory(prefix="sso-box-test-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def used_folder() -> Iterator[Path]:
    """Of one test after the other: to fill one costs a second."""
    with tempfile.TemporaryDirectory(prefix="sso-box-test-") as name:
        start_postgres(Path(name)).stop()
        yield Path(name)


async def _value(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_url_works_with_asyncpg_and_allows_200_connections(
    server: Postgres,
) -> None:
    assert int(str(await _value(server.url, "SHOW max_connections"))) >= 200


async def test_url_works_with_sqlalchemys_asyncpg_dialect(server: Postgres) -> None:
    engine = create_async_engine(server.url.replace("://", "+asyncpg://", 1))
    try:
        async with engine.connect() as connection:
            assert await connection.scalar(text("SELECT 41 + 1")) == 42
    finally:
        await engine.dispose()


async def test_superuser_login_without_the_password_is_refused(
    server: Postgres,
) -> None:
    parts = urlsplit(server.url)
    wrong = parts._replace(netloc=f"postgres:wrong@127.0.0.1:{parts.port}").geturl()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(wrong)
    assert server.password not in repr(server)


async def test_a_clone_holds_what_the_template_holds_and_can_be_dropped_in_use(
    server: Postgres,
) -> None:
    template = urlsplit(server.url)._replace(path="/template_a").geturl()
    await clone_database(server.url, "template1", "template_a")
    connection = await asyncpg.connect(template)
    await connection.execute("CREATE TABLE thing AS SELECT 7 AS n")
    await connection.close()

    clone = await clone_database(server.url, "template_a", 'odd "name')
    assert await _value(clone.replace('odd "name', "odd%20%22name"), "TABLE thing") == 7
    await drop_database(server.url, 'odd "name')
    await drop_database(server.url, "template_a")
    names = await _value(server.url, "SELECT array_agg(datname) FROM pg_database")
    assert 'odd "name' not in str(names)
    assert "template_a" not in str(names)


async def test_two_data_directories_run_side_by_side_and_apart(
    server: Postgres, folder: Path
) -> None:
    deep = folder / ("long-" * 20) / "data dir"
    other = start_postgres(deep)
    try:
        await _value(other.url, "CREATE DATABASE elsewhere")
        names = await _value(server.url, "SELECT array_agg(datname) FROM pg_database")
        assert "elsewhere" not in str(names)
    finally:
        other.stop()


async def test_a_data_directory_used_before_keeps_data_and_password(
    used_folder: Path,
) -> None:
    first = start_postgres(used_folder)
    try:
        await _value(first.url, "CREATE DATABASE kept")
    finally:
        first.stop()
    again = start_postgres(used_folder)
    try:
        names = await _value(again.url, "SELECT array_agg(datname) FROM pg_database")
        assert "kept" in str(names)
        assert again.password == first.password
    finally:
        again.stop()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
async def test_command_prints_its_url_first_and_stops_the_server_on_a_signal(
    used_folder: Path, how: signal.Signals
) -> None:
    running = await _run_command(used_folder)
    try:
        assert running.stdout
        url = (await running.stdout.readline()).decode().strip()
        assert url.startswith("postgresql://"), await running.communicate()
        assert await _value(url, "SELECT 1") == 1
        pid_file = used_folder / "cluster" / "postmaster.pid"
        server_pid = int(pid_file.read_text().split()[0])
        running.send_signal(how)
        _, complaints = await running.communicate()
        assert (running.returncode, complaints) == (0, b"")
    finally:
        with suppress(ProcessLookupError):
            running.kill()
    with pytest.raises(ProcessLookupError):
        os.kill(server_pid, 0)


async def test_a_directory_that_cannot_be_initialised_is_reported_with_the_reason(
    folder: Path,
) -> None:
    (folder / "cluster").mkdir()
    (folder / "cluster" / "stranger").touch()
    failing = await _run_command(folder)
    _, complaints = await failing.communicate()
    assert failing.returncode == 1
    assert b"not empty" in complaints


async def _run_command(data_dir: Path) -> asyncio.subprocess.Process:
    command = [sys.executable, "-m", "sso_box_devkit", "postgres", "--data-dir"]
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        *command, data_dir, stdout=pipe, stderr=pipe
    )

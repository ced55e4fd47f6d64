"""Running the service, its database and its keys."""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Final

import click
import uvicorn
from cryptography.fernet import Fernet

from sso_box_api import migrations
from sso_box_api.audit import configure_logging
from sso_box_api.cli.shared import explained
from sso_box_api.db import Database
from sso_box_api.errors import ConfigurationError
from sso_box_api.parts import open_parts
from sso_box_api.serving import OneWriteProtocol
from sso_box_api.settings import DatabaseSettings, Settings, load_settings

# Where prometheus_client's multiprocess mode looks for the folder of all workers.
_COUNTS: Final = "PROMETHEUS_MULTIPROC_DIR"
# In memory, also where the root file system is read-only.
_SHARED_MEMORY: Final = "/dev/shm"  # noqa: S108 - the folder made in it is private
# By name: where one is missing the start fails, and does not serve half as fast.
_LOOP: Final = "auto" if sys.platform == "win32" else "uvloop"


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True)
@explained
def serve(host: str, port: int, workers: int) -> None:
    """Run the service; refuses to start on a configuration that cannot work."""
    settings = load_settings()
    asyncio.run(_check_start(settings))
    configure_logging()
    with _counting_together(settings, workers):
        uvicorn.run(
            "sso_box_api.app:serve_app",
            factory=True,
            host=host,
            port=port,
            workers=workers,
            loop=_LOOP,
            http=OneWriteProtocol,
            ws="none",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_keep_alive=settings.keep_alive_s,
            # Only a named proxy's word on the client address is believed.
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=list(settings.trusted_proxies) or None,
        )


@contextmanager
def _counting_together(settings: Settings, workers: int) -> Iterator[None]:
    """Give workers a folder to count in, if there are several and it is asked for.

    Raises ``ConfigurationError`` where none can be made.
    """
    os.environ.pop(_COUNTS, None)
    if settings.metrics_token is None or workers == 1:
        yield
        return
    in_memory = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None
    try:
        folder = TemporaryDirectory(prefix="sso-box-api-metrics-", dir=in_memory)
    except OSError:
        problem = (
            "SSO_BOX_METRICS_TOKEN: several workers count in a folder, and none can be"
            " made; let TMPDIR name a place for it"
        )
        raise ConfigurationError([problem]) from None
    with folder as path:
        os.environ[_COUNTS] = path
        yield


async def _check_start(settings: Settings) -> None:
    async with open_parts(settings) as parts:
        await parts.require_consistent_rows()


@click.group("db")
def db_group() -> None:
    """The database: its schema, and what follows a move or a restore."""


@db_group.command()
@explained
def upgrade() -> None:
    """Apply every migration; needs SSO_BOX_DATABASE_URL only."""
    migrations.upgrade(load_settings(DatabaseSettings))
    print(f"the database is at migration {migrations.SCHEMA}")


@db_group.command()
@click.argument("revision")
@explained
def downgrade(revision: str) -> None:
    """Take back the migrations after REVISION, for the version that needs that one.

    What only the newer tables can hold is lost. Stop the service first.
    """
    if not revision.isdecimal():
        raise click.UsageError("REVISION is the number of a migration, such as 0010")
    migrations.downgrade(load_settings(DatabaseSettings), revision)
    print(f"the database is at migration {revision}")


@db_group.command()
@explained
def check() -> None:
    """Exit 0 if the schema is the one this version needs."""

    async def run() -> None:
        database = Database(load_settings(DatabaseSettings))
        try:
            await migrations.require_current(database)
        finally:
            await database.close()

    asyncio.run(run())
    print(f"the database is at migration {migrations.SCHEMA}")


@click.group("keys")
def keys_group() -> None:
    """The keys that encrypt tokens at rest."""


@keys_group.command()
def generate() -> None:
    """Print a new key for SSO_BOX_SECRET_KEYS; put it before the present ones."""
    print(Fernet.generate_key().decode())

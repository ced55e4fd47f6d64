"""Run migrations over asyncpg, on the URL that the caller put into the config."""

import asyncio
from typing import Any

from alembic import context
from sqlalchemy import Connection, pool, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import SQLModel

import sso_box_api.accounts.tables
import sso_box_api.vending.tables  # noqa: F401 - both fill the metadata
from sso_box_api.db import sqlalchemy_url
from sso_box_api.settings import DatabaseSettings, load_settings

# Two migration jobs started together must not run at once; the number is arbitrary.
_MIGRATION_LOCK = 7_205_759_403_792_794


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection, target_metadata=SQLModel.metadata, compare_type=True
    )
    with context.begin_transaction():
        connection.execute(
            text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK}
        )
        context.run_migrations()


async def _connect_and_run(url: Any) -> None:
    engine = create_async_engine(url, poolclass=pool.NullPool, hide_parameters=True)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_run)
            await connection.commit()
    finally:
        await engine.dispose()


if context.is_offline_mode():
    message = "migrations need a database to run on"
    raise RuntimeError(message)
asyncio.run(
    _connect_and_run(
        context.config.attributes.get("url")
        or sqlalchemy_url(load_settings(DatabaseSettings))
    )
)

"""Run migrations with the settings that the caller put into the config, or its own."""

import asyncio

from alembic import context
from sqlalchemy import Connection, text
from sqlmodel import SQLModel

import sso_box_api.accounts.tables
import sso_box_api.furnishing.tables
import sso_box_api.vending.tables  # noqa: F401 - all fill the metadata
from sso_box_api.db import create_engine
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


async def _connect_and_run(settings: DatabaseSettings) -> None:
    engine = create_engine(settings)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_run)
            await connection.commit()
    finally:
        await engine.dispose()


if context.is_offline_mode():
    message = "migrations need a database to run on"
    raise RuntimeError(message)
settings: DatabaseSettings = context.config.attributes.get("settings") or load_settings(
    DatabaseSettings
)
asyncio.run(_connect_and_run(settings))

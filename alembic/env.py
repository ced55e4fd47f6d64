"""Run migrations with the settings that the caller put into the config, or its own."""

import asyncio
import time

from alembic import context
from sqlalchemy import Connection, text
from sqlmodel import SQLModel

import sso_box_api.accounts.tables
import sso_box_api.furnishing.tables
import sso_box_api.vending.tables  # noqa: F401 - all fill the metadata
from sso_box_api.db import create_engine, direct
from sso_box_api.settings import DatabaseSettings, load_settings

# Two migration jobs started together must not run at once; the number is arbitrary.
_MIGRATION_LOCK = 7_205_759_403_792_794
_ASK_AGAIN_S = 0.2


def _run(connection: Connection) -> None:
    # Each migration is a transaction of its own, for one that builds an index beside
    # running logins has to end it. So what keeps other jobs out belongs to the session,
    # and is asked for, not waited for: such an index waits for whoever waits.
    taken = text("SELECT pg_try_advisory_lock(:lock)")
    while not connection.execute(taken, {"lock": _MIGRATION_LOCK}).scalar_one():
        connection.commit()
        time.sleep(_ASK_AGAIN_S)
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        compare_type=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def _connect_and_run(settings: DatabaseSettings) -> None:
    engine = create_engine(direct(settings), patient=True)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_run)
            await connection.commit()
    finally:
        # With it the session ends, and its lock.
        await engine.dispose()


if context.is_offline_mode():
    message = "migrations need a database to run on"
    raise RuntimeError(message)
settings: DatabaseSettings = context.config.attributes.get("settings") or load_settings(
    DatabaseSettings
)
asyncio.run(_connect_and_run(settings))

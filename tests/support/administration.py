"""What tests of administration look at and do beside the service."""

from typing import Any

from sqlalchemy import text
from sqlmodel import SQLModel

from sso_box_api import accounts
from sso_box_api.accounts import Candidate
from sso_box_api.parts import Parts
from tests.support.api import ISSUER

Backup = dict[str, list[dict[str, Any]]]


async def candidate_of(parts: Parts, subject: str = "ada") -> Candidate:
    async with parts.database.transaction() as session:
        [candidate] = await accounts.select(session, namespace=ISSUER, subject=subject)
    return candidate


async def sql(parts: Parts, statement: str) -> None:
    async with parts.database.transaction() as session:
        await (await session.connection()).execute(text(statement))


async def scalar(parts: Parts, query: str) -> Any:
    async with parts.database.transaction() as session:
        return (await (await session.connection()).execute(text(query))).scalar()


async def back_up(parts: Parts) -> Backup:
    """Every row of every table, as a backup of this moment holds them."""
    backup: Backup = {}
    async with parts.database.transaction() as session:
        connection = await session.connection()
        for table in SQLModel.metadata.sorted_tables:
            rows = await connection.execute(table.select())
            backup[table.name] = [dict(row) for row in rows.mappings()]
    return backup


async def restore(parts: Parts, backup: Backup) -> None:
    """Put exactly those rows back, and none that came after."""
    tables = SQLModel.metadata.sorted_tables
    async with parts.database.transaction() as session:
        connection = await session.connection()
        for table in reversed(tables):
            await connection.execute(table.delete())
        for table in tables:
            if rows := backup[table.name]:
                await connection.execute(table.insert(), rows)


async def somebody_waits(parts: Parts) -> bool:
    """Whether a connection to this database waits for a lock of another one."""
    query = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return bool(await scalar(parts, query))

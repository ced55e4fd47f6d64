"""The database connection: engine, transactions, migrations. No queries.

A transaction is open only inside ``Database.transaction`` and nobody calls Box or an
identity provider in there.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from uuid import uuid4

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    DBAPIError,
    ProgrammingError,
    TimeoutError as PoolTimeoutError,
)
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

from sso_box_api.errors import ConfigurationError, DatabaseUnavailable
from sso_box_api.settings import DatabaseSettings

__all__ = [
    "AsyncSession",
    "Database",
    "head_revision",
    "sqlalchemy_url",
    "upgrade",
]

# SQLSTATE classes that say "not now" rather than "wrong": connection exception,
# insufficient resources, operator intervention (PostgreSQL manual, appendix A).
_PASSING_SQLSTATES = ("08", "53", "57")


class Database:
    """The engine and the one way to open a transaction."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self._engine = _create_engine(settings)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Open a transaction; commits at the end, rolls back on any exception.

        Raises ``DatabaseUnavailable`` when PostgreSQL does not answer.
        """
        with _unavailable_when_unreachable():
            session = AsyncSession(self._engine, expire_on_commit=False)
            async with session, session.begin():
                yield session

    async def ping(self) -> None:
        async with self.transaction() as session:
            connection = await session.connection()
            await connection.execute(text("SELECT 1"))

    async def schema_revision(self) -> str | None:
        """Return the migration the database stands at, None for an empty one."""
        statement = text("SELECT version_num FROM alembic_version")
        try:
            async with self.transaction() as session:
                connection = await session.connection()
                return (await connection.execute(statement)).scalar_one_or_none()
        except ProgrammingError:
            return None

    async def require_current_schema(self) -> None:
        """Raise ``ConfigurationError`` unless every migration has been applied."""
        revision = await self.schema_revision()
        if revision != head_revision():
            problem = (
                f"the database is at migration {revision or 'none'}, this version needs"
                f" {head_revision()}; run `sso-box-api db upgrade`"
            )
            raise ConfigurationError([problem])

    async def close(self) -> None:
        await self._engine.dispose()


def upgrade(settings: DatabaseSettings) -> None:
    """Apply every migration. Blocking, for the command line; runs its own loop."""
    config = _alembic_config()
    config.attributes["url"] = sqlalchemy_url(settings)
    with _unavailable_when_unreachable():
        command.upgrade(config, "head")


def head_revision() -> str:
    head = ScriptDirectory.from_config(_alembic_config()).get_current_head()
    assert head is not None  # noqa: S101 - the project ships at least one migration
    return head


def _alembic_config() -> Config:
    packaged = Path(__file__).parent / "_alembic"
    checkout = Path(__file__).parents[2] / "alembic"
    config = Config()
    script = packaged if packaged.is_dir() else checkout
    config.set_main_option("script_location", str(script).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _create_engine(settings: DatabaseSettings) -> AsyncEngine:
    connect_args: dict[str, object] = {
        "timeout": settings.database_timeout_s,
        "command_timeout": settings.database_timeout_s,
        "server_settings": {"application_name": "sso-box-api"},
    }
    if settings.database_transaction_pooler:
        # Behind such a pooler the next statement may run on another connection, so
        # no prepared statement may be relied on and no name may come twice.
        connect_args |= {
            "server_settings": {},
            "statement_cache_size": 0,
            "prepared_statement_cache_size": 0,
            "prepared_statement_name_func": lambda: f"__sso_box_{uuid4()}__",
        }
    return create_async_engine(
        sqlalchemy_url(settings),
        pool_size=settings.database_pool_size,
        max_overflow=0,
        pool_timeout=settings.database_timeout_s,
        pool_pre_ping=False,
        hide_parameters=True,
        connect_args=connect_args,
    )


def sqlalchemy_url(settings: DatabaseSettings) -> URL:
    url = make_url(settings.database_url.get_secret_value())
    # libpq's sslmode is what operators know; SQLAlchemy hands asyncpg `ssl`.
    if "sslmode" in url.query:
        ssl = url.query["sslmode"]
        url = url.difference_update_query(["sslmode"]).update_query_dict({"ssl": ssl})
    return url.set(drivername="postgresql+asyncpg")


@contextmanager
def _unavailable_when_unreachable() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        sqlstate = getattr(error.orig, "sqlstate", None) or ""
        if error.connection_invalidated or sqlstate.startswith(_PASSING_SQLSTATES):
            raise DatabaseUnavailable(f"sqlstate {sqlstate or 'none'}") from error
        raise
    except (OSError, PoolTimeoutError) as error:
        raise DatabaseUnavailable(type(error).__name__) from error

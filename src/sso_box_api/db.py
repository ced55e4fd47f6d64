"""The database connection: engine and transactions. No queries.

A transaction is open only inside ``Database.transaction``, or for one statement inside
``Database.execute``; nobody calls Box or an identity provider in there.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import asyncpg
from sqlalchemy import Executable, GenerativeSelect, Row, Select, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    ProgrammingError,
    TimeoutError as PoolTimeoutError,
)
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import greenlet_spawn
from sqlmodel import SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from sso_box_api.errors import ConfigurationError, DatabaseUnavailable
from sso_box_api.settings import DatabaseSettings

__all__ = [
    "AsyncSession",
    "Condition",
    "Database",
    "create_engine",
    "execute",
    "once",
    "unavailable_when_unreachable",
]

# How a listening connection is called in pg_stat_activity.
_LISTENER: Final = "sso-box-api listener"
# SQLSTATE classes that are a fault of ours: bad data, a broken constraint, a wrong
# statement. All others say that the database cannot serve us now (PostgreSQL manual,
# appendix A).
_OURS = ("22", "23", "42")
_NO_PRIVILEGE = "42501"
_MEANING = {
    "08": "the connection failed",
    "25": "it is read-only, or a transaction was ended",
    "28": "the server refused the user or the password",
    "3D": "there is no such database",
    "53": "the server has no room for more",
    "55": "a row stayed locked for too long",
    "57": "the server is stopping or starting, or a statement took too long",
}
# has_table_privilege takes several rights for "any of them".
_OUT_OF_REACH = text(
    "SELECT name FROM unnest(CAST(:names AS text[])) AS name WHERE NOT ("
    "has_table_privilege(name, 'SELECT') AND has_table_privilege(name, 'INSERT')"
    " AND has_table_privilege(name, 'UPDATE') AND has_table_privilege(name, 'DELETE'))"
)
# What the driver says of a URL whose form has been checked: it looks for a file.
_Misconfigured = asyncpg.ClientConfigurationError
_NO_CERTIFICATES = "PGSSLROOTCERT has to name the CA certificates, as sslmode asks"
# The narrower ones first.
_TROUBLE = (
    (socket.gaierror, "its host name is not known here"),
    (ConnectionRefusedError, "nothing listens at its host and port"),
    (ConnectionError, "it ended the connection; has it the TLS that sslmode asks for?"),
    (PoolTimeoutError, "no connection was free in time"),
    (TimeoutError, "it did not answer in time"),
)


Rows = Sequence[Row[*tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Condition:
    """One row if something is the case, else none: what another row is inserted from.

    ``select`` is the same object for all, ``values`` are those of its parameters.
    """

    select: Select[*tuple[Any, ...]]
    values: Mapping[str, object]


class Database:
    """The engine, and the two ways to use it: a transaction, or a single statement."""

    def __init__(self, settings: DatabaseSettings) -> None:
        # Behind a pooler in transaction mode only a transaction stays on a connection,
        # and a statement needs it for two messages: its preparation and its execution.
        autocommit = not settings.database_transaction_pooler
        self._engine = create_engine(settings, autocommit=autocommit)
        engine = self._engine.sync_engine
        self._single = engine.connect if autocommit else engine.begin
        # Said for the few transactions, which share the connections: to say it for the
        # many single statements would cost a fifth of each.
        self._transactional = self._engine.execution_options(
            isolation_level="READ COMMITTED"
        )
        self.timeout_s = settings.database_timeout_s
        listen_url = settings.database_listen_url or settings.database_url
        self._listen_url = listen_url.get_secret_value()
        self._if_elsewhere = (
            " (SSO_BOX_DATABASE_LISTEN_URL)" if settings.database_listen_url else ""
        )
        self._question: asyncio.Task[bool] | None = None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Open a transaction; commits at the end, rolls back on any exception.

        Raises ``DatabaseUnavailable`` when PostgreSQL does not answer.
        """
        with unavailable_when_unreachable():
            session = AsyncSession(self._transactional, expire_on_commit=False)
            async with session, session.begin():
                yield session

    async def execute(
        self, statement: Executable, parameters: Mapping[str, object]
    ) -> Rows:
        """Run a statement that is a transaction by itself; committed when it returns.

        For the way of a login: it saves the round trips of BEGIN and COMMIT, but behind
        a pooler, and most of what the library does for a session. Raises
        ``DatabaseUnavailable``.
        """

        def run() -> Rows:
            with self._single() as connection:
                result = connection.execute(statement, parameters)
                return result.all() if result.returns_rows else ()

        with unavailable_when_unreachable():
            # Once for all, where an AsyncConnection does it for each of its steps.
            return await greenlet_spawn(run)

    async def takes_writes(self) -> bool:
        """Whether it is no standby and not otherwise read-only.

        Raises ``DatabaseUnavailable`` where it does not even answer.
        """
        rows = await self.execute(text("SHOW transaction_read_only"), {})
        return bool(rows[0][0] == "off")

    async def answers(self, *, within_s: float) -> bool:
        """Whether it answers in time; who asks at the same time shares one question.

        Also a standby: what it says of a row is newer than what is remembered.
        """
        if self._question is None or self._question.done():
            self._question = asyncio.create_task(self.takes_writes())
            # Whoever asked may have stopped waiting for it.
            self._question.add_done_callback(lambda t: t.cancelled() or t.exception())
        done, _ = await asyncio.wait({self._question}, timeout=within_s)
        return all(question.exception() is None for question in done) and bool(done)

    async def schema_revision(self) -> str | None:
        """Return the migration the database stands at, None for an empty one."""
        statement = text("SELECT version_num FROM alembic_version")
        try:
            async with self.transaction() as session:
                connection = await session.connection()
                return (await connection.execute(statement)).scalar_one_or_none()
        except ProgrammingError:
            return None

    async def tables_out_of_reach(self) -> list[str]:
        """Name the tables of the service that its role may not read and write.

        They have to be there. Raises ``DatabaseUnavailable``.
        """
        names = sorted(SQLModel.metadata.tables)
        rows = await self.execute(_OUT_OF_REACH, {"names": names})
        return [name for (name,) in rows]

    @asynccontextmanager
    async def directly(self) -> AsyncIterator[asyncpg.Connection]:
        """Open the one connection that listens, past any pooler.

        Raises ``DatabaseUnavailable``, also for what is asked of it.
        """
        connection = await self._connect_directly()
        with unavailable_when_unreachable():
            try:
                yield connection
            except asyncpg.InterfaceError as error:
                # What the driver calls asking a connection that was lost meanwhile.
                if connection.is_closed():
                    raise DatabaseUnavailable(type(error).__name__) from error
                raise
            finally:
                connection.terminate()

    async def _connect_directly(self) -> asyncpg.Connection:
        try:
            with unavailable_when_unreachable():
                return await asyncpg.connect(
                    self._listen_url,
                    timeout=self.timeout_s,
                    command_timeout=self.timeout_s,
                    statement_cache_size=0,
                    server_settings={"application_name": _LISTENER},
                )
        except DatabaseUnavailable as error:
            raise DatabaseUnavailable(f"{error.reason}{self._if_elsewhere}") from error

    async def close(self) -> None:
        if self._question is not None:
            self._question.cancel()
            await asyncio.wait({self._question})
        await self._engine.dispose()


def once(rows: GenerativeSelect) -> Select[*tuple[Any, ...]]:
    """Have a choice of rows made once in the statement that changes them.

    PostgreSQL may run a subquery again for each row that it compares. One with LIMIT
    and SKIP LOCKED chooses other rows each time, so that the limit is none.
    """
    return select(*rows.cte().prefix_with("MATERIALIZED").c)


async def execute(
    on: Database | AsyncSession,
    statement: Executable,
    parameters: Mapping[str, object],
) -> Rows:
    """Run a statement by itself, or as part of the transaction of a session."""
    if isinstance(on, Database):
        return await on.execute(statement, parameters)
    result = await (await on.connection()).execute(statement, parameters)
    return result.all() if result.returns_rows else ()


def create_engine(
    settings: DatabaseSettings, *, patient: bool = False, autocommit: bool = False
) -> AsyncEngine:
    """``patient``: without a limit on a statement's time, for who sets its own.

    ``autocommit``: each statement commits by itself, where nothing else is said.
    """
    connect_args: dict[str, object] = {
        "timeout": settings.database_timeout_s,
        "command_timeout": None if patient else settings.database_timeout_s,
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
        _sqlalchemy_url(settings),
        pool_size=settings.database_pool_size,
        max_overflow=0,
        pool_timeout=settings.database_timeout_s,
        # The latest first: its prepared statements and its server are warm.
        pool_use_lifo=True,
        pool_pre_ping=False,
        isolation_level="AUTOCOMMIT" if autocommit else "READ COMMITTED",
        hide_parameters=True,
        connect_args=connect_args,
    )


def direct(settings: DatabaseSettings) -> DatabaseSettings:
    """The same past a pooler, for what needs one connection for all it does."""
    if settings.database_listen_url is None:
        return settings
    past = {
        "database_url": settings.database_listen_url,
        "database_transaction_pooler": False,
    }
    return settings.model_copy(update=past)


def _sqlalchemy_url(settings: DatabaseSettings) -> URL:
    try:
        url = make_url(settings.database_url.get_secret_value())
    except (ValueError, ArgumentError):
        problem = (
            "SSO_BOX_DATABASE_URL: is not a URL; percent-encode what is special in"
            " the user name and the password"
        )
        raise ConfigurationError([problem]) from None  # the cause quotes the password
    # libpq's sslmode is what operators know; SQLAlchemy hands asyncpg `ssl`.
    if "sslmode" in url.query:
        ssl = url.query["sslmode"]
        url = url.difference_update_query(["sslmode"]).update_query_dict({"ssl": ssl})
    return url.set(drivername="postgresql+asyncpg")


@contextmanager
def unavailable_when_unreachable() -> Iterator[None]:
    """Tell what the database cannot do now from what we asked wrongly.

    Raises ``DatabaseUnavailable``, which holds no more of the cause than its SQLSTATE.
    """
    try:
        yield
    except DBAPIError as error:
        if isinstance(getattr(error.orig, "__cause__", None), _Misconfigured):
            raise DatabaseUnavailable(_NO_CERTIFICATES) from error
        sqlstate = getattr(error.orig, "sqlstate", None) or "08000"
        is_ours = sqlstate.startswith(_OURS) and sqlstate != _NO_PRIVILEGE
        if error.connection_invalidated or not is_ours:
            raise _unavailable(sqlstate) from error
        raise
    except _Misconfigured as error:
        raise DatabaseUnavailable(_NO_CERTIFICATES) from error
    except asyncpg.PostgresError as error:
        raise _unavailable(error.sqlstate or "") from error
    except (OSError, PoolTimeoutError) as error:
        what = type(error).__name__
        meaning = next(
            (text for kind, text in _TROUBLE if isinstance(error, kind)), what
        )
        raise DatabaseUnavailable(meaning) from error


def _unavailable(sqlstate: str) -> DatabaseUnavailable:
    meaning = (
        'its role may not do that: docs/configuration.md, "Two roles"'
        if sqlstate == _NO_PRIVILEGE
        else _MEANING.get(sqlstate[:2], "the server refused")
    )
    return DatabaseUnavailable(f"{meaning} (sqlstate {sqlstate})")

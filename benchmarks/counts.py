"""Box calls and SQL statements per login, counted, one login at a time.

Box calls by the emulator's journal. SQL statements by PostgreSQL's own log, which
notes each for the database that is counted; BEGIN and COMMIT are statements like the
others. What the service asks in the background, without any login, is counted for as
long afterwards and taken off, but for the sweeper's looks for left-over work: those are
rare and many statements each, so they are put off.
"""

import asyncio
import re
import time
from collections.abc import Callable, Sequence

import asyncpg
from benchmarks.rounds import Size
from benchmarks.stack import Server, Stack

_STATEMENT = re.compile(rb"\] LOG:  (?:statement|execute )")
DATABASE = "counted"
_NO_SWEEP = {"SSO_BOX_VENDING__SWEEP_INTERVAL_S": "3600"}


def measure(stack: Stack, others: Sequence[Server], size: Size) -> dict[str, object]:
    url = stack.make_database(DATABASE)
    asyncio.run(_log_statements(stack, DATABASE))
    with stack.service(url, more=_NO_SWEEP) as service:
        # The first login of a process also fetches the provider's keys and a service
        # token: once, so it is not a login's.
        for server in (service, *others):
            stack.load.run(server.token_url, stack.tokens(stack.people(1)))
        return {
            "logins": size.counted,
            "box_calls": {
                server.name: _by_kind(stack, server, size, stack.box_calls)
                for server in (service, *others)
            },
            "sql_statements": {
                "service": _by_kind(
                    stack, service, size, lambda: _statements(stack), backgrounds=True
                )
            },
        }


def _by_kind(
    stack: Stack,
    server: Server,
    size: Size,
    count: Callable[[], int],
    *,
    backgrounds: bool = False,
) -> dict[str, float]:
    """Return the counts for one login, by what is known of person and token."""
    # The quickstarts are slow, and every login of theirs is like the next.
    many = size.counted if server.name == "service" else min(size.counted, 10)
    people = stack.people(many)
    tokens = stack.tokens(people)
    kinds = {"first": tokens, "seen": tokens, "never_seen": stack.tokens(people)}
    found: dict[str, float] = {}
    for kind, asked in kinds.items():
        before, started = count(), time.monotonic()
        stack.load.run(server.token_url, asked)
        seconds, during = time.monotonic() - started, count() - before
        if backgrounds:
            during -= _meanwhile(seconds, count)
        found[kind] = round(during / many, 1)
    # What sees nothing of a first login cannot tell that a warm one has nothing.
    assert found["first"] > 0
    return found


def _meanwhile(seconds: float, count: Callable[[], int]) -> int:
    """Count what there is in a time as long in which nobody logs in."""
    before = count()
    time.sleep(seconds)
    return count() - before


def _statements(stack: Stack) -> int:
    log = stack.postgres_log.read_bytes()
    return len(_STATEMENT.findall(log))


async def _log_statements(stack: Stack, database: str) -> None:
    connection = await asyncpg.connect(stack.postgres.url)
    await connection.execute(f"ALTER DATABASE {database} SET log_statement = 'all'")
    await connection.close()

"""Finding an account by its identity, as identities grow from a thousand to a million.

Two databases of one server, asked in turn for identities drawn at random, so that a
busy machine slows both alike.
"""

import asyncio
import random
import time
from statistics import median

import asyncpg
from benchmarks.rounds import Size
from benchmarks.stack import Stack
from pydantic import SecretStr

from sso_box_api import accounts, db
from sso_box_api.settings import DatabaseSettings

SIZES = {"thousand": 1_000, "million": 1_000_000}
WARM_UP = 200
NAMESPACE = "https://idp.example"

_ACCOUNTS = """
    INSERT INTO account (id, kind, realm, external_app_user_id, box_user_id,
                         box_client_id, box_enterprise_id)
    SELECT md5('a' || n)::uuid, 'app', '', 'sb1-' || md5(n::text), n::text, 'app', '1'
    FROM generate_series(1, $1::int) n
"""
_IDENTITIES = """
    INSERT INTO identity (id, namespace, subject, provider, account_id, email)
    SELECT md5('i' || n)::uuid, $2, 'subject-' || n, 'main', md5('a' || n)::uuid,
           'person' || n || '@example.com'
    FROM generate_series(1, $1::int) n
"""


async def fill(url: str, size: int) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(_ACCOUNTS, size)
    await connection.execute(_IDENTITIES, size, NAMESPACE)
    await connection.execute("VACUUM ANALYZE")
    await connection.close()


async def timed_find(database: db.Database, subject: str) -> float:
    async with database.transaction() as session:
        start = time.perf_counter_ns()
        found = await accounts.find(session, NAMESPACE, subject)
        spent = (time.perf_counter_ns() - start) / 1_000
    assert found is not None
    return spent


async def _measure(urls: dict[str, str], finds: int) -> dict[str, float]:
    for name, url in urls.items():
        await fill(url, SIZES[name])
    databases = {
        name: db.Database(DatabaseSettings(database_url=SecretStr(url)))
        for name, url in urls.items()
    }
    drawn = random.Random(1)  # noqa: S311 - the same draw in each run
    times: dict[str, list[float]] = {name: [] for name in databases}
    for _ in range(WARM_UP + finds):
        for name, database in databases.items():
            subject = f"subject-{drawn.randint(1, SIZES[name])}"
            times[name].append(await timed_find(database, subject))
    for database in databases.values():
        await database.close()
    return {name: median(taken[WARM_UP:]) for name, taken in times.items()}


def measure(stack: Stack, size: Size) -> dict[str, object]:
    urls = {name: stack.make_database(name) for name in SIZES}
    medians = asyncio.run(_measure(urls, size.finds))
    return {
        "accounts": SIZES,
        "finds": size.finds,
        "median_us": {name: round(us, 1) for name, us in medians.items()},
        "ratio": round(medians["million"] / medians["thousand"], 3),
    }

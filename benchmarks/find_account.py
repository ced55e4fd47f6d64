"""Finding an account by its identity: ``python -m benchmarks.find_account``.

Two databases of one server, one with a thousand accounts, one with a million, asked in
turn for identities drawn at random, so that a busy machine slows both alike. Prints one
JSON object: the medians in microseconds, and their ratio.
"""

import asyncio
import json
import random
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import asyncpg
from pydantic import SecretStr

from sso_box_api import accounts, db
from sso_box_api.settings import DatabaseSettings
from sso_box_devkit.postgres import start_postgres

SIZES = {"thousand": 1_000, "million": 1_000_000}
ROUNDS = 5_000
WARM_UP = 500
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


async def measure(urls: dict[str, str]) -> dict[str, float]:
    for name, url in urls.items():
        await fill(url, SIZES[name])
    databases = {
        name: db.Database(DatabaseSettings(database_url=SecretStr(url)))
        for name, url in urls.items()
    }
    drawn = random.Random(1)  # noqa: S311 - the same draw in each run
    times: dict[str, list[float]] = {name: [] for name in databases}
    for _ in range(WARM_UP + ROUNDS):
        for name, database in databases.items():
            subject = f"subject-{drawn.randint(1, SIZES[name])}"
            times[name].append(await timed_find(database, subject))
    for database in databases.values():
        await database.close()
    return {name: median(taken[WARM_UP:]) for name, taken in times.items()}


async def create(admin_url: str) -> dict[str, str]:
    connection = await asyncpg.connect(admin_url)
    for name in SIZES:
        await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return {name: f"{admin_url.rsplit('/', 1)[0]}/{name}" for name in SIZES}


def main() -> None:
    with TemporaryDirectory() as folder:
        server = start_postgres(Path(folder) / "postgres")
        try:
            urls = asyncio.run(create(server.url))
            for url in urls.values():
                db.upgrade(DatabaseSettings(database_url=SecretStr(url)))
            medians = asyncio.run(measure(urls))
        finally:
            server.stop()
    report = {
        "accounts": SIZES,
        "rounds": ROUNDS,
        "median_us": {name: round(us, 1) for name, us in medians.items()},
        "ratio": round(medians["million"] / medians["thousand"], 3),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()

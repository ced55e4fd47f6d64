"""A lock under load: refused by every worker within a second, and dead at Box.

Each test's person is warm in all workers before anything is locked: every worker has
answered them, over a connection that is known to be its own.
"""

import asyncio
import json
import signal
from collections.abc import Callable

import pytest

from sso_box_api.settings.sections import VendingSettings
from tests.killswitch.conftest import Holding, Site, until
from tests.support.lines import Load, steady_load

# From the return of the command to the last success of any worker.
AT_ONCE_S = 1.0
ORDERS = [{"profile": "explorer"}, {"profile": "preview"}, {"scope": ["item_preview"]}]
Record = Callable[[str, object], None]


async def _refused_at_once(load: Load, returned: float) -> float:
    """Return after how many seconds the last success began."""
    async with asyncio.timeout(30):
        await load.refused_everywhere("account_locked")
    last = load.last_success_after(returned)
    assert last <= AT_ONCE_S
    return last


async def test_a_lock_stops_every_worker_within_a_second_and_kills_all_tokens(
    site: Site, record_property: Record
) -> None:
    async with steady_load(site.lines, site.id_token("ada"), ORDERS) as load:
        locked = await site.lock("ada")
        assert locked.code == 0, locked.output
        seconds = await _refused_at_once(load, locked.at)
    assert len(load.tokens) >= len(ORDERS)
    assert await site.alive(load.tokens) == set()
    record_property("last_success_after_s", round(seconds, 3))
    record_property("answers", len(load.all))


async def test_a_lock_that_is_killed_after_its_commit_is_finished_by_the_servers(
    site: Site, record_property: Record
) -> None:
    async with steady_load(site.lines, site.id_token("grace"), ORDERS) as load:
        locked = await site.lock("grace", killed=True)
        assert locked.code == -signal.SIGKILL, locked.output
        record_property("last_success_after_s", await _refused_at_once(load, locked.at))
    await site.all_dead(load.tokens)


async def test_a_lock_is_heard_of_by_workers_whose_listening_connection_was_cut(
    site: Site, record_property: Record
) -> None:
    await site.everybody_listens()
    async with steady_load(site.lines, site.id_token("alan"), ORDERS) as load:
        for pid in await site.listeners():
            await site.postgres.execute("SELECT pg_terminate_backend($1)", pid)
        locked = await site.lock("alan")
        record_property("last_success_after_s", await _refused_at_once(load, locked.at))
    await site.all_dead(load.tokens)


async def test_a_lock_is_heard_of_by_workers_whose_listening_connection_is_half_open(
    site: Site, record_property: Record
) -> None:
    await site.everybody_listens()
    async with steady_load(site.lines, site.id_token("emmy"), ORDERS) as load:
        for ways in site.ways:
            ways.listening.silence()
        try:
            locked = await site.lock("emmy")
            seconds = await _refused_at_once(load, locked.at)
        finally:
            for ways in site.ways:
                ways.listening.restore()
        record_property("last_success_after_s", seconds)
    await site.all_dead(load.tokens)


async def test_a_lock_is_heard_of_by_workers_that_begin_to_listen_meanwhile(
    site: Site, record_property: Record
) -> None:
    """The NOTIFY is sent while they connect, so that nobody hears it."""
    await site.everybody_listens()
    async with steady_load(site.lines, site.id_token("kurt"), ORDERS) as load:
        for ways in site.ways:
            ways.listening.silence()
        try:
            for pid in await site.listeners():
                await site.postgres.execute("SELECT pg_terminate_backend($1)", pid)
            locking = asyncio.create_task(site.lock("kurt"))
            await until(lambda: _connecting(site))
            locked = await locking
        finally:
            for ways in site.ways:
                ways.listening.restore()
        await site.everybody_listens()
        record_property("last_success_after_s", await _refused_at_once(load, locked.at))
    await site.all_dead(load.tokens)


async def _connecting(site: Site) -> bool:
    return all(ways.listening.held for ways in site.ways)

"""A lock under load: refused by every worker within a second, and dead at Box.

Each test's person is warm in all workers before anything is locked: every worker has
answered them, over a connection that is known to be its own.
"""

import asyncio
import signal
import time
from collections.abc import Callable
from functools import partial
from itertools import groupby

import httpx
import pytest

from sso_box_api.memory import LIVE_S
from tests.killswitch.conftest import GRACE_S, METRICS_TOKEN, Holding, Site
from tests.support.commands import FULL, WORKERS, Server
from tests.support.lines import Line, Load, lines, steady_load
from tests.support.waiting import until

# From the return of the command to the last success of any worker.
AT_ONCE_S = 1.0
ORDERS: list[dict[str, object]] = [
    {"profile": "explorer"},
    {"profile": "preview"},
    {"scope": ["item_preview"]},
]
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
    site.assert_warm(load)
    assert len(load.tokens) >= len(ORDERS)
    assert await site.alive(load.tokens) == set()
    record_property("last_success_after_s", round(seconds, 3))
    record_property("answers", len(load.all))


async def test_what_one_worker_is_asked_about_is_the_sum_over_all(site: Site) -> None:
    """Each worker has served; whichever is scraped tells of all."""
    async with steady_load(site.lines, site.id_token("blaise"), ORDERS[:1]):
        pass
    for server in site.servers:
        await until(partial(_is_told_of_all, server))


async def _is_told_of_all(server: Server) -> bool:
    """Whether any one worker tells what stands in the audit trail of all of them."""
    headers = {"Authorization": f"Bearer {METRICS_TOKEN}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers) as http:
        lines = (await http.get("/metrics")).text.splitlines()
    counted = sum(
        float(line.rsplit(" ", 1)[1])
        for line in lines
        if line.startswith("sso_box_requests_total") and 'event="exchange"' in line
    )
    everybody = {f"sso_box_workers{name} {WORKERS}.0" for name in ("", "_listening")}
    return counted == len(server.audited()) and everybody <= {*lines}


async def test_a_lock_that_is_killed_after_its_commit_is_finished_by_the_servers(
    site: Site, record_property: Record
) -> None:
    async with steady_load(site.lines, site.id_token("grace"), ORDERS) as load:
        locked = await site.lock("grace", killed=True)
        assert locked.code == -signal.SIGKILL, locked.output
        record_property("last_success_after_s", await _refused_at_once(load, locked.at))
    await site.all_dead(load.tokens)


@pytest.mark.skipif(not FULL, reason="full size only; tests/test_background.py has it")
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


async def test_a_token_that_box_minted_before_the_lock_never_leaves(
    site: Site, holding: Holding
) -> None:
    """Box's answer comes after the lock: there is a token, and no row yet."""
    id_token = site.id_token("ada-slow")
    async with steady_load(site.lines, id_token, ORDERS[:1]) as load:
        known = site.tokens_at_box()
        other = await Line.open(site.servers[1])
        with holding.holding():
            minting = asyncio.create_task(
                other.ask("POST", "/v1/token", id_token, {"profile": "picker"})
            )
            await until(lambda: _holds(holding))
            locked = await site.lock("ada-slow")
        answer = await minting
        other.close()
        await _refused_at_once(load, locked.at)
    assert (answer.status, answer.code) == (403, "account_locked")
    minted = site.tokens_at_box() - known
    assert minted
    await site.all_dead(minted | load.tokens)


async def _holds(holding: Holding) -> bool:
    return holding.held == 1


@pytest.mark.skipif(not FULL, reason="full size only; tests/test_background.py has it")
async def test_a_lock_while_box_is_down_reports_what_is_pending_and_is_swept_later(
    site: Site, record_property: Record
) -> None:
    async with steady_load(site.lines, site.id_token("grace-down"), ORDERS) as load:
        site.fault("/oauth2/revoke", times=None, status=503)
        try:
            # Who waits and leaves has the tokens for itself until its lease ends.
            wait = [] if FULL else ["--wait", "0"]
            locked = await site.lock("grace-down", *wait)
            seconds = await _refused_at_once(load, locked.at)
        finally:
            site.enterprise.faults.clear()
        record_property("last_success_after_s", seconds)
    assert locked.code == 3
    report = locked.result
    assert (report["state"], report["revoked"]) == ("locked", 0)
    assert report["pending"] == len(load.tokens)
    assert report["latest_expiry"]
    await site.all_dead(load.tokens)


async def test_a_worker_without_a_database_serves_warm_people_for_the_grace(
    site: Site, record_property: Record
) -> None:
    """Packets are dropped and nothing is closed. This is the one tail of a lock."""
    server, ways = site.servers[1], site.ways[1]
    async with (
        lines([server]) as of_warm,
        lines([server]) as of_locked,
        steady_load(of_warm, site.id_token("alan-warm"), ORDERS[:1]) as warm,
        steady_load(of_locked, site.id_token("emmy-locked"), ORDERS[:1]) as lockee,
    ):
        silent = time.monotonic()
        ways.statements.silence()
        ways.listening.silence()
        try:
            locked = await site.lock("emmy-locked")
            assert locked.code == 0
            async with asyncio.timeout(GRACE_S + 60):
                for load in (warm, lockee):
                    await load.refused_everywhere("database_unavailable", times=1)
        finally:
            ways.statements.restore()
            ways.listening.restore()
        restored = time.monotonic()
        async with asyncio.timeout(30):
            await warm.served_everywhere()
            await lockee.refused_everywhere("account_locked")
    assert await site.alive(lockee.tokens) == set()
    for load in (warm, lockee):
        assert load.last_success_between(silent, restored) <= silent + GRACE_S
    for of_one in warm.answers.values():
        # Later than the listener's word holds; then refused until it is mended.
        came = [a for a in of_one if silent + LIVE_S < a.ended < restored]
        codes = [code for code, _ in groupby(came, lambda a: a.code)]
        assert codes in (["", "database_unavailable"], ["database_unavailable"])
        # Where the grace is short, a busy machine may sleep through it.
        assert "" in codes or not FULL
    refused = [a.ended - a.started for a in warm.all if a.code]
    served = [of_one[-1].ended - restored for of_one in warm.answers.values()]
    record_property("refused_after_s", round(max(refused), 3))
    record_property("recovered_after_s", round(max(served), 3))

"""The claim protocol against PostgreSQL and the emulator: one Box user per identity.

Several binders on one database stand for several processes: they share no memory, so
only the rows decide between them.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from sso_box_api import accounts
from sso_box_api.accounts import Account, Person, external_id
from sso_box_api.binding import Binder
from sso_box_api.errors import (
    AccountLocked,
    BoxRefused,
    BoxUnavailable,
    BoxUserConflict,
    ProvisioningInProgress,
    SsoBoxError,
)
from sso_box_api.parts import Parts
from sso_box_api.settings import Settings
from sso_box_devkit.box import Enterprise
from tests.support.administration import somebody_waits
from tests.support.api import Control
from tests.support.connections import opened
from tests.support.waiting import until

# For what comes about where they end.
HASTY = {"lease_s": 1.0, "post_timeout_s": 0.8}
ADA = Person("main", "https://idp.example", "ada", "Ada Lovelace", "ada@example.com")
NOW = 1_900_000_000


@pytest.fixture
def settings(settings_values: dict[str, Any], emulator_url: str) -> Settings:
    box = {"api_url": emulator_url, "call_timeout_s": 2.0, "deadline_s": 2.0}
    settings_values["box"] |= box
    return Settings.model_validate(settings_values | {"allow_loopback_http": True})


@pytest.fixture
def box(emulator_url: str, enterprise: Enterprise) -> Control:
    del enterprise
    return Control(httpx.AsyncHTTPTransport(), emulator_url)


@pytest.fixture
async def parts(settings: Settings) -> AsyncIterator[Parts]:
    async with opened(settings) as parts:
        yield parts


@pytest.fixture
async def new_binder(settings: Settings) -> AsyncIterator[Callable[[], Any]]:
    """Make binders with parts of their own, as a process would."""
    async with AsyncExitStack() as stack:

        async def make(**times: float) -> Binder:
            parts = await stack.enter_async_context(opened(settings))
            binder = Binder(
                parts.database,
                parts.box,
                settings.claim.model_copy(update=times),
                realm=settings.realm,
                box_app=parts.box_app,
                providers=settings.providers,
            )
            stack.push_async_callback(binder.close)
            return binder

        yield make


async def _rows(parts: Parts, query: str) -> list[Any]:
    async with parts.database.transaction() as session:
        connection = await session.connection()
        return list((await connection.execute(text(query))).all())


async def _run(parts: Parts, statement: str) -> None:
    async with parts.database.transaction() as session:
        connection = await session.connection()
        await connection.execute(text(statement))


async def _until_sent(parts: Parts) -> None:
    query = "SELECT 1 FROM account WHERE create_sent_at IS NOT NULL"
    await until(lambda: _rows(parts, query))


async def test_external_id_is_derived_from_length_prefixed_parts() -> None:
    ids = {
        external_id("", "a", "bc"),
        external_id("", "ab", "c"),
        external_id("a", "b", "c"),
        external_id("", "", "abc"),
    }
    assert len(ids) == 4
    assert external_id("", "a", "bc") == external_id("", "a", "bc")
    assert all(i.startswith("sb1-") and len(i) == 36 for i in ids)


@pytest.mark.parametrize("policy", ["allow", "conflict"])
@pytest.mark.parametrize("lag", [0.0, 0.2])
async def test_many_processes_and_callers_make_one_user(
    new_binder: Any, box: Control, policy: str, lag: float
) -> None:
    await box.settings(duplicate_external_id=policy, lookup_lag_s=lag, latency_ms=20)
    binders = [await new_binder() for _ in range(3)]
    found: list[Account] = await asyncio.gather(
        *(binder.bind(ADA, NOW) for binder in binders for _ in range(10))
    )
    [user] = await box.users()
    assert {account.box_user_id for account in found} == {user["id"]}
    assert len({account.id for account in found}) == 1


async def test_lost_answer_of_the_creation_is_found_not_repeated(
    new_binder: Any, box: Control
) -> None:
    """The POST did its work and the connection broke: look, never POST again."""
    await box.settings(lookup_lag_s=0.3)
    await box.fault("POST", "/2.0/users", after_commit=True, drop=True)
    account = await (await new_binder()).bind(ADA, NOW)
    [user] = await box.users()
    assert account.box_user_id == user["id"]
    calls = await box.requests()
    assert calls.count("POST /2.0/users") == 1


async def test_creation_that_box_lost_is_repeated_once_settled(
    new_binder: Any, box: Control
) -> None:
    await box.fault("POST", "/2.0/users", drop=True)
    account = await (await new_binder(**HASTY)).bind(ADA, NOW)
    [user] = await box.users()
    assert account.box_user_id == user["id"]
    calls = await box.requests()
    first, second = [i for i, c in enumerate(calls) if c == "POST /2.0/users"]
    assert calls[first + 1 : second].count("GET /2.0/users") >= 5


async def test_crash_after_the_post_is_adopted_by_another_process(
    new_binder: Any, parts: Parts, box: Control
) -> None:
    """A dead holder left its mark and a user that the look-up does not show yet."""
    binder = await new_binder(**HASTY)
    await box.settings(lookup_lag_s=0.6)
    flight = asyncio.create_task(binder.bind(ADA, NOW))
    await box.fault("POST", "/2.0/users", after_commit=True, delay_ms=3000)
    await until(box.users)
    for task in list(binder._flights.values()):
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flight
    account = await (await new_binder(**HASTY)).bind(ADA, NOW)
    [user] = await box.users()
    assert account.box_user_id == user["id"]
    assert await _rows(parts, "SELECT 1 FROM box_orphan") == []


async def test_a_slow_winner_that_was_overtaken_deletes_its_own_user(
    new_binder: Any, parts: Parts, box: Control
) -> None:
    """The POST is held up beyond every time limit and still creates a second user."""
    binder = await new_binder(post_timeout_s=30.0, lease_s=31.0)
    other = await new_binder(post_timeout_s=0.1, lookup_settle_s=0.1)
    await box.fault("POST", "/2.0/users", delay_ms=60_000)
    slow = asyncio.create_task(binder.bind(ADA, NOW))
    await _until_sent(parts)
    # The lease is taken away as if its holder had been stopped for that long.
    await _run(parts, "UPDATE account SET claim_until = now()")
    fast = await other.bind(ADA, NOW)
    await box.clear_faults()
    bound = await slow
    assert bound.box_user_id == fast.box_user_id
    assert [u["id"] for u in await box.users()] == [fast.box_user_id]
    [(resolved,)] = await _rows(parts, "SELECT resolved_at IS NOT NULL FROM box_orphan")
    assert resolved is True


async def test_an_orphan_that_cannot_be_deleted_stays_on_the_list(
    new_binder: Any, parts: Parts, box: Control
) -> None:
    binder = await new_binder(post_timeout_s=30.0, lease_s=31.0)
    other = await new_binder(post_timeout_s=0.1, lookup_settle_s=0.1)
    await box.fault("POST", "/2.0/users", delay_ms=4000)
    await box.fault("DELETE", "/2.0/users/*", status=403, times=10)
    slow = asyncio.create_task(binder.bind(ADA, NOW))
    await _until_sent(parts)
    await _run(parts, "UPDATE account SET claim_until = now()")
    fast = await other.bind(ADA, NOW)
    assert (await slow).box_user_id == fast.box_user_id
    assert len(await box.users()) == 2
    [(orphan, resolved)] = await _rows(
        parts, "SELECT box_user_id, resolved_at FROM box_orphan"
    )
    assert orphan != fast.box_user_id
    assert resolved is None


async def test_the_kind_is_that_of_the_user_who_was_bound(parts: Parts) -> None:
    """A slow winner from before the provider's kind was changed was the first."""
    claim: dict[str, Any] = {"realm": "", "box_app": parts.box_app, "lease_s": 0.0}
    async with parts.database.transaction() as session:
        slow = await accounts.take_claim(session, ADA, kind="app", **claim)
        await accounts.take_claim(session, ADA, kind="managed", **claim)
        assert isinstance(slow, accounts.Won)
        bound = await accounts.record(
            session, slow.account, "11", kind="app", ours=True, settle_s=1.0
        )
    assert bound is not None
    assert bound.kind == "app"


@pytest.mark.parametrize(
    "before",
    [
        "UPDATE account SET box_user_id = '12'",
        "UPDATE account SET removed_at = now()",
        (
            "INSERT INTO box_orphan (box_user_id, account_id, reason, spare)"
            " SELECT '11', id, '', true FROM account"
        ),
        (
            "INSERT INTO account (id, kind, realm, external_app_user_id, box_client_id,"
            " box_enterprise_id, box_user_id)"
            " SELECT gen_random_uuid(), 'app', '', 'another', 'c', 'e', '11' FROM account"
        ),
    ],
    ids=["bound", "removed", "listed as left over", "somebody else's"],
)
async def test_the_single_statement_binds_nobody_where_there_is_more_to_judge(
    parts: Parts, before: str
) -> None:
    claim: dict[str, Any] = {"realm": "", "box_app": parts.box_app, "lease_s": 1.0}
    won = await accounts.claim_new(parts.database, ADA, kind="app", **claim)
    assert won is not None
    await _run(parts, before)
    rows = "SELECT id, box_user_id, bound_at FROM account ORDER BY id"
    found = await _rows(parts, rows)
    bound = await accounts.record_new(
        parts.database, won.account, "11", kind="app", settle_s=1.0
    )
    assert bound is None
    assert await _rows(parts, rows) == found


async def test_nobody_of_a_suspended_provider_gets_rows_by_the_single_statement(
    parts: Parts,
) -> None:
    async with parts.database.transaction() as session:
        await accounts.suspend(session, "provider", ADA.provider, "")
    claim: dict[str, Any] = {"realm": "", "box_app": parts.box_app, "lease_s": 1.0}
    assert (await accounts.claim_new(parts.database, ADA, kind="app", **claim)) is None
    assert await _rows(parts, "SELECT id FROM account") == []


async def test_only_the_first_makes_the_rows_and_has_the_claim(parts: Parts) -> None:
    claim: dict[str, Any] = {"realm": "", "box_app": parts.box_app, "lease_s": 1.0}
    claims = await asyncio.gather(
        *(
            accounts.claim_new(parts.database, ADA, kind="app", **claim)
            for _ in range(5)
        )
    )
    [won] = [claim for claim in claims if claim is not None]
    assert await _rows(parts, "SELECT id, claim_fence FROM account") == [
        (won.account.id, won.fence)
    ]
    assert await _rows(parts, "SELECT id, account_id FROM identity") == [
        (won.account.identity_id, won.account.id)
    ]


async def test_duplicates_found_by_look_up_bind_the_oldest_and_report_the_rest(
    new_binder: Any, parts: Parts, box: Control, enterprise: Enterprise
) -> None:
    ext_id = external_id("", ADA.namespace, ADA.subject)
    users = [enterprise.add_user(name, None) for name in ("a", "b")]
    for age, user in zip((10, 20), users, strict=True):
        user.external_app_user_id = ext_id
        user.created_at -= age
        user.created_monotonic -= 60
    account = await (await new_binder()).bind(ADA, NOW)
    assert account.box_user_id == users[1].id
    assert await _rows(parts, "SELECT box_user_id FROM box_orphan") == [(users[0].id,)]
    assert "POST /2.0/users" not in await box.requests()


async def test_an_inactive_user_is_adopted_into_a_locked_account(
    new_binder: Any, box: Control, enterprise: Enterprise
) -> None:
    user = enterprise.add_user("was switched off", None)
    user.external_app_user_id = external_id("", ADA.namespace, ADA.subject)
    user.status = "inactive"
    user.created_monotonic -= 60
    with pytest.raises(AccountLocked):
        await (await new_binder()).bind(ADA, NOW)
    assert len(await box.users()) == 1


async def test_a_managed_user_under_our_id_is_not_adopted(
    new_binder: Any, enterprise: Enterprise
) -> None:
    user = enterprise.add_user("managed", "ada@example.com")
    user.external_app_user_id = external_id("", ADA.namespace, ADA.subject)
    user.created_monotonic -= 60
    with pytest.raises(BoxUserConflict):
        await (await new_binder()).bind(ADA, NOW)
    assert enterprise.users.keys() == {user.id}


async def test_a_user_bound_to_another_account_is_not_bound_twice(
    new_binder: Any, parts: Parts, enterprise: Enterprise
) -> None:
    binder = await new_binder()
    grace = await binder.bind(Person("main", ADA.namespace, "grace"), NOW)
    assert grace.box_user_id is not None
    enterprise.users[grace.box_user_id].external_app_user_id = external_id(
        "", ADA.namespace, ADA.subject
    )
    with pytest.raises(BoxUserConflict):
        await binder.bind(ADA, NOW)
    assert len(enterprise.users) == 1
    rows = await _rows(parts, "SELECT count(*) FROM account WHERE box_user_id IS NULL")
    assert rows == [(1,)]


async def test_a_definite_refusal_is_remembered_for_a_while(
    new_binder: Any, box: Control
) -> None:
    await box.fault("POST", "/2.0/users", status=403, times=1)
    first, second = await new_binder(), await new_binder()
    with pytest.raises(BoxRefused):
        await first.bind(ADA, NOW)
    await box.requests()
    with pytest.raises(BoxRefused, match="remembered"):
        await second.bind(ADA, NOW)
    assert await box.requests() == []


async def test_throttled_creation_leaves_nothing_to_settle(
    new_binder: Any, parts: Parts, box: Control
) -> None:
    """A 429 was certainly not carried out, so the next login may go ahead at once."""
    binder = await new_binder()
    await box.fault("POST", "/2.0/users", status=429)
    with pytest.raises(BoxUnavailable):
        await binder.bind(ADA, NOW)
    rows = await _rows(parts, "SELECT claim_until, create_sent_at FROM account")
    assert rows == [(None, None)]
    assert (await binder.bind(ADA, NOW)).box_user_id is not None
    # Of the one POST that may have made a user the answer came: nobody else can show.
    rows = await _rows(parts, "SELECT creates_sent, recheck_at FROM account")
    assert rows == [(1, None)]


async def test_the_work_goes_on_when_the_caller_has_waited_long_enough(
    new_binder: Any, box: Control
) -> None:
    binder = await new_binder(caller_wait_s=0.05)
    await box.settings(latency_ms=150)
    with pytest.raises(ProvisioningInProgress) as caught:
        await binder.bind(ADA, NOW)
    assert caught.value.retry_after is not None
    await binder.close()
    [user] = await box.users()
    patient = await new_binder()
    assert (await patient.bind(ADA, NOW)).box_user_id == user["id"]


async def test_a_flight_ends_at_its_deadline(new_binder: Any, box: Control) -> None:
    binder = await new_binder(flight_deadline_s=0.1)
    await box.settings(latency_ms=300)
    with pytest.raises(ProvisioningInProgress):
        await binder.bind(ADA, NOW)


async def test_a_lock_in_the_middle_of_a_first_login_holds(
    new_binder: Any, parts: Parts, box: Control
) -> None:
    binder = await new_binder()
    await box.fault("POST", "/2.0/users", delay_ms=60_000)
    flight = asyncio.create_task(binder.bind(ADA, NOW))
    await _until_sent(parts)
    await _run(parts, "UPDATE account SET locked_at = now()")
    await box.clear_faults()
    with pytest.raises(AccountLocked):
        await flight
    [user] = await box.users()
    # The user is bound all the same: unbound it would be an orphan.
    assert await _rows(parts, "SELECT box_user_id FROM account") == [(user["id"],)]


async def test_an_unreachable_box_leaves_the_claim_free(
    new_binder: Any, parts: Parts, box: Control
) -> None:
    binder = await new_binder()
    await box.fault("GET", "/2.0/users", status=503, times=50)
    with pytest.raises(SsoBoxError):
        await binder.bind(ADA, NOW)
    held = await _rows(parts, "SELECT 1 FROM account WHERE claim_until > now()")
    assert held == []
    await box.clear_faults()
    assert (await binder.bind(ADA, NOW)).box_user_id is not None


async def test_a_claim_that_ran_out_during_the_look_up_is_taken_anew(
    new_binder: Any, parts: Parts, box: Control
) -> None:
    await box.fault("GET", "/2.0/users", delay_ms=60_000)
    flight = asyncio.create_task((await new_binder()).bind(ADA, NOW))
    await until(lambda: _rows(parts, "SELECT 1 FROM account"))
    await _run(parts, "UPDATE account SET claim_until = now()")
    await box.clear_faults()
    account = await flight
    [user] = await box.users()
    assert account.box_user_id == user["id"]
    assert (await box.requests()).count("GET /2.0/users") == 2


async def test_no_post_leaves_when_too_little_of_the_lease_is_left(
    new_binder: Any, parts: Parts, box: Control
) -> None:
    """The commit of the mark was held up: a POST now could outlive the claim."""
    await box.fault("GET", "/2.0/users", delay_ms=60_000)
    binder = await new_binder(lease_s=20.0, post_timeout_s=18.0)
    flight = asyncio.create_task(binder.bind(ADA, NOW))
    await until(lambda: _rows(parts, "SELECT 1 FROM account"))
    async with parts.database.transaction() as session:
        connection = await session.connection()
        await connection.execute(text("SELECT 1 FROM account FOR UPDATE"))
        await box.clear_faults()
        await until(lambda: somebody_waits(parts))
        await asyncio.sleep(2.1)
    await flight
    calls = await box.requests()
    assert calls.count("POST /2.0/users") == 1
    # Given up before the POST, so that it starts over with a look.
    assert calls.count("GET /2.0/users") == 2


async def test_who_is_overtaken_while_settling_stops_looking(
    new_binder: Any, parts: Parts, box: Control
) -> None:
    await box.settings(lookup_lag_s=60)
    await box.fault("POST", "/2.0/users", after_commit=True, drop=True)
    flight = asyncio.create_task((await new_binder()).bind(ADA, NOW))
    await until(box.users)
    await _run(parts, "UPDATE account SET claim_fence = claim_fence + 1")
    with pytest.raises(ProvisioningInProgress, match="claim_lost"):
        await flight

"""The warm path: nothing is asked, and nothing is served that may no longer be."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, strategies as st
from sqlalchemy import text
from starlette.applications import Starlette

from sso_box_api import accounts, vending
from sso_box_api.accounts import Account
from sso_box_api.listener import listening
from sso_box_api.memory import LIVE_S, Key, Memory
from sso_box_api.parts import Parts
from sso_box_api.settings import Settings
from sso_box_api.vending import Grant, LiveVend, Resource
from tests.support.api import Api, Control
from tests.support.relay import Relay
from tests.support.waiting import until

ADA, BOB = "ada", "bob"
Audit = list[dict[str, Any]]


@pytest.fixture
def settings_values(settings_values: dict[str, Any]) -> dict[str, Any]:
    """No first-day work, which would have the second login ask once more."""
    settings_values["provisioning"] = {"update_name": False}
    return settings_values


async def _sql(parts: Parts, statement: str, **values: object) -> None:
    async with parts.database.transaction() as session:
        await (await session.connection()).execute(text(statement), values)


async def _is_remembered(api: Api, audit: Audit, **order: Any) -> bool:
    answer = await api.exchange(**order)
    assert answer.status_code == 200, answer.text
    return bool(audit[-1]["vend"] == "remembered")


@pytest.fixture
async def warm(api: Api, audit_log: Audit) -> Api:
    """A process that remembers Ada, and is told what changes."""
    await until(lambda: _is_remembered(api, audit_log))
    return api


async def test_a_warm_login_asks_neither_box_nor_the_database(
    warm: Api, parts: Parts, box: Control
) -> None:
    await box.requests()
    async with parts.database.transaction() as session:
        tables = "account, identity, vend, furnishing, nonce_proof"
        lock = f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE"
        await (await session.connection()).execute(text(lock))
        for door in ("json", "oauth"):
            token = warm.id_token(jti="never seen before")
            assert (await warm.exchange(token, door=door)).status_code == 200
    assert await box.requests() == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("UPDATE account SET locked_at = now()", "account_locked"),
        ("UPDATE account SET removed_at = now()", "account_removed"),
        ("UPDATE account SET not_before = now() + interval '9 h'", "signed_out"),
        ("UPDATE vend SET state = 'revoke_pending'", None),
        ("UPDATE account SET box_user_id = '99' || box_user_id", None),
        ("UPDATE identity SET account_id = :other WHERE subject = 'ada'", None),
        ("UPDATE vend SET revoke_at = now()", None),
        ("UPDATE vend SET expires_at = now()", None),
        ("UPDATE vend SET client_id = 'another'", None),
        ("UPDATE identity SET subject = 'ada2' WHERE subject = 'ada'", None),
        ("DELETE FROM vend", None),
        ("TRUNCATE account CASCADE", None),
    ],
    ids=lambda value: str(value).partition(" = ")[0],
)
async def test_whatever_changes_a_row_is_heard_at_once(
    warm: Api, parts: Parts, audit_log: Audit, change: str, code: str | None
) -> None:
    """Also an administrator's own statement, which knows of no cache."""
    other = (await warm.exchange(warm.id_token(BOB))).json()["box_user_id"]
    account = "(SELECT id FROM account WHERE box_user_id = :user)"
    change = change.replace(":other", account)
    await _sql(parts, change, **({"user": other} if ":user" in change else {}))

    async def is_asked() -> bool:
        answer = await warm.exchange()
        if code is None:
            return audit_log[-1].get("vend") != "remembered"
        return answer.is_error and bool(answer.json()["code"] == code)

    await until(is_asked)


async def test_a_suspension_that_is_moved_by_hand_is_heard_at_once(
    warm: Api, parts: Parts
) -> None:
    await _sql(
        parts,
        "INSERT INTO suspension (kind, value, reason, closed_at)"
        " VALUES ('client', 'another', '', now())",
    )
    assert (await warm.exchange()).status_code == 200
    await _sql(parts, "UPDATE suspension SET value = 'demo-spa'")

    async def is_suspended() -> bool:
        answer = await warm.exchange()
        return answer.is_error and bool(answer.json()["code"] == "access_suspended")

    await until(is_suspended)


async def test_no_login_tells_anything_nor_does_what_clears_up(
    api: Api, parts: Parts
) -> None:
    """A NOTIFY has a lock of the whole database at the commit."""
    heard: list[str] = []
    async with listening(parts.database, {accounts.FORGET_CHANNEL: heard.append}):
        for subject, name in product((ADA, BOB), ("one", "other", "other")):
            answer = await api.exchange(api.id_token(subject, name=name))
            assert answer.status_code == 200, answer.text
        answer = await api.exchange(api.id_token(BOB))
        digest = hashlib.sha256(answer.json()["access_token"].encode()).hexdigest()
        again = await api.exchange(api.id_token(BOB), rejected_token_sha256=digest)
        assert again.status_code == 200, again.text
        for state in ("live", "revoked"):
            await _sql(
                parts,
                "INSERT INTO vend (id, account_id, identity_id, provider, client_id,"
                " profile, scopes, resource, token_sha256, handle, key_id, state,"
                " expires_at) SELECT gen_random_uuid(), account_id, identity_id,"
                " provider, client_id, profile, scopes, resource, :state, handle,"
                " key_id, :state, now() - interval '2 days' FROM vend LIMIT 1",
                state=state,
            )
        async with parts.database.transaction() as session:
            await vending.bury(session)
            assert await vending.delete_expired(session, limit=10) == 2
            await vending.forget_mints(session)
        end = text("SELECT pg_notify(:channel, 'end')")
        values = {"channel": accounts.FORGET_CHANNEL}
        await parts.database.execute(end, values)

        async def has_ended() -> bool:
            return "end" in heard

        await until(has_ended)
    assert heard == ["end"]


async def test_without_a_listener_each_login_asks_the_rows(
    warm: Api, parts: Parts
) -> None:
    await _sql(
        parts,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE"
        " datname = current_database() AND application_name LIKE '%listener'",
    )
    # So that no trigger tells it: only who asks can see it.
    async with parts.database.transaction() as session:
        connection = await session.connection()
        await connection.execute(text("SET LOCAL session_replication_role = replica"))
        await connection.execute(text("UPDATE account SET locked_at = now()"))

    async def is_locked() -> bool:
        answer = await warm.exchange()
        return answer.is_error and bool(answer.json()["code"] == "account_locked")

    await until(is_locked)
    for _ in range(3):
        assert await is_locked()


async def _folder(api: Api, box: Control, subject: str, name: str) -> str:
    """One of the person's own, as a resource."""
    token = (await api.exchange(api.id_token(subject))).json()["access_token"]
    body = {"name": name, "parent": {"id": "0"}}
    answer = await box.call("POST", "/2.0/folders", token, json=body)
    return f"folder:{answer.json()['id']}"


async def test_no_two_requests_share_a_token(
    settings_values: dict[str, Any],
    emulator: Starlette,
    idp_app: Starlette,
    box: Control,
) -> None:
    """Whoever differs in anything gets another one; whoever does not, the same."""
    settings_values["limits"] = {"mints_per_minute": 0}
    settings = Settings.model_validate(settings_values)
    async with Api.start(settings, emulator, idp_app) as api:
        where = {
            subject: [None, "folder:0"]
            + [await _folder(api, box, subject, name) for name in ("one", "other")]
            for subject in (ADA, BOB)
        }
    orders = [
        (subject, client, profile, scope, resource)
        for subject, client, profile, scope in product(
            (ADA, BOB),
            ("demo-spa", "demo-mobile"),
            ("preview-download", "explorer"),
            (None, ["item_download"]),
        )
        for resource in where[subject]
    ]
    tokens: dict[object, set[str]] = {}
    # Minted and remembered, and by another process from the ledger.
    for times in (2, 1):
        async with Api.start(settings, emulator, idp_app) as api:
            for subject, client, profile, scope, resource in orders * times:
                id_token = api.id_token(subject, aud=client)
                body: dict[str, Any] = {
                    "profile": profile,
                    "scope": scope,
                    "resource": resource,
                }
                asked = {name: value for name, value in body.items() if value}
                answer = await api.exchange(id_token, **asked)
                assert answer.status_code == 200, answer.text
                # The whole drive, said in two ways, is one and the same.
                on = None if resource == "folder:0" else resource
                key = (subject, client, profile, *(scope or ()), on)
                tokens.setdefault(key, set()).add(answer.json()["access_token"])
    assert len(tokens) == 48
    assert all(len(same) == 1 for same in tokens.values())
    assert len(set.union(*tokens.values())) == 48


_TEXTS = st.text("ab |/:,", max_size=3)
_GRANTS = st.builds(
    Grant,
    profile=_TEXTS,
    scopes=st.lists(_TEXTS, max_size=2).map(tuple),
    resource=st.none()
    | st.builds(Resource, st.sampled_from(["file", "folder"]), st.sampled_from("12")),
)
_ASKED = st.tuples(_TEXTS, _TEXTS, _TEXTS, _TEXTS, _GRANTS)


def _account() -> Account:
    return Account(
        id=uuid4(),
        identity_id=uuid4(),
        kind="app",
        external_app_user_id="sb1-x",
        box_user_id="11",
        locked_at=None,
        lock_reason=None,
        removed_at=None,
        not_before=None,
    )


def _vend(life_s: float = 3600) -> LiveVend:
    now = datetime.now(UTC)
    return LiveVend(uuid4(), "token", now, now + timedelta(seconds=life_s), now)


class Clock:
    """Time as a test wants it."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(clock: Clock) -> Memory:
    return Memory(most=10, grace_s=30, renew_below_s=600, clock=clock)


@given(st.lists(_ASKED, max_size=8))
def test_an_entry_is_found_by_exactly_what_it_was_kept_for(asked: list[Any]) -> None:
    memory = Memory(most=100, grace_s=30, renew_below_s=600)
    kept = {}
    for parts in asked:
        kept[parts] = memory.keep(Key(*parts), _account(), _vend(), "", memory.begin())
    for parts in asked:
        assert memory.find(Key(*parts)) is kept[parts]


@pytest.mark.parametrize("what", ["account", "", "not a UUID"])
def test_what_was_read_before_a_change_is_not_kept_after_it(
    memory: Memory, what: str
) -> None:
    account, key = _account(), Key("main", "ns", "ada", "spa", Grant("p", (), None))
    begun = memory.begin()
    memory.forget(str(account.id) if what == "account" else what)
    memory.keep(key, account, _vend(), "", begun)
    assert memory.find(key) is None
    memory.keep(key, account, _vend(), "", memory.begin())
    assert memory.find(key) is not None


def test_a_change_of_another_account_voids_nothing(memory: Memory) -> None:
    account, key = _account(), Key("main", "ns", "ada", "spa", Grant("p", (), None))
    begun = memory.begin()
    memory.forget(str(uuid4()))
    memory.keep(key, account, _vend(), "", begun)
    memory.forget(str(UUID(int=account.id.int ^ 1)))
    assert memory.find(key) is not None


def test_more_changes_than_can_be_noted_void_everything(memory: Memory) -> None:
    account, key = _account(), Key("main", "ns", "ada", "spa", Grant("p", (), None))
    begun = memory.begin()
    for _ in range(20_000):
        memory.forget(str(uuid4()))
    memory.keep(key, account, _vend(), "", begun)
    assert memory.find(key) is None


def test_it_is_live_only_just_after_an_answer(memory: Memory, clock: Clock) -> None:
    live = [memory.is_live]
    memory.heard_until(clock.now)
    live.append(memory.is_live)
    clock.now += LIVE_S
    live.append(memory.is_live)
    memory.heard_until(clock.now)
    memory.hear_no_more()
    live.append(memory.is_live)
    assert live == [False, True, False, False]


def test_the_grace_begins_when_an_entry_last_was_known_to_hold(
    memory: Memory, clock: Clock
) -> None:
    key = Key("main", "ns", "ada", "spa", Grant("p", (), None))
    known = memory.keep(key, _account(), _vend(), "", memory.begin())
    clock.now += 29
    assert memory.outlives_silence(known)
    memory.heard_until(clock.now)
    clock.now += 29
    assert memory.outlives_silence(known)
    clock.now += 1
    assert not memory.outlives_silence(known)


@pytest.mark.parametrize(
    ("life_s", "aging_s", "ends_s"), [(3600, 1800, 3000), (300, 150, 150)]
)
def test_an_entry_ages_and_ends_before_its_token(
    memory: Memory, clock: Clock, life_s: int, aging_s: int, ends_s: int
) -> None:
    key = Key("main", "ns", "ada", "spa", Grant("p", (), None))
    known = memory.keep(key, _account(), _vend(life_s), "", memory.begin())
    for age_s in sorted({aging_s - 1, aging_s, ends_s - 1, ends_s}):
        clock.now = 1000 + age_s
        assert memory.is_aging(known) is (age_s >= aging_s)
        assert (memory.find(key) is not None) is (age_s < ends_s)


async def test_a_token_past_half_of_its_life_is_renewed_behind_the_answer(
    api: Api,
    box: Control,
    parts: Parts,
    settings: Settings,
    emulator: Starlette,
    idp_app: Starlette,
) -> None:
    first = (await api.exchange()).json()["access_token"]
    await _sql(parts, "UPDATE vend SET minted_at = now() - interval '2 h'")
    await box.requests()
    async with Api.start(settings, emulator, idp_app) as another:
        answers = [(await another.exchange()).json()["access_token"] for _ in range(3)]
        assert answers[0] == first

        async def is_renewed() -> bool:
            again = (await another.exchange()).json()["access_token"]
            return bool(again != first)

        await until(is_renewed)
    # Two calls for one token, however often it was asked for meanwhile.
    assert await box.requests() == ["POST /oauth2/token"] * 2
    assert await box.is_live(first)


@pytest.fixture
async def on_its_own(
    settings_values: dict[str, Any],
    emulator: Starlette,
    idp_app: Starlette,
    way_to_database: Relay,
) -> AsyncIterator[Api]:
    settings_values["database_url"] = way_to_database.url
    settings_values["vending"] = {"grace_s": 1.5}
    settings = Settings.model_validate(settings_values)
    async with Api.start(settings, emulator, idp_app) as api:
        yield api


async def test_whoever_was_served_is_served_on_for_the_grace(
    on_its_own: Api, way_to_database: Relay, audit_log: Audit
) -> None:
    api = on_its_own
    await until(lambda: _is_remembered(api, audit_log))
    way_to_database.cut()
    assert await _is_remembered(api, audit_log)
    ready = await api.http.get("/readyz")
    assert (ready.status_code, ready.json()["database"]) == (200, "grace")
    assert ready.json()["status"] == "degraded"
    stranger = await api.exchange(api.id_token(BOB))
    assert stranger.json()["code"] == "database_unavailable"

    async def is_over() -> bool:
        return (await api.exchange()).status_code == 503

    await until(is_over)
    assert (await api.http.get("/readyz")).status_code == 503


async def test_readiness_waits_for_no_database_whose_silence_the_grace_bridges(
    settings_values: dict[str, Any],
    emulator: Starlette,
    idp_app: Starlette,
    way_to_database: Relay,
    audit_log: Audit,
) -> None:
    """A probe that is kept waiting would take the process out of service."""
    settings_values["database_listen_url"] = settings_values["database_url"]
    settings_values["database_url"] = way_to_database.url
    settings_values["database_timeout_s"] = 600
    settings = Settings.model_validate(settings_values)
    async with Api.start(settings, emulator, idp_app) as api:
        await until(lambda: _is_remembered(api, audit_log))
        way_to_database.silence()
        async with asyncio.timeout(20):
            ready = await api.http.get("/readyz")
    assert (ready.status_code, ready.json()["database"]) == (200, "grace")


@pytest.mark.parametrize("listens", [True, False])
async def test_new_claims_do_not_end_the_grace(
    settings_values: dict[str, Any],
    emulator: Starlette,
    idp_app: Starlette,
    way_to_database: Relay,
    audit_log: Audit,
    caplog: pytest.LogCaptureFixture,
    *,
    listens: bool,
) -> None:
    """They cannot be noted; where all is silent, it is not even tried."""

    async def is_over() -> bool:
        return "each login asks the database" in caplog.text

    settings_values["provisioning"] = {"update_name": True}
    if listens:
        settings_values["database_listen_url"] = settings_values["database_url"]
    settings_values["database_url"] = way_to_database.url
    settings = Settings.model_validate(settings_values)
    async with Api.start(settings, emulator, idp_app) as api:
        await until(lambda: _is_remembered(api, audit_log))
        way_to_database.cut()
        if not listens:
            await until(is_over)
        for name in ("Ada Byron", "Ada King", "Ada King"):
            answer = await api.exchange(api.id_token(name=name))
            assert answer.status_code == 200, answer.text
            assert audit_log[-1]["vend"] == "remembered"
    assert ("nothing could be planned" in caplog.text) is listens


async def test_claims_that_could_not_be_noted_are_noted_when_the_person_comes_again(
    settings_values: dict[str, Any],
    emulator: Starlette,
    idp_app: Starlette,
    parts: Parts,
    audit_log: Audit,
) -> None:
    settings_values["provisioning"] = {"update_name": True}
    settings_values["database_timeout_s"] = 0.5
    settings = Settings.model_validate(settings_values)
    async with Api.start(settings, emulator, idp_app) as api:
        await until(lambda: _is_remembered(api, audit_log))
        token = api.id_token(name="Ada Byron")
        async with parts.database.transaction() as session:
            held = text("SELECT 1 FROM identity FOR UPDATE")
            await (await session.connection()).execute(held)
            assert (await api.exchange(token)).status_code == 200
        assert (await api.exchange(token)).status_code == 200
        assert audit_log[-1]["vend"] == "remembered"
    names = text("SELECT name FROM identity")
    assert [*await parts.database.execute(names, {})] == [("Ada Byron",)]


async def test_an_administrator_can_have_each_login_ask(
    settings_values: dict[str, Any],
    emulator: Starlette,
    idp_app: Starlette,
    audit_log: Audit,
) -> None:
    settings_values["vending"] = {"remembered_logins": 0}
    settings = Settings.model_validate(settings_values)
    async with Api.start(settings, emulator, idp_app) as api:
        for _ in range(3):
            assert not await _is_remembered(api, audit_log)

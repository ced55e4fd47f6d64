"""What a person finds at Box on the first day, and what follows the claims later."""

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from starlette.applications import Starlette

from sso_box_api import accounts, furnishing
from sso_box_api.accounts import Account, Person
from sso_box_api.app import Parts, open_parts
from sso_box_api.provisioning import Provisioner
from sso_box_api.settings import Settings
from sso_box_devkit.box import Enterprise
from tests.support.api import BOX_URL, ISSUER, Api, Control
from tests.support.interrupt import Fate, Interrupted

FULL = os.environ.get("TEST_SIZE") == "full"
HOUR = 3600.0
NOW = int(time.time())
WELCOME = b"Welcome to your folder."
TEMPLATE = """
[[folders]]
path = "{{name}}/Statements"

[[folders]]
path = "{{claim:department|General}}"

[[files]]
source = "welcome.txt"
path = "{{name}}/Welcome.txt"

[[collaborations]]
folder = "{shared}"
role = "viewer"

[[groups]]
claim = "groups"
[groups.members]
sales = "Sales"
devs = "Developers"

[quota]
claim = "plan"
bytes = {{ gold = 5000000000 }}
"""
# What the template comes to for ADA.
STEPS = {
    "folder:{name}": "folder",
    "folder:{name}/Statements": "folder",
    "folder:{claim:department}": "folder",
    "file:{name}/Welcome.txt": "file",
    "membership:sales": "membership",
    "quota": "quota",
}
CLAIMS: dict[str, Any] = {"groups": ("sales",), "plan": "gold"}


@pytest.fixture
async def shared(box: Control) -> str:
    """A folder of the service account, for everybody."""
    items = {"items": [{"type": "folder", "name": "For all"}]}
    answer = await box.call("POST", "/_emulator/seed", json=items)
    folder_id: str = answer.json()["items"][0]["id"]
    return folder_id


@pytest.fixture
def template(tmp_path: Path, shared: str) -> Path:
    (tmp_path / "welcome.txt").write_bytes(WELCOME)
    path = tmp_path / "first-day.toml"
    path.write_text(TEMPLATE.format(shared=shared))
    return path


def _edit(template: Path, former: str, new: str) -> None:
    declared = template.read_text()
    assert former in declared
    template.write_text(declared.replace(former, new))


@pytest.fixture
def settings_values(settings_values: dict[str, Any], template: Path) -> dict[str, Any]:
    """Nothing happens by the interval, and nothing is tried twice within one step."""
    settings_values["vending"] = {"sweep_interval_s": HOUR}
    settings_values["box"] |= {"max_attempts": 1, "breaker_rest_s": 0.01}
    settings_values["provisioning"] = {"template": str(template), "wait_s": 30}
    return settings_values


@pytest.fixture
async def parts(settings: Settings, emulator: Starlette) -> AsyncIterator[Parts]:
    """Another process, whose work is done when a test says so."""
    mounts = {BOX_URL: httpx.ASGITransport(emulator)}
    async with open_parts(settings, mounts=mounts) as parts:
        yield parts


def _person(subject: str = "ada", **changes: Any) -> Person:
    values = {"name": "Ada L", "email": "ada@example.com", "claims": CLAIMS}
    return Person("main", ISSUER, subject, **{**values, **changes})


async def _bind(parts: Parts, person: Person) -> Account:
    binder = parts.binder()
    account = await binder.bind(person, NOW)
    await binder.close()
    return account


async def _find(parts: Parts, person: Person) -> Account:
    async with parts.database.transaction() as session:
        account = await accounts.find(session, person.namespace, person.subject)
    assert account is not None
    return account


async def _first_day(parts: Parts, person: Person) -> Account:
    """What a first login does beside the token, to its end."""
    account = await _bind(parts, person)
    await _login(parts, person)
    return account


async def _plan_only(parts: Parts, person: Person) -> Account:
    """What is left of a first login whose process ended right after it."""
    account = await _bind(parts, person)
    provisioner = parts.provisioner()
    provisioner._closing = True
    await provisioner.begin(account, person, NOW)
    await provisioner.close()
    return account


async def _login(parts: Parts, person: Person, issued_at: int = NOW) -> None:
    """What any login does beside the token."""
    provisioner = parts.provisioner()
    await provisioner.begin(await _find(parts, person), person, issued_at)
    # Unlike close, which stops after the step that is under way.
    await asyncio.gather(*provisioner._flights)


async def _sql(parts: Parts, statement: str, **values: Any) -> list[Any]:
    async with parts.database.transaction() as session:
        result = await (await session.connection()).execute(text(statement), values)
        return [tuple(row) for row in result.all()] if result.returns_rows else []


async def _states(parts: Parts) -> dict[str, str]:
    return dict(await _sql(parts, "SELECT key, state FROM furnishing_step"))


async def _time_passes(parts: Parts) -> None:
    """Leases of dead processes end, and so do all pauses."""
    await _sql(parts, "UPDATE furnishing_step SET due_at = clock_timestamp()")
    await _sql(
        parts,
        "UPDATE furnishing SET lease_until = NULL, due_at = clock_timestamp()"
        " WHERE due_at IS NOT NULL OR lease_until IS NOT NULL",
    )


async def _finish(provisioner: Provisioner) -> None:
    while await provisioner.work():
        pass


def _at_box(enterprise: Enterprise, user_id: str | None) -> dict[str, Any]:
    """Everything at Box that belongs to one user, without ids."""
    assert user_id is not None
    tree, sharing = enterprise.tree, enterprise.sharing
    names = {}
    for item in tree.below(tree.root(user_id)):
        path = "/".join([above.name for above in tree.ancestors(item)] + [item.name])
        names[path] = item.version.sha1 if item.type == "file" else None
    return {
        "items": names,
        "roles": [
            c.role for c in sharing.collaborations.values() if c.user_id == user_id
        ],
        "groups": sorted(
            m.group.name for m in sharing.memberships.values() if m.user_id == user_id
        ),
        "space": enterprise.users[user_id].space_amount,
        "name": enterprise.users[user_id].name,
    }


FURNISHED = {
    "items": {
        "All Files": None,
        "All Files/Ada L": None,
        "All Files/Ada L/Statements": None,
        "All Files/Ada L/Welcome.txt": hashlib.sha1(
            WELCOME, usedforsecurity=False
        ).hexdigest(),
        "All Files/General": None,
    },
    "roles": ["viewer"],
    "groups": ["Sales"],
    "space": 5_000_000_000,
    "name": "Ada L",
}


# --- the first day ----------------------------------------------------------------


async def test_the_first_login_finds_everything_there_and_me_shows_each_step(
    api: Api, enterprise: Enterprise, shared: str
) -> None:
    token = api.id_token(name="Ada L", groups=["sales"], plan="gold")
    answer = await api.exchange(token)
    assert answer.status_code == 200, answer.text
    assert _at_box(enterprise, answer.json()["box_user_id"]) == FURNISHED
    headers = {"Authorization": f"Bearer {token}"}
    me = (await api.http.get("/v1/me", headers=headers)).json()
    wanted = STEPS | {f"collaboration:{shared}": "collaboration"}
    assert me["box"]["provisioning"] == [
        {"key": key, "kind": kind, "state": "done"}
        for key, kind in sorted(
            wanted.items(), key=lambda step: _place_in_template(step[1])
        )
    ]


def _place_in_template(kind: str) -> int:
    return ["folder", "file", "collaboration", "membership", "quota"].index(kind)


async def test_a_second_login_asks_box_nothing(api: Api, box: Control) -> None:
    token = api.id_token(name="Ada L", groups=["sales"])
    await api.exchange(token)
    await box.requests()
    again = api.id_token(name="Ada L", groups=["sales"])
    assert (await api.exchange(again)).status_code == 200
    assert await box.requests() == []


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        ({"status": 403, "body": {"code": "forbidden"}}, "failed"),
        ({"status": 503}, "pending"),
    ],
)
async def test_a_failing_step_leaves_the_login_its_token_and_the_other_steps(
    api: Api,
    box: Control,
    parts: Parts,
    enterprise: Enterprise,
    fault: dict[str, Any],
    state: str,
) -> None:
    await box.fault("POST", "/api/2.0/files/content", times=1000, **fault)
    token = api.id_token(name="Ada L", groups=["sales"], plan="gold")
    answer = await api.exchange(token)
    assert answer.status_code == 200
    assert await box.is_live(answer.json()["access_token"])
    states = await _states(parts)
    assert states.pop("file:{name}/Welcome.txt") == state
    assert set(states.values()) == {"done"}
    await box.clear_faults()
    await _time_passes(parts)
    await _finish(parts.provisioner())
    assert _at_box(enterprise, answer.json()["box_user_id"]) == FURNISHED


async def test_a_login_waits_for_its_furnishing_no_longer_than_it_may(
    settings_values: dict[str, Any],
    emulator: Starlette,
    idp_app: Starlette,
    parts: Parts,
    enterprise: Enterprise,
) -> None:
    settings_values["provisioning"]["wait_s"] = 0
    settings = Settings.model_validate(settings_values)
    slow = Interrupted(httpx.ASGITransport(emulator))
    mounts = {BOX_URL: slow, ISSUER: httpx.ASGITransport(idp_app)}
    async with Api.start_with(settings, mounts, idp_app) as api:
        token = api.id_token(name="Ada L", groups=["sales"], plan="gold")
        slow.hold("/2.0/folders")
        answer = await api.exchange(token)
        assert answer.status_code == 200
        assert set((await _states(parts)).values()) == {"pending"}
        async with asyncio.timeout(20):
            while not slow.holding:  # noqa: ASYNC110 - what is under way beside us
                await asyncio.sleep(0.005)
        slow.go_on.set()
    await _time_passes(parts)
    await _finish(parts.provisioner())
    assert _at_box(enterprise, answer.json()["box_user_id"]) == FURNISHED


# --- interrupted, repeated, shared ------------------------------------------------


@pytest.mark.parametrize(
    "fate", ["stop before", "stop after", "unavailable"] if FULL else ["stop after"]
)
async def test_whatever_call_it_is_interrupted_at_another_process_finishes_it(
    settings: Settings,
    emulator: Starlette,
    parts: Parts,
    enterprise: Enterprise,
    fate: Fate,
    record_property: Any,
) -> None:
    """The test finds the calls itself: it goes on until one is not reached."""
    transport = Interrupted(httpx.ASGITransport(emulator))
    number = 0
    async with open_parts(settings, mounts={BOX_URL: transport}) as first:
        await first.box.service_token()
        reached = True
        while reached:
            number += 1
            person = _person(f"ada-{number}")
            account = await _bind(parts, person)
            transport.arm(number, fate)
            await _run_until_stopped(first, account, person, transport)
            reached = transport.reached.is_set()
            await _time_passes(parts)
            await _finish(parts.provisioner())
            assert _at_box(enterprise, account.box_user_id) == FURNISHED, number
    record_property(f"interrupted ({fate}) at calls", number - 1)
    assert number > len(STEPS)


async def _run_until_stopped(
    first: Parts, account: Account, person: Person, transport: Interrupted
) -> None:
    provisioner = first.provisioner()
    work = asyncio.create_task(provisioner.apply(account, person, NOW))
    stopped = asyncio.create_task(transport.stopped.wait())
    await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
    work.cancel()
    stopped.cancel()
    await asyncio.gather(work, stopped, return_exceptions=True)


async def test_a_second_run_doubles_nothing_and_asks_box_nothing(
    parts: Parts, enterprise: Enterprise, box: Control
) -> None:
    account = await _first_day(parts, _person())
    await box.requests()
    await parts.provisioner().apply(account, _person(), NOW + 1)
    await _time_passes(parts)
    await _finish(parts.provisioner())
    assert await box.requests() == []
    # Even with nothing written down, what is there is found.
    await _sql(parts, "UPDATE furnishing_step SET state = 'pending', ours = NULL")
    await _sql(parts, "UPDATE furnishing SET due_at = clock_timestamp()")
    await _finish(parts.provisioner())
    assert _at_box(enterprise, account.box_user_id) == FURNISHED


async def test_what_a_person_renamed_or_deleted_is_not_made_again(
    parts: Parts, enterprise: Enterprise, api: Api, box: Control
) -> None:
    person = _person()
    account = await _first_day(parts, person)
    token = api.id_token(name="Ada L", groups=["sales"], plan="gold")
    vended = (await api.exchange(token)).json()["access_token"]
    ids = dict(await _sql(parts, "SELECT key, box_id FROM furnishing_step"))
    renamed = f"/2.0/folders/{ids['folder:{name}']}"
    await box.call("PUT", renamed, vended, json={"name": "Mine"})
    deleted = f"/2.0/folders/{ids['folder:{claim:department}']}"
    assert (await box.call("DELETE", deleted, vended)).is_success
    changed = _person(name="Ada Byron", claims=CLAIMS | {"department": "Engines"})
    await _login(parts, changed, NOW + 1)
    await parts.provisioner().apply(account)
    items = _at_box(enterprise, account.box_user_id)["items"]
    assert sorted(items) == [
        "All Files",
        "All Files/Mine",
        "All Files/Mine/Statements",
        "All Files/Mine/Welcome.txt",
    ]


async def test_what_belongs_in_a_deleted_folder_is_given_up(
    parts: Parts, enterprise: Enterprise, api: Api, box: Control
) -> None:
    await box.fault("POST", "/api/2.0/files/content", times=1, status=503)
    account = await _first_day(parts, _person())
    token = api.id_token(name="Ada L", groups=["sales"], plan="gold")
    vended = (await api.exchange(token)).json()["access_token"]
    [(folder_id,)] = await _sql(
        parts, "SELECT box_id FROM furnishing_step WHERE key = 'folder:{name}'"
    )
    deleted = f"/2.0/folders/{folder_id}?recursive=true"
    assert (await box.call("DELETE", deleted, vended)).is_success
    await parts.provisioner().apply(account)
    assert (await _states(parts))["file:{name}/Welcome.txt"] == "skipped"
    assert "All Files/Ada L" not in _at_box(enterprise, account.box_user_id)["items"]
    await box.requests()
    await parts.provisioner().apply(account)
    assert await box.requests() == []


async def test_a_file_of_that_name_keeps_its_content(
    parts: Parts, enterprise: Enterprise
) -> None:
    person = _person()
    account = await _bind(parts, person)
    tree = enterprise.tree
    root = tree.root(account.box_user_id or "")
    folder = tree.add("folder", root, "ada l", enterprise.now())
    file = tree.add("file", folder, "WELCOME.TXT", enterprise.now())
    tree.add_version(file, b"my own")
    await _login(parts, person)
    assert set((await _states(parts)).values()) == {"done"}
    assert file.version.content == b"my own"
    assert len(list(tree.below(folder))) == 3


async def test_two_workers_share_the_accounts_and_do_nothing_twice(
    settings: Settings, emulator: Starlette, parts: Parts, box: Control
) -> None:
    people = [_person(f"ada-{n}", name=f"Ada {n}") for n in range(6)]
    mounts = {BOX_URL: httpx.ASGITransport(emulator)}
    async with open_parts(settings, mounts=mounts) as other:
        for person in people:
            await _plan_only(parts, person)
        await box.requests()
        await asyncio.gather(*map(_finish, (other.provisioner(), parts.provisioner())))
    made = [call for call in await box.requests() if call == "POST /2.0/folders"]
    assert len(made) == 3 * len(people)
    assert set((await _states(parts)).values()) == {"done"}


async def test_who_comes_late_does_not_end_the_lease_of_another(parts: Parts) -> None:
    account = await _plan_only(parts, _person())
    async with parts.database.transaction() as session:
        [late] = await furnishing.take_due(session, limit=1, lease_s=0)
    async with parts.database.transaction() as session:
        [present] = await furnishing.take_due(session, limit=1, lease_s=60)
    async with parts.database.transaction() as session:
        await furnishing.give_back(session, late)
    assert not await parts.provisioner().work()
    async with parts.database.transaction() as session:
        await furnishing.give_back(session, present)
    assert await parts.provisioner().work()
    assert present.account_id == account.id


async def test_what_is_left_is_finished_by_the_next_process_that_starts(
    settings: Settings,
    emulator: Starlette,
    idp_app: Starlette,
    parts: Parts,
    enterprise: Enterprise,
) -> None:
    account = await _plan_only(parts, _person())
    async with Api.start(settings, emulator, idp_app), asyncio.timeout(20):
        while set((await _states(parts)).values()) != {"done"}:  # noqa: ASYNC110 - rows of another process
            await asyncio.sleep(0.005)
    assert _at_box(enterprise, account.box_user_id) == FURNISHED


async def test_what_is_in_a_refused_folder_waits_for_it(
    parts: Parts, box: Control, enterprise: Enterprise
) -> None:
    await box.fault("POST", "/2.0/folders", status=403, body={"code": "forbidden"})
    account = await _first_day(parts, _person())
    states = await _states(parts)
    assert states.pop("folder:{name}") == "failed"
    assert states.pop("folder:{name}/Statements") == "pending"
    assert states.pop("file:{name}/Welcome.txt") == "pending"
    assert set(states.values()) == {"done"}
    # Nothing of it counts as due meanwhile, which would keep every process busy.
    assert not await parts.provisioner().work()
    await _time_passes(parts)
    await _finish(parts.provisioner())
    assert _at_box(enterprise, account.box_user_id) == FURNISHED


async def test_a_step_that_cannot_be_read_keeps_no_other_waiting(
    parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    account = await _plan_only(parts, _person())
    await _sql(parts, "UPDATE furnishing_step SET params = '{}' WHERE kind = 'file'")
    await parts.provisioner().apply(account)
    states = await _states(parts)
    assert states.pop("file:{name}/Welcome.txt") == "failed"
    assert set(states.values()) == {"done"}
    assert "unexpected error in a step" in caplog.text


async def test_a_plan_that_cannot_be_written_loses_no_login(
    api: Api, parts: Parts, box: Control
) -> None:
    await _sql(parts, "ALTER TABLE furnishing_step RENAME TO elsewhere")
    try:
        answer = await api.exchange()
    finally:
        await _sql(parts, "ALTER TABLE elsewhere RENAME TO furnishing_step")
    assert answer.status_code == 200
    assert await box.is_live(answer.json()["access_token"])
    # The next login plans what this one could not.
    await api.exchange()
    assert set((await _states(parts)).values()) == {"done"}


async def test_what_the_template_no_longer_has_is_given_up_unless_it_is_done(
    settings_values: dict[str, Any],
    template: Path,
    emulator: Starlette,
    parts: Parts,
    box: Control,
) -> None:
    person = _person()
    await box.fault("POST", "/api/2.0/files/content", status=403, times=1000)
    await _first_day(parts, person)
    begin, end = TEMPLATE.index("[[files"), TEMPLATE.index("[[coll")
    _edit(template, TEMPLATE[begin:end].format(), "")
    _edit(template, 'path = "{claim:department|General}"', 'path = "New"')
    mounts = {BOX_URL: httpx.ASGITransport(emulator)}
    settings = Settings.model_validate(settings_values)
    async with open_parts(settings, mounts=mounts) as newer:
        await newer.provisioner().apply(await _find(newer, person))
        assert (await _states(parts))["file:{name}/Welcome.txt"] == "failed"
        await _login(newer, person, NOW + 1)
    states = await _states(parts)
    assert "file:{name}/Welcome.txt" not in states
    assert states["folder:{claim:department}"] == "done"
    assert states["folder:New"] == "done"


# --- what follows the claims ------------------------------------------------------


async def test_memberships_follow_the_groups_both_ways(
    parts: Parts, enterprise: Enterprise
) -> None:
    account = await _first_day(parts, _person())
    seen = []
    for number, groups in enumerate([("devs", "sales"), ("devs",), (), ("sales",)]):
        claims = CLAIMS | {"groups": groups}
        await _login(parts, _person(claims=claims), NOW + number)
        seen.append(_at_box(enterprise, account.box_user_id)["groups"])
    assert seen == [["Developers", "Sales"], ["Developers"], [], ["Sales"]]


async def test_without_the_claim_nobody_loses_a_membership(
    parts: Parts, enterprise: Enterprise, box: Control
) -> None:
    """Providers leave groups out of tokens where there are too many of them."""
    account = await _first_day(parts, _person())
    await box.requests()
    await _login(parts, _person(claims={"plan": "gold"}), NOW + 1)
    assert _at_box(enterprise, account.box_user_id)["groups"] == ["Sales"]
    assert await box.requests() == []


async def test_memberships_made_by_hand_stay(
    parts: Parts, enterprise: Enterprise, box: Control
) -> None:
    person = _person(claims=CLAIMS | {"groups": ("sales",)})
    account = await _bind(parts, person)
    sales = (await parts.box.ensure_group("Sales")).thing
    choir = (await parts.box.ensure_group("Choir")).thing
    for group in (sales, choir):
        await parts.box.ensure_membership(account.box_user_id or "", group.id)
    await _login(parts, person)
    await box.requests()
    await _login(parts, _person(claims=CLAIMS | {"groups": ()}), NOW + 1)
    assert _at_box(enterprise, account.box_user_id)["groups"] == ["Choir", "Sales"]
    assert await box.requests() == []


async def test_a_new_name_reaches_box_once_and_an_older_token_does_not_undo_it(
    api: Api, box: Control, enterprise: Enterprise
) -> None:
    now = int(time.time())
    former = api.id_token(name="Ada L", iat=now - 60)
    user_id = (await api.exchange(former)).json()["box_user_id"]
    await box.requests()
    changed = api.id_token(name="Ada Byron", iat=now - 30)
    for token in (changed, changed, former, changed):
        assert (await api.exchange(token)).status_code == 200
        await _until_idle(api)
    rename = f"PUT /2.0/users/{user_id}"
    assert await box.requests() == [rename]
    assert enterprise.users[user_id].name == "Ada Byron"


async def test_only_a_name_that_changed_is_sent(
    parts: Parts, enterprise: Enterprise, box: Control
) -> None:
    """Also of people who were known here before they, or their names, could change."""
    in_advance = Person("main", ISSUER, "ada")
    await parts.lifecycle().ensure(in_advance)
    account = await _first_day(parts, _person())
    assert "name" not in await _states(parts)
    before_an_upgrade = "UPDATE identity SET claims_digest = NULL"
    await _sql(parts, before_an_upgrade)
    await _login(parts, _person(name="Ada Byron"), NOW + 1)
    assert _at_box(enterprise, account.box_user_id)["name"] == "Ada Byron"
    await box.requests()
    await _login(parts, _person(name=None), NOW + 2)
    assert await box.requests() == []


@pytest.mark.parametrize(
    "change", ["UPDATE account SET kind = 'managed'", "update_name"]
)
async def test_names_that_are_not_ours_to_change_are_left_alone(
    settings_values: dict[str, Any],
    emulator: Starlette,
    parts: Parts,
    enterprise: Enterprise,
    change: str,
) -> None:
    account = await _first_day(parts, _person())
    if change == "update_name":
        settings_values["provisioning"]["update_name"] = False
    else:
        await _sql(parts, change)
    settings = Settings.model_validate(settings_values)
    mounts = {BOX_URL: httpx.ASGITransport(emulator)}
    async with open_parts(settings, mounts=mounts) as newer:
        await _login(newer, _person(name="Ada Byron"), NOW + 1)
    assert _at_box(enterprise, account.box_user_id)["name"] == "Ada L"


async def _until_idle(api: Api) -> None:
    """Let what a login began beside its answer come to its end."""
    headers = {"Authorization": f"Bearer {api.id_token(name='anybody')}"}
    async with asyncio.timeout(20):
        while True:
            me = (await api.http.get("/v1/me", headers=headers)).json()
            steps = me["box"]["provisioning"]
            if all(step["state"] != "pending" for step in steps):
                return


async def test_the_quota_follows_its_claim_and_stays_without_it(
    settings_values: dict[str, Any],
    template: Path,
    emulator: Starlette,
    enterprise: Enterprise,
) -> None:
    _edit(template, "gold = 5", "silver = -1, gold = 5")
    mounts = {BOX_URL: httpx.ASGITransport(emulator)}
    settings = Settings.model_validate(settings_values)
    async with open_parts(settings, mounts=mounts) as parts:
        account = await _first_day(parts, _person())
        seen = []
        for number, plan in enumerate(["silver", None, "gold", "unknown"]):
            claims = {"plan": plan} if plan else {}
            await _login(parts, _person(claims=claims), NOW + number)
            seen.append(_at_box(enterprise, account.box_user_id)["space"])
    assert seen == [-1, -1, 5_000_000_000, 5_000_000_000]


async def test_a_claim_that_comes_later_has_its_folder_made_then(
    settings_values: dict[str, Any],
    template: Path,
    emulator: Starlette,
    enterprise: Enterprise,
) -> None:
    _edit(template, "|General", "")
    mounts = {BOX_URL: httpx.ASGITransport(emulator)}
    settings = Settings.model_validate(settings_values)
    async with open_parts(settings, mounts=mounts) as parts:
        account = await _first_day(parts, _person())
        assert (await _states(parts))["folder:{claim:department}"] == "skipped"
        claims = CLAIMS | {"department": "R/D \\ Engines. "}
        await _login(parts, _person(claims=claims), NOW + 1)
        assert (await _states(parts))["folder:{claim:department}"] == "done"
    items = _at_box(enterprise, account.box_user_id)["items"]
    assert "All Files/R-D - Engines." in items


# --- who is not furnished ---------------------------------------------------------


async def test_a_locked_account_is_not_furnished_until_it_is_open_again(
    parts: Parts, enterprise: Enterprise, box: Control
) -> None:
    account = await _plan_only(parts, _person())
    async with parts.database.transaction() as session:
        await accounts.lock(session, account.id, "left")
    await box.requests()
    await _time_passes(parts)
    await _finish(parts.provisioner())
    assert await box.requests() == []
    async with parts.database.transaction() as session:
        await accounts.unlock(session, account.id)
    await _time_passes(parts)
    await _finish(parts.provisioner())
    assert _at_box(enterprise, account.box_user_id) == FURNISHED


async def test_another_box_user_is_furnished_from_the_beginning(
    parts: Parts, enterprise: Enterprise
) -> None:
    person = _person()
    await _first_day(parts, person)
    user = await parts.box.create_app_user("Ada L", "new", timeout_s=5)
    await _sql(parts, "UPDATE account SET box_user_id = :id", id=user.id)
    await _login(parts, person, NOW + 1)
    assert _at_box(enterprise, user.id) == FURNISHED


async def test_steps_can_be_for_the_people_of_one_provider(
    settings_values: dict[str, Any],
    template: Path,
    emulator: Starlette,
    enterprise: Enterprise,
) -> None:
    _edit(template, "[[groups]]", '[[groups]]\nproviders = ["b"]')
    provider = {"id": "b", "issuer": "https://b.example", "client_ids": ["b"]}
    settings_values["providers"].append(provider)
    mounts = {BOX_URL: httpx.ASGITransport(emulator)}
    settings = Settings.model_validate(settings_values)
    async with open_parts(settings, mounts=mounts) as parts:
        account = await _first_day(parts, _person())
    assert _at_box(enterprise, account.box_user_id)["groups"] == []


async def test_a_group_can_have_a_place_on_a_shared_folder(
    settings_values: dict[str, Any],
    template: Path,
    emulator: Starlette,
    parts: Parts,
    enterprise: Enterprise,
) -> None:
    staff = (await parts.box.ensure_group("Staff")).thing
    _edit(template, 'role = "viewer"', f'role = "editor"\ngroup = "id:{staff.id}"')
    _edit(template, 'sales = "Sales"', 'sales = "STAFF"')
    mounts = {BOX_URL: httpx.ASGITransport(emulator)}
    settings = Settings.model_validate(settings_values)
    async with open_parts(settings, mounts=mounts) as newer:
        for subject in ("ada", "grace"):
            account = await _first_day(newer, _person(subject))
            assert _at_box(enterprise, account.box_user_id)["groups"] == ["Staff"]
    places = enterprise.sharing.collaborations.values()
    assert [(c.role, c.group and c.group.name) for c in places] == [("editor", "Staff")]


async def test_refused_steps_wait_longer_each_time(parts: Parts, box: Control) -> None:
    account = await _bind(parts, _person())
    waits = []
    left = (
        "SELECT extract(epoch FROM due_at - clock_timestamp())::float"
        " FROM furnishing_step WHERE kind = 'file'"
    )
    await box.fault("POST", "/api/2.0/files/content", times=1000, status=403)
    await _login(parts, _person())
    for _ in range(6):
        waits += [row[0] for row in await _sql(parts, left)]
        await parts.provisioner().apply(account)
    # In seconds of which hardly any has passed: rounded up to minutes.
    assert [-(-wait // 60) for wait in waits] == [15, 30, 60, 120, 240, 360]

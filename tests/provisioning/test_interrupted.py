"""Interrupted, repeated and shared: everything is done, and nothing twice."""

import asyncio
import os
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from sso_box_api import furnishing
from sso_box_api.accounts import Account, Person
from sso_box_api.parts import Parts
from sso_box_api.settings import Settings
from sso_box_devkit.box import Enterprise
from tests.support import connections
from tests.support.api import BOX_URL, Api, Control
from tests.support.furnishing import (
    CLAIMS,
    FURNISHED,
    NOW,
    TEMPLATE,
    ada,
    at_box,
    bind,
    edit,
    find,
    finish,
    first_day,
    login,
    opened,
    plan_only,
    sql,
    step_states,
    time_passes,
)
from tests.support.interrupt import Fate, Interrupted

FULL = os.environ.get("TEST_SIZE") == "full"


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
    async with connections.opened(settings, mounts={BOX_URL: transport}) as first:
        await first.box.service_token()
        reached = True
        while reached:
            number += 1
            person = ada(f"ada-{number}")
            account = await bind(parts, person)
            transport.arm(number, fate)
            await _run_until_stopped(first, account, person, transport)
            reached = transport.reached.is_set()
            await time_passes(parts)
            await finish(parts.provisioner())
            assert at_box(enterprise, account.box_user_id) == FURNISHED, number
    record_property(f"interrupted ({fate}) at calls", number - 1)
    assert number > len(FURNISHED["items"])


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
    account = await first_day(parts, ada())
    await box.requests()
    await parts.provisioner().apply(account, ada(), NOW + 1)
    await time_passes(parts)
    await finish(parts.provisioner())
    assert await box.requests() == []
    # Even with nothing written down, what is there is found.
    await sql(parts, "UPDATE furnishing_step SET state = 'pending', ours = NULL")
    await sql(parts, "UPDATE furnishing SET due_at = clock_timestamp()")
    await finish(parts.provisioner())
    assert at_box(enterprise, account.box_user_id) == FURNISHED


async def test_what_a_person_renamed_or_deleted_is_not_made_again(
    parts: Parts, enterprise: Enterprise, api: Api, box: Control
) -> None:
    person = ada()
    account = await first_day(parts, person)
    token = api.id_token(name="Ada L", groups=["sales"], plan="gold")
    vended = (await api.exchange(token)).json()["access_token"]
    ids = dict(await sql(parts, "SELECT key, box_id FROM furnishing_step"))
    renamed = f"/2.0/folders/{ids['folder:{name}']}"
    await box.call("PUT", renamed, vended, json={"name": "Mine"})
    deleted = f"/2.0/folders/{ids['folder:{claim:department}']}"
    assert (await box.call("DELETE", deleted, vended)).is_success
    changed = ada(name="Ada Byron", claims=CLAIMS | {"department": "Engines"})
    await login(parts, changed, NOW + 1)
    await parts.provisioner().apply(account)
    items = at_box(enterprise, account.box_user_id)["items"]
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
    account = await first_day(parts, ada())
    token = api.id_token(name="Ada L", groups=["sales"], plan="gold")
    vended = (await api.exchange(token)).json()["access_token"]
    [(folder_id,)] = await sql(
        parts, "SELECT box_id FROM furnishing_step WHERE key = 'folder:{name}'"
    )
    deleted = f"/2.0/folders/{folder_id}?recursive=true"
    assert (await box.call("DELETE", deleted, vended)).is_success
    seen = []
    for _ in range(2):
        await parts.provisioner().apply(account)
        seen.append((await step_states(parts))["file:{name}/Welcome.txt"])
    assert seen == ["failed", "skipped"]
    assert "All Files/Ada L" not in at_box(enterprise, account.box_user_id)["items"]
    await box.requests()
    await parts.provisioner().apply(account)
    assert await box.requests() == []


async def test_a_file_of_that_name_keeps_its_content(
    parts: Parts, enterprise: Enterprise
) -> None:
    person = ada()
    account = await bind(parts, person)
    tree = enterprise.tree
    root = tree.root(account.box_user_id or "")
    folder = tree.add("folder", root, "ada l", enterprise.now())
    file = tree.add("file", folder, "WELCOME.TXT", enterprise.now())
    tree.add_version(file, b"my own")
    await login(parts, person)
    assert set((await step_states(parts)).values()) == {"done"}
    assert file.version.content == b"my own"
    assert len(list(tree.below(folder))) == 3


async def test_two_workers_share_the_accounts_and_do_nothing_twice(
    settings: Settings, emulator: Starlette, parts: Parts, box: Control
) -> None:
    people = [ada(f"ada-{n}", name=f"Ada {n}") for n in range(6)]
    async with opened(settings, emulator) as other:
        for person in people:
            await plan_only(parts, person)
        await box.requests()
        await asyncio.gather(*map(finish, (other.provisioner(), parts.provisioner())))
    made = [call for call in await box.requests() if call == "POST /2.0/folders"]
    assert len(made) == 3 * len(people)
    assert set((await step_states(parts)).values()) == {"done"}


async def test_who_comes_late_does_not_end_the_lease_of_another(parts: Parts) -> None:
    account = await plan_only(parts, ada())
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
    account = await plan_only(parts, ada())
    async with Api.start(settings, emulator, idp_app), asyncio.timeout(20):
        while set((await step_states(parts)).values()) != {"done"}:  # noqa: ASYNC110 - rows of another process
            await asyncio.sleep(0.005)
    assert at_box(enterprise, account.box_user_id) == FURNISHED


async def test_what_the_template_no_longer_has_is_given_up_unless_it_is_done(
    settings_values: dict[str, Any],
    template: Path,
    emulator: Starlette,
    parts: Parts,
    box: Control,
) -> None:
    person = ada()
    await box.fault("POST", "/api/2.0/files/content", status=403, times=1000)
    await first_day(parts, person)
    begin, end = TEMPLATE.index("[[files"), TEMPLATE.index("[[coll")
    edit(template, TEMPLATE[begin:end].format(), "")
    edit(template, 'path = "{claim:department|General}"', 'path = "New"')
    async with opened(Settings.model_validate(settings_values), emulator) as newer:
        await newer.provisioner().apply(await find(newer, person))
        assert (await step_states(parts))["file:{name}/Welcome.txt"] == "failed"
        await login(newer, person, NOW + 1)
    states = await step_states(parts)
    assert "file:{name}/Welcome.txt" not in states
    assert states["folder:{claim:department}"] == "done"
    assert states["folder:New"] == "done"

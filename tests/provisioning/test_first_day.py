"""What a person finds at Box on the first day, whatever happens on the way."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from sso_box_api import accounts
from sso_box_api.parts import Parts
from sso_box_api.settings import Settings
from sso_box_devkit.box import Enterprise
from tests.support.api import BOX_URL, ISSUER, Api, Control
from tests.support.furnishing import (
    FURNISHED,
    ada,
    at_box,
    bind,
    edit,
    finish,
    first_day,
    login,
    opened,
    plan_only,
    sql,
    step_states,
    time_passes,
)
from tests.support.interrupt import Interrupted

# What the template comes to for ADA.
PATHS = {
    "folder:{name}": "Ada L",
    "folder:{name}/Statements": "Ada L/Statements",
    "folder:{claim:department}": "General",
    "file:{name}/Welcome.txt": "Ada L/Welcome.txt",
}
STEPS = {
    "folder:{name}": "folder",
    "folder:{name}/Statements": "folder",
    "folder:{claim:department}": "folder",
    "file:{name}/Welcome.txt": "file",
    "membership:sales": "membership",
    "quota": "quota",
}


async def test_the_first_login_finds_everything_there_and_me_shows_each_step(
    api: Api, enterprise: Enterprise, shared: str
) -> None:
    token = api.id_token(name="Ada L", groups=["sales"], plan="gold")
    answer = await api.exchange(token)
    assert answer.status_code == 200, answer.text
    assert at_box(enterprise, answer.json()["box_user_id"]) == FURNISHED
    headers = {"Authorization": f"Bearer {token}"}
    me = (await api.http.get("/v1/me", headers=headers)).json()
    wanted = STEPS | {f"collaboration:{shared}": "collaboration"}
    assert me["box"]["provisioning"] == [
        {"key": key, "kind": kind, "path": PATHS.get(key), "state": "done"}
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
    states = await step_states(parts)
    assert states.pop("file:{name}/Welcome.txt") == state
    assert set(states.values()) == {"done"}
    await box.clear_faults()
    await time_passes(parts)
    await finish(parts.provisioner())
    assert at_box(enterprise, answer.json()["box_user_id"]) == FURNISHED


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
        assert set((await step_states(parts)).values()) == {"pending"}
        async with asyncio.timeout(20):
            while not slow.holding:  # noqa: ASYNC110 - what is under way beside us
                await asyncio.sleep(0.005)
        slow.go_on.set()
    await time_passes(parts)
    await finish(parts.provisioner())
    assert at_box(enterprise, answer.json()["box_user_id"]) == FURNISHED


async def test_what_is_in_a_refused_folder_waits_for_it(
    parts: Parts, box: Control, enterprise: Enterprise
) -> None:
    await box.fault("POST", "/2.0/folders", status=403, body={"code": "forbidden"})
    account = await first_day(parts, ada())
    states = await step_states(parts)
    assert states.pop("folder:{name}") == "failed"
    assert states.pop("folder:{name}/Statements") == "pending"
    assert states.pop("file:{name}/Welcome.txt") == "pending"
    assert set(states.values()) == {"done"}
    # Nothing of it counts as due meanwhile, which would keep every process busy.
    assert not await parts.provisioner().work()
    await time_passes(parts)
    await finish(parts.provisioner())
    assert at_box(enterprise, account.box_user_id) == FURNISHED


async def test_a_folder_that_somebody_else_shares_with_the_person_is_not_theirs(
    parts: Parts, box: Control, enterprise: Enterprise
) -> None:
    """Whoever invites a newcomer into a folder of that name gets none of their files."""
    theirs = {"type": "folder", "id": "77", "name": "Ada L", "owned_by": {"id": "99"}}
    conflict = {"status": 409, "body": {"code": "item_name_in_use"}}
    there = {"entries": [theirs], "next_marker": None, "limit": 1000}
    await box.fault("POST", "/2.0/folders", **conflict)
    await box.fault("GET", "/2.0/folders/0/items", status=200, body=there)
    account = await first_day(parts, ada())
    states = await step_states(parts)
    assert states["folder:{name}"] == "failed"
    assert states["file:{name}/Welcome.txt"] == "pending"
    error = "SELECT error FROM furnishing_step WHERE key = 'folder:{name}'"
    assert await sql(parts, error) == [("folder_of_somebody_else",)]
    await time_passes(parts)
    await finish(parts.provisioner())
    assert at_box(enterprise, account.box_user_id) == FURNISHED


async def test_a_step_that_cannot_be_read_keeps_no_other_waiting(
    parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    account = await plan_only(parts, ada())
    await sql(parts, "UPDATE furnishing_step SET params = '{}' WHERE kind = 'file'")
    await parts.provisioner().apply(account)
    states = await step_states(parts)
    assert states.pop("file:{name}/Welcome.txt") == "failed"
    assert set(states.values()) == {"done"}
    assert "unexpected error in a step" in caplog.text


async def test_a_plan_that_cannot_be_written_loses_no_login(
    api: Api, parts: Parts, box: Control
) -> None:
    await sql(parts, "ALTER TABLE furnishing_step RENAME TO elsewhere")
    try:
        answer = await api.exchange()
    finally:
        await sql(parts, "ALTER TABLE elsewhere RENAME TO furnishing_step")
    assert answer.status_code == 200
    assert await box.is_live(answer.json()["access_token"])
    # The next login plans what this one could not.
    await api.exchange()
    assert set((await step_states(parts)).values()) == {"done"}


async def test_a_locked_account_is_not_furnished_until_it_is_open_again(
    parts: Parts, enterprise: Enterprise, box: Control
) -> None:
    account = await plan_only(parts, ada())
    async with parts.database.transaction() as session:
        await accounts.lock(session, account.id, "left")
    await box.requests()
    await time_passes(parts)
    await finish(parts.provisioner())
    assert await box.requests() == []
    async with parts.database.transaction() as session:
        await accounts.unlock(session, account.id)
    await time_passes(parts)
    await finish(parts.provisioner())
    assert at_box(enterprise, account.box_user_id) == FURNISHED


async def test_steps_can_be_for_the_people_of_one_provider(
    settings_values: dict[str, Any],
    template: Path,
    emulator: Starlette,
    enterprise: Enterprise,
) -> None:
    edit(template, "[[groups]]", '[[groups]]\nproviders = ["b"]')
    provider = {"id": "b", "issuer": "https://b.example", "client_ids": ["b"]}
    settings_values["providers"].append(provider)
    async with opened(Settings.model_validate(settings_values), emulator) as parts:
        account = await first_day(parts, ada())
    assert at_box(enterprise, account.box_user_id)["groups"] == []


async def test_a_group_can_have_a_place_on_a_shared_folder(
    settings_values: dict[str, Any],
    template: Path,
    emulator: Starlette,
    parts: Parts,
    enterprise: Enterprise,
) -> None:
    staff = (await parts.box.ensure_group("Staff")).thing
    edit(template, 'role = "viewer"', f'role = "editor"\ngroup = "id:{staff.id}"')
    edit(template, 'sales = "Sales"', 'sales = "STAFF"')
    async with opened(Settings.model_validate(settings_values), emulator) as newer:
        for subject in ("ada", "grace"):
            account = await first_day(newer, ada(subject))
            assert at_box(enterprise, account.box_user_id)["groups"] == ["Staff"]
    places = enterprise.sharing.collaborations.values()
    assert [(c.role, c.group and c.group.name) for c in places] == [("editor", "Staff")]


async def test_refused_steps_wait_longer_each_time(parts: Parts, box: Control) -> None:
    account = await bind(parts, ada())
    waits = []
    left = (
        "SELECT extract(epoch FROM due_at - clock_timestamp())::float"
        " FROM furnishing_step WHERE kind = 'file'"
    )
    await box.fault("POST", "/api/2.0/files/content", times=1000, status=403)
    await login(parts, ada())
    for _ in range(6):
        waits += [row[0] for row in await sql(parts, left)]
        await parts.provisioner().apply(account)
    # In seconds of which hardly any has passed: rounded up to minutes.
    assert [-(-wait // 60) for wait in waits] == [15, 30, 60, 120, 240, 360]

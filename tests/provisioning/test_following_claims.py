"""What follows the claims of later logins: memberships, space, names."""

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from sso_box_api import furnishing
from sso_box_api.accounts import Person
from sso_box_api.parts import Parts, open_parts
from sso_box_api.settings import Settings
from sso_box_devkit.box import Enterprise
from tests.support.api import BOX_URL, ISSUER, Api, Control
from tests.support.furnishing import (
    CLAIMS,
    FURNISHED,
    HOUR,
    NOW,
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
from tests.support.interrupt import Interrupted


async def test_memberships_follow_the_groups_both_ways(
    parts: Parts, enterprise: Enterprise
) -> None:
    account = await first_day(parts, ada())
    seen = []
    for number, groups in enumerate([("devs", "sales"), ("devs",), (), ("sales",)]):
        claims = CLAIMS | {"groups": groups}
        await login(parts, ada(claims=claims), NOW + number)
        seen.append(at_box(enterprise, account.box_user_id)["groups"])
    assert seen == [["Developers", "Sales"], ["Developers"], [], ["Sales"]]


async def test_without_the_claim_nobody_loses_a_membership(
    parts: Parts, enterprise: Enterprise, box: Control
) -> None:
    """Providers leave groups out of tokens where there are too many of them."""
    account = await first_day(parts, ada())
    await box.requests()
    await login(parts, ada(claims={"plan": "gold"}), NOW + 1)
    assert at_box(enterprise, account.box_user_id)["groups"] == ["Sales"]
    assert await box.requests() == []


async def test_memberships_made_by_hand_stay(
    parts: Parts, enterprise: Enterprise, box: Control
) -> None:
    person = ada(claims=CLAIMS | {"groups": ("sales",)})
    account = await bind(parts, person)
    sales = (await parts.box.ensure_group("Sales")).thing
    choir = (await parts.box.ensure_group("Choir")).thing
    for group in (sales, choir):
        await parts.box.ensure_membership(account.box_user_id or "", group.id)
    await login(parts, person)
    await box.requests()
    await login(parts, ada(claims=CLAIMS | {"groups": ()}), NOW + 1)
    assert at_box(enterprise, account.box_user_id)["groups"] == ["Choir", "Sales"]
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
    account = await first_day(parts, ada())
    assert "name" not in await step_states(parts)
    before_an_upgrade = "UPDATE identity SET claims_digest = NULL"
    await sql(parts, before_an_upgrade)
    await login(parts, ada(name="Ada Byron"), NOW + 1)
    assert at_box(enterprise, account.box_user_id)["name"] == "Ada Byron"
    await box.requests()
    await login(parts, ada(name=None), NOW + 2)
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
    account = await first_day(parts, ada())
    if change == "update_name":
        settings_values["provisioning"]["update_name"] = False
    else:
        await sql(parts, change)
    async with opened(Settings.model_validate(settings_values), emulator) as newer:
        await login(newer, ada(name="Ada Byron"), NOW + 1)
    assert at_box(enterprise, account.box_user_id)["name"] == "Ada L"


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
    edit(template, "gold = 5", "silver = -1, gold = 5")
    async with opened(Settings.model_validate(settings_values), emulator) as parts:
        account = await first_day(parts, ada())
        seen = []
        for number, plan in enumerate(["silver", None, "gold", "unknown"]):
            claims = {"plan": plan} if plan else {}
            await login(parts, ada(claims=claims), NOW + number)
            seen.append(at_box(enterprise, account.box_user_id)["space"])
    assert seen == [-1, -1, 5_000_000_000, 5_000_000_000]


async def test_a_claim_that_comes_later_has_its_folder_made_then(
    settings_values: dict[str, Any],
    template: Path,
    emulator: Starlette,
    enterprise: Enterprise,
) -> None:
    edit(template, "|General", "")
    async with opened(Settings.model_validate(settings_values), emulator) as parts:
        account = await first_day(parts, ada())
        assert (await step_states(parts))["folder:{claim:department}"] == "skipped"
        claims = CLAIMS | {"department": "R/D \\ Engines. "}
        await login(parts, ada(claims=claims), NOW + 1)
        assert (await step_states(parts))["folder:{claim:department}"] == "done"
    items = at_box(enterprise, account.box_user_id)["items"]
    assert "All Files/R-D - Engines." in items


async def test_another_box_user_is_furnished_from_the_beginning(
    parts: Parts, enterprise: Enterprise
) -> None:
    person = ada()
    await first_day(parts, person)
    user = await parts.box.create_app_user("Ada L", "new", timeout_s=5)
    await sql(parts, "UPDATE account SET box_user_id = :id", id=user.id)
    await login(parts, person, NOW + 1)
    assert at_box(enterprise, user.id) == FURNISHED


async def test_what_was_done_for_the_former_box_user_counts_for_no_other(
    settings: Settings, emulator: Starlette, parts: Parts, enterprise: Enterprise
) -> None:
    """A relink and a login, while a process is at a call to Box for the former user."""
    person = ada()
    await plan_only(parts, person)
    await time_passes(parts)
    user = await parts.box.create_app_user("Ada L", "new", timeout_s=5)
    transport = Interrupted(httpx.ASGITransport(emulator))
    async with open_parts(settings, mounts={BOX_URL: transport}) as slow:
        transport.hold("/2.0/folders")
        working = asyncio.create_task(slow.provisioner().work())
        while not transport.holding:
            await asyncio.wait([working], timeout=0.01)
        former = await find(parts, person)
        await sql(parts, "UPDATE account SET box_user_id = :id", id=user.id)
        await login(parts, person, NOW + 1)
        transport.go_on.set()
        await working
    # Nor does a login undo that which read the account before.
    late = ada(name="Ada Byron")
    assert await parts.provisioner().furnish(former, late, NOW + 2) is None
    await time_passes(parts)
    await finish(parts.provisioner())
    assert at_box(enterprise, user.id) == FURNISHED
    assert await sql(parts, "SELECT box_user_id FROM furnishing") == [(user.id,)]


async def test_a_relink_while_a_process_works_puts_no_step_off(parts: Parts) -> None:
    person = ada()
    await plan_only(parts, person)
    await time_passes(parts)
    async with parts.database.transaction() as session:
        [late] = await furnishing.take_due(session, limit=1, lease_s=60)
    user = await parts.box.create_app_user("Ada L", "new", timeout_s=5)
    await sql(parts, "UPDATE account SET box_user_id = :id", id=user.id)
    await login(parts, person, NOW + 1)
    async with parts.database.transaction() as session:
        await furnishing.give_back(session, late, not_before_s=HOUR)
    assert await parts.provisioner().work()
    assert set((await step_states(parts)).values()) == {"done"}

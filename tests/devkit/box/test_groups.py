"""Groups and memberships as Box's API has them."""

from typing import Any

import pytest

from tests.support.box_caller import BoxCaller


@pytest.fixture
async def token(box: BoxCaller) -> str:
    return await box.token()


async def member(box: BoxCaller, token: str, user: str, group: str) -> dict[str, Any]:
    return await box.create(
        token, "group_memberships", user={"id": user}, group={"id": group}
    )


async def test_a_group_is_made_found_renamed_and_deleted(
    box: BoxCaller, token: str
) -> None:
    made = await box.create(token, "groups", name="Staff", description="All of us")
    path = f"/2.0/groups/{made['id']}"
    assert "description" not in made
    full = await box.call(token, "GET", f"{path}?fields=name,description")
    assert full.json() == {
        "type": "group",
        "id": made["id"],
        "name": "Staff",
        "description": "All of us",
    }
    await box.create(token, "groups", name="Guests")
    found = await box.call(token, "GET", "/2.0/groups?filter_term=sta")
    assert [group["name"] for group in found.json()["entries"]] == ["Staff"]
    renamed = await box.call(token, "PUT", path, json={"name": "Crew"})
    assert renamed.json()["name"] == "Crew"
    assert (await box.call(token, "DELETE", path)).status_code == 204
    assert (await box.call(token, "GET", path)).status_code == 404


@pytest.mark.parametrize("code", ["invalid_parameter", "conflict"])
async def test_a_taken_group_name_is_a_409_with_the_code_that_is_set(
    box: BoxCaller, token: str, code: str
) -> None:
    await box.settings(duplicate_group_code=code)
    await box.create(token, "groups", name="Staff")
    refused = await box.call(token, "POST", "/2.0/groups", json={"name": "staff"})
    assert (refused.status_code, refused.json()["code"]) == (409, code)


async def test_members_are_listed_by_group_and_by_user(
    box: BoxCaller, token: str
) -> None:
    user, other = await box.app_user(), await box.app_user("Eve")
    group = (await box.create(token, "groups", name="Staff"))["id"]
    made = await member(box, token, user, group)
    await member(box, token, other, group)
    assert (made["user"]["id"], made["group"]["id"]) == (user, group)
    assert made["role"] == "member"
    members = await box.call(token, "GET", f"/2.0/groups/{group}/memberships?limit=1")
    assert members.json()["total_count"] == 2
    assert [m["user"]["id"] for m in members.json()["entries"]] == [user]
    hers = await box.call(token, "GET", f"/2.0/users/{user}/memberships")
    assert [m["id"] for m in hers.json()["entries"]] == [made["id"]]
    path = f"/2.0/group_memberships/{made['id']}"
    raised = await box.call(token, "PUT", path, json={"role": "admin"})
    assert raised.json()["role"] == "admin"
    assert (await box.call(token, "DELETE", path)).status_code == 204
    assert (await box.call(token, "GET", path)).status_code == 404


@pytest.mark.parametrize(("status", "code"), [(400, "bad_request"), (409, "conflict")])
async def test_a_second_membership_is_refused_with_the_status_that_is_set(
    box: BoxCaller, token: str, status: int, code: str
) -> None:
    await box.settings(duplicate_membership_status=status)
    body = {
        "user": {"id": await box.app_user()},
        "group": {"id": (await box.create(token, "groups", name="Staff"))["id"]},
    }
    await box.create(token, "group_memberships", **body)
    again = await box.call(token, "POST", "/2.0/group_memberships", json=body)
    assert (again.status_code, again.json()["code"]) == (status, code)


async def test_an_information_barrier_forbids_memberships(
    box: BoxCaller, token: str
) -> None:
    await box.settings(information_barrier=True)
    group = (await box.create(token, "groups", name="Staff"))["id"]
    body = {"user": {"id": await box.app_user()}, "group": {"id": group}}
    refused = await box.call(token, "POST", "/2.0/group_memberships", json=body)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden_by_policy")


async def test_unknown_users_and_groups_are_no_members(
    box: BoxCaller, token: str
) -> None:
    group = (await box.create(token, "groups", name="Staff"))["id"]
    user = await box.app_user()
    for body in (
        {"user": {"id": "1"}, "group": {"id": group}},
        {"user": {"id": user}, "group": {"id": "1"}},
    ):
        refused = await box.call(token, "POST", "/2.0/group_memberships", json=body)
        assert refused.status_code == 404
    nobody = {"user": {"id": user}}
    refused = await box.call(token, "POST", "/2.0/group_memberships", json=nobody)
    assert refused.status_code == 400


async def test_a_user_sees_the_own_groups_and_manages_none(
    box: BoxCaller, token: str
) -> None:
    user = await box.app_user()
    group = (await box.create(token, "groups", name="Staff"))["id"]
    await member(box, token, user, group)
    hers = await box.token(user)
    stranger = await box.token(await box.app_user("Eve"))
    for who, status in ((hers, 200), (stranger, 403)):
        for path in (f"groups/{group}/memberships", f"users/{user}/memberships"):
            answer = await box.call(who, "GET", f"/2.0/{path}")
            assert answer.status_code == status
    assert (await box.call(hers, "GET", f"/2.0/groups/{group}")).status_code == 403
    made = await box.call(hers, "POST", "/2.0/groups", json={"name": "Mine"})
    assert made.status_code == 403


async def test_a_narrow_token_needs_the_scope_for_groups(
    box: BoxCaller, token: str
) -> None:
    for scope, status in (("manage_groups", 200), ("manage_app_users", 403)):
        narrow = await box.downscoped(token, scope)
        assert (await box.call(narrow, "GET", "/2.0/groups")).status_code == status


async def test_a_deleted_user_is_in_no_group(box: BoxCaller, token: str) -> None:
    user = await box.app_user()
    group = (await box.create(token, "groups", name="Staff"))["id"]
    await member(box, token, user, group)
    await box.call(token, "DELETE", f"/2.0/users/{user}")
    left = await box.call(token, "GET", f"/2.0/groups/{group}/memberships")
    assert left.json()["entries"] == []

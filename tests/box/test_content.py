"""Folders, uploads, collaborations and groups: each step made once, and found again."""

import hashlib
import threading
from dataclasses import replace
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from sso_box_api.box import (
    Box,
    ConflictAtBox,
    NotFoundAtBox,
    NoVerdict,
    OutcomeUnknown,
    RefusedByBox,
)
from sso_box_api.errors import BoxUnavailable
from sso_box_devkit.box import Enterprise
from tests.support.api import Control
from tests.support.box_script import (
    Script,
    box_settings,
    client_over,
    error,
    token,
    user,
)

CONTENT = b"Welcome, Ada"
SHA1 = hashlib.sha1(CONTENT).hexdigest()  # noqa: S324 - Box's own digest


@pytest.fixture
def emulated(emulator: Starlette, enterprise: Enterprise) -> Box:
    return client_over(httpx.ASGITransport(emulator), box_settings(enterprise.config()))


@pytest.fixture
async def ada(emulated: Box) -> str:
    return (await emulated.create_app_user("Ada", "sb1-ada", timeout_s=2)).id


@pytest.fixture
def scripted(script: Script) -> Box:
    script.tokens(token())
    return client_over(script.transport)


async def lost(box: Control, method: str, path: str) -> None:
    """Let Box do the next such call, and its answer never arrive."""
    await box.fault(method, path, status=502, after_commit=True)


# Folders


async def test_a_folder_is_made_once_and_found_again(emulated: Box) -> None:
    made = await emulated.ensure_folder("0", "Welcome")
    again = await emulated.ensure_folder("0", "WELCOME")
    assert (made.created, again.created) == (True, False)
    assert again.thing == made.thing
    assert (await emulated.get_folder(made.thing.id)).name == "Welcome"
    assert [item.id for item in await emulated.list_items("0")] == [made.thing.id]


async def test_a_users_folder_is_the_users_own(emulated: Box, ada: str) -> None:
    made = await emulated.ensure_folder("0", "Mine", as_user=ada)
    assert await emulated.find_item("0", "mine", as_user=ada) == made.thing
    assert await emulated.find_item("0", "mine") is None
    with pytest.raises(NotFoundAtBox):
        await emulated.get_folder(made.thing.id)


async def test_work_as_a_user_keeps_one_token(
    emulated: Box, ada: str, box: Control
) -> None:
    await box.requests()
    for name in ("a", "b", "c"):
        await emulated.ensure_folder("0", name, as_user=ada)
    assert (await box.requests()).count("POST /oauth2/token") == 1


async def test_a_users_token_that_box_revoked_is_replaced_once(
    emulated: Box, ada: str
) -> None:
    await emulated.list_items("0", as_user=ada)
    await emulated.terminate_sessions([ada])
    assert await emulated.list_items("0", as_user=ada) == []


async def test_a_folder_made_behind_a_lost_answer_is_found(
    emulated: Box, box: Control
) -> None:
    await lost(box, "POST", "/2.0/folders")
    there = await emulated.ensure_folder("0", "Welcome")
    assert not there.created
    assert len(await emulated.list_items("0")) == 1


async def test_a_folder_that_was_not_made_stays_unknown_and_is_not_made_again(
    emulated: Box, box: Control
) -> None:
    await box.fault("POST", "/2.0/folders", status=502)
    with pytest.raises(OutcomeUnknown):
        await emulated.ensure_folder("0", "Welcome")
    assert (await box.requests()).count("POST /2.0/folders") == 1


async def test_a_look_that_fails_leaves_the_outcome_unknown(
    emulated: Box, box: Control
) -> None:
    await lost(box, "POST", "/2.0/folders")
    await box.fault("GET", "/2.0/folders/*", status=503, times=9)
    with pytest.raises(OutcomeUnknown):
        await emulated.ensure_folder("0", "Welcome")


async def test_a_name_that_is_held_for_a_moment_is_a_conflict(
    scripted: Box, script: Script
) -> None:
    script.on("POST", "/2.0/folders", error(409, "name_temporarily_reserved"))
    script.on("GET", "/2.0/folders", (200, {"entries": []}))
    with pytest.raises(ConflictAtBox):
        await scripted.ensure_folder("0", "Welcome")


async def test_a_refused_folder_is_not_looked_for(
    scripted: Box, script: Script
) -> None:
    script.on("POST", "/2.0/folders", error(400, "item_name_invalid"))
    looked = script.on("GET", "/2.0/folders", (200, {"entries": []}))
    with pytest.raises(RefusedByBox, match="item_name_invalid"):
        await scripted.ensure_folder("0", "a/b")
    assert looked.call_count == 0


async def test_markers_are_followed_to_the_end(scripted: Box, script: Script) -> None:
    def item(number: int) -> dict[str, Any]:
        return {"type": "folder", "id": str(number), "name": f"f{number}"}

    asked = script.on(
        "GET",
        "/2.0/folders/0/items",
        (200, {"entries": [item(1)], "next_marker": "m1"}),
        (200, {"entries": [item(2)], "next_marker": ""}),
    )
    assert [i.id for i in await scripted.list_items("0")] == ["1", "2"]
    markers = [c.request.url.params.get("marker") for c in asked.calls]
    assert markers == [None, "m1"]


@pytest.mark.parametrize(
    "body",
    [
        {"entries": None},
        {"entries": [{"type": "folder", "id": "../1", "name": "x"}]},
        {"entries": [{"type": "folder", "id": "1"}]},
        {"entries": [{"type": "user", "id": "1", "name": "x"}]},
        {"entries": [], "next_marker": 7},
    ],
)
async def test_a_listing_that_cannot_be_read_is_no_proof_of_absence(
    scripted: Box, script: Script, body: Any
) -> None:
    script.on("GET", "/2.0/folders/0/items", (200, body))
    with pytest.raises(NoVerdict):
        await scripted.find_item("0", "x")


async def test_a_listing_without_end_is_no_proof_of_absence(
    scripted: Box, script: Script
) -> None:
    script.on("GET", "/2.0/folders/0/items", (200, {"entries": [], "next_marker": "m"}))
    with pytest.raises(NoVerdict, match="pages"):
        await scripted.find_item("0", "x")


# Uploads


async def test_an_upload_has_the_sha1_of_what_was_sent(
    emulated: Box, ada: str, box: Control
) -> None:
    await box.requests()
    made = await emulated.upload_file("0", "hello.txt", CONTENT, as_user=ada)
    assert made.created
    assert made.thing.sha1 == SHA1
    assert "POST /api/2.0/files/content" in await box.requests()


async def test_an_upload_of_a_known_name_is_what_is_there(emulated: Box) -> None:
    made = await emulated.upload_file("0", "hello.txt", CONTENT)
    again = await emulated.upload_file("0", "Hello.txt", b"other")
    assert not again.created
    assert again.thing == made.thing


async def test_an_upload_behind_a_lost_answer_is_found(
    emulated: Box, box: Control
) -> None:
    await lost(box, "POST", "/api/2.0/files/content")
    there = await emulated.upload_file("0", "hello.txt", CONTENT)
    assert (there.created, there.thing.sha1) == (False, SHA1)


async def test_a_folder_of_that_name_is_no_upload(emulated: Box) -> None:
    await emulated.ensure_folder("0", "hello.txt")
    with pytest.raises(ConflictAtBox):
        await emulated.upload_file("0", "hello.txt", CONTENT)


async def test_an_upload_that_arrived_otherwise_is_not_done(
    scripted: Box, script: Script
) -> None:
    file = {"type": "file", "id": "5", "name": "a", "sha1": "0" * 40}
    script.router.route(host="upload.box.com").respond(201, json={"entries": [file]})
    script.on("GET", "/2.0/folders/0/items", (200, {"entries": []}))
    with pytest.raises(OutcomeUnknown):
        await scripted.upload_file("0", "a", CONTENT)


@pytest.mark.parametrize("size", [1024 * 1024, 1024 * 1024 + 1])
async def test_a_large_file_is_hashed_and_packed_beside_the_event_loop(
    scripted: Box, script: Script, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    content, threads, sha1 = bytes(size), list[threading.Thread](), hashlib.sha1

    def noted(data: bytes, *, usedforsecurity: bool) -> Any:
        threads.append(threading.current_thread())
        return sha1(data, usedforsecurity=usedforsecurity)

    digest = sha1(content).hexdigest()
    file = {"type": "file", "id": "5", "name": "a", "sha1": digest}
    sent = script.router.route(host="upload.box.com")
    sent.respond(201, json={"entries": [file]})
    monkeypatch.setattr(hashlib, "sha1", noted)
    assert (await scripted.upload_file("0", "a", content)).created
    small = size == 1024 * 1024
    assert [t is threading.main_thread() for t in threads] == [small]
    request = sent.calls.last.request
    assert request.headers["content-md5"] == digest
    assert content in request.content


async def test_what_needs_an_upload_session_is_not_sent(scripted: Box) -> None:
    with pytest.raises(ValueError, match="50 MB"):
        await scripted.upload_file("0", "a", bytes(50 * 1024 * 1024 + 1))


async def test_uploads_that_fail_stop_no_login(script: Script) -> None:
    script.tokens(token())
    settings = box_settings(breaker_failures=1, breaker_rest_s=60.0)
    box = client_over(script.transport, settings)
    script.router.route(host="upload.box.com").respond(503)
    script.on("GET", "/2.0/folders/0/items", (200, {"entries": []}))
    script.on("GET", "/2.0/users/11", (200, user()))
    with pytest.raises(OutcomeUnknown):
        await box.upload_file("0", "a", CONTENT)
    with pytest.raises(BoxUnavailable, match="upload call not sent"):
        await box.upload_file("0", "a", CONTENT)
    assert (await box.get_user("11")).id == "11"


# Collaborations


async def test_a_collaboration_is_made_once_and_changed(
    emulated: Box, ada: str
) -> None:
    folder = (await emulated.ensure_folder("0", "Shared")).thing.id
    made = await emulated.ensure_collaboration(folder, "user", ada, "viewer")
    again = await emulated.ensure_collaboration(folder, "user", ada, "editor")
    assert (made.created, again.created) == (True, False)
    assert again.thing.id == made.thing.id
    assert again.thing.role == "viewer"
    assert (await emulated.set_role(made.thing.id, "editor")).role == "editor"
    assert (await emulated.get_folder(folder, as_user=ada)).name == "Shared"
    await emulated.remove_collaboration(made.thing.id)
    await emulated.remove_collaboration(made.thing.id)
    assert await emulated.list_collaborations(folder) == []


@pytest.mark.parametrize("status", [400, 409])
async def test_a_collaborator_is_found_however_box_refuses_the_second(
    emulated: Box, ada: str, box: Control, status: int
) -> None:
    await box.settings(duplicate_collaboration_status=status)
    folder = (await emulated.ensure_folder("0", "Shared")).thing.id
    await emulated.ensure_collaboration(folder, "user", ada, "viewer")
    again = await emulated.ensure_collaboration(folder, "user", ada, "viewer")
    assert not again.created


async def test_a_refusal_that_is_no_duplicate_is_told(emulated: Box, ada: str) -> None:
    with pytest.raises(RefusedByBox, match="root_folder"):
        await emulated.ensure_collaboration("0", "user", ada, "viewer")


# Groups


async def test_groups_and_memberships_are_made_once(emulated: Box, ada: str) -> None:
    await emulated.ensure_group("Staff and guests")
    group = await emulated.ensure_group("Staff")
    assert group.created
    assert await emulated.ensure_group("Staff") == replace(group, created=False)
    made = await emulated.ensure_membership(ada, group.thing.id)
    again = await emulated.ensure_membership(ada, group.thing.id)
    assert (made.created, again.created) == (True, False)
    assert again.thing == made.thing
    assert await emulated.list_memberships(ada) == [made.thing]
    await emulated.remove_membership(made.thing.id)
    await emulated.remove_membership(made.thing.id)
    assert await emulated.list_memberships(ada) == []


@pytest.mark.parametrize("path", ["/2.0/groups", "/2.0/group_memberships"])
async def test_a_group_step_behind_a_lost_answer_is_found(
    emulated: Box, ada: str, box: Control, path: str
) -> None:
    await lost(box, "POST", path)
    group = await emulated.ensure_group("Staff")
    member = await emulated.ensure_membership(ada, group.thing.id)
    assert group.created == (path != "/2.0/groups")
    assert member.created == (path == "/2.0/groups")


@pytest.mark.parametrize("status", [400, 409])
async def test_a_member_is_found_however_box_refuses_the_second(
    scripted: Box, script: Script, status: int
) -> None:
    script.on("POST", "/2.0/group_memberships", error(status, "conflict"))
    there = {"id": "9", "user": {"id": "11"}, "group": {"id": "7"}}
    listed = {"entries": [there], "total_count": 1, "limit": 1000}
    script.on("GET", "/2.0/users/11/memberships", (200, listed))
    assert (await scripted.ensure_membership("11", "7")).thing.id == "9"


# Users


async def test_a_managed_user_is_made_once_and_changed(emulated: Box) -> None:
    await emulated.ensure_managed_user("Eve", "eve@corp.example.org")
    made = await emulated.ensure_managed_user("Eve", "eve@corp.example")
    again = await emulated.ensure_managed_user("Eve", "EVE@corp.example")
    assert (made.created, again.created) == (True, False)
    assert again.thing.id == made.thing.id
    assert made.thing.is_platform_access_only is False
    changed = await emulated.update_user(made.thing.id, name="Eva", status="inactive")
    assert (changed.name, changed.status) == ("Eva", "inactive")


async def test_a_login_of_another_enterprise_is_a_conflict(
    scripted: Box, script: Script
) -> None:
    script.on("POST", "/2.0/users", error(409, "user_login_already_used"))
    listed = {"entries": [], "total_count": 0, "limit": 100}
    script.on("GET", "/2.0/users", (200, listed))
    with pytest.raises(ConflictAtBox):
        await scripted.ensure_managed_user("Eve", "eve@elsewhere.example")


async def test_an_external_id_can_be_given_later(emulated: Box) -> None:
    made = await emulated.create_app_user("Ada", "old", timeout_s=2)
    await emulated.update_user(made.id, external_app_user_id="new")
    assert [u.id for u in await emulated.find_app_users("new")] == [made.id]


async def test_terminated_sessions_are_dead(emulated: Box, ada: str) -> None:
    mine = await emulated.user_token(ada)
    await emulated.terminate_sessions([ada])
    assert not await emulated.is_live(mine.access_token)

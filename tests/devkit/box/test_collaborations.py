"""Collaborations: others see what they are let into, with what their role allows."""

from typing import Any, NamedTuple

import pytest

from tests.support.box_caller import BoxCaller


class Shared(NamedTuple):
    """The service account's Docs/{a.txt, Inner}, and a user who is not in yet."""

    owner: str
    docs: str
    inner: str
    file: str
    user: str
    token: str


@pytest.fixture
async def shared(box: BoxCaller) -> Shared:
    inside = [
        {"type": "file", "name": "a.txt", "content": "hello"},
        {"type": "folder", "name": "Inner"},
    ]
    docs = {"type": "folder", "name": "Docs", "items": inside}
    seeded = (await box.control("POST", "seed", {"items": [docs]})).json()["items"][0]
    user = await box.app_user()
    return Shared(
        await box.token(),
        seeded["id"],
        seeded["items"][1]["id"],
        seeded["items"][0]["id"],
        user,
        await box.token(user),
    )


async def join(box: BoxCaller, shared: Shared, role: str, **more: Any) -> str:
    """Let the user into Docs; the id of the collaboration."""
    answer = await box.invite(shared.owner, shared.docs, role, user=shared.user, **more)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def listed(box: BoxCaller, token: str, folder: str = "0") -> list[str]:
    answer = await box.call(token, "GET", f"/2.0/folders/{folder}/items")
    assert answer.status_code == 200, answer.text
    return [entry["name"] for entry in answer.json()["entries"]]


async def test_a_shared_folder_is_in_the_others_root_and_below_it(
    box: BoxCaller, shared: Shared
) -> None:
    await box.folder(shared.token, "Mine")
    assert await listed(box, shared.token) == ["Mine"]
    answer = await box.invite(shared.owner, shared.docs, "viewer", user=shared.user)
    assert answer.json()["status"] == "accepted"
    assert answer.json()["accessible_by"]["id"] == shared.user
    assert answer.json()["item"]["id"] == shared.docs
    assert await listed(box, shared.token) == ["Docs", "Mine"]
    assert await listed(box, shared.token, shared.docs) == ["Inner", "a.txt"]
    file = (await box.call(shared.token, "GET", f"/2.0/files/{shared.file}")).json()
    path = [each["name"] for each in file["path_collection"]["entries"]]
    assert (path, file["parent"]["id"]) == (["All Files", "Docs"], shared.docs)
    me = (await box.call(shared.owner, "GET", "/2.0/users/me")).json()["id"]
    assert file["owned_by"]["id"] == me
    query = "/2.0/folders/0/items?fields=has_collaborations"
    root = (await box.call(shared.token, "GET", query)).json()["entries"]
    assert [each["has_collaborations"] for each in root] == [True, False]


class Attempt(NamedTuple):
    method: str
    path: str
    body: dict[str, Any] | None = None


ATTEMPTS = {
    "look": Attempt("GET", "folders/{docs}/items"),
    "download": Attempt("GET", "files/{file}/content"),
    "make": Attempt("POST", "folders", {"name": "N", "parent": {"id": "{docs}"}}),
    "share": Attempt("PUT", "files/{file}", {"shared_link": {}}),
    "rename": Attempt("PUT", "files/{file}", {"name": "b"}),
    "invite": Attempt(
        "POST",
        "collaborations",
        {
            "item": {"type": "folder", "id": "{inner}"},
            "accessible_by": {"type": "user", "login": "x@y.example"},
            "role": "viewer",
        },
    ),
    "delete": Attempt("DELETE", "files/{file}"),
}
ROLES = {
    "previewer": {"look"},
    "uploader": {"look", "make"},
    "previewer uploader": {"look", "make"},
    "viewer": {"look", "download", "share"},
    "viewer uploader": {"look", "download", "share", "make"},
    "editor": set(ATTEMPTS),
    "co-owner": set(ATTEMPTS),
}


def filled(value: Any, shared: Shared) -> Any:
    if isinstance(value, str):
        return value.format(**shared._asdict())
    if isinstance(value, dict):
        return {name: filled(inner, shared) for name, inner in value.items()}
    return value


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_allows_what_box_says_of_it_and_no_more(
    box: BoxCaller, shared: Shared, role: str
) -> None:
    await join(box, shared, role)
    for name, attempt in ATTEMPTS.items():
        answer = await box.call(
            shared.token,
            attempt.method,
            f"/2.0/{filled(attempt.path, shared)}",
            json=filled(attempt.body, shared),
        )
        assert (answer.status_code < 400) == (name in ROLES[role]), name
        if answer.status_code >= 400:
            code = answer.json()["code"]
            assert code == "access_denied_insufficient_permissions"


async def test_permissions_tell_the_role(box: BoxCaller, shared: Shared) -> None:
    await join(box, shared, "viewer")
    path = f"/2.0/folders/{shared.docs}?fields=permissions"
    shown = (await box.call(shared.token, "GET", path)).json()["permissions"]
    assert (shown["can_download"], shown["can_upload"]) == (True, False)


async def test_a_group_lets_its_members_in_as_long_as_they_are_members(
    box: BoxCaller, shared: Shared
) -> None:
    group = (await box.create(shared.owner, "groups", name="Staff"))["id"]
    made = await box.invite(shared.owner, shared.docs, "editor", group=group)
    assert made.json()["accessible_by"]["type"] == "group"
    assert await listed(box, shared.token) == []
    membership = await box.create(
        shared.owner, "group_memberships", user={"id": shared.user}, group={"id": group}
    )
    assert await listed(box, shared.token) == ["Docs"]
    path = f"/2.0/group_memberships/{membership['id']}"
    await box.call(shared.owner, "DELETE", path)
    assert await listed(box, shared.token) == []
    of_group = await box.call(
        shared.owner, "GET", f"/2.0/groups/{group}/collaborations"
    )
    assert of_group.json()["total_count"] == 1


async def test_a_file_is_shared_alone(box: BoxCaller, shared: Shared) -> None:
    answer = await box.invite(
        shared.owner, shared.file, "viewer", user=shared.user, kind="file"
    )
    assert answer.status_code == 201
    assert await listed(box, shared.token) == ["a.txt"]
    hidden = await box.call(shared.token, "GET", f"/2.0/folders/{shared.docs}")
    assert hidden.status_code == 404
    path = f"/2.0/files/{shared.file}/collaborations"
    on_file = (await box.call(shared.owner, "GET", path)).json()
    assert [c["id"] for c in on_file["entries"]] == [answer.json()["id"]]


async def test_of_two_shared_folders_the_outer_one_is_in_the_root(
    box: BoxCaller, shared: Shared
) -> None:
    await box.invite(shared.owner, shared.inner, "editor", user=shared.user)
    assert await listed(box, shared.token) == ["Inner"]
    outer = await join(box, shared, "viewer")
    assert await listed(box, shared.token) == ["Docs"]
    # The rights add up below.
    await box.folder(shared.token, "New", shared.inner)
    await box.call(shared.owner, "DELETE", f"/2.0/collaborations/{outer}")
    assert await listed(box, shared.token) == ["Inner"]


async def test_access_only_keeps_it_out_of_the_root(
    box: BoxCaller, shared: Shared
) -> None:
    await join(box, shared, "viewer", is_access_only=True)
    assert await listed(box, shared.token) == []
    assert await listed(box, shared.token, shared.docs) == ["Inner", "a.txt"]


async def test_what_a_collaborator_makes_belongs_to_the_folders_owner(
    box: BoxCaller, shared: Shared
) -> None:
    await join(box, shared, "editor")
    answer = await box.upload(shared.token, b"x", "b.txt", shared.docs)
    file = answer.json()["entries"][0]
    assert file["created_by"]["id"] == shared.user
    assert file["owned_by"]["id"] != shared.user
    assert "b.txt" in await listed(box, shared.owner, shared.docs)


async def test_quota_counts_against_the_folders_owner(box: BoxCaller) -> None:
    host, guest = await box.app_user(space_amount=3), await box.app_user("Eve")
    hosts, guests = await box.token(host), await box.token(guest)
    folder = await box.folder(hosts, "Small")
    await box.invite(hosts, folder, "editor", user=guest)
    refused = await box.upload(guests, b"abcd", "b.txt", folder)
    assert refused.json()["code"] == "storage_limit_exceeded"
    assert (await box.upload(guests, b"abcd", "b.txt")).status_code == 201


@pytest.mark.parametrize("status", [400, 409])
async def test_a_second_invitation_is_refused_with_the_status_that_is_set(
    box: BoxCaller, shared: Shared, status: int
) -> None:
    await box.settings(duplicate_collaboration_status=status)
    await join(box, shared, "viewer")
    again = await box.invite(shared.owner, shared.docs, "editor", user=shared.user)
    assert (again.status_code, again.json()["code"]) == (
        status,
        "user_already_collaborator",
    )


async def test_the_owner_is_a_collaborator_already(
    box: BoxCaller, shared: Shared
) -> None:
    folder = await box.folder(shared.token, "Mine")
    refused = await box.invite(shared.token, folder, "editor", user=shared.user)
    assert refused.json()["code"] == "user_already_collaborator"


async def test_a_root_has_no_collaborations(box: BoxCaller, shared: Shared) -> None:
    refused = await box.invite(shared.owner, "0", "editor", user=shared.user)
    assert refused.status_code == 400
    code = refused.json()["code"]
    assert code == "collaborations_not_available_on_root_folder"


async def test_refusals_of_an_invitation(box: BoxCaller, shared: Shared) -> None:
    stranger = await box.invite(shared.token, shared.docs, "viewer", user=shared.user)
    assert stranger.status_code == 404
    nobody = await box.invite(shared.owner, shared.docs, "viewer", user="1")
    assert nobody.status_code == 404
    role = await box.invite(shared.owner, shared.docs, "owner", user=shared.user)
    assert role.status_code == 400
    await join(box, shared, "editor")
    eve = await box.app_user("Eve")
    above = await box.invite(shared.token, shared.docs, "co-owner", user=eve)
    assert above.json()["code"] == "access_denied_insufficient_permissions"
    await box.settings(information_barrier=True)
    barred = await box.invite(shared.owner, shared.docs, "viewer", user=eve)
    assert (barred.status_code, barred.json()["code"]) == (403, "forbidden_by_policy")


async def test_an_address_that_nobody_has_is_a_pending_invitation(
    box: BoxCaller, shared: Shared
) -> None:
    grantee = {"type": "user", "login": "out@side.example"}
    answer = await box.invite(
        shared.owner, shared.docs, "viewer", accessible_by=grantee
    )
    made = answer.json()
    assert (made["status"], made["invite_email"]) == ("pending", "out@side.example")
    path = f"/2.0/folders/{shared.docs}/collaborations"
    shown = (await box.call(shared.owner, "GET", path)).json()
    assert [c["id"] for c in shown["entries"]] == [made["id"]]
    assert "total_count" not in shown


async def test_a_login_is_found_and_outsiders_can_be_kept_out(
    box: BoxCaller, shared: Shared
) -> None:
    login = (await box.call(shared.token, "GET", "/2.0/users/me")).json()["login"]
    grantee = {"type": "user", "login": login.upper()}
    made = await box.invite(shared.owner, shared.docs, "viewer", accessible_by=grantee)
    assert made.json()["accessible_by"]["id"] == shared.user
    path = f"/2.0/users/{shared.user}"
    await box.call(
        shared.owner, "PUT", path, json={"is_external_collab_restricted": True}
    )
    mine = await box.folder(shared.token, "Mine")
    outside = {"type": "user", "login": "out@side.example"}
    refused = await box.invite(shared.token, mine, "viewer", accessible_by=outside)
    assert refused.json()["code"] == "external_collaboration_restricted"


async def test_a_pending_invitation_lets_in_once_accepted(
    box: BoxCaller, shared: Shared
) -> None:
    await box.settings(collaboration_status="pending")
    path = f"/2.0/collaborations/{await join(box, shared, 'viewer')}"
    assert await listed(box, shared.token) == []
    waiting = await box.call(shared.token, "GET", "/2.0/collaborations?status=pending")
    assert waiting.json()["total_count"] == 1
    foreign = await box.call(shared.owner, "PUT", path, json={"status": "accepted"})
    assert (foreign.status_code, foreign.json()["code"]) == (400, "invalid_status")
    accepted = await box.call(shared.token, "PUT", path, json={"status": "accepted"})
    assert accepted.json()["status"] == "accepted"
    assert await listed(box, shared.token) == ["Docs"]


async def test_a_role_is_changed_and_a_collaboration_ended(
    box: BoxCaller, shared: Shared
) -> None:
    path = f"/2.0/collaborations/{await join(box, shared, 'viewer')}"
    by_self = await box.call(shared.token, "PUT", path, json={"role": "editor"})
    assert by_self.status_code == 403
    changed = await box.call(shared.owner, "PUT", path, json={"role": "editor"})
    assert changed.json()["role"] == "editor"
    await box.folder(shared.token, "New", shared.docs)
    assert (await box.call(shared.owner, "DELETE", path)).status_code == 204
    assert await listed(box, shared.token) == []
    assert (await box.call(shared.owner, "GET", path)).status_code == 404


async def test_one_may_leave(box: BoxCaller, shared: Shared) -> None:
    path = f"/2.0/collaborations/{await join(box, shared, 'previewer')}"
    assert (await box.call(shared.token, "DELETE", path)).status_code == 204
    assert await listed(box, shared.token) == []


async def test_an_expired_collaboration_lets_nobody_in(
    box: BoxCaller, shared: Shared
) -> None:
    await join(box, shared, "viewer", expires_at="2001-01-01T00:00:00Z")
    assert await listed(box, shared.token) == []
    refused = await box.invite(
        shared.owner, shared.inner, "viewer", user=shared.user, expires_at="soon"
    )
    assert refused.status_code == 400


async def test_a_new_owner_gets_the_folder_and_the_old_one_stays_in(
    box: BoxCaller, shared: Shared
) -> None:
    path = f"/2.0/collaborations/{await join(box, shared, 'editor')}"
    given = await box.call(shared.owner, "PUT", path, json={"role": "owner"})
    assert given.status_code == 204
    folder = await box.call(shared.owner, "GET", f"/2.0/folders/{shared.docs}")
    assert folder.json()["owned_by"]["id"] == shared.user
    assert await listed(box, shared.owner) == ["Docs"]
    assert await listed(box, shared.token) == ["Docs"]


async def test_a_folder_token_reaches_into_what_is_shared(
    box: BoxCaller, shared: Shared
) -> None:
    await join(box, shared, "viewer")
    narrow = await box.downscoped(
        shared.token, "base_explorer item_upload", f"folders/{shared.docs}"
    )
    assert await listed(box, narrow, shared.docs) == ["Inner", "a.txt"]
    folder = await box.call(narrow, "GET", f"/2.0/folders/{shared.docs}")
    assert folder.json()["path_collection"]["entries"] == []
    # The scope says yes, the role says no.
    body = {"name": "N", "parent": {"id": shared.docs}}
    refused = await box.call(narrow, "POST", "/2.0/folders", json=body)
    assert refused.json()["code"] == "access_denied_insufficient_permissions"
    invite = await box.invite(narrow, shared.docs, "viewer", user=shared.user)
    assert (invite.status_code, invite.content) == (403, b"")


async def test_a_deleted_folder_takes_its_collaborations_along(
    box: BoxCaller, shared: Shared
) -> None:
    made = await join(box, shared, "viewer")
    await box.call(shared.owner, "DELETE", f"/2.0/folders/{shared.docs}?recursive=true")
    gone = await box.call(shared.owner, "GET", f"/2.0/collaborations/{made}")
    assert gone.status_code == 404
    assert await listed(box, shared.token) == []


@pytest.mark.parametrize(
    ("status", "allowed"),
    [("cannot_delete_edit", {201}), ("cannot_delete_edit_upload", {403})],
)
async def test_a_restricted_user_cannot_change_even_own_things(
    box: BoxCaller, status: str, allowed: set[int]
) -> None:
    user = await box.app_user()
    token = await box.token(user)
    folder = await box.folder(token, "Mine")
    await box.call(
        await box.token(), "PUT", f"/2.0/users/{user}", json={"status": status}
    )
    path = f"/2.0/folders/{folder}"
    assert (await box.call(token, "DELETE", path)).status_code == 403
    assert (await box.call(token, "PUT", path, json={"name": "B"})).status_code == 403
    assert (await box.upload(token, b"x")).status_code in allowed

"""A downscoped token can do what its scopes and resource say, and no more."""

from typing import Any, NamedTuple

import pytest

from tests.support.box_caller import ACCESS_TOKEN, BoxCaller


class Content(NamedTuple):
    """One user with Docs/{a.txt, Inner} and Private."""

    user: str
    token: str
    docs: str
    inner: str
    file: str
    private: str


@pytest.fixture
async def content(box: BoxCaller) -> Content:
    inside = [
        {"type": "file", "name": "a.txt", "content": "hello"},
        {"type": "folder", "name": "Inner"},
    ]
    items = [
        {"type": "folder", "name": "Docs", "items": inside},
        {"type": "folder", "name": "Private"},
    ]
    seeded = await box.control("POST", "seed", {"users": [{"items": items}]})
    user = seeded.json()["users"][0]
    docs, private = user["items"]
    file, inner = docs["items"]
    return Content(
        user["id"],
        await box.token(user["id"]),
        docs["id"],
        inner["id"],
        file["id"],
        private["id"],
    )


async def test_the_answer_lists_each_scope_with_its_object(
    box: BoxCaller, content: Content
) -> None:
    answer = await box.exchange(
        content.token, "item_preview base_explorer", f"folders/{content.docs}"
    )
    body = answer.json()
    assert body["access_token"].startswith("1!")
    assert body["issued_token_type"] == ACCESS_TOKEN
    docs = {
        "type": "folder",
        "id": content.docs,
        "sequence_id": "0",
        "etag": "0",
        "name": "Docs",
    }
    assert body["restricted_to"] == [
        {"scope": "base_explorer", "object": docs},
        {"scope": "item_preview", "object": docs},
    ]


async def test_without_a_resource_only_scopes_are_listed(
    box: BoxCaller, content: Content
) -> None:
    body = (await box.exchange(content.token, "base_explorer")).json()
    assert body["restricted_to"] == [{"scope": "base_explorer"}]


class Attempt(NamedTuple):
    """A call, the one scope that is enough for it, and one that is not."""

    method: str
    path: str
    enough: str
    too_little: str = "base_sidebar"
    body: dict[str, Any] | None = None


ATTEMPTS = {
    "list a folder": Attempt("GET", "/2.0/folders/{docs}/items", "base_explorer"),
    "see a file": Attempt("GET", "/2.0/files/{file}", "base_preview", "item_delete"),
    "download": Attempt(
        "GET", "/2.0/files/{file}/content", "item_download", "item_preview"
    ),
    "preview": Attempt(
        "GET", "/2.0/files/{file}/content?preview=true", "base_preview", "base_explorer"
    ),
    "rename": Attempt(
        "PUT", "/2.0/files/{file}", "item_rename", "item_delete", {"name": "b"}
    ),
    "delete a file": Attempt("DELETE", "/2.0/files/{file}", "item_delete"),
    "delete a folder": Attempt("DELETE", "/2.0/folders/{inner}", "item_delete"),
    "make a folder": Attempt(
        "POST",
        "/2.0/folders",
        "item_upload",
        "item_rename",
        {"name": "New", "parent": {"id": "0"}},
    ),
    "move": Attempt(
        "PUT",
        "/2.0/files/{file}",
        "root_readwrite",
        "item_rename",
        {"parent": {"id": "0"}},
    ),
    "share": Attempt(
        "PUT", "/2.0/files/{file}", "item_share", "item_rename", {"shared_link": {}}
    ),
    "copy": Attempt(
        "POST",
        "/2.0/files/{file}/copy",
        "root_readwrite",
        "item_upload",
        {"parent": {"id": "{private}"}},
    ),
    "search": Attempt("GET", "/2.0/search?query=a", "base_explorer"),
    "see who is in": Attempt(
        "GET", "/2.0/folders/{docs}/collaborations", "base_explorer"
    ),
    "invite": Attempt(
        "POST",
        "/2.0/collaborations",
        "root_readwrite",
        "item_share",
        {
            "item": {"type": "folder", "id": "{docs}"},
            "accessible_by": {"type": "user", "login": "a@b.example"},
            "role": "viewer",
        },
    ),
}


def filled(value: Any, content: Content) -> Any:
    if isinstance(value, dict):
        return {name: filled(inner, content) for name, inner in value.items()}
    return value.format(**content._asdict()) if isinstance(value, str) else value


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS.keys())
async def test_an_operation_needs_its_scope(
    box: BoxCaller, content: Content, attempt: Attempt
) -> None:
    path, body = filled(attempt.path, content), filled(attempt.body, content)
    without = await box.downscoped(content.token, attempt.too_little)
    refused = await box.call(without, attempt.method, path, json=body)
    assert (refused.status_code, refused.content) == (403, b"")
    assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]
    holder = await box.downscoped(content.token, attempt.enough)
    done = await box.call(holder, attempt.method, path, json=body)
    assert done.status_code < 400


async def test_a_folder_token_sees_the_folder_and_below_and_404_elsewhere(
    box: BoxCaller, content: Content
) -> None:
    token = await box.downscoped(
        content.token, "base_explorer item_download", f"folders/{content.docs}"
    )
    for seen in (
        f"folders/{content.docs}",
        f"folders/{content.inner}/items",
        f"files/{content.file}",
    ):
        assert (await box.call(token, "GET", f"/2.0/{seen}")).status_code == 200
    for hidden in ("folders/0", "folders/0/items", f"folders/{content.private}"):
        answer = await box.call(token, "GET", f"/2.0/{hidden}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_a_file_token_sees_that_file_alone(
    box: BoxCaller, content: Content
) -> None:
    token = await box.downscoped(
        content.token, "base_explorer base_preview", f"files/{content.file}"
    )
    seen = await box.call(token, "GET", f"/2.0/files/{content.file}")
    assert seen.json()["path_collection"] == {"total_count": 0, "entries": []}
    assert seen.json()["parent"] is None
    hidden = await box.call(token, "GET", f"/2.0/folders/{content.docs}")
    assert hidden.status_code == 404


async def test_a_file_token_moves_the_file_nowhere(
    box: BoxCaller, content: Content
) -> None:
    token = await box.downscoped(
        content.token, "root_readwrite", f"files/{content.file}"
    )
    for folder in (content.docs, content.private, "0"):
        body = {"parent": {"id": folder}}
        moved = await box.call(token, "PUT", f"/2.0/files/{content.file}", json=body)
        assert moved.status_code == 404


async def test_permissions_follow_the_scopes(box: BoxCaller, content: Content) -> None:
    token = await box.downscoped(content.token, "base_explorer item_download")
    answer = await box.call(
        token, "GET", f"/2.0/files/{content.file}?fields=permissions"
    )
    shown = answer.json()["permissions"]
    assert (shown["can_download"], shown["can_delete"]) == (True, False)


@pytest.mark.parametrize(
    "resource", ["folders/424242", "files/{docs}", "folders/{file}", "web_links/1"]
)
async def test_a_resource_the_user_cannot_see_is_invalid(
    box: BoxCaller, content: Content, resource: str
) -> None:
    named = resource.format(**content._asdict())
    refused = await box.exchange(content.token, "base_explorer", named)
    assert refused.status_code == 400
    assert refused.json() == {
        "error": "invalid_resource",
        "error_description": "The target resource is invalid.",
    }


async def test_somebody_elses_resource_is_invalid(
    box: BoxCaller, content: Content
) -> None:
    other = await box.token(await box.app_user("Eve"))
    for token in (other, await box.token()):
        refused = await box.exchange(token, "base_explorer", f"folders/{content.docs}")
        assert refused.json()["error"] == "invalid_resource"


@pytest.mark.parametrize(
    ("base", "status"),
    [
        ("https://api.box.com/2.0", 200),
        ("http://box/2.0", 200),
        ("https://evil.example/2.0", 400),
        ("https://api.box.com", 400),
        ("https://api.box.com/2.0/x", 400),
    ],
)
async def test_a_resource_is_named_by_boxs_address_or_the_emulators_own(
    box: BoxCaller, content: Content, base: str, status: int
) -> None:
    resource = f"{base}/folders/{content.docs}"
    answer = await box.exchange(content.token, "base_explorer", resource)
    assert answer.status_code == status


async def test_an_unknown_scope_is_refused(box: BoxCaller, content: Content) -> None:
    refused = await box.exchange(content.token, "base_explorer root_everything")
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_scope")


@pytest.mark.parametrize("scope", [None, "", "  "])
async def test_without_a_scope_nothing_is_narrowed(
    box: BoxCaller, content: Content, scope: str | None
) -> None:
    body = (await box.exchange(content.token, scope)).json()
    assert body["restricted_to"] == []
    deleted = await box.call(
        body["access_token"], "DELETE", f"/2.0/files/{content.file}"
    )
    assert deleted.status_code == 204


async def test_a_narrow_token_can_only_be_narrowed_further(
    box: BoxCaller, content: Content
) -> None:
    narrow = await box.downscoped(
        content.token, "base_explorer item_download", f"folders/{content.docs}"
    )
    wider = await box.exchange(narrow, "item_delete")
    assert wider.json()["error"] == "invalid_scope"
    elsewhere = await box.exchange(
        narrow, "base_explorer", f"folders/{content.private}"
    )
    assert elsewhere.json()["error"] == "invalid_resource"
    child = await box.downscoped(narrow, "item_download", f"files/{content.file}")
    listed = await box.call(child, "GET", f"/2.0/folders/{content.docs}")
    assert listed.status_code == 403
    same_place = await box.exchange(narrow, "base_explorer")
    assert same_place.json()["restricted_to"][0]["object"]["id"] == content.docs
    await box.settings(exchange_again="refuse")
    assert (await box.exchange(narrow, "base_explorer")).status_code == 400


async def test_ignored_scope_grants_all_and_says_so(
    box: BoxCaller, content: Content
) -> None:
    await box.settings(ignore_scope=True)
    body = (await box.exchange(content.token, "base_explorer")).json()
    assert body["restricted_to"] == []
    gone = await box.call(body["access_token"], "DELETE", f"/2.0/files/{content.file}")
    assert gone.status_code == 204


async def test_ignored_resource_reaches_everything_and_says_so(
    box: BoxCaller, content: Content
) -> None:
    await box.settings(ignore_resource=True)
    answer = await box.exchange(
        content.token, "base_explorer", f"folders/{content.docs}"
    )
    assert answer.json()["restricted_to"] == [{"scope": "base_explorer"}]
    token = answer.json()["access_token"]
    assert (await box.call(token, "GET", "/2.0/folders/0")).status_code == 200


async def test_an_extra_scope_is_granted_and_listed(
    box: BoxCaller, content: Content
) -> None:
    await box.settings(grant_extra_scope="item_delete")
    body = (await box.exchange(content.token, "base_explorer")).json()
    assert [entry["scope"] for entry in body["restricted_to"]] == [
        "base_explorer",
        "item_delete",
    ]


async def test_a_dead_subject_token_is_refused(
    box: BoxCaller, content: Content
) -> None:
    await box.http.post("/oauth2/revoke", data={**box.client, "token": content.token})
    refused = await box.exchange(content.token, "base_explorer")
    assert refused.status_code == 400
    assert "subject_token" in refused.json()["error_description"]


async def test_children_outlive_a_revoked_parent_unless_set_otherwise(
    box: BoxCaller, content: Content
) -> None:
    for revoke_children, status in ((False, 200), (True, 401)):
        await box.settings(revoke_children=revoke_children)
        parent = await box.token(content.user)
        child = await box.downscoped(parent, "base_explorer")
        await box.http.post("/oauth2/revoke", data={**box.client, "token": parent})
        assert (await box.call(child, "GET", "/2.0/folders/0")).status_code == status


async def test_a_shared_link_exchange_is_loudly_not_emulated(
    box: BoxCaller, content: Content
) -> None:
    answer = await box.exchange(
        content.token, "base_preview", box_shared_link="https://app.box.com/s/x"
    )
    assert (answer.status_code, answer.json()["code"]) == (501, "not_emulated")


async def test_a_narrow_token_manages_no_users(
    box: BoxCaller, content: Content
) -> None:
    narrow = await box.downscoped(content.token, "base_explorer")
    assert (await box.call(narrow, "GET", "/2.0/users")).status_code == 403
    full = await box.call(content.token, "GET", "/2.0/users")
    assert full.json()["code"] == "access_denied_insufficient_permissions"

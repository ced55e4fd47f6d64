"""Folders and files as Box's API has them, each user in a tree of their own."""

import hashlib
import json
from typing import Any

import httpx
import pytest

from tests.support.box_caller import BoxCaller


@pytest.fixture
async def token(box: BoxCaller) -> str:
    return await box.token(await box.app_user())


async def make_folder(
    box: BoxCaller, token: str, name: str, parent: str = "0"
) -> httpx.Response:
    body = {"name": name, "parent": {"id": parent}}
    return await box.call(token, "POST", "/2.0/folders", json=body)


async def folder_id(box: BoxCaller, token: str, name: str, parent: str = "0") -> str:
    answer = await make_folder(box, token, name, parent)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def names(box: BoxCaller, token: str, folder: str = "0", **query: Any) -> Any:
    answer = await box.call(token, "GET", f"/2.0/folders/{folder}/items", params=query)
    return [entry["name"] for entry in answer.json()["entries"]]


async def test_everyone_has_a_root_of_their_own(box: BoxCaller, token: str) -> None:
    await folder_id(box, token, "Mine")
    other = await box.token(await box.app_user("Eve"))
    root = (await box.call(token, "GET", "/2.0/folders/0")).json()
    assert (root["id"], root["name"], root["etag"]) == ("0", "All Files", None)
    assert root["item_collection"]["total_count"] == 1
    assert await names(box, other) == []
    assert await names(box, await box.token()) == []


async def test_a_folder_is_hidden_from_all_but_its_owner(
    box: BoxCaller, token: str
) -> None:
    folder = await folder_id(box, token, "Mine")
    other = await box.token(await box.app_user("Eve"))
    for stranger in (other, await box.token()):
        answer = await box.call(stranger, "GET", f"/2.0/folders/{folder}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        gone = await box.call(stranger, "DELETE", f"/2.0/folders/{folder}")
        assert gone.status_code == 404


async def test_a_taken_folder_name_conflicts_with_an_array(
    box: BoxCaller, token: str
) -> None:
    folder = await folder_id(box, token, "Docs")
    refused = await make_folder(box, token, "docs")
    assert (refused.status_code, refused.json()["code"]) == (409, "item_name_in_use")
    (conflict,) = refused.json()["context_info"]["conflicts"]
    assert (conflict["id"], conflict["type"]) == (folder, "folder")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "bad_request"),
        ("a/b", "item_name_invalid"),
        ("a\\b", "item_name_invalid"),
        (" a", "item_name_invalid"),
        ("a ", "item_name_invalid"),
        ("..", "item_name_invalid"),
        ("a\tb", "item_name_invalid"),
        ("a" * 256, "item_name_too_long"),
    ],
)
async def test_names_follow_boxs_rules(
    box: BoxCaller, token: str, name: str, code: str
) -> None:
    refused = await make_folder(box, token, name)
    assert (refused.status_code, refused.json()["code"]) == (400, code)


async def test_listings_put_folders_first_and_sort_within(
    box: BoxCaller, token: str
) -> None:
    await box.upload(token, b"1", "a.txt")
    await box.upload(token, b"22", "C.txt")
    await folder_id(box, token, "z")
    await folder_id(box, token, "B")
    assert await names(box, token) == ["B", "z", "a.txt", "C.txt"]
    assert await names(box, token, sort="name", direction="DESC") == [
        "z",
        "B",
        "C.txt",
        "a.txt",
    ]
    assert await names(box, token, limit=2, offset=1) == ["z", "a.txt"]
    by_size = await names(box, token, sort="size", direction="desc")
    assert by_size[2:] == ["C.txt", "a.txt"]
    assert await names(box, token, sort="x", direction="x") == await names(box, token)


async def test_listings_turn_pages_by_marker(box: BoxCaller, token: str) -> None:
    for name in "abc":
        await folder_id(box, token, name)
    path = "/2.0/folders/0/items?usemarker=true&limit=2"
    first = (await box.call(token, "GET", path)).json()
    second = (
        await box.call(token, "GET", f"{path}&marker={first['next_marker']}")
    ).json()
    shown = [entry["name"] for page in (first, second) for entry in page["entries"]]
    assert (shown, second["next_marker"]) == (["a", "b", "c"], "")


async def test_a_folder_asked_for_fields_lists_items_with_them(
    box: BoxCaller, token: str
) -> None:
    await box.upload(token, b"abc")
    fields = "name,size,permissions,path_collection,item_collection"
    answer = await box.call(token, "GET", f"/2.0/folders/0?fields={fields}")
    collection = answer.json()["item_collection"]
    (entry,) = collection["entries"]
    assert entry["size"] == 3
    assert entry["permissions"]["can_preview"] is True
    assert entry["path_collection"]["entries"][0]["id"] == "0"
    assert (collection["offset"], collection["limit"]) == (0, 100)


async def test_folders_are_renamed_moved_and_deleted(
    box: BoxCaller, token: str
) -> None:
    outer = await folder_id(box, token, "Outer")
    inner = await folder_id(box, token, "Inner")
    moved = await box.call(
        token,
        "PUT",
        f"/2.0/folders/{inner}",
        json={"name": "Deep", "parent": {"id": outer}},
    )
    assert moved.json()["parent"]["id"] == outer
    assert await names(box, token, outer) == ["Deep"]
    path = f"/2.0/folders/{outer}"
    into_itself = await box.call(token, "PUT", path, json={"parent": {"id": inner}})
    assert into_itself.json()["code"] == "cyclical_folder_structure"
    refused = await box.call(token, "DELETE", path)
    assert (refused.status_code, refused.json()["code"]) == (400, "folder_not_empty")
    assert (await box.call(token, "DELETE", f"{path}?recursive=true")).status_code == (
        204
    )
    assert (await box.call(token, "GET", f"/2.0/folders/{inner}")).status_code == 404


async def test_names_come_back_as_they_went(box: BoxCaller, token: str) -> None:
    for name in ("50% off & más", "日本語+1", "a%2Fb", "#?=;"):
        folder = await folder_id(box, token, name)
        encoded = "".join(f"%{ord(digit):02x}" for digit in folder)
        shown = await box.call(token, "GET", f"/2.0/folders/{encoded}?fields=name")
        assert shown.json()["name"] == name


async def test_an_old_etag_is_refused(box: BoxCaller, token: str) -> None:
    path = f"/2.0/folders/{await folder_id(box, token, 'A')}"
    for status, name in ((200, "B"), (412, "C")):
        answer = await box.call(
            token, "PUT", path, json={"name": name}, headers={"if-match": "0"}
        )
        assert answer.status_code == status
    unchanged = await box.call(token, "GET", path, headers={"if-none-match": "1"})
    assert unchanged.status_code == 304


async def test_a_root_is_neither_renamed_nor_deleted(
    box: BoxCaller, token: str
) -> None:
    renamed = await box.call(token, "PUT", "/2.0/folders/0", json={"name": "x"})
    assert renamed.status_code == 403
    gone = await box.call(token, "DELETE", "/2.0/folders/0?recursive=true")
    assert gone.status_code == 403


async def test_what_is_uploaded_comes_down_by_a_redirect(
    box: BoxCaller, token: str
) -> None:
    content = bytes(range(256)) * 10
    sha1 = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    answer = await box.upload(token, content, **{"content-md5": sha1})
    assert answer.status_code == 201
    (file,) = answer.json()["entries"]
    assert (file["sha1"], file["size"]) == (sha1, 2560)
    redirect = await box.call(token, "GET", f"/2.0/files/{file['id']}/content")
    assert redirect.status_code == 302
    assert token not in redirect.headers["location"]
    assert (await box.http.get(redirect.headers["location"])).content == content
    part = await box.http.get(
        redirect.headers["location"], headers={"range": "bytes=1-3"}
    )
    assert (part.status_code, part.content) == (206, content[1:4])
    await box.settings(clock_offset_s=901)
    late = await box.http.get(redirect.headers["location"])
    assert late.status_code == 404


async def test_a_download_takes_its_token_from_the_query_too(
    box: BoxCaller, token: str
) -> None:
    file = (await box.upload(token, b"x")).json()["entries"][0]["id"]
    path = f"/2.0/files/{file}/content?access_token={token}"
    assert (await box.http.get(path)).status_code == 302
    elsewhere = await box.http.get(f"/2.0/files/{file}?access_token={token}")
    assert elsewhere.status_code == 401


async def test_a_wrong_digest_is_refused(box: BoxCaller, token: str) -> None:
    refused = await box.upload(token, b"x", **{"content-md5": "0" * 40})
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_digest")
    assert await names(box, token) == []


async def test_attributes_must_come_before_the_file(box: BoxCaller, token: str) -> None:
    attributes = json.dumps({"name": "a", "parent": {"id": "0"}}).encode()
    parts = [("file", ("a", b"x")), ("attributes", (None, attributes))]
    refused = await box.call(token, "POST", "/api/2.0/files/content", files=parts)
    assert refused.json()["code"] == "metadata_after_file_contents"


async def test_a_taken_file_name_conflicts_with_one_object(
    box: BoxCaller, token: str
) -> None:
    file = (await box.upload(token, b"x")).json()["entries"][0]
    refused = await box.upload(token, b"y")
    assert refused.status_code == 409
    conflict = refused.json()["context_info"]["conflicts"]
    assert (conflict["id"], conflict["sha1"]) == (file["id"], file["sha1"])


async def test_an_unknown_parent_is_named(box: BoxCaller, token: str) -> None:
    refused = await box.upload(token, b"x", parent="123")
    assert refused.status_code == 404
    (reason,) = refused.json()["context_info"]["errors"]
    assert (reason["name"], "d_123" in reason["message"]) == ("parent", True)


async def test_storage_has_a_limit(box: BoxCaller) -> None:
    token = await box.token(await box.app_user(space_amount=3))
    assert (await box.upload(token, b"abc")).status_code == 201
    refused = await box.upload(token, b"d", "b.txt")
    assert refused.json()["code"] == "storage_limit_exceeded"


async def test_a_new_version_replaces_the_content_and_keeps_the_old(
    box: BoxCaller, token: str
) -> None:
    file = (await box.upload(token, b"one")).json()["entries"][0]
    parts = [
        ("attributes", (None, b'{"name": "a.txt"}')),
        ("file", ("a.txt", b"two")),
    ]
    path = f"/2.0/files/{file['id']}/content"
    answer = await box.call(token, "POST", f"/api{path}", files=parts)
    assert answer.status_code == 200
    for query, content in (
        ("", b"two"),
        (f"?version={file['file_version']['id']}", b"one"),
    ):
        redirect = await box.call(token, "GET", f"{path}{query}")
        assert (await box.http.get(redirect.headers["location"])).content == content


async def test_files_are_renamed_and_deleted(box: BoxCaller, token: str) -> None:
    first = (await box.upload(token, b"1", "a")).json()["entries"][0]["id"]
    await box.upload(token, b"2", "b")
    path = f"/2.0/files/{first}"
    assert (await box.call(token, "PUT", path, json={"name": "b"})).status_code == 409
    assert (await box.call(token, "PUT", path, json={"name": "c"})).status_code == 200
    assert await names(box, token) == ["b", "c"]
    assert (await box.call(token, "DELETE", path)).status_code == 204
    assert await names(box, token) == ["b"]


async def test_the_check_before_an_upload_tells_where_to_go_or_the_conflict(
    box: BoxCaller, token: str
) -> None:
    body = {"name": "a.txt", "size": 1, "parent": {"id": "0"}}
    free = await box.call(token, "OPTIONS", "/2.0/files/content", json=body)
    assert free.json() == {
        "upload_url": "http://box/api/2.0/files/content",
        "upload_token": None,
    }
    file = (await box.upload(token, b"x")).json()["entries"][0]["id"]
    taken = await box.call(token, "OPTIONS", "/2.0/files/content", json=body)
    assert taken.json()["context_info"]["conflicts"]["id"] == file
    version = await box.call(
        token, "OPTIONS", f"/2.0/files/{file}/content", json={"size": 1}
    )
    assert version.json()["upload_url"].endswith(f"/files/{file}/content")


async def test_what_is_not_emulated_is_loud(
    box: BoxCaller, token: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for method, path in (("GET", "/2.0/webhooks"), ("PATCH", "/2.0/folders/0")):
        answer = await box.call(token, method, path)
        assert (answer.status_code, answer.json()["code"]) == (501, "not_emulated")
        assert f"{method} {path}" in answer.json()["message"]
        assert f"{method} {path}" in capsys.readouterr().err

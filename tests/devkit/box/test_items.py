"""Copies, shared links, search, limits: what pages with UI Elements do with items."""

import json
from typing import Any

import pytest

from tests.support.box_caller import BoxCaller

EXPLORER_FIELDS = (
    "id,name,type,size,parent,extension,permissions,path_collection,modified_at,"
    "created_at,modified_by,has_collaborations,is_externally_owned,item_collection,"
    "authenticated_download_url,is_download_available,representations,url"
)


@pytest.fixture
async def token(box: BoxCaller) -> str:
    return await box.token(await box.app_user())


async def uploaded(box: BoxCaller, token: str, name: str, parent: str = "0") -> str:
    answer = await box.upload(token, b"hello", name, parent)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["entries"][0]["id"])


async def test_the_explorer_gets_what_it_asks_for(box: BoxCaller, token: str) -> None:
    folder = await box.folder(token, "Docs")
    file = await uploaded(box, token, "a.txt", folder)
    await box.folder(token, "Inner", folder)
    query = {"fields": EXPLORER_FIELDS, "limit": 50, "offset": 0}
    path = f"/2.0/folders/{folder}"
    shown = (await box.call(token, "GET", path, params=query)).json()
    listing = shown["item_collection"]
    assert (listing["total_count"], listing["offset"], listing["limit"]) == (2, 0, 50)
    inner, entry = listing["entries"]
    assert inner["permissions"]["can_upload"] is True
    assert entry["extension"] == "txt"
    assert entry["permissions"]["can_preview"] is True
    assert entry["path_collection"]["total_count"] == 2
    # Where a preview fetches the content, with the token in the query.
    url = f"{entry['authenticated_download_url']}?access_token={token}"
    assert url.startswith(f"http://box/2.0/files/{file}/content")
    redirect = await box.http.get(url)
    assert (await box.http.get(redirect.headers["location"])).content == b"hello"


async def test_a_file_is_copied_with_its_content(box: BoxCaller, token: str) -> None:
    file, folder = await uploaded(box, token, "a.txt"), await box.folder(token, "Docs")
    path = f"files/{file}/copy"
    made = await box.create(token, path, parent={"id": folder}, name="b.txt")
    assert (made["name"], made["parent"]["id"]) == ("b.txt", folder)
    original = (await box.call(token, "GET", f"/2.0/files/{file}")).json()
    assert made["sha1"] == original["sha1"]
    assert made["id"] != file
    unnamed = await box.create(token, path, parent={"id": folder})
    assert unnamed["name"] == "a.txt"


async def test_a_folder_is_copied_with_all_below(box: BoxCaller, token: str) -> None:
    docs = await box.folder(token, "Docs")
    inner = await box.folder(token, "Inner", docs)
    await uploaded(box, token, "a.txt", inner)
    made = await box.create(
        token, f"folders/{docs}/copy", parent={"id": "0"}, name="Copy"
    )
    (child,) = made["item_collection"]["entries"]
    assert child["name"] == "Inner"
    assert child["id"] != inner
    listed = await box.call(token, "GET", f"/2.0/folders/{child['id']}/items")
    assert [entry["name"] for entry in listed.json()["entries"]] == ["a.txt"]


async def test_a_copy_conflicts_with_one_object(box: BoxCaller, token: str) -> None:
    docs = await box.folder(token, "Docs")
    file = await uploaded(box, token, "a.txt")
    for path, taken in ((f"folders/{docs}/copy", docs), (f"files/{file}/copy", file)):
        body = {"parent": {"id": "0"}}
        refused = await box.call(token, "POST", f"/2.0/{path}", json=body)
        assert refused.status_code == 409
        assert refused.json()["context_info"]["conflicts"]["id"] == taken


async def test_a_folder_is_not_copied_into_itself_nor_the_root_at_all(
    box: BoxCaller, token: str
) -> None:
    docs = await box.folder(token, "Docs")
    inner = await box.folder(token, "Inner", docs)
    body = {"parent": {"id": inner}, "name": "Again"}
    refused = await box.call(token, "POST", f"/2.0/folders/{docs}/copy", json=body)
    assert refused.json()["code"] == "cyclical_folder_structure"
    root = await box.call(token, "POST", "/2.0/folders/0/copy", json=body)
    assert root.status_code == 500


async def test_a_shared_link_is_made_kept_and_taken_away(
    box: BoxCaller, token: str
) -> None:
    path = f"/2.0/files/{await uploaded(box, token, 'a.txt')}"
    body: dict[str, Any] = {"shared_link": {"access": "company", "password": "x"}}
    made = (await box.call(token, "PUT", path, json=body)).json()["shared_link"]
    assert (made["access"], made["is_password_enabled"]) == ("company", True)
    again = await box.call(token, "PUT", path, json={"shared_link": {}})
    assert again.json()["shared_link"]["url"] == made["url"]
    assert again.json()["shared_link"]["access"] == "company"
    bad = {"shared_link": {"access": "everybody"}}
    assert (await box.call(token, "PUT", path, json=bad)).status_code == 400
    gone = await box.call(token, "PUT", path, json={"shared_link": None})
    assert gone.json()["shared_link"] is None


async def test_search_finds_names_below_what_one_may_see(
    box: BoxCaller, token: str
) -> None:
    docs = await box.folder(token, "Docs")
    await uploaded(box, token, "Report.txt", docs)
    await uploaded(box, token, "report-2.txt")
    await box.folder(token, "Reports")
    await uploaded(box, await box.token(), "report of another.txt")

    async def found(query: str) -> list[str]:
        answer = await box.call(token, "GET", f"/2.0/search?query=report{query}")
        assert answer.json()["type"] == "search_results_items"
        return sorted(entry["name"] for entry in answer.json()["entries"])

    assert await found("") == ["Report.txt", "Reports", "report-2.txt"]
    assert await found("&type=folder") == ["Reports"]
    assert await found(f"&ancestor_folder_ids={docs}") == ["Report.txt"]
    missing = await box.call(token, "GET", "/2.0/search")
    assert (missing.status_code, missing.json()["code"]) == (400, "missing_parameter")
    narrow = await box.downscoped(token, "base_explorer", f"folders/{docs}")
    inside = await box.call(narrow, "GET", "/2.0/search?query=report")
    assert [e["name"] for e in inside.json()["entries"]] == ["Report.txt"]


async def test_recent_items_are_the_files_last_changed(
    box: BoxCaller, token: str
) -> None:
    docs = await box.folder(token, "Docs")
    old = await uploaded(box, token, "old.txt", docs)
    await box.settings(clock_offset_s=60)
    await uploaded(box, token, "new.txt")
    body = (await box.call(token, "GET", "/2.0/recent_items?fields=name")).json()
    assert [each["item"]["name"] for each in body["entries"]] == ["new.txt", "old.txt"]
    assert body["order"] == {"by": "interacted_at", "direction": "DESC"}
    narrow = await box.downscoped(token, "base_picker", f"folders/{docs}")
    inside = (await box.call(narrow, "GET", "/2.0/recent_items")).json()["entries"]
    assert [each["item"]["id"] for each in inside] == [old]


async def test_the_explorer_is_told_where_to_download_if_it_may(
    box: BoxCaller, token: str
) -> None:
    path = f"/2.0/files/{await uploaded(box, token, 'a.txt')}?fields=download_url"
    url = (await box.call(token, "GET", path)).json()["download_url"]
    assert (await box.http.get(url)).content == b"hello"
    narrow = await box.downscoped(token, "base_explorer item_preview")
    assert (await box.call(narrow, "GET", path)).json()["download_url"] is None


async def test_a_file_may_be_too_big(box: BoxCaller, token: str) -> None:
    await box.settings(max_upload_size=4)
    refused = await box.upload(token, b"hello")
    assert refused.json()["code"] == "file_size_limit_exceeded"
    check = {"name": "a", "size": 5, "parent": {"id": "0"}}
    asked = await box.call(token, "OPTIONS", "/2.0/files/content", json=check)
    assert asked.json()["code"] == "file_size_limit_exceeded"
    me = await box.call(token, "GET", "/2.0/users/me")
    assert me.json()["max_upload_size"] == 4


async def test_the_check_before_an_upload_knows_the_quota(box: BoxCaller) -> None:
    token = await box.token(await box.app_user(space_amount=4))
    for size, status in ((4, 200), (5, 403)):
        check = {"name": "a", "size": size, "parent": {"id": "0"}}
        asked = await box.call(token, "OPTIONS", "/2.0/files/content", json=check)
        assert asked.status_code == status


async def test_every_version_counts_against_the_quota(box: BoxCaller) -> None:
    token = await box.token(await box.app_user(space_amount=9))
    path = f"/api/2.0/files/{await uploaded(box, token, 'a.txt')}/content"
    attributes = json.dumps({"name": "a.txt"}).encode()
    parts = [("attributes", (None, attributes)), ("file", ("a.txt", b"world"))]
    refused = await box.call(token, "POST", path, files=parts)
    assert refused.json()["code"] == "storage_limit_exceeded"
    me = await box.call(token, "GET", "/2.0/users/me")
    assert me.json()["space_used"] == 5


async def test_an_unchanged_file_is_not_told_again(box: BoxCaller, token: str) -> None:
    path = f"/2.0/files/{await uploaded(box, token, 'a.txt')}"
    for etag, status in (("0", 304), ("1", 200)):
        headers = {"if-none-match": f'"{etag}"'}
        answer = await box.call(token, "GET", path, headers=headers)
        assert answer.status_code == status


async def test_a_body_that_is_no_multipart_is_a_bad_request(
    box: BoxCaller, token: str
) -> None:
    for content_type in ("multipart/form-data; boundary=b", "multipart/form-data"):
        answer = await box.call(
            token,
            "POST",
            "/api/2.0/files/content",
            content=b"--x",
            headers={"content-type": content_type},
        )
        assert (answer.status_code, answer.json()["type"]) == (400, "error")


async def test_a_range_beyond_the_end_is_not_satisfiable(
    box: BoxCaller, token: str
) -> None:
    path = f"/2.0/files/{await uploaded(box, token, 'a.txt')}/content"
    url = (await box.call(token, "GET", path)).headers["location"]
    answer = await box.http.get(url, headers={"range": "bytes=5-"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */5")

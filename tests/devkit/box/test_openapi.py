"""What the emulator shows is what Box's OpenAPI document knows.

Every test's answers are held against it (``tests/support/contract.py``); here: that
nothing of a user, folder or file is missing, and that the check can fail. Runs where
Box's document is at hand; nothing else needs it.
"""

import json
from typing import Any

import httpx
import pytest
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from tests.support.box_caller import BoxCaller
from tests.support.contract import DOCUMENT, ContractCheck, document

pytestmark = pytest.mark.skipif(
    not DOCUMENT.is_file(), reason="BOX_OPENAPI names no copy of Box's OpenAPI"
)


def properties(name: str) -> set[str]:
    return {
        property_
        for part in document().parts({"$ref": f"#/components/schemas/{name}"})
        for property_ in part.get("properties", {})
    }


async def test_users_show_the_fields_of_the_schema(box: BoxCaller) -> None:
    user = await box.app_user(external_app_user_id="x1")
    token = await box.token()
    standard = (await box.call(token, "GET", f"/2.0/users/{user}")).json()
    assert standard.keys() == properties("User")
    every = ",".join(properties("User--Full"))
    full = await box.call(token, "GET", f"/2.0/users/{user}?fields={every}")
    assert full.json().keys() == properties("User--Full")


async def test_folders_and_files_show_the_fields_of_the_schema(box: BoxCaller) -> None:
    token = await box.token(await box.app_user())
    folder = await box.create(token, "folders", name="A", parent={"id": "0"})
    assert folder.keys() == properties("Folder")
    file = (await box.upload(token, b"x")).json()["entries"][0]
    assert file.keys() == properties("File")


async def test_groups_and_memberships_show_the_fields_of_the_schema(
    box: BoxCaller,
) -> None:
    token, user = await box.token(), await box.app_user()
    group = await box.create(token, "groups", name="Staff")
    assert group.keys() == properties("Group")
    member = await box.create(
        token, "group_memberships", user={"id": user}, group={"id": group["id"]}
    )
    assert member.keys() == properties("GroupMembership")


USER: dict[str, Any] = {"type": "user", "id": "1"}
WRONG: dict[str, tuple[int, Any, str]] = {
    "no such field": (200, {**USER, "shoe_size": 43}, ".shoe_size: unknown"),
    "a number for a text": (200, {**USER, "id": 1}, ".id: int for string"),
    "null": (200, {**USER, "name": None}, ".name: null"),
    "no id": (200, {"type": "user"}, ".id: missing"),
    "another word": (200, {**USER, "status": "odd"}, ".status: 'odd' is not in the"),
    "too long": (200, {**USER, "name": "n" * 51}, ".name: longer than 50"),
    "no moment": (200, {**USER, "created_at": "now"}, ".created_at: not a date-time"),
    "inside": (200, {**USER, "enterprise": {"ID": 1}}, ".enterprise.ID: unknown"),
    "in a list": (200, {**USER, "my_tags": [1]}, ".my_tags[]: int for string"),
    "no object": (200, [USER], ": list for object"),
    "no error": (404, USER, ".id: unknown"),
    "a status of its own": (204, None, "status 204 is not declared"),
    "an unheard-of code": (400, {"code": "oops"}, ".code: 'oops' is not in the enum"),
}


@pytest.mark.parametrize(("status", "body", "problem"), WRONG.values(), ids=WRONG)
async def test_a_wrong_answer_is_noticed(status: int, body: Any, problem: str) -> None:
    response = JSONResponse(body, status) if body else Response(status_code=status)
    assert any(problem in line for line in await noticed(response, "/2.0/users/1"))


async def test_a_right_answer_and_a_deliberate_deviation_pass() -> None:
    assert await noticed(JSONResponse(USER), "/2.0/users/me") == []
    refused = Response(status_code=401, headers={"www-authenticate": "Bearer"})
    assert await noticed(refused, "/2.0/users/me") == []
    code = {"type": "error", "status": 403, "code": "storage_limit_exceeded"}
    assert await noticed(JSONResponse(code, 403), "/2.0/users/me") == []


async def test_wrong_paths_and_media_types_are_noticed() -> None:
    (path,) = await noticed(JSONResponse({}), "/2.0/no/such/thing")
    assert path.endswith("is no operation of Box")
    (media,) = await noticed(Response("{}", media_type="text/html"), "/2.0/users/1")
    assert "'text/html' is not declared" in media
    (empty,) = await noticed(Response(status_code=403), "/2.0/users/1")
    assert "media type '' is not declared" in empty


async def noticed(response: Response, path: str) -> list[str]:
    """What the check says of an answer, given by an app that knows no other."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await response(scope, receive, send)

    problems: list[str] = []
    check = ContractCheck(app, document(), problems)
    transport = httpx.ASGITransport(check)
    async with httpx.AsyncClient(transport=transport, base_url="http://box") as http:
        await http.get(path)
    return problems


def test_the_document_is_boxs() -> None:
    title = json.loads(DOCUMENT.read_text(encoding="utf-8"))["info"]["title"]
    assert title == "Box Platform API"

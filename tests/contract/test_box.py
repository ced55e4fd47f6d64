"""What the service relies on at Box, by plain HTTP: the same for the emulator.

Only what Box documents or was seen to do is asserted. Where it is silent (what becomes
of a deactivated user's tokens, whether an external id is unique) the service must be
right either way, and nothing is said here.
"""

import hashlib
import re
import time
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from tests.support.box_caller import BoxCaller, Hidden, read_token
from tests.support.box_target import (
    FIELDS,
    AppUsers,
    Person,
    eventually,
    new_external_id,
)

HOUR_S = 3600
NOBODY = "999999999999999999"
HELLO = b"hello, Box\n"
SHA1 = hashlib.sha1(HELLO, usedforsecurity=False).hexdigest()


def assert_bearer_refused(answer: httpx.Response) -> None:
    """RFC 6750 section 3.1, with nothing in the body."""
    assert (answer.status_code, answer.content) == (401, b"")
    assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def assert_no_wider(granted: dict[str, Any], asked: str) -> None:
    """As the service accepts it, which refuses more than it asked for."""
    for entry in granted["restricted_to"]:
        scopes = set(entry["scope"].split())
        assert scopes
        assert scopes <= set(asked.split())


# --- the service account's token --------------------------------------------------------


async def test_an_assertion_yields_a_token_that_ends_and_is_not_refreshed(
    box: BoxCaller,
) -> None:
    token, answer = read_token(await box.present(box.signed(box.claims())))
    assert re.fullmatch(r"[\x21-\x7e]+", token)
    assert type(answer["expires_in"]) is int
    assert answer["expires_in"] > 0
    assert answer["token_type"] == "bearer"
    assert "refresh_token" not in answer


async def test_an_assertion_works_once(box: BoxCaller) -> None:
    assertion = box.signed(box.claims())
    read_token(await box.present(assertion))
    again = await box.present(assertion)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert re.search(r"\bjti\b", again.json()["error_description"])


async def test_an_expiry_out_of_bounds_is_named_and_boxs_time_told(
    box: BoxCaller,
) -> None:
    for expiry in (time.time() - HOUR_S, time.time() + HOUR_S):
        refused = await box.present(box.signed(box.claims(exp=int(expiry))))
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
        assert re.search(r"\bexp\b", refused.json()["error_description"])
        assert parsedate_to_datetime(refused.headers["date"]).tzinfo


async def test_a_wrong_client_secret_is_refused(box: BoxCaller) -> None:
    refused = await box.present(box.signed(box.claims()), client_secret="wrong")
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_client")


async def test_an_unknown_subject_is_refused_and_named(box: BoxCaller) -> None:
    claims = box.claims(sub=NOBODY, box_sub_type="user")
    refused = await box.present(box.signed(claims))
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert re.search(r"\bsub\b", refused.json()["error_description"])


async def test_a_malformed_token_is_refused_without_a_body(box: BoxCaller) -> None:
    assert_bearer_refused(await box.call("malformed", "GET", "/2.0/users/me"))


# --- app users ----------------------------------------------------------------------


async def test_an_app_user_is_created_as_asked_for(
    box: BoxCaller, service_token: Hidden, ada: Person
) -> None:
    made = ada.user.made
    assert re.fullmatch("[0-9]{1,20}", made["id"])
    assert (made["type"], made["name"]) == ("user", ada.user.name)
    path = f"/2.0/users/{ada.user.id}"
    answer = await box.call(service_token, "GET", path, params={"fields": FIELDS})
    assert answer.status_code == 200
    user = answer.json()
    assert user["login"]
    assert user["created_at"]
    expected = {
        "type": "user",
        "id": ada.user.id,
        "name": ada.user.name,
        "status": "active",
        "is_platform_access_only": True,
        "external_app_user_id": ada.user.external_id,
    }
    assert expected.items() <= user.items()


async def test_an_app_user_is_found_by_its_external_id_in_time(
    app_users: AppUsers, ada: Person
) -> None:
    found = await eventually(lambda: app_users.find(ada.user.external_id), bool)
    assert [user["id"] for user in found] == [ada.user.id]


async def test_nobody_is_found_by_an_external_id_that_nobody_has(
    box: BoxCaller, service_token: Hidden, ada: Person
) -> None:
    del ada  # is somebody there
    query = {"external_app_user_id": new_external_id()}
    answer = await box.call(service_token, "GET", "/2.0/users", params=query)
    assert (answer.status_code, answer.json()["entries"]) == (200, [])


async def test_an_app_user_is_deactivated(
    box: BoxCaller, service_token: Hidden, app_users: AppUsers
) -> None:
    path = f"/2.0/users/{(await app_users.add('Contract Leaver')).id}"
    query = {"fields": FIELDS}
    change = {"status": "inactive"}
    put = await box.call(service_token, "PUT", path, params=query, json=change)
    assert (put.status_code, put.json()["status"]) == (200, "inactive")
    seen = await box.call(service_token, "GET", path, params=query)
    assert (seen.status_code, seen.json()["status"]) == (200, "inactive")


async def test_an_app_user_is_deleted_with_its_content(
    box: BoxCaller, service_token: Hidden, app_users: AppUsers
) -> None:
    user = await app_users.add("Contract Owner")
    await box.folder(await box.token(user.id), "Docs")
    assert (await app_users.delete(user.id)).status_code == 204
    seen = await eventually(
        lambda: box.call(service_token, "GET", f"/2.0/users/{user.id}"),
        lambda answer: answer.status_code == 404,
    )
    assert (seen.status_code, seen.json()["code"]) == (404, "not_found")


# --- a user's token, narrowed and revoked -----------------------------------------------


async def test_a_users_token_is_the_users(box: BoxCaller, ada: Person) -> None:
    me = await box.call(ada.token, "GET", "/2.0/users/me")
    assert (me.status_code, me.json()["id"]) == (200, ada.user.id)


async def test_a_token_narrowed_to_scopes_has_no_others(
    box: BoxCaller, ada: Person
) -> None:
    asked = "base_explorer item_preview"
    _, granted = read_token(await box.exchange(ada.token, asked))
    assert granted["expires_in"] > 0
    assert "refresh_token" not in granted
    assert_no_wider(granted, asked)


async def test_a_token_narrowed_to_a_folder_names_that_folder_alone(
    box: BoxCaller, ada: Person, docs: str
) -> None:
    asked = "base_explorer item_preview"
    answer = await box.exchange(ada.token, asked, f"folders/{docs}")
    token, granted = read_token(answer)
    assert_no_wider(granted, asked)
    items = [entry["object"] for entry in granted["restricted_to"]]
    assert {(item["type"], str(item["id"])) for item in items} == {("folder", docs)}
    listed = await box.call(token, "GET", f"/2.0/folders/{docs}/items")
    assert listed.status_code == 200


async def test_a_token_narrowed_to_a_folder_reaches_no_other(
    box: BoxCaller, ada: Person, docs: str
) -> None:
    private = await box.folder(ada.token, "Private")
    token = await box.downscoped(ada.token, "base_explorer", f"folders/{docs}")
    for path in (f"folders/{private}", f"folders/{private}/items"):
        refused = await box.call(token, "GET", f"/2.0/{path}")
        assert refused.status_code in {403, 404}


async def test_a_narrow_token_does_nothing_that_its_scopes_do_not_cover(
    box: BoxCaller, ada: Person, docs: str
) -> None:
    token = await box.downscoped(ada.token, "base_explorer", f"folders/{docs}")
    body = {"name": "Uncovered", "parent": {"id": docs}}
    refused = await box.call(token, "POST", "/2.0/folders", json=body)
    assert refused.status_code == 403
    assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]


async def test_no_token_is_narrowed_to_what_its_user_cannot_see(
    box: BoxCaller, eve: Person, docs: str
) -> None:
    refused = await box.exchange(eve.token, "base_explorer", f"folders/{docs}")
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_resource")


async def test_a_revoked_token_is_refused_without_a_body(
    box: BoxCaller, ada: Person
) -> None:
    token = await box.downscoped(ada.token, "base_explorer")
    form = {**box.client, "token": token}
    assert (await box.http.post("/oauth2/revoke", data=form)).status_code == 200
    answer = await eventually(
        lambda: box.call(token, "GET", "/2.0/folders/0"),
        lambda answer: answer.status_code == 401,
    )
    assert_bearer_refused(answer)


# --- content ------------------------------------------------------------------------


async def test_another_users_folder_is_not_found(
    box: BoxCaller, eve: Person, docs: str
) -> None:
    hidden = await box.call(eve.token, "GET", f"/2.0/folders/{docs}")
    assert (hidden.status_code, hidden.json()["code"]) == (404, "not_found")


async def test_a_folder_is_created_as_asked_for(box: BoxCaller, ada: Person) -> None:
    made = await box.create(ada.token, "folders", name="Statements", parent={"id": "0"})
    assert re.fullmatch("[0-9]{1,20}", made["id"])
    assert (made["type"], made["name"]) == ("folder", "Statements")


async def test_a_name_in_use_is_a_conflict_with_whatever_has_it(
    box: BoxCaller, ada: Person, docs: str
) -> None:
    body = {"name": "Docs", "parent": {"id": "0"}}
    refused = await box.call(ada.token, "POST", "/2.0/folders", json=body)
    assert (refused.status_code, refused.json()["code"]) == (409, "item_name_in_use")
    conflicts = refused.json()["context_info"]["conflicts"]
    # Box's own clients have met a list and a single object.
    conflicts = conflicts if isinstance(conflicts, list) else [conflicts]
    assert [item["id"] for item in conflicts] == [docs]


async def test_a_file_comes_back_as_it_was_uploaded(
    box: BoxCaller, ada: Person, docs: str
) -> None:
    answer = await box.upload(
        ada.token, HELLO, "hello.txt", docs, **{"content-md5": SHA1}
    )
    assert answer.status_code == 201, answer.text
    (file,) = answer.json()["entries"]
    assert (file["type"], file["name"], file["sha1"]) == ("file", "hello.txt", SHA1)
    path = f"/2.0/files/{file['id']}/content"
    # 202: not ready yet.
    download = await eventually(
        lambda: box.call(ada.token, "GET", path, follow_redirects=True),
        lambda answer: answer.status_code != 202,
    )
    assert (download.status_code, download.content) == (200, HELLO)

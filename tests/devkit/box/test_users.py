"""Users as Box's API has them: fields, look-ups, conflicts, deactivation."""

from typing import Any

import pytest

from tests.support.box_caller import BoxCaller

FIELDS = "id,name,login,status,is_platform_access_only,external_app_user_id"


async def create(box: BoxCaller, **body: Any) -> Any:
    return await box.call(await box.token(), "POST", "/2.0/users", json=body)


async def find(box: BoxCaller, **query: str) -> list[dict[str, Any]]:
    answer = await box.call(await box.token(), "GET", "/2.0/users", params=query)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["entries"])


async def test_an_app_user_gets_a_login_from_box_and_hides_its_external_id(
    box: BoxCaller,
) -> None:
    answer = await create(
        box, name="Ada", is_platform_access_only=True, external_app_user_id="x|1"
    )
    body = answer.json()
    assert answer.status_code == 201
    assert body["login"].startswith("AppUser_")
    assert body["login"].endswith("@boxdevedition.com")
    assert body["status"] == "active"
    assert "external_app_user_id" not in body
    assert "is_platform_access_only" not in body


async def test_fields_shows_base_and_what_was_asked(box: BoxCaller) -> None:
    user = await box.app_user(external_app_user_id="x|1")
    token = await box.token()
    answer = await box.call(
        token, "GET", f"/2.0/users/{user}?fields=external_app_user_id,nonsense"
    )
    assert answer.json() == {"type": "user", "id": user, "external_app_user_id": "x|1"}


async def test_the_external_id_is_matched_exactly(box: BoxCaller) -> None:
    user = await box.app_user(external_app_user_id="auth0|Ab")
    found = await find(box, external_app_user_id="auth0|Ab", fields=FIELDS)
    assert [entry["id"] for entry in found] == [user]
    assert found[0]["is_platform_access_only"] is True
    for near in ("auth0|ab", "auth0|A", "auth0|Ab "):
        assert await find(box, external_app_user_id=near) == []


@pytest.mark.parametrize("odd", ["a|b", "a+b c", "50%41", "a&b=c", "ü/日本", "%7C"])
async def test_an_odd_external_id_is_found_as_it_is(box: BoxCaller, odd: str) -> None:
    user = await box.app_user(external_app_user_id=odd)
    (found,) = await find(box, external_app_user_id=odd, fields=FIELDS)
    assert (found["id"], found["external_app_user_id"]) == (user, odd)


@pytest.mark.parametrize(
    ("match", "asked", "found"),
    [
        ("ignore_case", "AUTH0|ab", 1),
        ("ignore_case", "auth0|a", 0),
        ("prefix", "auth0|A", 1),
        ("prefix", "auth0|Abc", 0),
    ],
)
async def test_the_external_id_is_matched_otherwise_by_setting(
    box: BoxCaller, match: str, asked: str, found: int
) -> None:
    await box.app_user(external_app_user_id="auth0|Ab")
    await box.settings(external_id_match=match)
    assert len(await find(box, external_app_user_id=asked)) == found


async def test_a_new_user_is_unfindable_by_external_id_for_the_lag(
    box: BoxCaller,
) -> None:
    await box.settings(lookup_lag_s=3600)
    user = await box.app_user(external_app_user_id="x1")
    assert await find(box, external_app_user_id="x1") == []
    assert [entry["id"] for entry in await find(box)] == [user]
    await box.settings(lookup_lag_s=0)
    assert [u["id"] for u in await find(box, external_app_user_id="x1")] == [user]


async def test_a_duplicate_external_id_makes_a_second_user_or_a_conflict(
    box: BoxCaller,
) -> None:
    await box.app_user(external_app_user_id="x1")
    await box.app_user(external_app_user_id="x1")
    assert len(await find(box, external_app_user_id="x1")) == 2
    await box.settings(duplicate_external_id="conflict")
    refused = await create(
        box, name="C", is_platform_access_only=True, external_app_user_id="x1"
    )
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert len(await find(box, external_app_user_id="x1")) == 2


@pytest.mark.parametrize(
    "body",
    [
        {"name": "Ada"},
        {"name": "", "is_platform_access_only": True},
        {"name": "A" * 51, "is_platform_access_only": True},
        {"name": 7, "is_platform_access_only": True},
        {"name": "Ada", "is_platform_access_only": True, "status": "gone"},
        {"name": "Ada", "is_platform_access_only": True, "space_amount": "much"},
    ],
)
async def test_a_user_that_breaks_a_rule_is_refused(
    box: BoxCaller, body: dict[str, Any]
) -> None:
    refused = await create(box, **body)
    assert (refused.status_code, refused.json()["type"]) == (400, "error")
    assert await find(box) == []


async def test_a_managed_login_is_unique(box: BoxCaller) -> None:
    assert (await create(box, name="M", login="m@x.io")).status_code == 201
    refused = await create(box, name="N", login="M@x.io")
    assert refused.status_code == 409
    assert refused.json()["code"] == "user_login_already_used"


async def test_a_login_of_another_enterprise_is_taken_and_invisible(
    box: BoxCaller,
) -> None:
    await box.settings(logins_elsewhere=["M@x.io"])
    refused = await create(box, name="M", login="m@X.io")
    assert refused.status_code == 409
    assert refused.json()["code"] == "user_login_already_used"
    assert await find(box, filter_term="m@x.io") == []


async def test_a_new_login_is_not_found_at_once_either(box: BoxCaller) -> None:
    await box.settings(lookup_lag_s=60)
    await create(box, name="M", login="m@x.io")
    assert await find(box, filter_term="m@x.io") == []
    assert len(await find(box)) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"job_title": "x" * 101},
        {"language": 7},
        {"is_external_collab_restricted": "true"},
    ],
)
async def test_attributes_of_a_wrong_form_are_refused(
    box: BoxCaller, wrong: dict[str, Any]
) -> None:
    refused = await create(box, name="M", login="m@x.io", **wrong)
    assert refused.status_code == 400
    assert refused.json()["code"] == "bad_request"


async def test_app_access_only_has_no_hand_on_managed_users(box: BoxCaller) -> None:
    managed = (await create(box, name="M", login="m@x.io")).json()["id"]
    app_user = await box.app_user()
    await box.settings(app_access="app")
    assert [entry["id"] for entry in await find(box)] == [app_user]
    token = await box.token()
    assert (await box.call(token, "GET", f"/2.0/users/{managed}")).status_code == 404
    assert (await create(box, name="N", login="n@x.io")).status_code == 403


async def test_lists_turn_pages_by_offset_and_by_marker(box: BoxCaller) -> None:
    users = [await box.app_user(f"U{n}") for n in range(5)]
    token = await box.token()
    by_offset = await box.call(token, "GET", "/2.0/users?limit=2&offset=4")
    assert by_offset.json()["total_count"] == 5
    assert [u["id"] for u in by_offset.json()["entries"]] == users[4:]
    seen: list[str] = []
    marker = ""
    for _ in range(3):
        answer = await box.call(
            token, "GET", f"/2.0/users?usemarker=true&limit=2&marker={marker}"
        )
        assert "total_count" not in answer.json()
        seen += [u["id"] for u in answer.json()["entries"]]
        marker = answer.json()["next_marker"]
    assert (seen, marker) == (users, "")
    too_far = await box.call(token, "GET", "/2.0/users?offset=10001")
    assert too_far.status_code == 400


async def test_filter_term_is_a_prefix_of_name_or_login(box: BoxCaller) -> None:
    await create(box, name="Zoe", login="m@x.io")
    await box.app_user("Maria")
    assert {u["name"] for u in await find(box, filter_term="m")} == {"Zoe", "Maria"}
    assert [u["name"] for u in await find(box, filter_term="mar")] == ["Maria"]
    assert await find(box, filter_term="oe") == []


async def test_a_user_is_changed_deactivated_and_deleted(box: BoxCaller) -> None:
    user = await box.app_user()
    token = await box.token()
    path = f"/2.0/users/{user}"
    changed = await box.call(
        token, "PUT", path, json={"name": "Eva", "status": "inactive"}
    )
    assert (changed.json()["name"], changed.json()["status"]) == ("Eva", "inactive")
    assert (await box.call(token, "DELETE", path)).status_code == 204
    gone = await box.call(token, "GET", path)
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")


async def test_the_tokens_of_a_deleted_user_are_dead(box: BoxCaller) -> None:
    user = await box.app_user()
    token = await box.token(user)
    await box.call(await box.token(), "DELETE", f"/2.0/users/{user}")
    assert (await box.call(token, "GET", "/2.0/users/me")).status_code == 401


@pytest.mark.parametrize(("sessions", "status"), [("live", 200), ("dead", 401)])
async def test_deactivation_ends_live_tokens_only_by_setting(
    box: BoxCaller, sessions: str, status: int
) -> None:
    await box.settings(inactive_user_sessions=sessions)
    user = await box.app_user()
    token = await box.token(user)
    service = await box.token()
    await box.call(service, "PUT", f"/2.0/users/{user}", json={"status": "inactive"})
    assert (await box.call(token, "GET", "/2.0/users/me")).status_code == status


async def test_a_user_with_content_goes_only_by_force(box: BoxCaller) -> None:
    user = await box.app_user()
    await box.upload(await box.token(user), b"x")
    token = await box.token()
    path = f"/2.0/users/{user}"
    refused = await box.call(token, "DELETE", path)
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")
    await box.settings(delete_with_content_status=409)
    assert (await box.call(token, "DELETE", path)).status_code == 409
    assert (await box.call(token, "DELETE", f"{path}?force=true")).status_code == 204


async def test_a_retention_policy_keeps_a_user_with_content(box: BoxCaller) -> None:
    await box.settings(retention_policy=True)
    token, user = await box.token(), await box.app_user()
    empty = await box.app_user("Eve")
    await box.upload(await box.token(user), b"x")
    kept = await box.call(token, "DELETE", f"/2.0/users/{user}?force=true")
    assert (kept.status_code, kept.json()["code"]) == (403, "forbidden")
    assert (await box.call(token, "DELETE", f"/2.0/users/{empty}")).status_code == 204


async def test_content_moves_to_another_user_in_a_folder(box: BoxCaller) -> None:
    leaver, heir = await box.app_user("Ada"), await box.app_user("Eve")
    await box.upload(await box.token(leaver), b"x")
    token = await box.token()
    body = {"owned_by": {"id": heir}}
    path = f"/2.0/users/{leaver}/folders/0"
    moved = await box.call(token, "PUT", path, json=body)
    assert moved.status_code == 200
    assert moved.json()["name"] == "Ada's Files and Folders"
    assert moved.json()["owned_by"]["id"] == heir
    assert moved.json()["item_collection"]["total_count"] == 1
    assert (await box.call(token, "DELETE", f"/2.0/users/{leaver}")).status_code == 204
    listed = await box.call(await box.token(heir), "GET", "/2.0/folders/0/items")
    assert [e["name"] for e in listed.json()["entries"]] == ["Ada's Files and Folders"]
    nobody = await box.call(
        token, "PUT", f"/2.0/users/{heir}/folders/0", json={"owned_by": {"id": "1"}}
    )
    assert nobody.status_code == 404


async def test_a_user_has_further_addresses(box: BoxCaller) -> None:
    token, user = await box.token(), await box.app_user()
    path = f"users/{user}/email_aliases"
    made = await box.create(token, path, email="ada@x.example")
    listed = await box.call(token, "GET", f"/2.0/{path}")
    assert listed.json() == {"total_count": 1, "entries": [made]}
    taken = await create(box, name="M", login="ADA@x.example")
    assert taken.status_code == 409
    twice = await box.call(token, "POST", f"/2.0/{path}", json={"email": made["email"]})
    assert twice.status_code == 409
    gone = await box.call(token, "DELETE", f"/2.0/{path}/{made['id']}")
    assert gone.status_code == 204
    assert (await create(box, name="M", login="ada@x.example")).status_code == 201


async def test_terminating_sessions_kills_every_token_of_the_user(
    box: BoxCaller,
) -> None:
    user = await box.app_user()
    full = await box.token(user)
    narrow = await box.downscoped(full, "base_explorer")
    bystander = await box.token(await box.app_user("Eva"))
    answer = await box.call(
        await box.token(),
        "POST",
        "/2.0/users/terminate_sessions",
        json={"user_ids": [user], "user_logins": []},
    )
    assert answer.status_code == 202
    for token in (full, narrow):
        assert (await box.call(token, "GET", "/2.0/users/me")).status_code == 401
    assert (await box.call(bystander, "GET", "/2.0/users/me")).status_code == 200


async def test_users_are_managed_by_the_service_account_alone(box: BoxCaller) -> None:
    user = await box.app_user()
    token = await box.token(user)
    body = {"name": "Eve", "is_platform_access_only": True}
    for method, path, sent in (
        ("POST", "/2.0/users", body),
        ("GET", "/2.0/users", None),
        ("PUT", f"/2.0/users/{user}", {"name": "Root"}),
        ("DELETE", f"/2.0/users/{user}", None),
    ):
        refused = await box.call(token, method, path, json=sent)
        assert refused.status_code == 403
        assert refused.json()["code"] == "access_denied_insufficient_permissions"
    assert [entry["name"] for entry in await find(box)] == ["Ada"]


async def test_as_user_lets_the_service_account_act_as_a_user(box: BoxCaller) -> None:
    user = await box.app_user()
    service = await box.token()
    headers = {"As-User": user}
    me = await box.call(service, "GET", "/2.0/users/me", headers=headers)
    assert me.json()["id"] == user
    made = await box.call(
        service,
        "POST",
        "/2.0/folders",
        headers=headers,
        json={"name": "Hers", "parent": {"id": "0"}},
    )
    assert made.json()["owned_by"]["id"] == user


@pytest.mark.parametrize("who", ["nobody", "service account", "by a user", "off"])
async def test_as_user_is_refused_where_box_refuses_it(
    box: BoxCaller, who: str
) -> None:
    user = await box.app_user()
    service = await box.token()
    me = (await box.call(service, "GET", "/2.0/users/me")).json()["id"]
    target = {"nobody": "1", "service account": me}.get(who, user)
    token = await box.token(user) if who == "by a user" else service
    await box.settings(as_user_enabled=who != "off")
    refused = await box.call(token, "GET", "/2.0/users/me", headers={"as-user": target})
    assert refused.status_code == 403


@pytest.mark.parametrize(
    "header", [{}, {"authorization": "Bearer nope"}, {"authorization": "Basic eA=="}]
)
async def test_without_a_live_token_there_is_an_empty_401(
    box: BoxCaller, header: dict[str, str]
) -> None:
    answer = await box.http.get("/2.0/users/me", headers=header)
    assert (answer.status_code, answer.content) == (401, b"")
    assert answer.headers["www-authenticate"].startswith('Bearer realm="Service"')


async def test_errors_carry_the_request_id_of_their_header(box: BoxCaller) -> None:
    answer = await box.call(await box.token(), "GET", "/2.0/users/1")
    assert answer.json()["request_id"] == answer.headers["box-request-id"]
    assert answer.json().keys() >= {"type", "status", "code", "message", "help_url"}


@pytest.mark.parametrize("query", ["limit=x", f"offset={'9' * 5000}", "limit=-1"])
async def test_odd_numbers_are_bad_requests(box: BoxCaller, query: str) -> None:
    answer = await box.call(await box.token(), "GET", f"/2.0/users?{query}")
    assert answer.status_code == 400

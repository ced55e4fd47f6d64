"""The emulator's own routes: journal, settings, enterprises, seeds, reset."""

import base64
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.support.box_caller import BoxCaller


async def test_the_journal_notes_who_called_what(box: BoxCaller) -> None:
    user = await box.app_user()
    narrow = await box.downscoped(await box.token(user), "base_explorer")
    await box.call(narrow, "GET", "/2.0/folders/0/items?limit=5")
    entries = await box.journal()
    assert [(e["method"], e["path"], e["status"], e["subject"]) for e in entries] == [
        ("POST", "/oauth2/token", 200, box.enterprise_id),
        ("POST", "/2.0/users", 201, box.enterprise_id),
        ("POST", "/oauth2/token", 200, user),
        ("POST", "/oauth2/token", 200, user),
        ("GET", "/2.0/folders/0/items", 200, user),
    ]
    assert entries[-1]["query"] == "limit=5"
    assert entries[-1].keys() == {
        "n", "at", "method", "path", "query", "status", "subject", "origin",
    }  # fmt: skip


async def test_the_journal_tells_a_page_from_a_service(box: BoxCaller) -> None:
    origin = "http://localhost:5173"
    await box.http.get("/2.0/users/me", headers={"Origin": origin})
    await box.http.get("/2.0/users/me")
    entries = await box.journal()
    assert [entry["origin"] for entry in entries] == [origin, ""]


async def test_the_journal_notes_refused_and_faulty_calls(box: BoxCaller) -> None:
    user = await box.app_user()
    await box.control("DELETE", "requests")
    refused = box.signed(box.claims(sub=user, box_sub_type="user", exp=1))
    await box.present(refused)
    await box.fault(path="/oauth2/token", status=503)
    await box.present(box.signed(box.claims()))
    await box.http.get("/2.0/users/me")
    entries = await box.journal()
    assert [(e["path"], e["status"], e["subject"]) for e in entries] == [
        ("/oauth2/token", 400, user),
        ("/oauth2/token", 503, box.enterprise_id),
        ("/2.0/users/me", 401, ""),
    ]


async def test_the_journal_is_read_on_from_where_one_was(box: BoxCaller) -> None:
    await box.token()
    read = (await box.control("GET", "requests")).json()
    again = await box.http.get(f"/_emulator/requests?since={read['next']}")
    assert again.json() == {"requests": [], "next": read["next"]}
    await box.control("DELETE", "requests")
    assert await box.journal() == []
    await box.token()
    since = await box.http.get(f"/_emulator/requests?since={read['next']}")
    (entry,) = since.json()["requests"]
    assert entry["n"] == read["next"] + 1


async def test_the_journal_holds_no_credentials(box: BoxCaller) -> None:
    token = await box.token(await box.app_user())
    file = (await box.upload(token, b"x")).json()["entries"][0]["id"]
    redirect = await box.http.get(
        f"/2.0/files/{file}/content?a=1&access_token={token}&b="
    )
    await box.http.get(redirect.headers["location"])
    answer = await box.control("GET", "requests")
    ticket = redirect.headers["location"].rpartition("/")[2]
    for secret in (token, ticket, box.client_secret):
        assert secret not in answer.text
    assert answer.json()["requests"][-2]["query"] == "a=1&b="


async def test_users_are_listed_without_the_service_account(box: BoxCaller) -> None:
    user = await box.app_user(external_app_user_id="x1")
    (entry,) = (await box.control("GET", "users")).json()["users"]
    assert entry["id"] == user
    assert entry["external_app_user_id"] == "x1"
    assert entry.keys() >= {"name", "login", "status", "created_at"}


async def test_settings_change_all_or_none(box: BoxCaller) -> None:
    refused = await box.control(
        "PATCH", "settings", {"latency_ms": 5, "duplicate_external_id": "perhaps"}
    )
    assert refused.status_code == 400
    (problem,) = refused.json()["context_info"]["errors"]
    assert problem["name"] == "duplicate_external_id"
    settings = (await box.control("GET", "settings")).json()
    assert settings["latency_ms"] == 0
    unknown = await box.control("PATCH", "settings", {"lookup_lag": 1})
    assert unknown.status_code == 400


async def test_enterprises_keep_users_journals_faults_and_settings_apart(
    box: BoxCaller,
) -> None:
    founded = (await box.control("POST", "enterprises", {})).json()
    other = BoxCaller(box.http, founded["config"])
    assert founded["id"] == other.enterprise_id != box.enterprise_id
    await other.settings(app_authorized=False)
    await other.fault(path="/2.0/*", status=500, times=None)
    await box.app_user()
    assert (await other.control("GET", "users")).json()["users"] == []
    assert await other.journal() == []
    unknown = await box.http.get("/_emulator/users?enterprise=nope")
    assert unknown.status_code == 404


async def test_a_seed_makes_users_and_content(box: BoxCaller) -> None:
    await box.settings(duplicate_external_id="conflict")
    raw = base64.b64encode(b"\xff\x00").decode()
    file = {"type": "file", "name": "a.bin", "content_base64": raw}
    docs = {"type": "folder", "name": "Docs", "items": [file]}
    twin = {"external_app_user_id": "x1", "status": "inactive"}
    answer = await box.control("POST", "seed", {"users": [twin, twin], "items": [docs]})
    seeded = answer.json()
    assert answer.status_code == 201
    assert len({user["id"] for user in seeded["users"]}) == 2
    planted = seeded["items"][0]["items"][0]["id"]
    redirect = await box.call(await box.token(), "GET", f"/2.0/files/{planted}/content")
    content = await box.http.get(redirect.headers["location"])
    assert content.content == b"\xff\x00"
    more = {"users": [{"id": seeded["users"][0]["id"], "items": [docs]}]}
    assert (await box.control("POST", "seed", more)).status_code == 201
    assert len((await box.control("GET", "users")).json()["users"]) == 2
    bad = await box.control("POST", "seed", {"users": [{"nmae": "x"}]})
    assert bad.status_code == 400


async def test_reset_empties_data_and_journal_and_keeps_app_and_settings(
    box: BoxCaller,
) -> None:
    service = await box.token()
    user = await box.app_user()
    token = await box.token(user)
    await box.upload(service, b"x")
    await box.fault(status=500, times=None)
    await box.settings(token_life_s=60)
    assert (await box.control("POST", "reset", {})).status_code == 200
    assert await box.journal() == []
    assert (await box.control("GET", "users")).json() == {"users": []}
    assert (await box.call(token, "GET", "/2.0/users/me")).status_code == 401
    root = await box.call(service, "GET", "/2.0/folders/0/items")
    assert root.json()["entries"] == []
    assert (await box.present(box.signed(box.claims()))).json()["expires_in"] == 60
    await box.control("POST", "reset", {"settings": True})
    assert (await box.control("GET", "settings")).json()["token_life_s"] is None


Attempt = Callable[[BoxCaller], Coroutine[Any, Any, Any]]
REFUSED: dict[str, tuple[Attempt, int]] = {
    "a page reads": (
        lambda b: b.http.get("/_emulator/users", headers={"origin": "http://x"}),
        403,
    ),
    "a page writes": (
        lambda b: b.http.post(
            "/_emulator/reset", json={}, headers={"origin": "http://x"}
        ),
        403,
    ),
    "a form": (lambda b: b.http.post("/_emulator/reset", data={"a": "b"}), 415),
    "no type": (lambda b: b.http.post("/_emulator/reset"), 415),
    "text": (
        lambda b: b.http.patch(
            "/_emulator/settings",
            content="{}",
            headers={"content-type": "text/plain"},
        ),
        415,
    ),
}


@pytest.mark.parametrize(("attempt", "status"), REFUSED.values(), ids=REFUSED.keys())
async def test_no_web_page_reaches_the_control_routes(
    box: BoxCaller, attempt: Attempt, status: int
) -> None:
    await box.app_user()
    answer = await attempt(box)
    assert answer.status_code == status
    assert "access-control-allow-origin" not in answer.headers
    assert len((await box.control("GET", "users")).json()["users"]) == 1


async def test_control_calls_meet_neither_journal_nor_faults(box: BoxCaller) -> None:
    await box.fault(status=500, times=None)
    assert (await box.control("GET", "users")).status_code == 200
    assert await box.journal() == []


async def test_a_seed_makes_as_many_users_as_it_says(box: BoxCaller) -> None:
    user = {"name": "User {n}", "external_app_user_id": "x-{n}", "count": 3}
    answer = await box.control("POST", "seed", {"users": [user]})
    seeded = answer.json()["users"]
    assert [(u["name"], u["external_app_user_id"]) for u in seeded] == [
        ("User 1", "x-1"),
        ("User 2", "x-2"),
        ("User 3", "x-3"),
    ]
    one = await box.control("POST", "seed", {"users": [{"name": "{n}", "count": 1}]})
    assert one.json()["users"][0]["name"] == "{n}"
    refused = await box.control("POST", "seed", {"users": [{**user, "count": 0}]})
    assert refused.status_code == 400

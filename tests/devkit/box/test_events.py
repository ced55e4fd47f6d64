"""The enterprise's events: what a listener learns of users and groups."""

from typing import Any

from tests.support.box_caller import BoxCaller

STREAM = "/2.0/events?stream_type=admin_logs_streaming"


async def read(box: BoxCaller, query: str = "") -> dict[str, Any]:
    answer = await box.call(await box.token(), "GET", f"{STREAM}{query}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_the_life_of_a_user_shows_in_the_stream(box: BoxCaller) -> None:
    start = (await read(box, "&stream_position=now"))["next_stream_position"]
    user, token = await box.app_user(), await box.token()
    group = (await box.create(token, "groups", name="Staff"))["id"]
    member = await box.create(
        token, "group_memberships", user={"id": user}, group={"id": group}
    )
    path = f"/2.0/users/{user}"
    await box.call(token, "PUT", path, json={"status": "inactive"})
    await box.call(token, "DELETE", f"/2.0/group_memberships/{member['id']}")
    await box.call(token, "DELETE", path)
    chunk = await read(box, f"&stream_position={start}")
    assert [(e["event_type"], e["source"]["id"]) for e in chunk["entries"]] == [
        ("NEW_USER", user),
        ("GROUP_ADD_USER", user),
        ("EDIT_USER", user),
        ("GROUP_REMOVE_USER", user),
        ("DELETE_USER", user),
    ]
    assert chunk["entries"][2]["source"]["status"] == "inactive"
    assert len({event["event_id"] for event in chunk["entries"]}) == 5
    after = await read(box, f"&stream_position={chunk['next_stream_position']}")
    assert (after["chunk_size"], after["entries"]) == (0, [])


async def test_the_stream_is_read_in_chunks_and_by_type(box: BoxCaller) -> None:
    users = [await box.app_user(f"U{n}") for n in range(3)]
    await box.call(await box.token(), "DELETE", f"/2.0/users/{users[0]}")
    first = await read(box, "&limit=2")
    rest = await read(box, f"&stream_position={first['next_stream_position']}")
    entries = [*first["entries"], *rest["entries"]]
    assert [entry["source"]["id"] for entry in entries] == [*users, users[0]]
    deleted = await read(box, "&event_type=DELETE_USER,CHANGE_ADMIN_ROLE")
    assert [entry["event_type"] for entry in deleted["entries"]] == ["DELETE_USER"]


async def test_a_position_outlives_a_reset(box: BoxCaller) -> None:
    await box.app_user()
    position = (await read(box))["next_stream_position"]
    await box.control("POST", "reset", {})
    user = await box.app_user("New")
    later = await read(box, f"&stream_position={position}")
    assert [entry["source"]["id"] for entry in later["entries"]] == [user]


async def test_events_are_for_the_service_account_with_its_scope(
    box: BoxCaller,
) -> None:
    user = await box.token(await box.app_user())
    assert (await box.call(user, "GET", STREAM)).status_code == 403
    token = await box.token()
    for scope, status in (
        ("manage_enterprise_properties", 200),
        ("manage_groups", 403),
    ):
        narrow = await box.downscoped(token, scope)
        assert (await box.call(narrow, "GET", STREAM)).status_code == status
    bad = await box.call(token, "GET", f"{STREAM}&stream_position=soon")
    assert bad.status_code == 400
    own = await box.call(token, "GET", "/2.0/events")
    assert (own.status_code, own.json()["code"]) == (501, "not_emulated")

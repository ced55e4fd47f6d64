"""App users: found by exact id alone, created by one POST, read, deleted."""

import asyncio
import json
import unicodedata
from typing import Any

import httpx
import pytest
from hypothesis import given, strategies as st
from starlette.applications import Starlette

from sso_box_api.box import (
    Box,
    ConflictAtBox,
    NotFoundAtBox,
    OutcomeUnknown,
    RefusedByBox,
)
from sso_box_api.box.names import NAME_MAX, short_name
from sso_box_api.errors import BoxUnavailable
from sso_box_devkit.box import Enterprise
from tests.support.box_script import (
    Script,
    box_settings,
    client_over,
    error,
    listing,
    token,
    user,
)

FIELDS = "id,name,login,status,is_platform_access_only,external_app_user_id,created_at"


@pytest.fixture
def emulated(emulator: Starlette, enterprise: Enterprise) -> Box:
    """The client before the emulator, in process."""
    return client_over(httpx.ASGITransport(emulator), box_settings(enterprise.config()))


@pytest.fixture
def client(script: Script) -> Box:
    script.tokens(token())
    return client_over(script.transport)


# Look-up


async def test_a_user_is_found_by_the_external_id_it_was_created_with(
    emulated: Box,
) -> None:
    made = await emulated.create_app_user("Ada", "sb1-ada", timeout_s=2)
    assert made.external_app_user_id == "sb1-ada"
    assert made.is_platform_access_only is True
    assert (made.name, made.status) == ("Ada", "active")
    assert await emulated.find_app_users("sb1-ada") == [made]
    assert await emulated.find_app_users("sb1-ad") == []


async def test_the_look_up_asks_for_the_fields_that_box_leaves_out(
    client: Box, script: Script
) -> None:
    asked = script.on("GET", "/2.0/users", listing())
    assert await client.find_app_users("auth0|a b&c") == []
    params = asked.calls.last.request.url.params
    assert params["external_app_user_id"] == "auth0|a b&c"
    assert params["fields"] == FIELDS
    assert asked.calls.last.request.headers["authorization"] == "Bearer T1"


async def test_only_the_exact_external_id_is_a_match(
    client: Box, script: Script
) -> None:
    others = [
        user(str(n), external_app_user_id=value)
        for n, value in enumerate(["SB1-ADA", "sb1-ada2", None, "", 7], start=1)
    ]
    script.on("GET", "/2.0/users", listing(*others, user("9")))
    assert [u.id for u in await client.find_app_users("sb1-ada")] == ["9"]


async def test_the_oldest_comes_first_then_the_lowest_id(
    client: Box, script: Script
) -> None:
    script.on(
        "GET",
        "/2.0/users",
        listing(
            user("5", created_at=None),
            user("6", created_at="rubbish"),
            user("100", created_at="2026-01-01T09:00:00+00:00"),
            user("99", created_at="2026-01-01T01:00:00-08:00"),
            user("7", created_at="2026-01-01T00:30:00-08:00"),
            user("8", created_at="2026-01-01T12:00:00"),
        ),
    )
    found = await client.find_app_users("sb1-ada")
    assert [u.id for u in found] == ["7", "99", "100", "8", "5", "6"]


async def test_pages_are_followed_by_the_size_that_box_served(
    client: Box, script: Script
) -> None:
    asked = script.on(
        "GET",
        "/2.0/users",
        listing(user("2"), total_count=5, limit=2),
        listing(total_count=5, limit=2),
        listing(user("1"), user("2"), total_count=5, limit=2),
    )
    assert [u.id for u in await client.find_app_users("sb1-ada")] == ["1", "2"]
    offsets = [call.request.url.params["offset"] for call in asked.calls]
    assert offsets == ["0", "2", "4"]


@pytest.mark.parametrize("limit", [None, 0, -1, 1000, "2"])
async def test_a_page_size_that_makes_no_sense_is_not_believed(
    client: Box, script: Script, limit: Any
) -> None:
    first = listing(total_count=101, limit=limit)
    script.on("GET", "/2.0/users", first, listing(user(), total_count=101))
    assert [u.id for u in await client.find_app_users("sb1-ada")] == ["11"]


async def test_a_list_without_end_is_no_proof_of_absence(
    client: Box, script: Script
) -> None:
    asked = script.on("GET", "/2.0/users", listing(total_count=10**9))
    with pytest.raises(BoxUnavailable, match="pages"):
        await client.find_app_users("sb1-ada")
    assert asked.call_count == 10


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"null",
        {"entries": None, "total_count": 0},
        {"entries": []},
        listing("x")[1],  # type: ignore[arg-type] # wrong on purpose
        listing(user("../1"))[1],
        listing(user(status=None))[1],
    ],
)
async def test_a_list_that_cannot_be_read_is_no_proof_of_absence(
    client: Box, script: Script, body: Any
) -> None:
    script.on("GET", "/2.0/users", (200, body))
    with pytest.raises(BoxUnavailable):
        await client.find_app_users("sb1-ada")


# All users


async def test_every_user_is_seen_once_a_page_at_a_time(
    emulated: Box, enterprise: Enterprise, box: Any
) -> None:
    made = [enterprise.add_user(f"User {n}", None).id for n in range(7)]
    pages = [page async for page in emulated.every_user(page_size=3)]
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [user.id for page in pages for user in page] == made
    assert (await box.requests()).count("GET /2.0/users") == 3


async def test_a_list_by_marker_ends_where_box_says_and_nowhere_else(
    client: Box, script: Script
) -> None:
    asked = script.on(
        "GET",
        "/2.0/users",
        (200, {"entries": [user("1")], "next_marker": "m1"}),
        (200, {"entries": [], "next_marker": "m2"}),
        (200, {"entries": [user("2")], "next_marker": ""}),
    )
    pages = [page async for page in client.every_user()]
    assert [[u.id for u in page] for page in pages] == [["1"], [], ["2"]]
    params = [call.request.url.params for call in asked.calls]
    assert [p.get("marker") for p in params] == [None, "m1", "m2"]
    assert {p["usemarker"] for p in params} == {"true"}
    assert {p["fields"] for p in params} == {FIELDS}


async def test_a_marker_that_leads_back_to_itself_is_no_end(
    client: Box, script: Script
) -> None:
    script.on("GET", "/2.0/users", (200, {"entries": [], "next_marker": "m1"}))
    with pytest.raises(BoxUnavailable, match="no end"):
        [page async for page in client.every_user()]


async def test_long_work_waits_as_box_asks_and_goes_on(script: Script) -> None:
    """Where a request would give up: its own try has one attempt, and Box is busy."""
    script.tokens(token())
    client = client_over(script.transport, box_settings(max_attempts=1))
    busy = (429, b"", {"retry-after": "1"})
    asked = script.on("GET", "/2.0/users", busy, (200, {"entries": [user("1")]}))
    assert [len(page) async for page in client.every_user()] == [1]
    assert asked.call_count == 2


async def test_a_user_is_examined_with_enterprise_and_role(
    emulated: Box, enterprise: Enterprise
) -> None:
    made = enterprise.add_user("Ada", None)
    found = await emulated.examine_user(made.id)
    assert (found.user.id, found.enterprise_id, found.role) == (
        made.id,
        enterprise.id,
        "user",
    )
    assert await emulated.service_account_id() == enterprise.service_account.id


# Creation


async def test_a_new_user_has_the_quota_of_the_settings(script: Script) -> None:
    script.tokens(token())
    client = client_over(script.transport, box_settings(user_quota_bytes=5))
    posted = script.on("POST", "/2.0/users", (201, user()))
    await client.create_app_user("Ada \ud800", "sb1-ada", timeout_s=2)
    request = posted.calls.last.request
    assert json.loads(request.content) == {
        "name": "Ada \ud800",
        "is_platform_access_only": True,
        "external_app_user_id": "sb1-ada",
        "space_amount": 5,
    }
    assert request.url.params["fields"] == FIELDS


async def test_an_answer_without_the_asked_fields_still_has_the_new_id(
    client: Box, script: Script
) -> None:
    script.on("POST", "/2.0/users", (201, {"type": "user", "id": "11"}))
    made = await client.create_app_user("Ada", "sb1-ada", timeout_s=2)
    assert (made.id, made.status, made.external_app_user_id) == ("11", "active", None)


@pytest.mark.parametrize(
    "answer",
    [
        (503, b""),
        (500, b"<html>"),
        (408, b""),
        (302, b"", {"location": "https://elsewhere.example"}),
        (201, b""),
        (201, b'{"id": "1'),
        (201, {"id": "x"}),
        (201, user(external_app_user_id="sb1-eve")),
        (201, user(name="x" * 1024 * 1024)),
        (404, b"<html>no such page"),
        (409, b"<html>"),
        (400, b""),
        (409, b""),
        (410, b""),
        httpx.ReadTimeout("slow"),
        httpx.ReadError("reset"),
        httpx.WriteError("reset"),
        httpx.RemoteProtocolError("cut"),
        ConnectionResetError("dropped"),
    ],
    ids=lambda a: type(a).__name__ if isinstance(a, Exception) else str(a)[:60],
)
async def test_an_unclear_answer_leaves_the_outcome_unknown_after_one_post(
    client: Box, script: Script, answer: Any
) -> None:
    posted = script.on("POST", "/2.0/users", answer)
    with pytest.raises(OutcomeUnknown):
        await client.create_app_user("Ada", "sb1-ada", timeout_s=2)
    assert posted.call_count == 1
    assert client.state() == "failing"


@pytest.mark.parametrize(
    "answer",
    [
        (429, b"", {"retry-after": "7"}),
        (401, b"", {"box-request-id": "r1"}),
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("no answer"),
        httpx.PoolTimeout("busy"),
    ],
    ids=["429", "401", "refused", "connect time-out", "pool time-out"],
)
async def test_what_was_certainly_not_done_is_plainly_unavailable_after_one_post(
    client: Box, script: Script, answer: Any
) -> None:
    posted = script.on("POST", "/2.0/users", answer)
    with pytest.raises(BoxUnavailable) as caught:
        await client.create_app_user("Ada", "sb1-ada", timeout_s=2)
    assert not isinstance(caught.value, OutcomeUnknown)
    assert caught.value.retry_after == (
        {429: 7, 401: 1}.get(answer[0], 5) if isinstance(answer, tuple) else 5
    )
    assert posted.call_count == 1


async def test_after_a_401_the_next_creation_has_a_new_token(script: Script) -> None:
    script.tokens(token("T1"), token("T2"))
    client = client_over(script.transport)
    refusal = (401, b"", {"box-request-id": "r1"})
    posted = script.on("POST", "/2.0/users", refusal, (201, user()))
    with pytest.raises(BoxUnavailable):
        await client.create_app_user("Ada", "sb1-ada", timeout_s=2)
    await client.create_app_user("Ada", "sb1-ada", timeout_s=2)
    used = [call.request.headers["authorization"] for call in posted.calls]
    assert used == ["Bearer T1", "Bearer T2"]


async def test_a_creation_that_never_got_a_service_token_was_not_sent(
    script: Script,
) -> None:
    script.tokens((503, b""))
    posted = script.on("POST", "/2.0/users", (201, user()))
    client = client_over(script.transport)
    with pytest.raises(BoxUnavailable) as caught:
        await client.create_app_user("Ada", "sb1-ada", timeout_s=0.01)
    assert not isinstance(caught.value, OutcomeUnknown)
    assert not posted.called


async def test_a_slow_service_token_leaves_the_connection_half_of_what_is_left() -> (
    None
):
    limits: list[float] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/oauth2/token":
            await asyncio.sleep(0.4)
            return httpx.Response(200, json=token()[1])
        limits.append(request.extensions["timeout"]["connect"])
        return httpx.Response(201, json=user())

    client = client_over(httpx.MockTransport(answer))
    await client.create_app_user("Ada", "sb1-ada", timeout_s=2)
    # Else a connection that never stands would look like a POST that was sent.
    assert limits[0] <= 0.8


@pytest.mark.parametrize(
    "body", [error(409, "conflict"), (409, b"", {"box-request-id": "r1"})]
)
async def test_a_conflict_is_told_apart(client: Box, script: Script, body: Any) -> None:
    posted = script.on("POST", "/2.0/users", body)
    with pytest.raises(ConflictAtBox):
        await client.create_app_user("Ada", "sb1-ada", timeout_s=2)
    assert posted.call_count == 1


async def test_the_emulator_conflicts_over_an_external_id(
    emulated: Box, enterprise: Enterprise
) -> None:
    enterprise.settings.duplicate_external_id = "conflict"
    await emulated.create_app_user("Ada", "sb1-ada", timeout_s=2)
    with pytest.raises(ConflictAtBox):
        await emulated.create_app_user("Ada", "sb1-ada", timeout_s=2)


async def test_a_definite_refusal_carries_what_an_administrator_needs(
    client: Box, script: Script
) -> None:
    code = "access_denied_insufficient_permissions"
    script.on("POST", "/2.0/users", error(403, code))
    with pytest.raises(RefusedByBox) as caught:
        await client.create_app_user("Ada", "sb1-ada", timeout_s=2)
    refused = caught.value
    assert type(refused) is RefusedByBox
    assert (refused.box_status, refused.box_code) == (403, code)
    assert refused.box_request_id == "req-1"
    assert "Manage users" in refused.hint
    assert refused.reason == f"POST /2.0/users 403 {code} req-1"
    assert "hush" not in repr(refused) + str(vars(refused))


@pytest.mark.parametrize(
    "wrong", [{"login": "eve@corp.example"}, {"is_platform_access_only": True}]
)
async def test_an_answer_about_somebody_else_is_no_created_managed_user(
    client: Box, script: Script, wrong: dict[str, Any]
) -> None:
    ours: dict[str, Any] = {
        "login": "Ada@corp.example",
        "is_platform_access_only": False,
    }
    script.on("POST", "/2.0/users", (201, user(**ours)), (201, user(**ours | wrong)))
    made = await client.create_managed_user("Ada", "ada@corp.example", timeout_s=2)
    assert made.id == "11"
    with pytest.raises(OutcomeUnknown):
        await client.create_managed_user("Ada", "ada@corp.example", timeout_s=2)


# Reading and deleting


async def test_a_user_is_read_and_deleted(
    emulated: Box, box: Any, caplog: pytest.LogCaptureFixture
) -> None:
    made = await emulated.create_app_user("Ada", "sb1-ada", timeout_s=2)
    assert await emulated.get_user(made.id) == made
    await emulated.delete_user(made.id)
    assert await box.users() == []
    with pytest.raises(NotFoundAtBox):
        await emulated.get_user(made.id)
    await emulated.delete_user(made.id)
    # Whether that is a fault, who asked knows: nobody is sent to Box's support for it.
    assert [r.message for r in caplog.records if r.levelname == "WARNING"] == []


async def test_deleting_never_forces(client: Box, script: Script) -> None:
    deleted = script.on("DELETE", "/2.0/users/11", (204, b""))
    await client.delete_user("11")
    assert deleted.calls.last.request.url.query == b""


async def test_a_refused_deletion_is_told(client: Box, script: Script) -> None:
    script.on("DELETE", "/2.0/users/11", error(400, "bad_request"))
    with pytest.raises(RefusedByBox):
        await client.delete_user("11")


@pytest.mark.parametrize("body", [b"", b"<html>", b"{"])
async def test_a_404_that_is_not_from_box_makes_nobody_disappear(
    client: Box, script: Script, body: bytes
) -> None:
    script.on("GET", "/2.0/users/11", (404, body))
    with pytest.raises(BoxUnavailable):
        await client.get_user("11")


@pytest.mark.parametrize("user_id", ["", "me", "1/../2", "1?x", "\u0661"])
async def test_an_id_that_is_none_is_never_sent(client: Box, user_id: str) -> None:
    with pytest.raises(ValueError, match="not an id"):
        await client.get_user(user_id)
    with pytest.raises(ValueError, match="not an id"):
        await client.delete_user(user_id)


# Names


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("Ada", "Ada"),
        ("  Ada ", "Ada"),
        ("x" * 51, "x" * 50),
        ("é" * 60, "é" * 50),
        ("e\u0301" * 50, "é" * 50),
        ("x" * 49 + " y", "x" * 49),
        ("x" * 49 + "q\u0323", "x" * 49),
        ("x" * 49 + "👍🏽", "x" * 49),
        ("x" * 48 + "👩\u200d🚀!", "x" * 48),
        ("x" * 49 + "🇩🇪", "x" * 49),
        ("x" * 48 + "🇩🇪🇫🇷", "x" * 48 + "🇩🇪"),
        ("x" * 46 + "🇩🇪🇫🇷🇮🇹", "x" * 46 + "🇩🇪🇫🇷"),
        ("x" * 49 + "\u1100\u1160", "x" * 49),
        ("a" + "\u0323" * 60, "ạ" + "\u0323" * 49),
    ],
)
def test_a_name_is_cut_between_characters(name: str, short: str) -> None:
    assert short_name(name) == short


@given(st.text(min_size=1, max_size=80))
def test_a_short_name_fits_and_begins_the_name(name: str) -> None:
    short = short_name(name)
    assert len(short) <= NAME_MAX
    assert unicodedata.normalize("NFC", name).strip().startswith(short)

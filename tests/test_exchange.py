"""The main job, through the wire: an ID token in, a Box token out."""

import asyncio
import hashlib
import json
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import asyncpg
import httpx
import pytest
from cryptography.fernet import Fernet
from sqlalchemy import Engine, TextClause, event, text
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.applications import Starlette
from typing_extensions import override

from sso_box_api.db import Database
from sso_box_api.settings import Settings
from sso_box_devkit.box import Enterprise
from sso_box_devkit.idp import create_idp
from tests.support.api import BOX_URL, ISSUER, Api, Control
from tests.support.waiting import until

DOORS = pytest.mark.parametrize("door", ["json", "oauth"])
FIRST_LOGIN = [
    "POST /oauth2/token",  # the service token, once in the life of a process
    "GET /2.0/users",
    "POST /2.0/users",
    "POST /oauth2/token",  # the user token
    "POST /oauth2/token",  # the downscoped one
]


async def _folder(box: Control, token: str, name: str = "mine") -> str:
    body = {"name": name, "parent": {"id": "0"}}
    answer = await box.call("POST", "/2.0/folders", token, json=body)
    assert answer.status_code == 201, answer.text
    folder_id: str = answer.json()["id"]
    return folder_id


@DOORS
async def test_first_exchange_creates_one_box_user_and_hands_out_its_token(
    api: Api, box: Control, door: str
) -> None:
    answer = await api.exchange(door=door)
    assert answer.status_code == 200, answer.text
    assert await box.requests() == FIRST_LOGIN
    [user] = await box.users()
    me = await box.call("GET", "/2.0/users/me", answer.json()["access_token"])
    assert me.json()["id"] == user["id"] == answer.json()["box_user_id"]
    assert user["external_app_user_id"].startswith("sb1-")
    assert len(user["external_app_user_id"]) == 36


async def test_json_answer_has_the_documented_shape(api: Api) -> None:
    answer = await api.exchange(profile="preview", resource="folder:0")
    body = answer.json()
    assert set(body) == {
        "access_token",
        "token_type",
        "expires_in",
        "expires_at",
        "scope",
        "resource",
        "box_user_id",
    }
    assert body["token_type"] == "bearer"
    assert body["scope"] == ["base_preview"]
    assert body["resource"] is None
    left = datetime.fromisoformat(body["expires_at"]) - datetime.now(UTC)
    assert abs(left.total_seconds() - body["expires_in"]) < 5
    assert body["expires_in"] > 3000
    assert answer.headers["cache-control"] == "no-store"


async def test_oauth_answer_has_the_shape_of_rfc_8693(api: Api) -> None:
    answer = await api.exchange(door="oauth", profile="preview")
    body = answer.json()
    assert body["issued_token_type"] == (
        "urn:ietf:params:oauth:token-type:access_token"
    )
    assert body["token_type"] == "Bearer"
    assert body["scope"] == "base_preview"
    assert answer.headers["cache-control"] == "no-store"


@DOORS
async def test_second_exchange_makes_no_call_to_box(
    api: Api, box: Control, door: str
) -> None:
    first = await api.exchange(door=door)
    await box.requests()
    second = await api.exchange(api.id_token(), door=door)
    assert second.json()["access_token"] == first.json()["access_token"]
    assert await box.requests() == []


async def _run(settings: Settings, statement: str, **values: Any) -> None:
    database = Database(settings)
    async with database.transaction() as session:
        await (await session.connection()).execute(text(statement), values)
    await database.close()


@DOORS
async def test_expires_in_is_what_is_left_of_the_tokens_own_life(
    api: Api, settings: Settings, box: Control, door: str
) -> None:
    await box.settings(token_life_s=1234)
    minted = (await api.exchange(door=door)).json()
    assert 1200 < minted["expires_in"] <= 1234
    await _run(settings, "UPDATE vend SET expires_at = now() + interval '1000 s'")
    reused = (await api.exchange(door=door)).json()
    assert reused["access_token"] == minted["access_token"]
    assert 970 < reused["expires_in"] <= 1000


async def test_of_two_live_tokens_the_newer_is_handed_out(
    api: Api, settings: Settings, emulator: Starlette, idp_app: Starlette
) -> None:
    """Two may be live, where two processes minted at the same time."""
    first = (await api.exchange()).json()["access_token"]
    await _run(settings, "UPDATE vend SET client_id = 'set aside'")
    second = (await api.exchange()).json()["access_token"]
    await _run(settings, "UPDATE vend SET client_id = 'demo-spa'")
    age = (
        "UPDATE vend SET minted_at = now() - CASE WHEN token_sha256 = :older"
        " THEN interval '20 s' ELSE interval '10 s' END"
    )
    for older, newer in ((first, second), (second, first)):
        digest = hashlib.sha256(older.encode()).hexdigest()
        await _run(settings, age, older=digest)
        async with Api.start(settings, emulator, idp_app) as another:
            assert (await another.exchange()).json()["access_token"] == newer


async def test_a_process_without_the_new_key_mints_its_own_token(
    settings_values: dict[str, Any], emulator: Starlette, idp_app: Starlette
) -> None:
    """While a key is rotated in, processes with and without it run side by side."""
    old, new = settings_values["secret_keys"], Fernet.generate_key().decode()
    before = Settings.model_validate(settings_values)
    after = Settings.model_validate(settings_values | {"secret_keys": f"{new},{old}"})
    async with (
        Api.start(before, emulator, idp_app) as older,
        Api.start(after, emulator, idp_app) as newer,
    ):
        theirs = (await newer.exchange()).json()["access_token"]
        answer = await older.exchange()
        assert answer.status_code == 200, answer.text
        own = answer.json()["access_token"]
        assert own != theirs
        assert (await older.exchange()).json()["access_token"] == own
        assert (await newer.exchange()).json()["access_token"] == own


async def test_tokens_are_not_shared_between_clients_profiles_or_resources(
    api: Api, box: Control
) -> None:
    first = (await api.exchange()).json()["access_token"]
    folder = await _folder(box, first)
    asked: list[dict[str, Any]] = [
        {"profile": "preview"},
        {"scope": ["base_explorer"]},
        {"resource": f"folder:{folder}"},
    ]
    tokens = [(await api.exchange(**body)).json()["access_token"] for body in asked]
    mobile = await api.exchange(api.id_token(aud="demo-mobile"))
    tokens.append(mobile.json()["access_token"])
    assert len({first, *tokens}) == 5
    assert len(await box.users()) == 1


async def test_token_does_no_more_than_its_scopes(api: Api, box: Control) -> None:
    token = (await api.exchange(profile="preview")).json()["access_token"]
    body = {"name": "x", "parent": {"id": "0"}}
    assert (await box.call("POST", "/2.0/folders", token, json=body)).status_code == 403
    assert (await box.call("GET", "/2.0/users", token)).status_code == 403


async def test_token_bound_to_a_folder_reaches_no_other(api: Api, box: Control) -> None:
    whole = (await api.exchange()).json()["access_token"]
    inside, outside = await _folder(box, whole, "in"), await _folder(box, whole, "out")
    answer = await api.exchange(resource=f"folder:{inside}")
    assert answer.json()["resource"] == f"folder:{inside}"
    token = answer.json()["access_token"]
    assert (await box.call("GET", f"/2.0/folders/{inside}", token)).is_success
    refused = await box.call("GET", f"/2.0/folders/{outside}", token)
    assert refused.status_code in {403, 404}


@pytest.mark.parametrize(
    "form",
    ["folder:{}", "folder_{}", "https://api.box.com/2.0/folders/{}"],
)
@DOORS
async def test_resource_is_taken_in_each_documented_form(
    api: Api, box: Control, form: str, door: str
) -> None:
    folder = await _folder(box, (await api.exchange()).json()["access_token"])
    answer = await api.exchange(resource=form.format(folder), door=door)
    assert answer.status_code == 200, answer.text


@DOORS
async def test_a_second_person_does_not_reach_the_first_ones_folder(
    api: Api, box: Control, door: str
) -> None:
    ada = (await api.exchange(door=door)).json()
    folder = await _folder(box, ada["access_token"])
    grace = (await api.exchange(api.id_token("grace"), door=door)).json()
    assert grace["box_user_id"] != ada["box_user_id"]
    seen = await box.call("GET", f"/2.0/folders/{folder}", grace["access_token"])
    assert seen.status_code == 404
    answer = await api.exchange(
        api.id_token("grace"), door=door, resource=f"folder:{folder}"
    )
    code = answer.json()["code" if door == "json" else "reason"]
    assert code == "resource_not_accessible"
    assert len(await box.users()) == 2


async def test_the_same_person_through_two_clients_is_one_box_user(
    api: Api, box: Control
) -> None:
    spa = (await api.exchange()).json()
    mobile = (await api.exchange(api.id_token(aud="demo-mobile"))).json()
    assert spa["box_user_id"] == mobile["box_user_id"]
    assert len(await box.users()) == 1


@pytest.mark.parametrize("wrong", ["ignore_scope", "ignore_resource"])
async def test_a_wider_answer_of_box_is_refused_and_killed(
    api: Api, box: Control, enterprise: Enterprise, emulator: Starlette, wrong: str
) -> None:
    folder = await _folder(box, (await api.exchange()).json()["access_token"])
    await box.settings(**{wrong: True})
    before = set(emulator.state.world.tokens)
    answer = await api.exchange(profile="preview", resource=f"folder:{folder}")
    assert answer.status_code == 502
    assert answer.json()["code"] == "box_granted_wrong_scope"
    minted = [
        emulator.state.world.tokens[t]
        for t in emulator.state.world.tokens.keys() - before
    ]
    assert [t.revoked for t in minted if t.value.startswith("1!")] == [True]
    del enterprise


async def test_a_missing_box_user_is_a_state_and_never_made_again(
    api: Api, box: Control, enterprise: Enterprise
) -> None:
    user_id = (await api.exchange()).json()["box_user_id"]
    enterprise.remove_user(enterprise.users[user_id])
    answer = await api.exchange(profile="preview")
    assert (answer.status_code, answer.json()["code"]) == (403, "box_user_missing")
    assert await box.users() == []
    await box.requests()
    again = await api.exchange(profile="preview")
    assert again.json()["code"] == "box_user_missing"
    assert await box.requests() == []


async def test_an_inactive_box_user_is_a_state(
    api: Api, enterprise: Enterprise
) -> None:
    user_id = (await api.exchange()).json()["box_user_id"]
    enterprise.users[user_id].status = "inactive"
    answer = await api.exchange(profile="preview")
    assert (answer.status_code, answer.json()["code"]) == (403, "box_user_inactive")


async def test_box_refusing_user_tokens_is_passed_on_as_what_it_is(
    api: Api, box: Control
) -> None:
    await api.exchange()
    await box.settings(user_tokens_enabled=False)
    answer = await api.exchange(profile="preview")
    assert (answer.status_code, answer.json()["code"]) == (502, "box_refused")


async def test_a_stale_parent_token_is_replaced_once(
    settings: Settings, emulator: Starlette, idp_app: Starlette
) -> None:
    """Box now and then calls a fresh subject token invalid; a second one passes."""

    class RefuseTheFirst(httpx.ASGITransport):
        """The first token that is to be narrowed, however often it comes."""

        refused: bytes | None = None

        @override
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            form = parse_qs(await request.aread())
            [parent] = form.get(b"subject_token", [None])
            self.refused = self.refused or parent
            if parent is not None and parent == self.refused:
                error = {
                    "error": "invalid_request",
                    "error_description": "The subject_token provided is invalid",
                }
                return httpx.Response(400, json=error)
            return await super().handle_async_request(request)

    transport = RefuseTheFirst(emulator)
    mounts = {BOX_URL: transport, ISSUER: httpx.ASGITransport(idp_app)}
    async with Api.start_with(settings, mounts, idp_app) as api:
        answer = await api.exchange(profile="preview")
    assert answer.status_code == 200, answer.text
    assert transport.refused is not None


async def test_a_short_lived_token_is_renewed_in_the_second_half_of_its_life(
    api: Api, box: Control
) -> None:
    await box.settings(token_life_s=2)
    first = (await api.exchange()).json()["access_token"]
    assert (await api.exchange()).json()["access_token"] == first
    await asyncio.sleep(1.2)
    assert (await api.exchange()).json()["access_token"] != first


async def test_each_exchange_writes_one_audit_event_without_a_token(
    api: Api, audit_log: list[dict[str, Any]]
) -> None:
    token = api.id_token()
    answer = await api.exchange(token)
    await api.exchange(token[:-4] + "AAAA")
    granted, refused = audit_log
    assert granted["outcome"] == "granted"
    assert granted["subject"] == "ada"
    assert granted["vend"] == "minted"
    assert granted["first_login"] is True
    assert granted["request_id"] == answer.headers["x-request-id"]
    assert (refused["outcome"], refused["code"]) == ("refused", "token_signature")
    written = str(audit_log)
    assert token not in written
    assert answer.json()["access_token"] not in written


async def test_unreachable_box_is_503_with_retry_after_and_harms_no_warm_caller(
    api: Api, box: Control
) -> None:
    warm = (await api.exchange()).json()["access_token"]
    await box.fault("*", "/*", status=503, times=1000)
    assert (await api.exchange()).json()["access_token"] == warm
    cold = await api.exchange(profile="preview")
    assert (cold.status_code, cold.json()["code"]) == (503, "box_unavailable")
    assert int(cold.headers["retry-after"]) >= 1


async def test_keys_that_cannot_be_had_are_503_not_401(
    settings: Settings, emulator: Starlette, enterprise: Enterprise
) -> None:
    del enterprise
    own = create_idp("https://idp.example")
    own.state.idp.down = True
    async with Api.start(settings, emulator, own) as api:
        token = api.id_token()
        answer = await api.exchange(token)
        assert (answer.status_code, answer.json()["code"]) == (503, "keys_unavailable")
        assert "retry-after" in answer.headers
        oauth = await api.exchange(token, door="oauth")
        assert oauth.json()["error"] == "temporarily_unavailable"


async def test_a_profile_is_open_only_to_whom_its_rules_say(
    settings_values: dict[str, Any], emulator: Starlette, idp_app: Starlette
) -> None:
    scopes = ["base_preview"]
    other = {"id": "other", "issuer": "https://other.example", "client_ids": ["x"]}
    settings_values["providers"].append(other)
    settings_values["profiles"] = {
        "explorer": {"scopes": ["base_explorer"]},
        "mobile-only": {"scopes": scopes, "client_ids": ["demo-mobile"]},
        "others-only": {"scopes": scopes, "providers": ["other"]},
        "bound": {"scopes": scopes, "resource": "required"},
        "free": {"scopes": scopes, "resource": "none"},
    }
    settings = Settings.model_validate(settings_values)
    async with Api.start(settings, emulator, idp_app) as api:

        async def code(**asked: Any) -> str:
            answer = await api.exchange(**asked)
            return str(answer.json().get("code", answer.status_code))

        assert await code(profile="mobile-only") == "profile_not_allowed"
        assert await code(profile="others-only") == "profile_not_allowed"
        assert await code(profile="bound") == "bad_resource"
        assert await code(profile="free", resource="folder:1") == "bad_resource"
        assert await code(profile="preview") == "unknown_profile"
        assert await code(profile="free") == "200"
        mobile = await api.exchange(
            api.id_token(aud="demo-mobile"), profile="mobile-only"
        )
        assert mobile.status_code == 200
        oauth = await api.exchange(door="oauth", profile="mobile-only")
        assert oauth.json()["error"] == "unauthorized_client"


@pytest.mark.parametrize(("answer", "status"), [("strict", 502), ("log", 200)])
async def test_an_answer_without_restricted_to_passes_only_by_setting(
    settings_values: dict[str, Any],
    emulator: Starlette,
    idp_app: Starlette,
    answer: str,
    status: int,
) -> None:
    class Forgetful(httpx.ASGITransport):
        @override
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await request.aread()
            response = await super().handle_async_request(request)
            if b"token-exchange" not in request.content:
                return response
            body = json.loads(await response.aread())
            del body["restricted_to"]
            return httpx.Response(200, json=body)

    settings_values["vending"] = {"scope_answer": answer}
    settings = Settings.model_validate(settings_values)
    mounts = {BOX_URL: Forgetful(emulator), ISSUER: httpx.ASGITransport(idp_app)}
    async with Api.start_with(settings, mounts, idp_app) as api:
        assert (await api.exchange()).status_code == status


async def test_a_scope_that_nobody_asked_for_is_refused(api: Api, box: Control) -> None:
    await box.settings(grant_extra_scope="item_share")
    answer = await api.exchange(profile="preview")
    assert answer.json()["code"] == "box_granted_wrong_scope"


async def test_a_token_that_could_not_be_revoked_stays_on_the_list(
    api: Api, box: Control, settings: Settings
) -> None:
    await box.settings(grant_extra_scope="item_share")
    await box.fault("POST", "/oauth2/revoke", status=503, times=100)
    await api.exchange(profile="preview")
    database = Database(settings)
    async with database.transaction() as session:
        connection = await session.connection()
        rows = await connection.execute(text("SELECT state, handle FROM vend"))
        [(state, handle)] = rows.all()
    await database.close()
    assert state == "revoke_pending"
    assert handle


async def test_a_client_credentials_app_serves_as_well(
    settings_values: dict[str, Any],
    emulator: Starlette,
    enterprise: Enterprise,
    idp_app: Starlette,
) -> None:
    settings_values["box"] = enterprise.client_credentials()
    settings = Settings.model_validate(settings_values)
    async with Api.start(settings, emulator, idp_app) as api:
        answer = await api.exchange()
    assert answer.status_code == 200, answer.text
    assert list(enterprise.users) == [answer.json()["box_user_id"]]


async def test_a_person_is_found_again_by_a_service_that_lost_its_rows(
    api: Api, box: Control, settings: Settings
) -> None:
    """Restored from before the first login: adopted by external id, not made twice."""
    first = (await api.exchange()).json()
    database = Database(settings)
    async with database.transaction() as session:
        connection = await session.connection()
        statement = "TRUNCATE account CASCADE"
        await connection.execute(text(statement))
    await database.close()
    await box.requests()
    second = (await api.exchange()).json()
    assert second["box_user_id"] == first["box_user_id"]
    assert len(await box.users()) == 1
    assert "POST /2.0/users" not in await box.requests()


async def test_callers_at_one_time_share_the_token_that_is_minted(
    api: Api, box: Control
) -> None:
    await api.exchange(profile="picker")
    await box.requests()
    answers = await asyncio.gather(*(api.exchange(profile="preview") for _ in range(5)))
    assert len({answer.json()["access_token"] for answer in answers}) == 1
    assert await box.requests() == ["POST /oauth2/token"] * 2


async def test_a_first_login_looks_for_no_token_that_cannot_be_there(
    api: Api, box: Control
) -> None:
    """But who comes with it has the one that is minted for it."""
    looks: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        if statement.startswith("SELECT") and "FROM vend" in statement:
            looks.append(statement)

    await api.exchange()
    await box.requests()
    event.listen(Engine, "before_cursor_execute", note)
    try:
        await api.exchange(api.id_token(sub="grace"))
        alone = len(looks)
        both = [api.exchange(api.id_token(sub="joan")) for _ in range(2)]
        answers = await asyncio.gather(*both)
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert alone == 0
    assert len({answer.json()["access_token"] for answer in answers}) == 1
    assert (await box.requests()).count("POST /oauth2/token") == 2 * 2


async def _any(connection: AsyncConnection, query: TextClause) -> bool:
    return (await connection.execute(query)).first() is not None


async def test_a_first_login_asks_for_the_token_while_its_row_is_written(
    api: Api, box: Control, settings: Settings
) -> None:
    database = Database(settings)
    await box.fault("POST", "/2.0/users", delay_ms=200)
    called: list[str] = []

    async def called_for_a_token(times: int) -> bool:
        called.extend(await box.requests())
        return called.count("POST /oauth2/token") >= times

    async with database.transaction() as session:
        connection = await session.connection()
        login = asyncio.create_task(api.exchange())
        sent = text("SELECT 1 FROM account WHERE create_sent_at IS NOT NULL")
        await until(lambda: _any(connection, sent))
        await connection.execute(text("SELECT FROM account FOR UPDATE"))
        # After the service's own.
        await until(lambda: called_for_a_token(2))
        assert not login.done()
    assert (await login).status_code == 200
    await database.close()
    # Hers once, and once what it is narrowed to.
    await called_for_a_token(0)
    assert called.count("POST /oauth2/token") == 3


async def test_who_signed_out_while_waiting_for_the_mint_gets_no_token(
    api: Api,
    box: Control,
    settings: Settings,
    database_url: str,
    emulator: Starlette,
    idp_app: Starlette,
) -> None:
    """Not even the one that a newer login got meanwhile, from another worker."""
    now = int(time.time())
    await api.exchange(api.id_token(auth_time=now - 60))
    await box.requests()
    await box.fault("POST", "/oauth2/token", delay_ms=60_000)
    old = [
        asyncio.create_task(
            api.exchange(api.id_token(auth_time=now - 60), profile="preview")
        )
        for _ in range(2)
    ]
    await until(box.requests)
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE account SET not_before = to_timestamp($1)", now)
    await connection.close()
    async with Api.start(settings, emulator, idp_app) as elsewhere:
        token = elsewhere.id_token(auth_time=now + 1)
        answer = await elsewhere.exchange(token, profile="preview")
    assert answer.status_code == 200
    await box.clear_faults()
    codes = [(await exchange).json()["code"] for exchange in old]
    assert codes == ["signed_out", "signed_out"]


async def test_one_deadline_holds_for_all_the_calls_of_a_request(
    settings_values: dict[str, Any],
    emulator: Starlette,
    idp_app: Starlette,
    box: Control,
) -> None:
    settings_values["box"]["deadline_s"] = 60.2
    settings = Settings.model_validate(settings_values)
    async with Api.start(settings, emulator, idp_app) as api:
        await api.exchange(profile="picker")
        await box.requests()
        await box.fault("POST", "/oauth2/token", delay_ms=300)
        await box.fault(
            "POST", "/oauth2/token", status=429, headers={"Retry-After": "60"}
        )
        answer = await api.exchange(profile="preview")
        # For the second call alone there would be time to wait and try again.
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "60"
        assert await box.requests() == ["POST /oauth2/token"] * 2

"""The doctor's Box half: each switch turned wrong in turn, and the line that names it."""

from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from starlette.applications import Starlette
from typing_extensions import override

from sso_box_api.box import Box, Check, diagnose
from sso_box_api.settings import BoxSettings
from sso_box_devkit.box import Enterprise
from tests.support.api import Control
from tests.support.box_script import QUICK, box_settings, client_over, pem

SCOPES = ("base_explorer", "base_preview", "item_download")
PAGE = "http://localhost:5173"
NO_SCOPE = {"WWW-Authenticate": 'Bearer realm="Service", error="insufficient_scope"'}
KEY = "boxAppSettings__appAuth__"


async def examine(
    box: Box,
    enterprise: Enterprise,
    *,
    scopes: Sequence[str] = SCOPES,
    enterprise_id: str | None = None,
    origins: Sequence[str] = (PAGE,),
    managed: bool = False,
    write_test: bool = False,
) -> list[Check]:
    checks = diagnose(
        box,
        enterprise_id=enterprise_id or enterprise.id,
        scopes=scopes,
        origins=origins,
        managed=managed,
        write_test=write_test,
    )
    return [check async for check in checks]


def faults(checks: list[Check]) -> list[Check]:
    return [check for check in checks if not check.ok]


def only(checks: list[Check]) -> Check:
    (fault,) = faults(checks)
    return fault


def changed(config: dict[str, Any], **changes: Any) -> dict[str, Any]:
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = config
        for parent in parents:
            place = place[parent]
        place[last] = value
    return config


@pytest.fixture
def connect(emulator: Starlette, enterprise: Enterprise) -> Callable[..., Box]:
    """A client of the emulator with a config.json that may be changed."""

    def connect(**changes: Any) -> Box:
        settings = box_settings(changed(enterprise.config(), **changes), max_attempts=1)
        return client_over(httpx.ASGITransport(emulator), settings)

    return connect


@pytest.fixture
def emulated(connect: Callable[..., Box]) -> Box:
    return connect()


@pytest.fixture
async def ada(emulated: Box) -> str:
    return (await emulated.create_app_user("Ada", "sb1-ada", timeout_s=2)).id


@pytest.mark.usefixtures("ada")
async def test_all_is_well_and_nothing_is_changed(
    emulated: Box, enterprise: Enterprise, box: Control
) -> None:
    before = await box.users()
    await box.requests()
    checks = await examine(emulated, enterprise)
    assert faults(checks) == []
    assert [check.name for check in checks] == [
        "network",
        "clock",
        "upload host",
        "app",
        "account",
        "content",
        "groups",
        f"CORS {PAGE}",
        "users",
        "user tokens",
        "scopes",
        "revocation",
    ]
    assert await box.users() == before
    reads = ("GET ", "POST /oauth2/")
    others = [r for r in await box.requests() if not r.startswith(reads)]
    assert others == ["POST /api/2.0/files/content"]  # without a token, so refused
    assert await emulated.list_items("0") == []


async def test_every_token_that_was_tried_is_dead_again(
    emulated: Box, ada: str, enterprise: Enterprise, emulator: Starlette
) -> None:
    await examine(emulated, enterprise)
    tokens = emulator.state.world.tokens.values()
    mine = [t for t in tokens if t.enterprise is enterprise and t.user_id == ada]
    assert mine
    assert not [t for t in mine if t.is_live()]


# Between here and Box


class Broken(httpx.AsyncBaseTransport):
    """No connection to one host, the emulator behind the other."""

    def __init__(self, emulator: Starlette, host: str) -> None:
        self._inner = httpx.ASGITransport(emulator)
        self._host = host

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == self._host:
            raise httpx.ConnectError("refused")
        return await self._inner.handle_async_request(request)


async def test_no_connection(emulator: Starlette, enterprise: Enterprise) -> None:
    settings = box_settings(enterprise.config(), max_attempts=1)
    box = client_over(Broken(emulator, "api.box.com"), settings)
    (check,) = await examine(box, enterprise)
    assert (check.name, check.ok) == ("network", False)
    assert "ConnectError" in check.said
    assert "firewall" in check.switch


async def test_no_connection_to_the_upload_host(
    emulator: Starlette, enterprise: Enterprise
) -> None:
    settings = box_settings(enterprise.config(), max_attempts=1)
    box = client_over(Broken(emulator, "upload.box.com"), settings)
    check = only(await examine(box, enterprise))
    assert check.name == "upload host"
    assert "firewall" in check.switch


@pytest.mark.parametrize(
    ("fault", "switch"),
    [
        ({"status": 200, "body": "<html>Accept our terms"}, "HTTPS_PROXY"),
        ({"status": 503}, "status.box.com"),
        ({"status": 429}, "throttling"),
        (
            {"status": 403, "body": {"code": "access_from_location_blocked"}},
            "blocks this host's address",
        ),
    ],
    ids=["portal", "outage", "throttled", "address blocked"],
)
async def test_something_else_than_box_answers(
    emulated: Box, enterprise: Enterprise, box: Control, fault: Any, switch: str
) -> None:
    await box.fault("GET", "/2.0/users/me", **fault)
    (check,) = await examine(emulated, enterprise)
    assert (check.name, check.ok) == ("network", False)
    assert switch in check.switch


@pytest.mark.parametrize("offset_s", [-300, 300])
async def test_a_wrong_clock(
    emulated: Box, enterprise: Enterprise, box: Control, offset_s: int
) -> None:
    await box.settings(clock_offset_s=offset_s)
    check = only(await examine(emulated, enterprise))
    assert check.name == "clock"
    assert f"{offset_s:+d}"[:3] in check.said or "299" in check.said
    assert "NTP" in check.switch


# The key file and the app


OTHER_KEY = generate_private_key(public_exponent=65537, key_size=2048)


@pytest.mark.parametrize(
    ("changes", "switch"),
    [
        ({"boxAppSettings__clientSecret": "wrong"}, "clientID and clientSecret"),
        ({"boxAppSettings__clientID": "nobody"}, "clientID and clientSecret"),
        ({f"{KEY}publicKeyID": "aaaa1111"}, "Public Keys"),
        (
            {
                f"{KEY}privateKey": pem(passphrase="p", key=OTHER_KEY),
                f"{KEY}passphrase": "p",
            },
            "Public Keys",
        ),
        ({"enterpriseID": "999"}, "enterpriseID"),
    ],
    ids=["client secret", "client id", "kid", "key pair", "enterprise"],
)
async def test_a_key_file_that_is_not_the_apps(
    connect: Callable[..., Box], enterprise: Enterprise, changes: Any, switch: str
) -> None:
    check = only(await examine(connect(**changes), enterprise))
    assert check.name == "app"
    assert check.said.startswith("POST /oauth2/token 400 invalid_")
    assert switch in check.switch


async def test_an_app_that_no_admin_has_authorized(
    emulated: Box, enterprise: Enterprise, box: Control
) -> None:
    await box.settings(app_authorized=False)
    check = only(await examine(emulated, enterprise))
    assert check.name == "app"
    assert "unauthorized_client" in check.said
    assert "authorize this app" in check.switch


async def test_an_app_of_the_other_authentication_method(
    connect: Callable[..., Box], enterprise: Enterprise
) -> None:
    other = enterprise.client_credentials()
    box = connect(
        boxAppSettings__clientID=other["client_id"],
        boxAppSettings__clientSecret=other["client_secret"],
    )
    check = only(await examine(box, enterprise))
    assert "authentication method" in check.switch


async def test_a_client_credentials_app_that_is_not_authorized(
    emulator: Starlette, enterprise: Enterprise, box: Control
) -> None:
    values = {**enterprise.client_credentials(), **QUICK}
    client = client_over(
        httpx.ASGITransport(emulator), BoxSettings.model_validate(values)
    )
    assert faults(await examine(client, enterprise)) == []
    await box.settings(app_authorized=False)
    client = client_over(
        httpx.ASGITransport(emulator), BoxSettings.model_validate(values)
    )
    assert "compare client id" in only(await examine(client, enterprise)).switch


async def test_another_enterprise_than_the_settings_name(
    emulated: Box, enterprise: Enterprise
) -> None:
    check = only(await examine(emulated, enterprise, enterprise_id="999"))
    assert check.name == "account"
    assert enterprise.id in check.said
    assert "General Settings" in check.switch


# Scopes, access, pages


@pytest.mark.parametrize(
    ("path", "name", "switch"),
    [
        ("/2.0/folders/0", "content", "'Read and write all files"),
        ("/2.0/users", "users", "'Manage users'"),
    ],
)
async def test_a_missing_application_scope(
    emulated: Box,
    enterprise: Enterprise,
    box: Control,
    path: str,
    name: str,
    switch: str,
) -> None:
    await box.fault("GET", path, status=403, headers=NO_SCOPE)
    check = only(await examine(emulated, enterprise))
    assert check.name == name
    assert switch in check.switch


async def test_groups_that_cannot_be_managed_are_told_and_no_fault(
    emulated: Box, enterprise: Enterprise, box: Control
) -> None:
    await box.fault("GET", "/2.0/groups", status=403, headers=NO_SCOPE)
    checks = await examine(emulated, enterprise)
    assert faults(checks) == []
    assert any("'Manage groups'" in check.said for check in checks)


async def test_a_page_that_is_not_among_the_cors_domains(
    emulated: Box, enterprise: Enterprise
) -> None:
    pages = (PAGE, "https://portal.example")
    check = only(await examine(emulated, enterprise, origins=pages))
    assert check.name == "CORS https://portal.example"
    assert "CORS Domains: add https://portal.example" in check.switch


@pytest.mark.usefixtures("ada")
async def test_user_tokens_that_are_switched_off(
    emulated: Box, enterprise: Enterprise, box: Control
) -> None:
    await box.settings(user_tokens_enabled=False)
    check = only(await examine(emulated, enterprise))
    assert check.name == "user tokens"
    assert "Generate user access tokens" in check.switch


@pytest.mark.parametrize(
    ("access", "said"),
    [("app", "sees app users only"), ("enterprise", "sees managed users")],
)
async def test_the_access_level_is_told(
    emulated: Box, enterprise: Enterprise, box: Control, access: str, said: str
) -> None:
    await emulated.ensure_managed_user("Eve", "eve@corp.example")
    await box.settings(app_access=access)
    checks = await examine(emulated, enterprise)
    assert faults(checks) == []
    assert any(said in check.said for check in checks)


@pytest.mark.parametrize("access", ["app", "enterprise"])
async def test_managed_users_need_an_app_that_may_reach_them(
    emulated: Box, enterprise: Enterprise, box: Control, access: str
) -> None:
    """An enterprise has one managed user at least: its admin."""
    enterprise.add_user("Admin", "admin@corp.example")
    await box.settings(app_access=access)
    checks = await examine(emulated, enterprise, managed=True)
    if access == "enterprise":
        assert faults(checks) == []
    else:
        check = only(checks)
        assert check.name == "users"
        assert "App + Enterprise Access" in check.switch


@pytest.mark.parametrize("managed", [True, False])
async def test_nothing_is_concluded_from_users_that_were_not_seen(
    emulated: Box, enterprise: Enterprise, box: Control, *, managed: bool
) -> None:
    seen = {"id": "11", "status": "inactive", "is_platform_access_only": not managed}
    body = {"entries": [seen], "total_count": 1001, "limit": 1000, "offset": 0}
    await box.fault("GET", "/2.0/users", status=200, body=body)
    checks = {c.name: c.said for c in await examine(emulated, enterprise)}
    assert checks["users"].startswith(
        "sees managed users" if managed else "no managed user is among the first 1"
    )
    assert "no app user among the first 1 " in checks["user tokens"]


@pytest.mark.usefixtures("ada")
async def test_a_scope_that_the_app_does_not_hold_is_named_alone(
    emulated: Box, enterprise: Enterprise
) -> None:
    checks = await examine(emulated, enterprise, scopes=(*SCOPES, "item_unheard_of"))
    check = only(checks)
    assert check.name == "scope item_unheard_of"
    assert "Application Scopes" in check.switch


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize(
    ("wrong", "switch"),
    [
        ({"ignore_scope": True}, "SCOPE_ANSWER"),
        ({"grant_extra_scope": "item_share"}, "never handed out"),
    ],
)
async def test_a_box_that_grants_something_else_than_was_asked(
    emulated: Box, enterprise: Enterprise, box: Control, wrong: Any, switch: str
) -> None:
    await box.settings(**wrong)
    found = faults(await examine(emulated, enterprise))
    assert {check.name.split()[0] for check in found} == {"scope"}
    assert all(switch in check.switch for check in found)


async def test_without_an_app_user_the_write_test_is_advised(
    emulated: Box, enterprise: Enterprise
) -> None:
    checks = await examine(emulated, enterprise)
    assert faults(checks) == []
    assert "--write-test" in checks[-1].said


# The write test


async def test_the_write_test_leaves_nothing(
    emulated: Box, enterprise: Enterprise, box: Control
) -> None:
    checks = await examine(emulated, enterprise, write_test=True)
    assert faults(checks) == []
    assert checks[-1].said == "nothing is left over"
    assert {"user tokens", "scopes", "revocation"} <= {c.name for c in checks}
    assert await box.users() == []
    requests = await box.requests()
    assert requests.count("POST /2.0/users") == 1


async def test_the_write_test_cleans_up_behind_a_fault(
    emulated: Box, enterprise: Enterprise, box: Control
) -> None:
    await box.settings(user_tokens_enabled=False)
    await box.fault("POST", "/2.0/users", status=502, after_commit=True)
    check = only(await examine(emulated, enterprise, write_test=True))
    assert check.name == "user tokens"
    assert await box.users() == []


async def test_a_test_user_that_cannot_be_deleted_is_named(
    emulated: Box, enterprise: Enterprise, box: Control
) -> None:
    await box.fault("DELETE", "/2.0/users/*", status=403, body={"code": "forbidden"})
    check = only(await examine(emulated, enterprise, write_test=True))
    (left,) = await box.users()
    assert check.name == "clean-up"
    assert f"user {left['id']} is left over" in check.said
    assert left["name"] in check.switch
    assert left["external_app_user_id"].startswith("sso-box-api-doctor-")


async def test_a_creation_that_nobody_knows_of_is_told(
    emulated: Box, enterprise: Enterprise, box: Control
) -> None:
    await box.fault("POST", "/2.0/users", status=502)
    check = only(await examine(emulated, enterprise, write_test=True))
    assert check.name == "write test"
    assert "sso-box-api-doctor-" in check.said
    assert "may be left over" in check.said


async def test_a_creation_that_box_refuses_names_the_scope(
    emulated: Box, enterprise: Enterprise, box: Control
) -> None:
    await box.fault("POST", "/2.0/users", status=403, headers=NO_SCOPE)
    check = only(await examine(emulated, enterprise, write_test=True))
    assert "left over" not in check.said
    assert "'Manage users'" in check.switch


@pytest.mark.usefixtures("ada")
async def test_no_line_holds_a_secret(
    emulated: Box, enterprise: Enterprise, emulator: Starlette
) -> None:
    shown = repr(await examine(emulated, enterprise, write_test=True))
    app = enterprise.config()["boxAppSettings"]
    tokens = [str(value) for value in emulator.state.world.tokens]
    for secret in (app["clientSecret"], "eyJ", *tokens):
        assert secret not in shown


async def test_groups_that_could_not_be_asked_for_name_no_switch(
    emulated: Box, enterprise: Enterprise, box: Control
) -> None:
    await box.fault("GET", "/2.0/groups", status=503)
    [groups] = [c for c in await examine(emulated, enterprise) if c.name == "groups"]
    assert "503" in groups.said
    assert "Manage groups" not in groups.said


async def test_a_page_that_is_refused_for_another_reason_is_not_a_cors_matter(
    emulated: Box, enterprise: Enterprise, box: Control
) -> None:
    # The same address is asked before: whether it is there, and for the account.
    path = "/2.0/users/me"
    await box.fault("GET", path, status=401)
    await box.fault("GET", path, status=200, body={"id": "1", "login": "service"})
    await box.fault("GET", path, status=403, body={"code": "insufficient_scope"})
    check = only(await examine(emulated, enterprise))
    assert check.name == f"CORS {PAGE}"
    assert "CORS Domains" not in check.switch


@pytest.mark.usefixtures("ada")
async def test_a_narrowed_token_that_stays_alive_is_told(
    emulated: Box, enterprise: Enterprise, box: Control
) -> None:
    await box.fault("POST", "/oauth2/revoke", status=400)
    check = only(await examine(emulated, enterprise))
    assert check.tried == "revoked the narrowed token"


async def test_a_test_user_whose_making_got_no_answer_is_named(
    emulated: Box, enterprise: Enterprise, box: Control
) -> None:
    """Also where nobody can say whether it is there."""
    await box.fault("POST", "/2.0/users", status=502, after_commit=True)
    looks = "/2.0/users"
    await box.fault("GET", looks, status=200, body={"entries": [], "total_count": 0})
    await box.fault("GET", looks, times=9, status=503)
    checks = await examine(emulated, enterprise, write_test=True)
    [made] = [check for check in checks if check.name == "write test"]
    assert "a user with the external id sso-box-api-doctor-" in made.said


@pytest.mark.usefixtures("ada")
async def test_a_box_that_grants_less_than_was_asked(
    emulator: Starlette, enterprise: Enterprise
) -> None:
    class Less(httpx.ASGITransport):
        """Leaves the last scope of several out."""

        @override
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            response = await super().handle_async_request(request)
            await response.aread()
            if b"token-exchange" not in await request.aread():
                return response
            body = response.json()
            body["restricted_to"] = body["restricted_to"][:-1] or body["restricted_to"]
            return httpx.Response(response.status_code, json=body)

    settings = box_settings(enterprise.config(), max_attempts=1)
    check = only(await examine(client_over(Less(emulator), settings), enterprise))
    assert "granted all but" in check.said
    assert "Application Scopes" in check.switch

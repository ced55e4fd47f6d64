"""Every stable error code, provoked through HTTP at each door where it can occur.

A code that is documented or raised, but has no entry here, fails the last test.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from starlette.applications import Starlette

from sso_box_api import errors
from sso_box_api.accounts import external_id
from sso_box_api.errors import SsoBoxError
from sso_box_api.settings import Settings
from sso_box_devkit.box import Enterprise
from tests.support.api import ISSUER, Api, Control
from tests.support.connections import forget

PATHS = {"json": "/v1/token", "oauth": "/oauth2/token"}
# Raised outside the tree of errors, for what no route of ours answers.
PLAIN_CODES = {"not_found", "method_not_allowed", "internal_error"}


@dataclass
class Stack:
    """The service with its neighbours, and the door that is knocked at."""

    api: Api
    box: Control
    enterprise: Enterprise
    database_url: str
    door: str

    async def exchange(self, token: str | None = None, **body: Any) -> httpx.Response:
        return await self.api.exchange(token, door=self.door, **body)

    async def post(self, content: Any, content_type: str) -> httpx.Response:
        headers = {"Content-Type": content_type}
        path = PATHS[self.door]
        return await self.api.http.post(path, content=content, headers=headers)

    async def sql(self, statement: str) -> None:
        connection = await asyncpg.connect(self.database_url)
        await connection.execute(statement)
        await connection.close()


Way = Callable[[Stack], Awaitable[httpx.Response]]


@dataclass(frozen=True)
class Case:
    """How a code comes about, and what the caller sees of it.

    ``oauth``: status and error at the OAuth door, None where the code cannot occur.
    ``settings``: what differs from the settings of the mounted stack.
    """

    status: int
    way: Way
    oauth: tuple[int, str] | None
    json: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)


# --- ways to provoke a code -----------------------------------------------------------


def _token(**claims: Any) -> Way:
    """A genuine token of the provider but for these claims; None leaves one out."""
    return lambda stack: stack.exchange(stack.api.id_token(**claims))


def _asked(**body: Any) -> Way:
    return lambda stack: stack.exchange(**body)


def _account_is(change: str) -> Way:
    """The account of somebody who logged in before was changed since."""

    async def way(stack: Stack) -> httpx.Response:
        token = stack.api.id_token()
        assert (await stack.exchange(token)).status_code == 200
        await stack.sql(f"UPDATE account SET {change}")  # noqa: S608 - from the table
        return await stack.exchange(token)

    return way


async def _provider_locked(stack: Stack) -> httpx.Response:
    await stack.sql("INSERT INTO suspension VALUES ('provider', 'main', 'an incident')")
    return await stack.exchange()


def _box_is(**settings: Any) -> Way:
    async def way(stack: Stack) -> httpx.Response:
        await stack.box.settings(**settings)
        return await stack.exchange()

    return way


async def _no_token(stack: Stack) -> httpx.Response:
    return await stack.api.http.post("/v1/token")


async def _no_scraper(stack: Stack) -> httpx.Response:
    return await stack.api.http.get("/metrics")


async def _malformed(stack: Stack) -> httpx.Response:
    return await stack.exchange("a.b.c")


async def _signature_changed(stack: Stack) -> httpx.Response:
    return await stack.exchange(stack.api.id_token()[:-4] + "AAAA")


async def _token_in_url(stack: Stack) -> httpx.Response:
    return await stack.api.http.post(f"{PATHS[stack.door]}?id_token=x")


async def _slow_body(stack: Stack) -> httpx.Response:
    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(1)

    return await stack.post(slow(), "application/json")


async def _large_body(stack: Stack) -> httpx.Response:
    return await stack.post(b" " * 65_537, "application/json")


async def _text_body(stack: Stack) -> httpx.Response:
    return await stack.post(b"a=1", "text/plain")


async def _bad_token_again(stack: Stack) -> httpx.Response:
    assert (await stack.exchange("a.b.c")).status_code in {400, 401}
    return await stack.exchange("a.b.c")


async def _box_user_gone(stack: Stack) -> httpx.Response:
    await stack.exchange()
    [user] = stack.enterprise.users.values()
    stack.enterprise.remove_user(user)
    return await stack.exchange(profile="preview")


async def _box_user_inactive(stack: Stack) -> httpx.Response:
    await stack.exchange()
    [user] = stack.enterprise.users.values()
    user.status = "inactive"
    return await stack.exchange(profile="preview")


async def _managed_user_under_our_id(stack: Stack) -> httpx.Response:
    user = stack.enterprise.add_user("managed", "ada@example.com")
    user.external_app_user_id = external_id("", ISSUER, "ada")
    return await stack.exchange()


async def _no_linking(stack: Stack) -> httpx.Response:
    stack.enterprise.add_user("managed", "ada@example.com")
    token = stack.api.id_token(email="ada@example.com", email_verified=True)
    return await stack.exchange(token)


async def _box_throttles(stack: Stack) -> httpx.Response:
    await stack.box.fault("POST", "/2.0/users", status=429)
    return await stack.exchange()


async def _provider_down(stack: Stack) -> httpx.Response:
    """Its known keys go on serving; one that is not known cannot be asked for."""
    stack.api.idp.down = True
    try:
        return await stack.exchange(stack.api.id_token(header={"kid": "unknown"}))
    finally:
        stack.api.idp.down = False


async def _connections_cut(stack: Stack) -> httpx.Response:
    """Whoever is first after the cut sees it, which may be work in the background."""
    for number in range(50):
        await stack.exchange()
        await stack.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await forget()
        answer = await stack.exchange(stack.api.id_token(f"person-{number}"))
        if answer.is_error:
            return answer
    pytest.fail("nobody saw it")


async def _box_refuses_again_and_again(stack: Stack) -> httpx.Response:
    vended = (await stack.exchange()).json()["access_token"]
    digest = hashlib.sha256(vended.encode()).hexdigest()
    for _ in range(3):
        assert (await stack.exchange(rejected_token_sha256=digest)).is_success
    return await stack.exchange(rejected_token_sha256=digest)


async def _two_profiles(stack: Stack) -> httpx.Response:
    assert (await stack.exchange()).is_success
    return await stack.exchange(profile="preview")


async def _no_such_path(stack: Stack) -> httpx.Response:
    return await stack.api.http.post("/v1/nothing")


async def _wrong_method(stack: Stack) -> httpx.Response:
    return await stack.api.http.put("/v1/token")


async def _handle_of_another_row(stack: Stack) -> httpx.Response:
    for subject in ("ada", "grace"):
        await stack.exchange(stack.api.id_token(subject))
    await stack.sql(
        "UPDATE vend SET handle = (SELECT handle FROM vend v WHERE v.id <> vend.id)"
    )
    return await stack.exchange()


# --- the table ------------------------------------------------------------------------

_INVALID = (400, "invalid_request")
_DENIED = (403, "access_denied")
_MOBILE_ONLY = {
    "explorer": {"scopes": ["base_explorer"]},
    "mobile": {"scopes": ["base_preview"], "client_ids": ["demo-mobile"]},
}
# Over before the emulator has given its first answer.
_HASTY = {"lease_s": 1.0, "post_timeout_s": 0.8, "caller_wait_s": 0.05}


_LONG_AGO = 1_000_000_000
_MAIN = {"id": "main", "issuer": ISSUER, "client_ids": ["demo-spa"]}
_FRESH_LOGINS = {"providers": [_MAIN | {"max_auth_age_s": 60}]}
_LINK_ONLY = {"providers": [_MAIN | {"box_user": {"create": False}}]}
_BY_EMAIL = {"kind": "managed", "email_domains": ["example.com"]}
_MANAGED = {"providers": [_MAIN | {"trust_email": True, "box_user": _BY_EMAIL}]}
_OWN_LOGINS = {"providers": [_MAIN | {"require_nonce_proof": True}]}

_OWN_FOLDERS = {
    "provisioning": {"template": {"folders": [{"path": "{claim:department}"}]}},
    "profiles": {
        "explorer": {
            "scopes": ["base_explorer"],
            "resource": "template",
            "template_folder": "{claim:department}",
        }
    },
}

CASES = {
    "token_missing": Case(401, _no_token, None),
    "token_malformed": Case(401, _malformed, _INVALID),
    "token_untrusted_issuer": Case(401, _token(iss="https://x.example"), _INVALID),
    "token_signature": Case(401, _signature_changed, _INVALID),
    "token_expired": Case(401, _token(iat=_LONG_AGO, exp=_LONG_AGO + 60), _INVALID),
    "token_audience": Case(401, _token(aud="another-client"), _INVALID),
    "token_policy": Case(401, _token(header={"typ": "at+jwt"}), _INVALID),
    "signed_out": Case(401, _account_is("not_before = now()"), _INVALID),
    "nonce_proof_failed": Case(
        401, _token(nonce="of-another-page"), _INVALID, settings=_OWN_LOGINS
    ),
    "step_up_required": Case(
        401, _token(auth_time=_LONG_AGO), _INVALID, settings=_FRESH_LOGINS
    ),
    "metrics_token_wrong": Case(
        401, _no_scraper, None, settings={"metrics_token": "x" * 16}
    ),
    "invalid_form": Case(400, _asked(subject_token_type="x"), _INVALID, json=False),
    "ambiguous_credentials": Case(400, _token_in_url, _INVALID),
    "request_timeout": Case(408, _slow_body, (408, "invalid_request")),
    "body_too_large": Case(413, _large_body, (413, "invalid_request")),
    "unsupported_media_type": Case(415, _text_body, (415, "invalid_request")),
    "invalid_body": Case(422, _asked(surplus=1), None),
    "unknown_profile": Case(422, _asked(profile="nothing"), _INVALID),
    "bad_resource": Case(422, _asked(resource="shared"), (400, "invalid_target")),
    "too_many_bad_tokens": Case(
        429,
        _bad_token_again,
        (429, "invalid_request"),
        settings={"limits": {"bad_tokens_per_minute": 1}},
    ),
    "too_many_mints": Case(
        429,
        _two_profiles,
        (429, "invalid_request"),
        settings={"limits": {"mints_per_minute": 1}},
    ),
    "profile_not_allowed": Case(
        403,
        _asked(profile="mobile"),
        (400, "unauthorized_client"),
        settings={"profiles": _MOBILE_ONLY},
    ),
    "scope_not_in_profile": Case(
        403, _asked(scope=["item_share"]), (400, "invalid_scope")
    ),
    "resource_not_accessible": Case(
        403, _asked(resource="folder:1"), (400, "invalid_target")
    ),
    "access_suspended": Case(403, _provider_locked, _DENIED),
    "folder_not_provisioned": Case(403, _asked(), _DENIED, settings=_OWN_FOLDERS),
    "account_locked": Case(403, _account_is("locked_at = now()"), _DENIED),
    "account_removed": Case(403, _account_is("removed_at = now()"), _DENIED),
    "email_not_allowed": Case(
        403, _token(email="ada@evil.example"), _DENIED, settings=_MANAGED
    ),
    "no_box_user": Case(403, _asked(), _DENIED, settings=_LINK_ONLY),
    "box_login_taken": Case(403, _no_linking, _DENIED, settings=_MANAGED),
    "box_user_missing": Case(403, _box_user_gone, _DENIED),
    "box_user_inactive": Case(403, _box_user_inactive, _DENIED),
    "box_user_conflict": Case(403, _managed_user_under_our_id, _DENIED),
    "box_refused": Case(
        502, _box_is(user_tokens_enabled=False), (502, "temporarily_unavailable")
    ),
    "box_granted_wrong_scope": Case(
        502,
        _box_is(grant_extra_scope="item_share"),
        (502, "temporarily_unavailable"),
    ),
    "provisioning_in_progress": Case(
        503,
        _box_is(latency_ms=100),
        (503, "temporarily_unavailable"),
        settings={"claim": _HASTY},
    ),
    "keys_unavailable": Case(503, _provider_down, (503, "temporarily_unavailable")),
    "box_unavailable": Case(503, _box_throttles, (503, "temporarily_unavailable")),
    "box_refuses_token": Case(
        503, _box_refuses_again_and_again, (503, "temporarily_unavailable")
    ),
    "database_unavailable": Case(
        503, _connections_cut, (503, "temporarily_unavailable")
    ),
    "not_found": Case(404, _no_such_path, None),
    "method_not_allowed": Case(405, _wrong_method, None),
    "internal_error": Case(500, _handle_of_another_row, (500, "server_error")),
}


@pytest.fixture
async def stack(
    code: str,
    door: str,
    settings_values: dict[str, Any],
    box: Control,
    emulator: Starlette,
    enterprise: Enterprise,
    idp_app: Starlette,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Stack]:
    # The limit is a constant of ten seconds; a test should not take that long.
    monkeypatch.setattr("sso_box_api.api.middleware.MAX_BODY_S", 0.2)
    values = {**settings_values, **CASES[code].settings}
    settings = Settings.model_validate(values)
    async with Api.start(settings, emulator, idp_app) as api:
        yield Stack(api, box, enterprise, values["database_url"], door)


@pytest.mark.parametrize(
    ("code", "door"), [(code, "json") for code, case in CASES.items() if case.json]
)
async def test_code_occurs_as_a_problem_document(stack: Stack, code: str) -> None:
    answer = await CASES[code].way(stack)
    body = answer.json()
    assert (answer.status_code, body["code"]) == (CASES[code].status, code)
    assert body["status"] == answer.status_code
    assert body["type"] == f"urn:problem-type:sso-box-api:{code}"
    assert answer.headers["content-type"] == "application/problem+json"
    assert ("www-authenticate" in answer.headers) == (answer.status_code == 401)
    if answer.status_code in {429, 503}:
        assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("code", "door"), [(code, "oauth") for code, case in CASES.items() if case.oauth]
)
async def test_code_occurs_at_the_oauth_door_as_its_reason(
    stack: Stack, code: str
) -> None:
    answer = await CASES[code].way(stack)
    body = answer.json()
    assert (answer.status_code, body["error"]) == CASES[code].oauth
    assert body["reason"] == code
    assert answer.headers["content-type"] == "application/json"
    # There is no client authentication to challenge for (RFC 6749 section 5.2).
    assert "www-authenticate" not in answer.headers
    if answer.status_code in {429, 503}:
        assert int(answer.headers["retry-after"]) >= 1


async def test_unknown_paths_and_methods_at_the_oauth_door_are_problems(
    api: Api,
) -> None:
    wrong = await api.http.get("/oauth2/token")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    missing = await api.http.post("/oauth2/nothing")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


def _leaf_codes(kind: type[SsoBoxError]) -> set[str]:
    """Codes of the tree's ends; kinds that another module adds are no part of it."""
    below = [k for k in kind.__subclasses__() if k.__module__ == errors.__name__]
    if not below:
        return {kind.code}
    return set().union(*map(_leaf_codes, below))


def test_the_table_above_is_the_documented_one_and_the_tree_of_errors() -> None:
    page = (Path(__file__).parents[1] / "docs/api.md").read_text()
    section = page.split("\n## Errors\n")[1].split("\n### ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\d{3}) \|", section, re.MULTILINE)
    documented = {code: int(status) for code, status in rows}
    assert {code: case.status for code, case in CASES.items()} == documented
    assert CASES.keys() == _leaf_codes(SsoBoxError) | PLAIN_CODES

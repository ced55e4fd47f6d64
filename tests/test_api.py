"""The HTTP surface: what a caller sees besides the exchange itself."""

import json
import time
from typing import Any

import pytest
from hypothesis import (
    HealthCheck,
    given,
    settings as hypothesis_settings,
    strategies as st,
)
from starlette.applications import Starlette

from sso_box_api.api.oauth import OAuthTokenResponse
from sso_box_api.api.token import TokenRequest, TokenResponse
from sso_box_api.identity import UnverifiedToken
from sso_box_api.identity.compact import parse
from sso_box_api.settings import Settings
from tests.support.api import GRANT, ID_TOKEN_TYPE, Api, Control
from tests.support.tokens import SigningKey, good_claims

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def test_me_before_and_after_the_first_login(api: Api, box: Control) -> None:
    headers = {"Authorization": f"Bearer {api.id_token(name='Ada L')}"}
    before = (await api.http.get("/v1/me", headers=headers)).json()
    assert before["identity"]["subject"] == "ada"
    assert before["identity"]["name"] == "Ada L"
    assert before["box"] is None
    assert await box.users() == []
    user_id = (await api.exchange()).json()["box_user_id"]
    after = (await api.http.get("/v1/me", headers=headers)).json()
    assert after["box"] == {
        "id": user_id,
        "kind": "app",
        "state": "active",
        "provisioning": [],
    }


@pytest.mark.parametrize(
    ("trust_email", "verified", "trusted"),
    [
        (True, True, True),
        (True, False, False),
        (True, None, False),
        (False, True, False),
    ],
)
async def test_me_trusts_an_address_only_if_provider_and_settings_do(
    settings_values: dict[str, Any],
    emulator: Starlette,
    idp_app: Starlette,
    trust_email: bool,  # noqa: FBT001 - a column of the table
    verified: bool | None,  # noqa: FBT001 - a column of the table
    trusted: bool,  # noqa: FBT001 - a column of the table
) -> None:
    settings_values["providers"][0]["trust_email"] = trust_email
    settings = Settings.model_validate(settings_values)
    async with Api.start(settings, emulator, idp_app) as api:
        token = api.id_token(email="ada@corp.example", email_verified=verified)
        headers = {"Authorization": f"Bearer {token}"}
        identity = (await api.http.get("/v1/me", headers=headers)).json()["identity"]
    assert identity["email"] == "ada@corp.example"
    assert identity["email_trusted"] is trusted


async def test_config_tells_a_page_how_to_log_in(api: Api) -> None:
    body = (await api.http.get("/v1/config")).json()
    [provider] = body["providers"]
    assert provider["issuer"] == "https://idp.example"
    assert provider["client_id"] == "demo-spa"
    assert "openid" in provider["scopes"]
    assert {p["name"] for p in body["profiles"]} == {
        "explorer",
        "picker",
        "uploader",
        "preview",
        "preview-download",
    }


async def test_health_names_each_dependency(api: Api, box: Control) -> None:
    assert (await api.http.get("/livez")).json() == {"status": "ok"}
    cold = (await api.http.get("/readyz")).json()
    while cold["providers"] == {"main": "unfetched"}:
        cold = (await api.http.get("/readyz")).json()
    assert cold == {
        "status": "ok",
        "database": "ok",
        "box": "unused",
        "providers": {"main": "fresh"},  # before any token
        "pending_revocations": 0,
        "suspensions": 0,
        "left_over_box_users": 0,
    }
    await api.exchange()
    warm = (await api.http.get("/readyz")).json()
    assert (warm["box"], warm["providers"]) == ("ok", {"main": "fresh"})
    await box.fault("*", "/*", status=503, times=1000)
    await api.exchange(profile="preview")
    failing = await api.http.get("/readyz")
    assert failing.status_code == 200
    assert failing.json()["status"] == "degraded"


async def test_no_token_gets_a_bare_challenge(api: Api) -> None:
    answer = await api.http.post("/v1/token")
    assert answer.status_code == 401
    assert answer.json()["code"] == "token_missing"
    assert answer.headers["www-authenticate"] == 'Bearer realm="sso-box-api"'


async def test_a_bad_token_gets_the_challenge_of_rfc_6750(api: Api) -> None:
    answer = await api.exchange("a.b.c")
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json()) == {
        "type",
        "title",
        "status",
        "detail",
        "code",
        "request_id",
    }


async def test_token_may_stand_in_the_body_instead(api: Api) -> None:
    answer = await api.http.post("/v1/token", json={"id_token": api.id_token()})
    assert answer.status_code == 200


async def test_two_credentials_are_refused(api: Api) -> None:
    token = api.id_token()
    both = await api.exchange(token, id_token=token)
    assert (both.status_code, both.json()["code"]) == (400, "ambiguous_credentials")
    twice = [("Authorization", f"Bearer {token}")] * 2
    headers = await api.http.post("/v1/token", headers=twice)
    assert headers.json()["code"] == "ambiguous_credentials"
    query = await api.http.post(f"/v1/token?access_token={token}")
    assert query.json()["code"] == "ambiguous_credentials"


@pytest.mark.parametrize("name", ["access_token", "id_token"])
@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/token"), ("GET", "/v1/me")])
async def test_a_token_in_the_url_is_refused_even_beside_a_good_one(
    api: Api, name: str, method: str, path: str
) -> None:
    """It stands in the logs of everybody on the way by then."""
    token = api.id_token()
    headers = {"Authorization": f"Bearer {token}"}
    for sent in ({}, headers):
        url = f"{path}?{name}={token}"
        answer = await api.http.request(method, url, headers=sent)
        assert answer.status_code == 400
        assert answer.json()["code"] == "ambiguous_credentials"
        assert token not in answer.text


@pytest.mark.parametrize("scheme", ["Basic", "Bearer", "DPoP"])
async def test_another_scheme_is_malformed(api: Api, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} a b"}
    answer = await api.http.post("/v1/token", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "token_malformed")


async def test_unknown_paths_and_methods_are_problems_too(api: Api) -> None:
    missing = await api.http.get("/v1/nothing")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    wrong = await api.http.put("/v1/token")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"


async def test_request_id_is_taken_over_when_it_is_harmless(api: Api) -> None:
    answer = await api.http.get("/v1/nothing", headers={"X-Request-ID": "abc-1"})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "abc-1"
    strange = await api.http.get("/livez", headers={"X-Request-ID": "a b\t"})
    assert strange.headers["x-request-id"] != "a b\t"


async def test_body_above_the_limit_is_413(api: Api) -> None:
    exact = await api.http.post("/v1/token", content=b" " * 65_536)
    assert exact.status_code != 413
    above = await api.http.post("/v1/token", content=b" " * 65_537)
    assert (above.status_code, above.json()["code"]) == (413, "body_too_large")
    form = await api.http.post("/oauth2/token", content=b" " * 65_537, headers=FORM)
    assert (form.status_code, form.json()["reason"]) == (413, "body_too_large")


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", None])
async def test_wrong_content_type_is_415(api: Api, content_type: str | None) -> None:
    headers = {"Authorization": f"Bearer {api.id_token()}"}
    if content_type:
        headers["Content-Type"] = content_type
    answer = await api.http.post("/v1/token", content=b'{"a": 1}', headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (
        415,
        "unsupported_media_type",
    )


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"profile": "nothing"}', 422, "unknown_profile"),
        (b'{"profile": 1}', 422, "invalid_body"),
        (b'{"profile": "a\\u0000b"}', 422, "invalid_body"),
        (b'{"profile": "\\ud800"}', 422, "invalid_body"),
        (b'{"profile": "\\u00e9"}', 422, "invalid_body"),
        (b'{"id_token": "\\ud800"}', 422, "invalid_body"),
        (b'{"scope": []}', 422, "invalid_body"),
        (b'{"scope": "base_preview"}', 422, "invalid_body"),
        (b'{"scope": ["item_share"]}', 403, "scope_not_in_profile"),
        (b'{"scope": ["manage_users"]}', 403, "scope_not_in_profile"),
        (b'{"unknown": 1}', 422, "invalid_body"),
        (b'{"profile":', 422, "invalid_body"),
        (b"\xff\xfe", 422, "invalid_body"),
        (b"[]", 422, "invalid_body"),
        (b'"text"', 422, "invalid_body"),
        (b"1" * 5000, 422, "invalid_body"),
        (b"[" * 20_000, 422, "invalid_body"),
        (b'{"resource": "folder:01"}', 422, "bad_resource"),
        (b'{"resource": "file:0"}', 422, "bad_resource"),
        (b'{"resource": "web_link:1"}', 422, "bad_resource"),
        (b'{"resource": "folder:1\\n"}', 422, "invalid_body"),
        (b'{"resource": "folder:123456789012345678901"}', 422, "bad_resource"),
        (
            b'{"resource": "https://api.box.com/2.0/folders/1/items"}',
            422,
            "bad_resource",
        ),
        (b'{"resource": "https://evil.example/2.0/folders/1"}', 422, "bad_resource"),
        (b'{"resource": "https://app.box.com/s/abc"}', 422, "bad_resource"),
        ('{"resource": "folder:\u0661"}'.encode(), 422, "invalid_body"),
    ],
)
async def test_bad_body_is_refused_before_anything_happens(
    api: Api, box: Control, body: bytes, status: int, code: str
) -> None:
    headers = {
        "Authorization": f"Bearer {api.id_token()}",
        "Content-Type": "application/json",
    }
    answer = await api.http.post("/v1/token", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert await box.requests() == []
    me = await api.http.get("/v1/me", headers=headers)
    assert me.json()["box"] is None


async def test_refused_scopes_are_named_but_only_if_they_are_boxes_own(
    api: Api,
) -> None:
    answer = await api.exchange(scope=["item_share", "base_explorer", "eyJsecret"])
    assert answer.json()["excess"] == ["item_share"]
    assert "eyJsecret" not in answer.text


async def test_validation_errors_repeat_nothing_of_the_request(api: Api) -> None:
    secret = "eyJ-a-secret"
    answer = await api.exchange(profile=[secret], **{secret: secret})
    assert answer.status_code == 422
    assert secret not in answer.text
    assert {e["type"] for e in answer.json()["errors"]} == {
        "string_type",
        "extra_forbidden",
    }


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
_FIELD = st.sampled_from(["id_token", "profile", "scope", "resource", "other"])


@hypothesis_settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(name=_FIELD, value=_JSON)
async def test_any_json_in_any_field_is_answered_with_valid_json(
    api: Api, name: str, value: Any
) -> None:
    if value is None and name != "other":
        return
    body = json.dumps({name: value}).encode()
    headers = {"Content-Type": "application/json"}
    answer = await api.http.post("/v1/token", content=body, headers=headers)
    assert 400 <= answer.status_code < 500
    assert answer.json()["code"]


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        ({"grant_type": None}, "invalid_request", "invalid_form"),
        ({"grant_type": "password"}, "unsupported_grant_type", "invalid_form"),
        ({"subject_token": None}, "invalid_request", "invalid_form"),
        ({"subject_token": "a.b.c"}, "invalid_request", "token_malformed"),
        ({"subject_token_type": None}, "invalid_request", "invalid_form"),
        ({"subject_token_type": "x"}, "invalid_request", "invalid_form"),
        ({"client_id": None}, "invalid_request", "invalid_form"),
        ({"client_id": "demo-mobile"}, "invalid_request", "token_policy"),
        ({"requested_token_type": "x"}, "invalid_request", "invalid_form"),
        ({"audience": "other"}, "invalid_target", "invalid_form"),
        ({"actor_token": "x"}, "invalid_request", "invalid_form"),
        ({"surplus": "x"}, "invalid_request", "invalid_form"),
        ({"scope": "item_share"}, "invalid_scope", "scope_not_in_profile"),
        ({"resource": "shared"}, "invalid_target", "bad_resource"),
        ({"profile": "nothing"}, "invalid_request", "unknown_profile"),
    ],
)
async def test_oauth_door_answers_as_the_rfcs_say(
    api: Api, box: Control, change: dict[str, str | None], error: str, reason: str
) -> None:
    form = {
        "grant_type": GRANT,
        "subject_token": api.id_token(),
        "subject_token_type": ID_TOKEN_TYPE,
        "client_id": "demo-spa",
        **change,
    }
    sent = {k: v for k, v in form.items() if v is not None}
    answer = await api.http.post("/oauth2/token", data=sent)
    assert answer.status_code == 400
    assert (answer.json()["error"], answer.json()["reason"]) == (error, reason)
    assert answer.headers["content-type"] == "application/json"
    assert await box.requests() == []


async def test_oauth_door_refuses_repeats_other_types_and_headers(api: Api) -> None:
    twice = await api.http.post("/oauth2/token", content="a=1&a=2", headers=FORM)
    assert twice.json()["error"] == "invalid_request"
    many = "&".join(f"p{n}=1" for n in range(40))
    assert (
        await api.http.post("/oauth2/token", content=many, headers=FORM)
    ).status_code == 400
    raw = await api.http.post("/oauth2/token", content=b"\xff=1", headers=FORM)
    assert raw.status_code == 400
    as_json = await api.http.post("/oauth2/token", json={"grant_type": GRANT})
    assert as_json.status_code == 415
    headers = {**FORM, "Authorization": "Basic abc"}
    basic = await api.http.post("/oauth2/token", content="a=1", headers=headers)
    assert basic.json()["error"] == "invalid_request"


def test_no_credential_stands_in_a_repr() -> None:
    """Error trackers print the variables of every frame."""
    key = SigningKey.rsa("key-1")
    token = key.token(good_claims(time.time()))
    asked = TokenRequest(id_token=token, nonce_verifier="v" * 43)
    vended: dict[str, Any] = dict.fromkeys(TokenResponse.model_fields, "")
    vended |= {"access_token": "a-box-token"}
    answer = TokenResponse.model_construct(**vended)
    oauth = OAuthTokenResponse.model_construct(**vended)
    shown = f"{parse(UnverifiedToken(token))} {asked} {answer} {oauth}"
    for secret in (*token.split("."), "v" * 43, "a-box-token"):
        assert secret not in shown


@pytest.mark.parametrize(
    ("door", "model"), [("json", TokenResponse), ("oauth", OAuthTokenResponse)]
)
async def test_answers_have_exactly_the_documented_fields(
    api: Api, door: str, model: type[TokenResponse | OAuthTokenResponse]
) -> None:
    """The routes write them without the model, which stands in the OpenAPI document."""
    answer = (await api.exchange(door=door)).json()
    model.model_validate(answer)
    assert answer.keys() == model.model_fields.keys()

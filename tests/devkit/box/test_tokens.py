"""The token endpoint holds assertions to Box's rules, and revokes."""

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from sso_box_devkit.box import Enterprise
from tests.support.box_caller import BoxCaller


async def test_a_good_assertion_yields_a_bearer_token_of_the_service_account(
    box: BoxCaller,
) -> None:
    answer = await box.present(box.signed(box.claims()))
    body = answer.json()
    assert answer.status_code == 200
    assert body.keys() == {"access_token", "expires_in", "restricted_to", "token_type"}
    assert 3600 <= body["expires_in"] <= 4250
    assert (body["token_type"], body["restricted_to"]) == ("bearer", [])
    me = await box.call(body["access_token"], "GET", "/2.0/users/me")
    assert me.json()["login"].startswith("AutomationUser_")


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512"])
async def test_each_rsa_algorithm_is_accepted(box: BoxCaller, algorithm: str) -> None:
    answer = await box.present(box.signed(box.claims(), algorithm=algorithm))
    assert answer.status_code == 200


# Those that hang on the time are asked for when the test runs.
Changes = dict[str, Any] | Callable[[int], dict[str, Any]]
BAD_CLAIMS: dict[str, tuple[Changes, str]] = {
    "issuer": ({"iss": "someone"}, "'iss'"),
    "issuer missing": ({"iss": ...}, "'iss'"),
    "audience of the emulator": ({"aud": "http://box/oauth2/token"}, "'aud'"),
    "audience as a list": ({"aud": ["https://api.box.com/oauth2/token"]}, "'aud'"),
    "subject unknown": ({"sub": "1"}, "'sub'"),
    "subject a number": ({"sub": 1100001}, "'sub'"),
    "subject type missing": ({"box_sub_type": ...}, "'sub'"),
    "user unknown": ({"sub": "77", "box_sub_type": "user"}, "'sub'"),
    "expired": ({"exp": 1}, "'exp'"),
    "expires too late": (lambda now: {"exp": now + 3600}, "'exp'"),
    "expiry missing": ({"exp": ...}, "'exp'"),
    "expiry as text": (lambda now: {"exp": str(now + 30)}, "'exp'"),
    "expiry as a fraction": (lambda now: {"exp": now + 30.5}, "'exp'"),
    "issued in the future": (lambda now: {"iat": now + 300}, "'iat'"),
    "not yet valid": (lambda now: {"nbf": now + 300}, "'nbf'"),
    "jti short": ({"jti": "x" * 15}, "'jti'"),
    "jti long": ({"jti": "x" * 129}, "'jti'"),
    "jti missing": ({"jti": ...}, "'jti'"),
}


@pytest.mark.parametrize(
    ("changes", "named"), BAD_CLAIMS.values(), ids=BAD_CLAIMS.keys()
)
async def test_a_claim_that_breaks_a_rule_is_refused_and_named(
    box: BoxCaller, changes: Changes, named: str
) -> None:
    changed = changes(int(time.time())) if callable(changes) else changes
    answer = await box.present(box.signed(box.claims(**changed)))
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_grant"
    assert named in answer.json()["error_description"]


def mixed(box: BoxCaller) -> str:
    header, _, signature = box.signed(box.claims()).split(".")
    claims = box.signed(box.claims()).split(".")[1]
    return f"{header}.{claims}.{signature}"


BAD_SIGNATURES: dict[str, tuple[Callable[[BoxCaller], str], str]] = {
    "unknown kid": (lambda b: b.signed(b.claims(), key_id="nope"), "Signature verif"),
    "other key": (
        lambda b: b.signed(b.claims(), key=generate_private_key(65537, 2048)),
        "Signature verif",
    ),
    "HS256": (lambda b: b.signed(b.claims(), algorithm="HS256"), "Algorithm not"),
    "none": (lambda b: b.signed(b.claims(), algorithm="none"), "Algorithm not"),
    "claims of another assertion": (mixed, "Signature verif"),
    "not a token": (lambda _: "x.y", "'assertion'"),
}


@pytest.mark.parametrize(
    ("make", "said"), BAD_SIGNATURES.values(), ids=BAD_SIGNATURES.keys()
)
async def test_what_the_app_did_not_sign_is_refused(
    box: BoxCaller, make: Callable[[BoxCaller], str], said: str
) -> None:
    answer = await box.present(make(box))
    assert answer.status_code == 400
    assert said in answer.json()["error_description"]


async def test_an_assertion_works_once(box: BoxCaller) -> None:
    assertion = box.signed(box.claims())
    assert (await box.present(assertion)).status_code == 200
    again = await box.present(assertion)
    assert again.status_code == 400
    assert again.json() == {
        "error": "invalid_grant",
        "error_description": "Please check the 'jti' claim. "
        "A unique 'jti' value is required.",
    }


async def test_the_clock_of_the_emulator_rules_and_shows_in_date(
    box: BoxCaller,
) -> None:
    await box.settings(clock_offset_s=600)
    refused = await box.present(box.signed(box.claims()))
    assert "'exp'" in refused.json()["error_description"]
    box_now = parsedate_to_datetime(refused.headers["date"]).timestamp()
    assert 590 < box_now - time.time() < 610
    corrected = box.signed(box.claims(exp=int(box_now) + 30))
    assert (await box.present(corrected)).status_code == 200


@pytest.mark.parametrize("part", ["client_id", "client_secret"])
async def test_wrong_client_credentials_are_refused(box: BoxCaller, part: str) -> None:
    answer = await box.present(box.signed(box.claims()), **{part: "wrong"})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client")


async def test_an_unauthorized_app_gets_no_token(box: BoxCaller) -> None:
    await box.settings(app_authorized=False)
    answer = await box.present(box.signed(box.claims()))
    assert answer.json() == {
        "error": "unauthorized_client",
        "error_description": "This app is not authorized by the enterprise admin",
    }


async def user_grant(box: BoxCaller, user_id: str) -> dict[str, Any]:
    claims = box.claims(sub=user_id, box_sub_type="user")
    answer = await box.present(box.signed(claims))
    return dict(answer.json())


async def test_user_tokens_need_their_switch(box: BoxCaller) -> None:
    user = await box.app_user()
    assert "access_token" in await user_grant(box, user)
    await box.settings(user_tokens_enabled=False)
    assert (await user_grant(box, user))["error"] == "invalid_request"


async def test_app_access_reaches_app_users_only(box: BoxCaller) -> None:
    app_user = await box.app_user()
    managed = await box.call(
        await box.token(), "POST", "/2.0/users", json={"name": "M", "login": "m@x.io"}
    )
    await box.settings(app_access="app")
    assert "access_token" in await user_grant(box, app_user)
    refused = await user_grant(box, managed.json()["id"])
    assert refused["error"] == "invalid_request"
    assert "Cannot obtain user token" in refused["error_description"]


async def test_the_service_account_is_no_user_subject(box: BoxCaller) -> None:
    me = await box.call(await box.token(), "GET", "/2.0/users/me")
    refused = await user_grant(box, me.json()["id"])
    assert "Cannot obtain user token" in refused["error_description"]


@pytest.mark.parametrize(
    "code", ["invalid_grant", "invalid_request", "unauthorized_client"]
)
async def test_an_inactive_user_gets_tokens_only_by_setting(
    box: BoxCaller, code: str
) -> None:
    user = await box.app_user(status="inactive")
    await box.settings(inactive_user_error=code)
    assert (await user_grant(box, user))["error"] == code
    await box.settings(inactive_user_tokens="allow")
    assert "access_token" in await user_grant(box, user)


def ccg_form(app: dict[str, str], user: str | None = None) -> dict[str, str]:
    """For the service account, or for a user."""
    kind = "enterprise" if user is None else "user"
    return {
        "grant_type": "client_credentials",
        "client_id": app["client_id"],
        "client_secret": app["client_secret"],
        "box_subject_type": kind,
        "box_subject_id": user or app["enterprise_id"],
    }


async def test_the_second_app_takes_client_credentials(
    box: BoxCaller, enterprise: Enterprise
) -> None:
    user = await box.app_user()
    app = enterprise.client_credentials()
    form = ccg_form(app)
    answer = await box.http.post("/oauth2/token", data=form)
    token = answer.json()["access_token"]
    seen = await box.call(token, "GET", f"/2.0/users/{user}")
    assert seen.json()["id"] == user
    answer = await box.http.post("/oauth2/token", data=ccg_form(app, user))
    me = await box.call(answer.json()["access_token"], "GET", "/2.0/users/me")
    assert me.json()["id"] == user
    for change in (
        {"client_secret": "wrong"},
        {"box_subject_id": "1"},
        {"box_subject_type": "group"},
    ):
        refused = await box.http.post("/oauth2/token", data=form | change)
        assert refused.json() == {
            "error": "invalid_grant",
            "error_description": "Grant credentials are invalid",
        }


async def test_apps_have_service_accounts_and_external_ids_of_their_own(
    box: BoxCaller, enterprise: Enterprise
) -> None:
    user = await box.app_user(external_app_user_id="x1")
    form = ccg_form(enterprise.client_credentials())
    other = (await box.http.post("/oauth2/token", data=form)).json()["access_token"]
    mine = await box.token()
    ids = [
        (await box.call(token, "GET", "/2.0/users/me")).json()["id"]
        for token in (mine, other)
    ]
    assert ids[0] != ids[1]
    query = "/2.0/users?external_app_user_id=x1&fields=external_app_user_id"
    found = [(await box.call(t, "GET", query)).json() for t in (mine, other)]
    assert [page["total_count"] for page in found] == [1, 0]
    path = f"/2.0/users/{user}"
    shown = await box.call(other, "GET", f"{path}?fields=external_app_user_id")
    assert "external_app_user_id" not in shown.json()
    stolen = await box.call(other, "PUT", path, json={"external_app_user_id": "x2"})
    assert stolen.status_code == 403


async def test_app_access_only_is_access_to_the_apps_own_users(
    box: BoxCaller, enterprise: Enterprise
) -> None:
    user = await box.app_user()
    group = (await box.create(await box.token(), "groups", name="Staff"))["id"]
    await box.settings(app_access="app")
    app = enterprise.client_credentials()
    answer = await box.http.post("/oauth2/token", data=ccg_form(app))
    other = answer.json()["access_token"]
    for path in (f"users/{user}", f"groups/{group}"):
        assert (await box.call(other, "GET", f"/2.0/{path}")).status_code == 404
        assert (await box.call(await box.token(), "GET", f"/2.0/{path}")).is_success
    refused = await box.http.post("/oauth2/token", data=ccg_form(app, user))
    assert refused.status_code == 400


async def test_each_app_has_one_grant(box: BoxCaller) -> None:
    form = {
        "grant_type": "client_credentials",
        **box.client,
        "box_subject_type": "enterprise",
        "box_subject_id": box.enterprise_id,
    }
    refused = await box.http.post("/oauth2/token", data=form)
    assert refused.json()["error"] == "invalid_request"


async def test_a_revoked_token_is_dead_with_an_empty_401(box: BoxCaller) -> None:
    token = await box.token()
    other = await box.token()
    revoked = await box.http.post("/oauth2/revoke", data={**box.client, "token": token})
    assert (revoked.status_code, revoked.content) == (200, b"")
    answer = await box.call(token, "GET", "/2.0/users/me")
    assert (answer.status_code, answer.content) == (401, b"")
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert (await box.call(other, "GET", "/2.0/users/me")).status_code == 200


async def test_revoking_needs_the_client_and_takes_unknown_tokens_by_setting(
    box: BoxCaller,
) -> None:
    wrong = {"client_id": box.client_id, "client_secret": "wrong", "token": "x"}
    refused = await box.http.post("/oauth2/revoke", data=wrong)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_client")
    unknown = {**box.client, "token": "x"}
    assert (await box.http.post("/oauth2/revoke", data=unknown)).status_code == 200
    await box.settings(revoke_unknown="error")
    assert (await box.http.post("/oauth2/revoke", data=unknown)).status_code == 400


async def test_an_app_revokes_its_own_tokens_only(
    box: BoxCaller, enterprise: Enterprise
) -> None:
    token = await box.token()
    app = enterprise.client_credentials()
    other = {"client_id": app["client_id"], "client_secret": app["client_secret"]}
    await box.http.post("/oauth2/revoke", data={**other, "token": token})
    assert (await box.call(token, "GET", "/2.0/users/me")).status_code == 200


async def test_tokens_expire_by_the_emulated_clock(box: BoxCaller) -> None:
    await box.settings(token_life_s=1800)
    token = await box.token()
    await box.settings(clock_offset_s=1799)
    assert (await box.call(token, "GET", "/2.0/users/me")).status_code == 200
    await box.settings(clock_offset_s=1801)
    assert (await box.call(token, "GET", "/2.0/users/me")).status_code == 401


async def test_a_token_of_one_enterprise_sees_nothing_of_another(
    box: BoxCaller,
) -> None:
    user = await box.app_user()
    founded = await box.control("POST", "enterprises", {})
    other = BoxCaller(box.http, founded.json()["config"])
    token = await other.token()
    seen = await other.call(token, "GET", f"/2.0/users/{user}")
    assert seen.status_code == 404
    assert (await other.call(token, "GET", "/2.0/users")).json()["total_count"] == 0
    mixed_up = other.claims(sub=box.enterprise_id)
    assert (await other.present(other.signed(mixed_up))).status_code == 400

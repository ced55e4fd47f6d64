"""The local IdP over the wire: what it grants, and above all what it refuses."""

import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from starlette.applications import Starlette

from sso_box_devkit.idp import create_idp

ISSUER = "https://idp.example"
CALLBACK = "http://localhost:5173/callback"
VERIFIER = "v" * 43
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest())
    .rstrip(b"=")
    .decode()
)
REQUEST = {
    "response_type": "code",
    "client_id": "demo-spa",
    "redirect_uri": CALLBACK,
    "scope": "openid profile email",
    "state": "opaque state",
    "nonce": "n-1",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}
NO_PAGE = {"prompt": "none", "login_hint": "ada"}


@pytest.fixture
def app() -> Starlette:
    # An EC key is made in no time; what RS256 changes is tested by itself.
    return create_idp(ISSUER, algorithm="ES256")


@pytest.fixture
async def http(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    async with _client(app, ISSUER) as client:
        yield client


def _client(app: Starlette, base_url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base_url)


def _query(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 303
    return dict(parse_qsl(urlsplit(answer.headers["location"]).query))


async def _code(http: httpx.AsyncClient, **changes: str) -> str:
    params = {**REQUEST, **NO_PAGE, **changes}
    return _query(await http.get("/authorize", params=params))["code"]


async def _redeem(
    http: httpx.AsyncClient, received: str, **changes: str | None
) -> httpx.Response:
    form = {
        "grant_type": "authorization_code",
        "client_id": "demo-spa",
        "redirect_uri": CALLBACK,
        "code": received,
        "code_verifier": VERIFIER,
        **changes,
    }
    return await http.post("/token", data={k: v for k, v in form.items() if v})


async def _tokens(http: httpx.AsyncClient, **changes: str) -> dict[str, Any]:
    answer = await _redeem(http, await _code(http, **changes))
    assert answer.status_code == 200
    body: dict[str, Any] = answer.json()
    return body


async def _refresh(http: httpx.AsyncClient, token: str) -> httpx.Response:
    form = {"grant_type": "refresh_token", "client_id": "demo-spa"}
    return await http.post("/token", data={**form, "refresh_token": token})


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _part(token: str, index: int) -> dict[str, Any]:
    part: dict[str, Any] = json.loads(_decode(token.split(".")[index]))
    return part


def _claims(token: str) -> dict[str, Any]:
    return _part(token, 1)


async def _verify(http: httpx.AsyncClient, token: str) -> None:
    """Check the signature with the published key that the header names."""
    metadata = (await http.get("/.well-known/openid-configuration")).json()
    keys = (await http.get(metadata["jwks_uri"])).json()["keys"]
    header = _part(token, 0)
    (jwk,) = [key for key in keys if key["kid"] == header["kid"]]
    assert jwk["alg"] == header["alg"]
    content, _, encoded = token.rpartition(".")
    signature = _decode(encoded)
    number = {
        name: int.from_bytes(_decode(jwk[name])) for name in "nexy" if name in jwk
    }
    if jwk["kty"] == "RSA":
        rsa.RSAPublicNumbers(number["e"], number["n"]).public_key().verify(
            signature, content.encode(), padding.PKCS1v15(), hashes.SHA256()
        )
    else:
        r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
        ec.EllipticCurvePublicNumbers(
            number["x"], number["y"], ec.SECP256R1()
        ).public_key().verify(
            encode_dss_signature(r, s), content.encode(), ec.ECDSA(hashes.SHA256())
        )


async def test_a_login_yields_an_id_token_that_the_published_key_verifies(
    http: httpx.AsyncClient,
) -> None:
    answer = await _redeem(http, await _code(http))
    assert answer.headers["cache-control"] == "no-store"
    id_token = answer.json()["id_token"]
    await _verify(http, id_token)
    claims = _claims(id_token)
    assert claims.pop("exp") - claims["iat"] == 3600
    assert abs(claims.pop("iat") - time.time()) < 60
    assert claims.pop("auth_time") > 0
    assert claims.pop("at_hash")
    assert claims == {
        "iss": ISSUER,
        "sub": "ada",
        "aud": "demo-spa",
        "nonce": "n-1",
        "name": "Ada Lovelace",
        "given_name": "Ada",
        "family_name": "Lovelace",
        "email": "ada@example.com",
        "email_verified": True,
    }
    assert _part(id_token, 0)["typ"] == "JWT"


async def test_an_id_token_changed_by_one_claim_does_not_verify(
    http: httpx.AsyncClient,
) -> None:
    header, payload, signature = (await _tokens(http))["id_token"].split(".")
    other = _decode(payload).replace(b'"ada"', b'"eve"')
    tampered = base64.urlsafe_b64encode(other).rstrip(b"=").decode()
    with pytest.raises(InvalidSignature):
        await _verify(http, f"{header}.{tampered}.{signature}")


async def test_by_default_a_provider_signs_rs256() -> None:
    async with _client(create_idp(ISSUER), ISSUER) as http:
        metadata = (await http.get("/.well-known/openid-configuration")).json()
        assert metadata["id_token_signing_alg_values_supported"] == ["RS256"]
        id_token = (await _tokens(http))["id_token"]
        assert _part(id_token, 0)["alg"] == "RS256"
        await _verify(http, id_token)
        forged = id_token[:-8] + "AAAAAAAA"
        with pytest.raises(InvalidSignature):
            await _verify(http, forged)


@pytest.mark.parametrize(
    "issuer", ["https://idp.example/", "https://idp.example/realms/one"]
)
async def test_every_endpoint_of_discovery_lies_under_the_issuer_and_answers(
    issuer: str,
) -> None:
    base = issuer.rstrip("/")
    async with _client(create_idp(issuer), base) as http:
        metadata = (await http.get("/.well-known/openid-configuration")).json()
        assert metadata["issuer"] == issuer
        assert _claims((await _tokens(http))["id_token"])["iss"] == issuer
        found = [url for name, url in metadata.items() if name.endswith("_endpoint")]
        for url in [*found, metadata["jwks_uri"]]:
            assert url.startswith(base + "/")
            assert (await http.get(url)).status_code != 404
        assert len(found) == 4


async def test_discovery_offers_code_with_s256_and_nothing_weaker(
    http: httpx.AsyncClient,
) -> None:
    metadata = (await http.get("/.well-known/openid-configuration")).json()
    assert metadata["response_types_supported"] == ["code"]
    assert metadata["code_challenge_methods_supported"] == ["S256"]


async def test_state_and_issuer_come_back_with_the_code(
    http: httpx.AsyncClient,
) -> None:
    target = CALLBACK + "?kept=1"
    params = {**REQUEST, **NO_PAGE, "redirect_uri": target}
    answer = await http.get("/authorize", params=params)
    assert answer.headers["location"].startswith(target + "&")
    query = _query(answer)
    assert (query["state"], query["iss"]) == (REQUEST["state"], ISSUER)


async def test_without_a_nonce_in_the_request_there_is_none_in_the_token(
    http: httpx.AsyncClient,
) -> None:
    assert "nonce" not in _claims((await _tokens(http, nonce=""))["id_token"])


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": ""}, "invalid_request"),
        ({"response_type": "id_token"}, "unsupported_response_type"),
        ({"response_type": ""}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"scope": "profile"}, "invalid_scope"),
        ({"login_hint": ""}, "login_required"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"request": "e30.e30."}, "request_not_supported"),
    ],
)
async def test_a_login_that_lacks_a_requirement_returns_the_error_and_no_code(
    http: httpx.AsyncClient, changes: dict[str, str], error: str
) -> None:
    params = {**REQUEST, **NO_PAGE, **changes}
    query = _query(await http.get("/authorize", params=params))
    assert query["error"] == error
    assert query["state"] == REQUEST["state"]
    assert "code" not in query


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "stranger"},
        {"redirect_uri": ""},
        {"redirect_uri": "https://evil.example/callback"},
        {"redirect_uri": "http://localhost.evil.example/callback"},
        {"redirect_uri": "http://localhost@evil.example/callback"},
        {"redirect_uri": "http://evil.example\\@localhost/callback"},
        {"redirect_uri": "http://localhost:5173/callback#fragment"},
        {"redirect_uri": "javascript://localhost/%0aalert(1)"},
        {"redirect_uri": "http://localhost:bad/"},
        {"redirect_uri": "http://localhost/\r\nSet-Cookie: a=b"},
    ],
)
async def test_an_unregistered_address_is_never_redirected_to(
    http: httpx.AsyncClient, changes: dict[str, str]
) -> None:
    params = {**REQUEST, **NO_PAGE, **changes}
    answer = await http.get("/authorize", params=params)
    assert answer.status_code == 400
    assert "location" not in answer.headers


async def test_a_parameter_sent_twice_is_refused(http: httpx.AsyncClient) -> None:
    params = {**REQUEST, **NO_PAGE, "client_id": ["demo-spa", "demo-mobile"]}
    assert (await http.get("/authorize", params=params)).status_code == 400


async def test_the_mobile_client_may_return_to_its_own_scheme(
    http: httpx.AsyncClient,
) -> None:
    uri = "com.example.sso-box-demo:/callback"
    code = await _code(http, client_id="demo-mobile", redirect_uri=uri)
    answer = await _redeem(http, code, client_id="demo-mobile", redirect_uri=uri)
    assert _claims(answer.json()["id_token"])["aud"] == "demo-mobile"


async def test_the_page_offers_people_and_its_form_logs_the_typed_one_in(
    http: httpx.AsyncClient,
) -> None:
    shown = await http.get("/authorize", params=REQUEST)
    assert shown.status_code == 200
    assert "Grace Hopper</button>" in shown.text
    assert f'name="code_challenge" value="{CHALLENGE}"' in shown.text

    subjects = []
    for typed in ("Mary  Ward", "mary ward"):
        chosen = await http.post("/authorize", data={**REQUEST, "person": typed})
        answer = await _redeem(http, _query(chosen)["code"])
        subjects.append(_claims(answer.json()["id_token"])["sub"])
    assert subjects[0] == subjects[1]
    assert subjects[0].startswith("typed-")


async def test_what_the_request_holds_cannot_become_markup_on_the_page(
    http: httpx.AsyncClient,
) -> None:
    evil = '"><script>alert(1)</script>'
    params = {**REQUEST, "state": evil, "login_hint": evil, evil: evil}
    shown = await http.get("/authorize", params=params)
    assert shown.status_code == 200
    assert "<script" not in shown.text
    assert "default-src 'none'" in shown.headers["content-security-policy"]


async def test_a_link_alone_logs_nobody_in(http: httpx.AsyncClient) -> None:
    answer = await http.get("/authorize", params={**REQUEST, "person": "ada"})
    assert answer.status_code == 200
    assert "location" not in answer.headers


@pytest.mark.parametrize("typed", ["\u200b", "\x00", "a\x00b"])
async def test_a_name_that_cannot_be_read_is_asked_for_again(
    http: httpx.AsyncClient, typed: str
) -> None:
    answer = await http.post("/authorize", data={**REQUEST, "person": typed})
    assert answer.status_code == 200
    assert 'role="alert"' in answer.text


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"code_verifier": "w" * 43}, 400, "invalid_grant"),
        ({"code_verifier": CHALLENGE}, 400, "invalid_grant"),
        ({"code_verifier": "ü" * 43}, 400, "invalid_grant"),
        ({"code_verifier": None}, 400, "invalid_request"),
        ({"redirect_uri": CALLBACK + "/"}, 400, "invalid_grant"),
        ({"redirect_uri": None}, 400, "invalid_request"),
        ({"client_id": "demo-mobile"}, 400, "invalid_grant"),
        ({"client_id": "stranger"}, 401, "invalid_client"),
        ({"client_id": None}, 401, "invalid_client"),
        ({"client_secret": "a secret"}, 401, "invalid_client"),
        ({"code": "guessed"}, 400, "invalid_grant"),
        ({"code": None}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": None}, 400, "invalid_request"),
    ],
)
async def test_a_token_request_that_does_not_fit_its_login_is_refused(
    http: httpx.AsyncClient, changes: dict[str, str | None], status: int, error: str
) -> None:
    answer = await _redeem(http, await _code(http), **changes)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert answer.headers["cache-control"] == "no-store"


async def test_a_wrong_verifier_spends_the_code(http: httpx.AsyncClient) -> None:
    code = await _code(http)
    await _redeem(http, code, code_verifier="w" * 43)
    assert (await _redeem(http, code)).json()["error"] == "invalid_grant"


async def test_a_code_used_twice_is_refused_and_ends_the_first_ones_login(
    http: httpx.AsyncClient,
) -> None:
    code = await _code(http, scope="openid offline_access")
    first = (await _redeem(http, code)).json()
    assert (await _redeem(http, code)).json()["error"] == "invalid_grant"
    refused = await _refresh(http, first["refresh_token"])
    assert refused.json()["error"] == "invalid_grant"


async def test_a_code_expires(http: httpx.AsyncClient, app: Starlette) -> None:
    code = await _code(http)
    app.state.idp.offset_s = 61
    assert (await _redeem(http, code)).json()["error"] == "invalid_grant"


async def test_a_body_that_is_not_a_form_is_refused(http: httpx.AsyncClient) -> None:
    answer = await http.post("/token", json={"grant_type": "authorization_code"})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_refresh_tokens_come_only_with_offline_access(
    http: httpx.AsyncClient,
) -> None:
    assert "refresh_token" not in await _tokens(http)


async def test_refreshing_rotates_and_keeps_person_and_login_time(
    http: httpx.AsyncClient, app: Starlette
) -> None:
    first = await _tokens(http, scope="openid offline_access")
    app.state.idp.offset_s = 1000
    answer = await _refresh(http, first["refresh_token"])
    second = answer.json()
    assert second["refresh_token"] != first["refresh_token"]
    before, after = _claims(first["id_token"]), _claims(second["id_token"])
    assert after["iat"] >= before["iat"] + 1000
    assert (after["sub"], after["auth_time"]) == (before["sub"], before["auth_time"])
    assert "nonce" not in after


async def test_a_refresh_token_used_again_ends_the_login(
    http: httpx.AsyncClient,
) -> None:
    first = await _tokens(http, scope="openid offline_access")
    second = (await _refresh(http, first["refresh_token"])).json()
    for token in (first["refresh_token"], second["refresh_token"]):
        assert (await _refresh(http, token)).json()["error"] == "invalid_grant"


async def test_a_refresh_token_is_no_use_to_another_client(
    http: httpx.AsyncClient,
) -> None:
    token = (await _tokens(http, scope="openid offline_access"))["refresh_token"]
    form = {"grant_type": "refresh_token", "client_id": "demo-mobile"}
    answer = await http.post("/token", data={**form, "refresh_token": token})
    assert answer.json()["error"] == "invalid_grant"
    assert (await _refresh(http, token)).status_code == 200


async def test_userinfo_tells_the_same_person_and_needs_a_live_access_token(
    http: httpx.AsyncClient, app: Starlette
) -> None:
    tokens = await _tokens(http)
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    told = (await http.get("/userinfo", headers=bearer)).json()
    assert told.items() <= _claims(tokens["id_token"]).items()
    app.state.idp.offset_s = 3601
    for headers in (bearer, {"Authorization": "Bearer x"}, {}):
        refused = await http.get("/userinfo", headers=headers)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer")


async def test_logging_out_ends_the_refresh_token_and_returns_to_the_page(
    http: httpx.AsyncClient,
) -> None:
    tokens = await _tokens(http, scope="openid offline_access")
    params = {
        "id_token_hint": tokens["id_token"],
        "post_logout_redirect_uri": "http://localhost:5173/",
        "state": "s",
    }
    answer = await http.get("/logout", params=params)
    assert answer.headers["location"] == "http://localhost:5173/?state=s"
    refused = await _refresh(http, tokens["refresh_token"])
    assert refused.json()["error"] == "invalid_grant"


async def test_a_forged_hint_logs_nobody_out(http: httpx.AsyncClient) -> None:
    tokens = await _tokens(http, scope="openid offline_access")
    forged = tokens["id_token"][:-8] + "AAAAAAAA"
    await http.get("/logout", params={"id_token_hint": forged, "client_id": "demo-spa"})
    assert (await _refresh(http, tokens["refresh_token"])).status_code == 200


@pytest.mark.parametrize(
    "params",
    [
        {"post_logout_redirect_uri": "http://localhost:5173/"},
        {
            "post_logout_redirect_uri": "https://evil.example/",
            "client_id": "demo-spa",
        },
    ],
)
async def test_logging_out_redirects_to_nowhere_unregistered(
    http: httpx.AsyncClient, params: dict[str, str]
) -> None:
    assert (await http.get("/logout", params=params)).status_code == 400


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/token", "POST"),
        ("/userinfo", "GET"),
        ("/jwks", "GET"),
        ("/.well-known/openid-configuration", "GET"),
    ],
)
async def test_a_page_may_call_the_machine_routes_from_its_own_origin(
    http: httpx.AsyncClient, path: str, method: str
) -> None:
    origin = {"Origin": "http://localhost:5173"}
    asked = await http.options(
        path,
        headers={
            **origin,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "authorization,content-type",
        },
    )
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == "*"
    assert method in asked.headers["access-control-allow-methods"]
    answer = await http.request(method, path, headers=origin)
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_no_page_may_read_the_login_or_the_control_routes(
    http: httpx.AsyncClient,
) -> None:
    origin = {"Origin": "http://localhost:5173"}
    for path in ("/authorize", "/logout", "/_idp/requests"):
        answer = await http.get(path, params=REQUEST, headers=origin)
        assert "access-control-allow-origin" not in answer.headers


async def test_a_rotated_key_signs_while_the_old_one_stays_published_until_dropped(
    http: httpx.AsyncClient,
) -> None:
    old = (await _tokens(http))["id_token"]
    rotated = (await http.post("/_idp/rotate", json={})).json()
    new = (await _tokens(http))["id_token"]
    assert _part(new, 0)["kid"] == rotated["kid"] != _part(old, 0)["kid"]
    await _verify(http, old)
    await _verify(http, new)

    dropped = await http.post("/_idp/drop-kid", json={"kid": _part(old, 0)["kid"]})
    assert dropped.json()["published"] == [rotated["kid"]]
    keys = (await http.get("/jwks")).json()["keys"]
    assert [key["kid"] for key in keys] == [rotated["kid"]]


async def test_rotating_can_drop_the_old_key_and_change_the_algorithm(
    http: httpx.AsyncClient,
) -> None:
    await http.post("/_idp/rotate", json={"drop_old": True, "alg": "RS256"})
    (jwk,) = (await http.get("/jwks")).json()["keys"]
    assert jwk["kty"] == "RSA"
    await _verify(http, (await _tokens(http))["id_token"])


async def test_the_published_keys_hold_no_private_member(
    http: httpx.AsyncClient,
) -> None:
    await http.post("/_idp/rotate", json={"alg": "RS256"})
    for jwk in (await http.get("/jwks")).json()["keys"]:
        assert jwk.keys() <= {"kty", "n", "e", "crv", "x", "y", "kid", "use", "alg"}


async def test_the_key_that_signs_cannot_be_dropped(http: httpx.AsyncClient) -> None:
    (jwk,) = (await http.get("/jwks")).json()["keys"]
    refused = await http.post("/_idp/drop-kid", json={"kid": jwk["kid"]})
    assert refused.status_code == 422
    await http.post("/_idp/drop-kid", json={})
    assert len((await http.get("/jwks")).json()["keys"]) == 1


async def test_a_shifted_clock_shows_in_the_tokens(http: httpx.AsyncClient) -> None:
    before = _claims((await _tokens(http))["id_token"])
    await http.patch("/_idp/clock", json={"offset_s": -7200})
    after = _claims((await _tokens(http))["id_token"])
    assert before["iat"] - 7200 <= after["iat"] < before["iat"] - 7000


async def test_while_down_machines_get_503_and_afterwards_answers_again(
    http: httpx.AsyncClient,
) -> None:
    await http.post("/_idp/down", json={"down": True})
    for path in ("/.well-known/openid-configuration", "/jwks"):
        assert (await http.get(path)).status_code == 503
    assert (await _redeem(http, "any")).status_code == 503
    await http.post("/_idp/down", json={"down": False})
    assert (await http.get("/jwks")).status_code == 200


async def test_requests_are_counted_by_path_without_the_control_calls(
    http: httpx.AsyncClient,
) -> None:
    await http.delete("/_idp/requests", headers={"Content-Type": "application/json"})
    for _ in range(3):
        await http.get("/jwks")
    counted = (await http.get("/_idp/requests")).json()
    assert counted == {"requests": {"/jwks": 3}}


async def test_minting_replaces_adds_and_removes_claims_and_header_members(
    http: httpx.AsyncClient,
) -> None:
    body = {
        "claims": {"sub": "somebody", "email": None, "header": "h", "groups": ["x"]},
        "header": {"typ": "at+jwt", "kid": None},
    }
    token = (await http.post("/_idp/mint", json=body)).json()["id_token"]
    assert _part(token, 0) == {"alg": "ES256", "typ": "at+jwt"}
    claims = _claims(token)
    assert (claims["sub"], claims["groups"]) == ("somebody", ["x"])
    assert claims["header"] == "h"
    assert "email" not in claims


CONTROL_WRITES = [
    ("POST", "/_idp/rotate"),
    ("POST", "/_idp/drop-kid"),
    ("PATCH", "/_idp/clock"),
    ("POST", "/_idp/down"),
    ("POST", "/_idp/mint"),
    ("DELETE", "/_idp/requests"),
]


@pytest.mark.parametrize(("method", "path"), CONTROL_WRITES)
async def test_control_writes_refuse_pages_and_anything_but_json(
    http: httpx.AsyncClient, method: str, path: str
) -> None:
    from_page = {"Origin": ISSUER, "Content-Type": "application/json"}
    page = await http.request(method, path, content=b"{}", headers=from_page)
    assert page.status_code == 403
    plain = await http.request(
        method, path, content=b"{}", headers={"Content-Type": "text/plain"}
    )
    assert plain.status_code == 415


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/_idp/rotate", b'{"alg": "none"}'),
        ("POST", "/_idp/rotate", b'{"alg": []}'),
        ("POST", "/_idp/rotate", b"[]"),
        ("POST", "/_idp/rotate", b"{"),
        ("POST", "/_idp/drop-kid", b'{"kid": []}'),
        ("PATCH", "/_idp/clock", b"{}"),
        ("PATCH", "/_idp/clock", b'{"offset_s": "1"}'),
        ("PATCH", "/_idp/clock", b'{"offset_s": NaN}'),
        ("POST", "/_idp/down", b'{"down": 1}'),
        ("POST", "/_idp/mint", b'{"claims": []}'),
    ],
)
async def test_control_writes_that_make_no_sense_are_422(
    http: httpx.AsyncClient, method: str, path: str, body: bytes
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await http.request(method, path, content=body, headers=headers)
    assert answer.status_code == 422

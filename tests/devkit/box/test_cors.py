"""Browsers: which pages may read Box's answers."""

import pytest

from tests.support.box_caller import BoxCaller

PAGE = "http://localhost:5173"
ASK = {"access-control-request-method": "GET", "origin": PAGE}


async def test_a_listed_page_may_read(box: BoxCaller) -> None:
    answer = await box.call(
        await box.token(), "GET", "/2.0/users/me", headers={"origin": PAGE}
    )
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize(
    "origin",
    ["http://localhost:5174", "https://localhost:5173", "http://evil.example", "null"],
)
async def test_another_page_is_refused_and_its_origin_named(
    box: BoxCaller, origin: str
) -> None:
    answer = await box.call(
        await box.token(), "GET", "/2.0/users/me", headers={"origin": origin}
    )
    assert answer.status_code == 403
    assert answer.json()["code"] == "cors_origin_not_whitelisted"
    assert answer.json()["context_info"] == {"origin": origin}


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://a.example.com", 200),
        ("https://example.com", 403),
        ("https://a.example.com.evil.org", 403),
        ("http://a.example.com", 403),
        (PAGE, 403),
    ],
)
async def test_a_domain_may_stand_for_its_subdomains(
    box: BoxCaller, origin: str, status: int
) -> None:
    await box.settings(cors_domains=["https://*.example.com"])
    answer = await box.call(
        await box.token(), "GET", "/2.0/users/me", headers={"origin": origin}
    )
    assert answer.status_code == status


async def test_a_refused_origin_does_no_work(box: BoxCaller) -> None:
    body = {"name": "Ada", "is_platform_access_only": True}
    headers = {"origin": "http://evil.example"}
    token = await box.token()
    await box.call(token, "POST", "/2.0/users", json=body, headers=headers)
    assert (await box.control("GET", "users")).json()["users"] == []


async def test_a_bad_token_shows_as_a_cors_failure(box: BoxCaller) -> None:
    answer = await box.call("nope", "GET", "/2.0/users/me", headers={"origin": PAGE})
    assert answer.status_code == 401
    assert "access-control-allow-origin" not in answer.headers


async def test_a_browsers_question_is_told_from_boxs_upload_check(
    box: BoxCaller,
) -> None:
    asked = {**ASK, "access-control-request-headers": "authorization, as-user"}
    preflight = await box.http.options("/2.0/files/content", headers=asked)
    assert preflight.headers["access-control-allow-headers"] == "authorization, as-user"
    assert "DELETE" in preflight.headers["access-control-allow-methods"]
    check = await box.call(
        await box.token(),
        "OPTIONS",
        "/2.0/files/content",
        json={"name": "a", "parent": {"id": "0"}},
        headers={"origin": PAGE},
    )
    assert check.json()["upload_url"].endswith("/files/content")
    assert check.headers["access-control-allow-origin"] == "*"

"""The built page as it is served: its addresses, its headers, what the inspector sees."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from sso_box_devkit.box import create_box_emulator
from sso_box_devkit.serving import serve_in_thread
from sso_box_devkit.web import Addresses, create_web

PAGE = "<!doctype html><title>a page</title>"


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    (tmp_path / "index.html").write_text(PAGE)
    with serve_in_thread(create_box_emulator()) as box:
        addresses = Addresses(api="http://api.example", box=box, idp="http://idp")
        transport = httpx.ASGITransport(create_web(tmp_path, addresses))
        async with httpx.AsyncClient(
            transport=transport, base_url="http://page"
        ) as http:
            yield http, box


async def test_the_page_may_call_the_three_and_run_only_its_own_scripts(
    page: tuple[httpx.AsyncClient, str],
) -> None:
    http, box = page
    answer = await http.get("/")
    assert answer.text == PAGE
    policy = dict(
        part.split(" ", 1)
        for part in answer.headers["content-security-policy"].split("; ")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["connect-src"] == f"'self' http://api.example {box} http://idp"
    assert policy["frame-ancestors"] == "'none'"
    assert answer.headers["referrer-policy"] == "no-referrer"


async def test_the_page_learns_its_addresses(
    page: tuple[httpx.AsyncClient, str],
) -> None:
    http, box = page
    found = (await http.get("/config.json")).json()
    assert found == {"api": "http://api.example", "box": box, "idp": "http://idp"}


async def test_the_inspector_sees_the_service_and_not_the_page(
    page: tuple[httpx.AsyncClient, str],
) -> None:
    http, box = page
    origin = {"Origin": "http://localhost:5173"}
    async with httpx.AsyncClient(base_url=box, trust_env=False) as caller:
        await caller.get("/2.0/users/me", headers=origin)
        await caller.get("/2.0/folders/0")
    seen = (await http.get("/inspector/calls")).json()
    assert [call["path"] for call in seen["calls"]] == ["/2.0/folders/0"]
    later = await http.get(f"/inspector/calls?since={seen['next']}")
    assert later.json() == {"calls": [], "next": seen["next"]}


async def test_nothing_outside_the_folder_is_served(
    page: tuple[httpx.AsyncClient, str],
) -> None:
    http, _ = page
    for path in ("/../pyproject.toml", "/%2e%2e/pyproject.toml", "/nothing.html"):
        assert (await http.get(path)).status_code == httpx.codes.NOT_FOUND

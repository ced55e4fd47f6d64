"""The contract suite itself: real Box is safe with it, and it runs without an account."""

import asyncio
import os
import sys
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from sso_box_devkit.box import Enterprise, write_config
from tests.support.api import BOX_URL, Control
from tests.support.box_caller import BoxCaller
from tests.support.box_target import AppUsers, Target

ROOT = Path(__file__).parents[2]
FULL = os.environ.get("TEST_SIZE") == "full"
a_pytest_within = pytest.mark.skipif(
    not FULL, reason="starting a second pytest takes seconds: TEST_SIZE=full"
)


@pytest.fixture
def config(enterprise: Enterprise, tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    write_config(enterprise, path)
    return path


@pytest.fixture
def control(emulator: Starlette, enterprise: Enterprise) -> Control:
    """``box`` is the one to be tried here."""
    del enterprise
    return Control(httpx.ASGITransport(emulator), BOX_URL)


@pytest.fixture
async def stranger(control: Control) -> str:
    """Somebody's user who is none of the suite's business."""
    user = {"name": "Contract Ada", "external_app_user_id": "contract-of-someone"}
    seeded = await control.call("POST", "/_emulator/seed", json={"users": [user]})
    return str(seeded.json()["users"][0]["id"])


def test_without_an_address_boxs_own_two_are_meant(config: Path) -> None:
    target = Target.read(config)
    assert target.api_url == "https://api.box.com"
    assert target.upload_url == "https://upload.box.com/api"


def test_one_address_serves_for_both_hosts(config: Path) -> None:
    for url in ("http://localhost:8300", "https://box.example/"):
        target = Target.read(config, url)
        assert (target.api_url, target.upload_url) == (url, url.rstrip("/") + "/api")


@pytest.mark.parametrize("url", ["http://box.example", "http://127.0.0.1.box.example"])
def test_no_credential_leaves_the_machine_by_plain_http(config: Path, url: str) -> None:
    with pytest.raises(ValueError, match="plain http"):
        Target.read(config, url)


async def test_a_failing_test_shows_no_credential(
    config: Path, emulator_url: str
) -> None:
    target = Target.read(config, emulator_url)
    async with httpx.AsyncClient(base_url=target.api_url) as http:
        box = BoxCaller(http, target.config)
        token = await box.token()
        narrow = await box.downscoped(token, "base_explorer")
        shown = repr([target, token, narrow, box.client, box.signed(box.claims())])
    assert shown.count("<hidden>") == 4
    for secret in (token, narrow, box.client_secret):
        assert secret not in shown
    assert "PRIVATE KEY" not in shown


async def test_a_user_whose_making_seemed_to_fail_is_removed_too(
    control: Control, config: Path, emulator_url: str, stranger: str
) -> None:
    target = Target.read(config, emulator_url)
    async with httpx.AsyncClient(base_url=target.api_url) as http:
        caller = BoxCaller(http, target.config)
        app_users = AppUsers(caller, await caller.token())
        await app_users.add("Ada")
        await control.fault("POST", "/2.0/users", status=503, after_commit=True)
        with pytest.raises(AssertionError):
            await app_users.add("Eve")
        assert len(await control.users()) == 3
        await app_users.remove()
    assert [user["id"] for user in await control.users()] == [stranger]


async def test_a_user_who_cannot_be_removed_is_named(
    control: Control, config: Path, emulator_url: str, stranger: str
) -> None:
    del stranger
    target = Target.read(config, emulator_url)
    async with httpx.AsyncClient(base_url=target.api_url) as http:
        caller = BoxCaller(http, target.config)
        app_users = AppUsers(caller, await caller.token(), pauses_s=(0,))
        left = await app_users.add("Ada")
        await app_users.add("Eve")
        await control.fault("DELETE", f"/2.0/users/{left.id}", status=403, times=2)
        with pytest.raises(AssertionError, match=left.external_id):
            await app_users.remove()
    assert left.id in [user["id"] for user in await control.users()]
    assert len(await control.users()) == 2


async def run(config: Path, url: str) -> tuple[int, str]:
    """The tests of real Box, in a pytest of their own, on what answers at ``url``."""
    env = os.environ | {
        "BOX_CONTRACT_CONFIG": str(config),
        "BOX_CONTRACT_API_URL": url,
        "TEST_SIZE": "",
    }
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "[box]"]
    # An address where nothing is, so that what is reached is reached by exception.
    command += ["--allow-hosts=127.0.0.9", "tests/contract/test_box.py"]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=env, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


@a_pytest_within
async def test_two_runs_at_once_pass_and_leave_box_as_it_was(
    control: Control, config: Path, emulator_url: str, stranger: str
) -> None:
    runs = [run(config, emulator_url), run(config, emulator_url)]
    for code, out in await asyncio.gather(*runs):
        assert code == 0, out
        assert "skipped" not in out
    assert "POST /2.0/users" in await control.requests()
    assert [user["id"] for user in await control.users()] == [stranger]


@a_pytest_within
async def test_a_run_that_fails_leaves_box_as_it_was_and_tells_no_secret(
    control: Control,
    emulator: Starlette,
    enterprise: Enterprise,
    config: Path,
    emulator_url: str,
    stranger: str,
) -> None:
    await control.fault("POST", "/2.0/folders", status=500, times=None)
    await control.fault("POST", "/oauth2/revoke", drop=True)
    code, out = await run(config, emulator_url)
    assert code == 1
    assert [user["id"] for user in await control.users()] == [stranger]
    app = enterprise.config()["boxAppSettings"]
    secrets = [app["clientSecret"], app["appAuth"]["passphrase"]]
    secrets += emulator.state.world.tokens
    assert not [secret for secret in secrets if secret in out]

"""Whom the contract is tried on: the emulator always, real Box where it may be.

BOX_CONTRACT_CONFIG names the config.json of a Box app with JWT authentication, whose
Box is then tried, too: for real, so run it in an enterprise that is for tests.
BOX_CONTRACT_API_URL is for another server that answers as Box at one address.
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from sso_box_devkit.box import write_config
from sso_box_devkit.box.settings import Settings as EmulatorSettings
from tests.support.box_caller import BoxCaller, Hidden
from tests.support.box_target import AppUsers, Person, Target

CONFIG = os.environ.get("BOX_CONTRACT_CONFIG")
API_URL = os.environ.get("BOX_CONTRACT_API_URL")
# Sockets that reach further than loopback: only for the tests of this target, and only
# where it is asked for.
REAL_BOX = (
    pytest.mark.enable_socket
    if CONFIG
    else pytest.mark.skip("BOX_CONTRACT_CONFIG names no config.json of a Box JWT app")
)


@pytest.fixture(
    scope="module", params=["emulator", pytest.param("box", marks=REAL_BOX)]
)
def target(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Target:
    if request.param == "box":
        return Target.read(Path(CONFIG or ""), API_URL)
    emulator: Starlette = request.getfixturevalue("emulator")
    enterprise = emulator.state.world.default
    enterprise.reset()
    enterprise.settings = EmulatorSettings()
    config = tmp_path_factory.mktemp("contract") / "config.json"
    write_config(enterprise, config)
    return Target.read(config, request.getfixturevalue("emulator_url"))


@pytest.fixture(scope="module")
async def box(target: Target) -> AsyncIterator[BoxCaller]:
    async with httpx.AsyncClient(base_url=target.api_url, timeout=30) as http:
        yield BoxCaller(http, target.config, target.upload_url)


@pytest.fixture(scope="module")
async def service_token(box: BoxCaller) -> Hidden:
    return await box.token()


@pytest.fixture(scope="module")
async def app_users(box: BoxCaller, service_token: Hidden) -> AsyncIterator[AppUsers]:
    """Whatever becomes of the tests, those whom they made are deleted."""
    app_users = AppUsers(box, service_token)
    try:
        yield app_users
    finally:
        await app_users.remove()


@pytest.fixture(scope="module")
async def ada(box: BoxCaller, app_users: AppUsers) -> Person:
    user = await app_users.add("Contract Ada")
    return Person(user, await box.token(user.id))


@pytest.fixture(scope="module")
async def eve(box: BoxCaller, app_users: AppUsers) -> Person:
    user = await app_users.add("Contract Eve")
    return Person(user, await box.token(user.id))


@pytest.fixture(scope="module")
async def docs(box: BoxCaller, ada: Person) -> str:
    """The id of Ada's folder Docs."""
    return await box.folder(ada.token, "Docs")

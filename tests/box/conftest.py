import json
from collections.abc import AsyncIterator

import pytest
from starlette.applications import Starlette

from sso_box_api.box import Box, open_transport
from sso_box_api.settings import BoxSettings
from sso_box_devkit.box import Enterprise
from tests.support.box_caller import served
from tests.support.box_script import QUICK, Script, client_over, credentials


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def client(script: Script) -> Box:
    """The client before a scripted Box."""
    return client_over(script.transport)


@pytest.fixture(scope="session")
async def address(emulator: Starlette) -> AsyncIterator[str]:
    async with served(emulator) as url:
        yield url


@pytest.fixture
def tcp_settings(address: str, enterprise: Enterprise) -> BoxSettings:
    """The emulator on loopback TCP."""
    config = json.dumps(enterprise.config())
    return BoxSettings.model_validate({"config": config, "api_url": address, **QUICK})


@pytest.fixture
async def tcp_client(tcp_settings: BoxSettings) -> AsyncIterator[Box]:
    """The client before the emulator, with all of the production transport."""
    async with open_transport(tcp_settings) as http:
        yield Box(credentials(tcp_settings), tcp_settings, http)

"""The fixtures that other projects use."""

import httpx
import pytest

from sso_box_devkit.box import pytest_plugin
from sso_box_devkit.box.pytest_plugin import RunningBox
from tests.support.box_caller import BoxCaller

# As a conftest.py of another project would have them by `pytest_plugins`.
box_emulator_server = pytest_plugin.box_emulator_server
box_emulator = pytest_plugin.box_emulator


@pytest.mark.parametrize("run", [1, 2])
async def test_each_test_finds_an_empty_box_with_its_switches_right(
    box_emulator: RunningBox, run: int
) -> None:
    assert box_emulator.enterprise.settings.app_authorized, run
    assert box_emulator.client_credentials["enterprise_id"]
    async with httpx.AsyncClient(base_url=box_emulator.url) as http:
        box = BoxCaller(http, box_emulator.config)
        assert (await box.control("GET", "users")).json() == {"users": []}
        await box.app_user()
        await box.settings(app_authorized=False)

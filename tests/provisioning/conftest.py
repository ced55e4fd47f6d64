"""A template, and processes that work by it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette

from sso_box_api.parts import Parts
from sso_box_api.settings import Settings
from tests.support.api import Control
from tests.support.furnishing import (
    HOUR,
    TEMPLATE,
    WELCOME,
    opened,
)


@pytest.fixture
async def shared(box: Control) -> str:
    """A folder of the service account, for everybody."""
    items = {"items": [{"type": "folder", "name": "For all"}]}
    answer = await box.call("POST", "/_emulator/seed", json=items)
    folder_id: str = answer.json()["items"][0]["id"]
    return folder_id


@pytest.fixture
def template(tmp_path: Path, shared: str) -> Path:
    (tmp_path / "welcome.txt").write_bytes(WELCOME)
    path = tmp_path / "first-day.toml"
    path.write_text(TEMPLATE.format(shared=shared))
    return path


@pytest.fixture
def settings_values(settings_values: dict[str, Any], template: Path) -> dict[str, Any]:
    """Nothing happens by the interval, and nothing is tried twice within one step."""
    settings_values["vending"] = {"sweep_interval_s": HOUR}
    settings_values["box"] |= {"max_attempts": 1, "breaker_rest_s": 0.01}
    settings_values["provisioning"] = {"template": str(template), "wait_s": 30}
    return settings_values


@pytest.fixture
async def parts(settings: Settings, emulator: Starlette) -> AsyncIterator[Parts]:
    """Another process, whose work is done when a test says so."""
    async with opened(settings, emulator) as parts:
        yield parts

"""Several processes of the service on one database and one Box, over loopback TCP."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from sso_box_api.parts import Parts
from sso_box_api.settings import Settings
from sso_box_devkit.box import Enterprise
from tests.support.api import Control
from tests.support.connections import opened
from tests.support.victim import Victims

ROOT = Path(__file__).parents[2]
FULL = os.environ.get("TEST_SIZE") == "full"
LAG_S = 5.0 if FULL else 0.2


@pytest.fixture(scope="session")
def victims() -> Iterator[Victims]:
    with pytest.MonkeyPatch.context() as patch:
        # The process that the others are forked from looks there alone.
        patch.setenv("PYTHONPATH", str(ROOT))
        victims = Victims()
        yield victims
        victims.close()


@pytest.fixture
def values(
    settings_values: dict[str, Any], emulator_url: str, idp_app: Starlette
) -> dict[str, Any]:
    """What every process is configured with; the provider's keys need no network."""
    # The limit at Box would be a minute's work for so many.
    at_once = {"calls_per_minute": 100_000}
    urls = {"api_url": emulator_url, "upload_url": emulator_url}
    settings_values["box"] |= urls | at_once
    settings_values["claim"] |= {
        "lease_s": 3.0 if FULL else 1.0,
        "post_timeout_s": 2.0 if FULL else 0.8,
        "lookup_settle_s": LAG_S + 3.0 if FULL else 0.5,
        # Whoever waits for another's claim asks so often: hundreds of them at once.
        "lookup_interval_s": 1.0 if FULL else 0.05,
    }
    [provider] = settings_values["providers"]
    provider["jwks_inline"] = idp_app.state.idp.jwks()
    return settings_values | {"allow_loopback_http": True}


@pytest.fixture
async def parts(values: dict[str, Any]) -> AsyncIterator[Parts]:
    """The process that goes on where another one was killed."""
    async with opened(Settings.model_validate(values)) as parts:
        yield parts


@pytest.fixture
def box(emulator_url: str, enterprise: Enterprise) -> Control:
    del enterprise
    return Control(httpx.AsyncHTTPTransport(), emulator_url)

"""Fixtures for any project that tests against the emulator: docs/emulator.md.

``pytest_plugins = ["sso_box_devkit.box.pytest_plugin"]`` in a conftest.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from sso_box_devkit.box import Enterprise, create_box_emulator
from sso_box_devkit.box.settings import Settings
from sso_box_devkit.serving import serve_in_thread


@dataclass(frozen=True)
class RunningBox:
    """The emulator on loopback TCP. ``url`` is the base of all of Box's addresses."""

    url: str
    enterprise: Enterprise = field(repr=False)

    @property
    def config(self) -> dict[str, Any]:
        """The config.json of the app. It holds a private key."""
        return self.enterprise.config()

    @property
    def client_credentials(self) -> dict[str, str]:
        """Of the second app: client_id, client_secret, enterprise_id."""
        return self.enterprise.client_credentials()


@pytest.fixture(scope="session")
def box_emulator_server() -> Iterator[RunningBox]:
    """One server for the whole run: to start one takes an RSA key."""
    app = create_box_emulator()
    with serve_in_thread(app) as url:
        yield RunningBox(url, app.state.world.default)


@pytest.fixture
def box_emulator(box_emulator_server: RunningBox) -> RunningBox:
    """Empty, and with every switch as it should be."""
    box_emulator_server.enterprise.reset()
    box_emulator_server.enterprise.settings = Settings()
    return box_emulator_server

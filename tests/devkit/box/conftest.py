"""Callers of the shared emulator; see the outer conftest for it."""

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette

from sso_box_devkit.box import Enterprise
from tests.support.box_caller import BoxCaller, served


@pytest.fixture
async def box(emulator: Starlette, enterprise: Enterprise) -> AsyncIterator[BoxCaller]:
    """In process."""
    transport = httpx.ASGITransport(emulator)
    async with httpx.AsyncClient(transport=transport, base_url="http://box") as http:
        yield BoxCaller(http, enterprise.config())


@pytest.fixture(scope="session")
async def address(emulator: Starlette) -> AsyncIterator[str]:
    async with served(emulator) as url:
        yield url


@pytest.fixture
async def tcp_box(address: str, enterprise: Enterprise) -> AsyncIterator[BoxCaller]:
    """The same over loopback TCP."""
    async with httpx.AsyncClient(base_url=address) as http:
        yield BoxCaller(http, enterprise.config())

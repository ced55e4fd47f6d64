"""The migrations make the tables that the code describes, and take them away again."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from pydantic import SecretStr

from sso_box_api.settings import DatabaseSettings
from tests.support.postgres import clone_database, drop_database

ROOT = Path(__file__).parents[1]


@pytest.fixture
def alembic(postgres_url: str) -> Iterator[Config]:
    """Alembic as the project configures it, on an empty database of its own."""
    url = asyncio.run(clone_database(postgres_url, "template0", "migrations"))
    config = Config(ROOT / "alembic.ini")
    config.attributes["settings"] = DatabaseSettings(database_url=SecretStr(url))
    yield config
    asyncio.run(drop_database(postgres_url, "migrations"))


def test_migrations_lead_to_the_models_and_back(alembic: Config) -> None:
    command.upgrade(alembic, "head")
    command.check(alembic)
    command.downgrade(alembic, "base")
    command.upgrade(alembic, "head")
    command.check(alembic)

"""Bringing the database to the tables that this version has, and back."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sso_box_api.db import Database, unavailable_when_unreachable
from sso_box_api.errors import ConfigurationError
from sso_box_api.settings import DatabaseSettings

if TYPE_CHECKING:
    from alembic.config import Config

# The newest migration. Written down, so that a start need not load and run them all to
# find it.
SCHEMA: Final = "0011"


async def require_current(database: Database) -> None:
    """Raise ``ConfigurationError`` unless the tables are those of this version."""
    revision = await database.schema_revision() or "none"
    if revision == SCHEMA:
        return
    # They are numbered, so that one which is not known here is known to be newer.
    way_out = (
        "a newer version made it: start that one, or have it take the database back with"
        f" `sso-box-api db downgrade {SCHEMA}`"
        if revision.isdecimal() and revision > SCHEMA
        else "run `sso-box-api db upgrade`"
    )
    problem = (
        f"the database is at migration {revision}, this version needs {SCHEMA};"
        f" {way_out}"
    )
    raise ConfigurationError([problem])


def upgrade(settings: DatabaseSettings) -> None:
    """Apply every migration. Blocking, for the command line; runs its own loop.

    Raises ``ConfigurationError`` where a newer version was here, and
    ``DatabaseUnavailable``, also where the role may not make tables.
    """
    from alembic import command  # noqa: PLC0415 - no other command need wait for it

    with _alembic(settings) as config:
        command.upgrade(config, "head")


def downgrade(settings: DatabaseSettings, revision: str) -> None:
    """Take back every migration after ``revision``, and what only they can hold.

    Blocking, and raises, as ``upgrade`` does.
    """
    from alembic import command  # noqa: PLC0415 - the same

    with _alembic(settings) as config:
        command.downgrade(config, revision)


@contextmanager
def _alembic(settings: DatabaseSettings) -> Iterator["Config"]:
    from alembic.util import CommandError  # noqa: PLC0415 - the same

    config = _config()
    config.attributes["settings"] = settings
    try:
        with unavailable_when_unreachable():
            yield config
    except CommandError as error:
        problem = (
            f"this version, whose newest migration is {SCHEMA}, cannot do that: {error};"
            " if a newer version was here, use that one"
        )
        raise ConfigurationError([problem]) from error


def _config() -> "Config":
    from alembic.config import Config  # noqa: PLC0415 - the same

    packaged = Path(__file__).parent / "_alembic"
    checkout = Path(__file__).parents[2] / "alembic"
    config = Config()
    script = packaged if packaged.is_dir() else checkout
    config.set_main_option("script_location", str(script).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config

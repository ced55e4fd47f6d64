"""What every command does alike: errors as lines, exit codes, the parts it works with."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Final, NoReturn, ParamSpec, TypeVar

import click

from sso_box_api.app import Parts, open_parts
from sso_box_api.errors import ConfigurationError, DatabaseUnavailable, SsoBoxError
from sso_box_api.settings import load_settings

FAILED: Final = 1
MISCONFIGURED: Final = 2
PENDING: Final = 3

P = ParamSpec("P")
T = TypeVar("T")


def explained(command: Callable[P, T]) -> Callable[P, T]:
    """Turn our errors into a line each and an exit code, never a traceback."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        if any(isinstance(v, str) and not _is_clean(v) for v in kwargs.values()):
            raise click.UsageError("arguments must be UTF-8 text without controls")
        try:
            return command(*args, **kwargs)
        except ConfigurationError as error:
            for problem in error.problems:
                print(problem, file=sys.stderr)
            sys.exit(MISCONFIGURED)
        except DatabaseUnavailable as error:
            problem = f"the database cannot be used: {error.reason}"
            print(f"SSO_BOX_DATABASE_URL: {problem}", file=sys.stderr)
            sys.exit(FAILED)
        except SsoBoxError as error:
            print(f"{error.code}: {error.detail} {error.reason}", file=sys.stderr)
            sys.exit(FAILED)

    return run


def _is_clean(argument: str) -> bool:
    return argument.isprintable()


def run_with_parts(command: Callable[[Parts], Coroutine[Any, Any, T]]) -> T:
    async def run() -> T:
        async with open_parts(load_settings()) as parts:
            # No more than that: a lock must not wait for a tidy configuration.
            await parts.database.require_current_schema()
            return await command(parts)

    return asyncio.run(run())


def fail(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(FAILED)

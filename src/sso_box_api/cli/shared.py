"""What every command does alike: errors as lines, exit codes, the parts it works with."""

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import wraps
from typing import Any, Final, NoReturn, ParamSpec, Self, TypeVar

import click

from sso_box_api import migrations
from sso_box_api.audit import events_to_standard_error
from sso_box_api.errors import (
    CommandRefused,
    ConfigurationError,
    DatabaseUnavailable,
    SsoBoxError,
)
from sso_box_api.parts import Parts, open_parts
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
        except CommandRefused as refused:
            print(_shown(str(refused)), file=sys.stderr)
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
            await migrations.require_current(parts.database)
            with events_to_standard_error():
                return await command(parts)

    return asyncio.run(run())


class Listing:
    """Prints what comes as it comes: lines, or one JSON object with a list in it.

    However much it is, none of it is kept. ``complete`` in the object is false where
    an error ended the list.
    """

    def __init__(self, name: str, *, as_json: bool) -> None:
        self._name = name
        self._as_json = as_json
        self._between = ""
        self._summary: dict[str, object] = {}

    def __enter__(self) -> Self:
        if self._as_json:
            print(f"{{{json.dumps(self._name)}: [", end="")
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        if self._as_json:
            summary = json.dumps({**self._summary, "complete": failed is None})
            print(f"], {summary[1:]}")

    def add(self, entry: Mapping[str, object], line: Iterable[object]) -> None:
        """Print an entry: as it is, or as a line of its main values."""
        if self._as_json:
            print(self._between + json.dumps(entry), end="")
            self._between = ",\n"
        else:
            print("\t".join("-" if x is None else _shown(str(x)) for x in line))

    def end(self, **summary: object) -> None:
        """Say what is to stand after the list."""
        self._summary.update(summary)
        if not self._as_json:
            print(", ".join(f"{key}: {value}" for key, value in summary.items()))


def _shown(text: str) -> str:
    """Keep what comes from a file or from Box from writing to the terminal as it likes."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def fail(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(FAILED)

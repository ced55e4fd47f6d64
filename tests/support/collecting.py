"""Where a test run's secrets are made, and where others read: both tell the watch.

Nothing of the service is replaced. What is listened to are the devkit, which makes
most secrets, the HTTP library, through which all others pass, and logging.
"""

import logging
import subprocess
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from click.testing import CliRunner
from cryptography.fernet import Fernet
from pydantic import SecretStr

from sso_box_devkit.box import keys as box_keys, oauth as box_oauth
from sso_box_devkit.box.state import World
from sso_box_devkit.idp import signing
from tests.support import tokens
from tests.support.secrecy import WATCH, Watch

_OURS = "sso_box_api"
_HANDS_OUT = {"/v1/token", "/oauth2/token"}
_NO_TABLES = ("information_schema", "pg_catalog")


@contextmanager
def collecting(watch: Watch) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        _watch_what_is_made(watch, patch)
        _watch_http(watch, patch)
        _watch_logs(watch, patch)
        _watch_commands(watch, patch)
        yield


def _watch_what_is_made(watch: Watch, patch: pytest.MonkeyPatch) -> None:
    """``after`` gets what a function returned, and what it was given."""

    def listen(owner: Any, name: str, after: Callable[..., object]) -> None:
        original = getattr(owner, name)

        @wraps(original)
        def heard(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            after(result, *args)
            return result

        patch.setattr(owner, name, heard)

    listen(signing.SigningKey, "sign", lambda jwt, *_: watch.secret("ID token", jwt))
    listen(
        signing.SigningKey,
        "__init__",
        lambda _, key, *__: watch.key("IdP's key", key._private),
    )
    listen(tokens.SigningKey, "token", lambda jwt, *_: watch.secret("ID token", jwt))
    for make in ("_rsa_key", "_ec_key"):
        listen(tokens, make, lambda key, *_: watch.key("IdP's key", key))
    listen(
        box_keys,
        "generate_private_key",
        lambda key, *_: watch.key("Box app's key", key),
    )
    listen(World, "keep", lambda token, *_: watch.secret("Box token", token.value))
    listen(
        box_oauth,
        "parse_form",
        # What other processes send to Box, too.
        lambda _, body: watch.named(body.decode(errors="replace")),
    )
    listen(
        Fernet,
        "generate_key",
        lambda key, *_: watch.secret("ledger key", key.decode()),
    )
    listen(SecretStr, "__init__", lambda _, __, value: _setting(watch, value))


def _setting(watch: Watch, value: str) -> None:
    if "://" in value:
        watch.url("database password", value)
    elif value.lstrip().startswith("{"):
        watch.named(value)
    else:
        watch.secret("secret setting", value)


def _watch_http(watch: Watch, patch: pytest.MonkeyPatch) -> None:
    def sent(request: httpx.Request) -> None:
        kind, _, credential = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            watch.secret("bearer token", credential)
        # A body that is a stream is not there to be looked at.
        if body := getattr(request, "_content", b""):
            watch.named(body.decode(errors="replace"))

    def answered(response: httpx.Response, *, is_read: bool) -> None:
        body = response.text if is_read else ""
        watch.named(body)
        # The service alone answers with one of these.
        if "x-request-id" not in response.headers:
            return
        watch.counts["answers"] += 1
        request = response.request
        place = f"answer {response.status_code} to {request.method} {request.url.path}"
        watch.read(place, repr(response.headers.multi_items()))
        if not (response.is_success and request.url.path in _HANDS_OUT):
            watch.read(place, body)

    of_async, of_sync = httpx.AsyncClient.send, httpx.Client.send

    async def send_async(
        client: httpx.AsyncClient, request: httpx.Request, **kwargs: Any
    ) -> httpx.Response:
        sent(request)
        response = await of_async(client, request, **kwargs)
        answered(response, is_read=not kwargs.get("stream"))
        return response

    def send_sync(
        client: httpx.Client, request: httpx.Request, **kwargs: Any
    ) -> httpx.Response:
        sent(request)
        response = of_sync(client, request, **kwargs)
        answered(response, is_read=not kwargs.get("stream"))
        return response

    patch.setattr(httpx.AsyncClient, "send", send_async)
    patch.setattr(httpx.Client, "send", send_sync)


def _watch_logs(watch: Watch, patch: pytest.MonkeyPatch) -> None:
    """By the records themselves: handlers come and go during the tests."""
    make = logging.getLogRecordFactory()

    def record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        made = make(*args, **kwargs)
        try:
            text = made.getMessage()
        except (TypeError, ValueError):
            text = f"{made.msg} {made.args}"
        if made.exc_info and made.exc_info[1]:
            text += "".join(traceback.format_exception(made.exc_info[1]))
        watch.read(f"log of {made.name}, {made.module}:{made.lineno}", text)
        return made

    logging.setLogRecordFactory(record)
    # As the service sets it; without it there would be no audit events to look into.
    patch.setattr(logging.getLogger(_OURS), "level", logging.INFO)


def _watch_commands(watch: Watch, patch: pytest.MonkeyPatch) -> None:
    invoke, communicate = CliRunner.invoke, subprocess.Popen.communicate

    def invoked(runner: CliRunner, cli: Any, args: Any = None, **kwargs: Any) -> Any:
        result = invoke(runner, cli, args, **kwargs)
        # The one command whose purpose is to print a secret.
        if "generate" not in (args or ()):
            watch.read(f"output of {args}", result.output)
        return result

    def communicated(process: Any, *args: Any, **kwargs: Any) -> Any:
        outputs = communicate(process, *args, **kwargs)
        command = process.args if isinstance(process.args, list) else [process.args]
        if Path(str(command[0])).name == "sso-box-api" and "generate" not in command:
            for output in filter(None, outputs):
                text = output if isinstance(output, str) else output.decode()
                watch.read(f"output of {command[1:]}", text)
        return outputs

    patch.setattr(CliRunner, "invoke", invoked)
    patch.setattr(subprocess.Popen, "communicate", communicated)


async def read_database(connection: asyncpg.Connection, watch: Watch = WATCH) -> None:
    """Read every row of every table that there is, as text."""
    tables = await connection.fetch(
        "SELECT table_name FROM information_schema.tables"
        " WHERE table_schema <> ALL ($1::text[])",
        _NO_TABLES,
    )
    await read_tables(connection, [table["table_name"] for table in tables], watch)


async def read_tables(
    connection: asyncpg.Connection, tables: list[str], watch: Watch = WATCH
) -> None:
    """Read every row of these tables at one blow."""
    selects = [f"SELECT '{table}', t::text FROM {table} t" for table in tables]  # noqa: S608 - names out of the catalogue
    rows = await connection.fetch(" UNION ALL ".join(selects)) if selects else []
    watch.counts["rows"] += len(rows)
    for table, row in rows:
        watch.read(f"table {table}", row)


async def read_server(url: str, ending: str, watch: Watch = WATCH) -> None:
    """Read all databases of a server whose names end so."""
    admin = await asyncpg.connect(url)
    names = await admin.fetch(
        "SELECT datname FROM pg_database WHERE right(datname, length($1)) = $1", ending
    )
    await admin.close()
    for name in names:
        address = url.rsplit("/", 1)[0] + f"/{name['datname']}"
        connection = await asyncpg.connect(address)
        await read_database(connection, watch)
        await connection.close()

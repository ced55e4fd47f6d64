"""The emulator as one ASGI application: API, token and upload hosts side by side."""

import json
import os
import sys
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from sso_box_devkit.box import control, files, folders, users
from sso_box_devkit.box.access import Handler, api
from sso_box_devkit.box.gate import Gate
from sso_box_devkit.box.oauth import revoke_endpoint, token_endpoint
from sso_box_devkit.box.responses import BoxError, Refusal, answer
from sso_box_devkit.box.scopes import Operation
from sso_box_devkit.box.state import Enterprise, World


def create_box_emulator(config_out: Path | None = None) -> Starlette:
    """A Box of its own, with nobody in it yet.

    ``app.state.world`` is its state. With ``config_out`` the first enterprise's
    config.json is written there.
    """
    world = World()
    app = Starlette(
        routes=[
            Mount("/_emulator", routes=control.ROUTES),
            Route("/oauth2/token", token_endpoint, methods=["POST"]),
            Route("/oauth2/revoke", revoke_endpoint, methods=["POST"]),
            *_USERS,
            *_FOLDERS,
            *_FILES,
            Mount("", app=not_emulated),
        ],
        middleware=[Middleware(Gate, world=world)],
        exception_handlers={Refusal: answer},
    )
    app.state.world = world
    if config_out is not None:
        write_config(world.default, config_out)
    return app


def write_config(enterprise: Enterprise, path: Path) -> None:
    """Box's config.json, readable by this user alone: a private key is in it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        os.fchmod(descriptor, 0o600)  # where the file was there already
        json.dump(enterprise.config(), file, indent=2)


async def not_emulated(scope: Scope, receive: Receive, send: Send) -> None:
    """Loud, so that nobody takes a gap of the emulator for an answer of Box."""
    request = Request(scope, receive)
    message = f"The Box emulator does not know {request.method} {request.url.path}"
    print(message, file=sys.stderr)
    response = answer(request, BoxError(501, "not_emulated", message))
    await response(scope, receive, send)


def _route(
    method: str, path: str, handler: Handler, operation: Operation | None
) -> Route:
    return Route(path, api(handler, operation), methods=[method])


_USER = "/2.0/users/{user_id}"
_FOLDER = "/2.0/folders/{folder_id}"
_FILE = "/2.0/files/{file_id}"
_UPLOAD = "/api/2.0/files/content"

_USERS = [
    _route("POST", "/2.0/users", users.create_user, Operation.MANAGE_USERS),
    _route("GET", "/2.0/users", users.list_users, Operation.MANAGE_USERS),
    _route(
        "POST",
        "/2.0/users/terminate_sessions",
        users.terminate_sessions,
        Operation.MANAGE_USERS,
    ),
    # Any token may ask whose it is: Box names no scope for it.
    _route("GET", "/2.0/users/me", users.get_me, None),
    _route("GET", _USER, users.get_user, Operation.MANAGE_USERS),
    _route("PUT", _USER, users.update_user, Operation.MANAGE_USERS),
    _route("DELETE", _USER, users.delete_user, Operation.MANAGE_USERS),
]
_FOLDERS = [
    _route("POST", "/2.0/folders", folders.create_folder, Operation.UPLOAD),
    _route("GET", _FOLDER, folders.get_folder, Operation.BROWSE),
    _route("GET", f"{_FOLDER}/items", folders.list_items, Operation.BROWSE),
    # Rename and move need different scopes: the handler looks.
    _route("PUT", _FOLDER, folders.update_folder, None),
    _route("DELETE", _FOLDER, folders.delete_folder, Operation.DELETE),
]
_FILES = [
    _route("OPTIONS", "/2.0/files/content", files.preflight, Operation.UPLOAD),
    _route("OPTIONS", f"{_FILE}/content", files.preflight, Operation.UPLOAD),
    _route("POST", _UPLOAD, files.upload_file, Operation.UPLOAD),
    _route(
        "POST",
        "/api/2.0/files/{file_id}/content",
        files.upload_version,
        Operation.UPLOAD,
    ),
    _route("GET", _FILE, files.get_file, Operation.READ),
    _route("PUT", _FILE, files.update_file, None),
    _route("DELETE", _FILE, files.delete_file, Operation.DELETE),
    _route("GET", f"{_FILE}/content", files.download, Operation.DOWNLOAD),
    Route("/_download/{ticket}", files.follow_download, methods=["GET"]),
]

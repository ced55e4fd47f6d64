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

from sso_box_devkit.box import control
from sso_box_devkit.box.gate import Gate
from sso_box_devkit.box.oauth import revoke_endpoint, token_endpoint
from sso_box_devkit.box.responses import BoxError, Refusal, answer
from sso_box_devkit.box.routes import API_ROUTES
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
            *API_ROUTES,
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

"""``python -m sso_box_devkit web``: a built page, served as a real one should be.

The page learns its addresses at run time, so that one build serves any port.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import click
import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sso_box_devkit.serving import listen

_JOURNAL_LIMIT_S: Final = 5.0


@dataclass(frozen=True)
class Addresses:
    """What the page calls."""

    api: str
    box: str
    idp: str


def create_web(folder: Path, addresses: Addresses) -> Starlette:
    """Return the app for the built page in ``folder``."""
    headers = {
        "Content-Security-Policy": content_security_policy(addresses),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-cache",
    }
    app = Starlette(
        routes=[
            Route("/config.json", _config),
            Route("/inspector/calls", _calls_of_the_service),
            Mount("/", app=StaticFiles(directory=folder, html=True)),
        ],
        middleware=[Middleware(_WithHeaders, headers=headers)],
    )
    app.state.addresses = addresses
    return app


def content_security_policy(addresses: Addresses) -> str:
    """Only our own scripts, and calls to nobody but the three.

    Styles may stand in line, because Box UI Elements put theirs there. Images and
    documents are shown from memory (``blob:``).
    """
    called = f"{addresses.api} {addresses.box} {addresses.idp}"
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            f"connect-src 'self' {called}",
            "frame-src blob:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


async def _config(request: Request) -> Response:
    addresses: Addresses = request.app.state.addresses
    return JSONResponse(asdict(addresses))


async def _calls_of_the_service(request: Request) -> Response:
    """What the emulator's journal has of calls that came from no page.

    The journal itself refuses pages; it holds neither tokens nor bodies.
    """
    addresses: Addresses = request.app.state.addresses
    since = request.query_params.get("since", "0")
    url = f"{addresses.box}/_emulator/requests"
    async with httpx.AsyncClient(trust_env=False, timeout=_JOURNAL_LIMIT_S) as http:
        answer = await http.get(url, params={"since": since})
    journal: dict[str, Any] = answer.raise_for_status().json()
    calls = [call for call in journal["requests"] if not call["origin"]]
    return JSONResponse({"calls": calls, "next": journal["next"]})


class _WithHeaders:
    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self._app = app
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        await self._app(scope, receive, send_with_headers)


@click.command()
@click.option("--port", default=5173, show_default=True, help="0 takes a free one.")
@click.option(
    "--folder",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The built page.",
)
@click.option("--api", required=True, help="The address of the API.")
@click.option("--box", required=True, help="The address of the Box emulator.")
@click.option("--idp", required=True, help="The address of the IdP.")
def web(port: int, folder: Path, api: str, box: str, idp: str) -> None:
    """Serve a built page on loopback, with a Content-Security-Policy."""
    app = create_web(folder, Addresses(api=api, box=box, idp=idp))
    listener = listen("127.0.0.1", port)
    click.echo(f"page ready at http://localhost:{listener.getsockname()[1]}")
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=2
    )
    # uvicorn raises the signal again after an orderly stop.
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])

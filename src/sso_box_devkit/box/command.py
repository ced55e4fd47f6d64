"""``python -m sso_box_devkit box``: the emulator alone, for any Box SDK to talk to."""

import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import uvicorn
from typing_extensions import override

from sso_box_devkit.box.app import create_box_emulator
from sso_box_devkit.serving import listen

# The emulator sets Date itself, from its own clock: a second one would be a lie.
SERVER_OPTIONS: dict[str, Any] = {
    "date_header": False,
    "server_header": False,
    "access_log": False,
    "log_level": "warning",
    "lifespan": "off",
    # A call that a fault holds back for minutes must not hold back the end.
    "timeout_graceful_shutdown": 1,
}


class _Server(uvicorn.Server):
    """Says where it is once it answers."""

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        print(f"Box emulator on http://{host}:{port}", flush=True)


@click.command("box")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=int, default=0, help="0 (the default) picks a free one.")
@click.option(
    "--config-out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the app's config.json (mode 0600).",
)
def box(host: str, port: int, config_out: Path | None) -> None:
    """Run the Box emulator: API, token and upload host on one port."""
    # First of all: a second start must not write over what the first one's app needs.
    listener = listen(host, port)
    app = create_box_emulator(config_out)
    # uvicorn raises the signal again after an orderly stop.
    with suppress(KeyboardInterrupt):
        _Server(uvicorn.Config(app, **SERVER_OPTIONS)).run(sockets=[listener])

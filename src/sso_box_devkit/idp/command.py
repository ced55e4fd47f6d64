"""``python -m sso_box_devkit idp``: the provider on a port of its own."""

from contextlib import suppress

import click
import uvicorn

from sso_box_devkit.idp.app import create_idp
from sso_box_devkit.serving import listen


@click.command()
@click.option("--port", default=8200, show_default=True, help="0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--issuer", help="What it calls itself; by default its own address.")
def idp(port: int, host: str, issuer: str | None) -> None:
    """Run the local OpenID provider. It asks for no password: keep it on loopback."""
    listener = listen(host, port)
    address = f"http://{host}:{listener.getsockname()[1]}"
    app = create_idp(issuer or address)
    click.echo(f"IdP ready at {address}")
    # No access log: the addresses in it hold codes.
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        date_header=False,  # the app sends its own, by its own clock
        timeout_graceful_shutdown=2,
    )
    # uvicorn raises the signal again after an orderly stop.
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])

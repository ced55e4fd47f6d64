"""ASGI apps on loopback TCP: where a command listens, and servers in threads.

A thread, with an event loop of its own, is for tests of what an in-process transport
cannot show: time-outs, dropped connections, several processes, clients not in Python.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click
import uvicorn
from starlette.types import ASGIApp


def listen(host: str, port: int) -> socket.socket:
    """Take a port; connections wait in its queue from here on.

    Raises:
        click.ClickException: somebody else has it.
    """
    try:
        return socket.create_server((host, port))
    except OSError as error:
        message = f"cannot listen on {host}:{port}: {error.strerror}"
        raise click.ClickException(message) from None


@contextmanager
def serve_in_thread(app: ASGIApp, port: int = 0) -> Iterator[str]:
    """Serve until the block ends; yields the base URL."""
    listener = socket.create_server(("127.0.0.1", port))
    port = listener.getsockname()[1]
    config = uvicorn.Config(app, log_config=None, access_log=False, date_header=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()

"""Loopback servers for tests; the serving itself is the devkit's, for others to use."""

import socket

from sso_box_devkit.serving import serve_in_thread

__all__ = ["free_port", "serve_in_thread"]


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port

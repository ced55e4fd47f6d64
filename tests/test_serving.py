"""The server's side of a connection: which bytes a client sends and gets."""

import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sso_box_api.serving import OneWriteProtocol

_LARGE = bytes(range(256)) * 16_384


async def _headers(request: Request) -> Response:
    await request.body()
    return JSONResponse([name for name, _ in request.headers.items()])


async def _large(_: Request) -> Response:
    return Response(_LARGE)


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    """Of a server that runs as ``sso-box-api serve`` runs its own."""
    app = Starlette(
        routes=[Route("/", _headers, methods=["POST"]), Route("/large", _large)]
    )
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=OneWriteProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield listener.getsockname()
        server.should_exit = True
        thread.join()


def _answer(address: tuple[str, int], request: bytes) -> bytes:
    """Send what ends the connection, and read to its end."""
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def test_a_trailer_is_no_header(address: tuple[str, int]) -> None:
    head = b"POST / HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = _answer(address, head + b"0\r\nAuthorization: Bearer x\r\n\r\n")
    assert answer.endswith(b'["connection","transfer-encoding"]')


def test_answers_to_pipelined_requests_are_whole_and_in_order(
    address: tuple[str, int],
) -> None:
    """Also where the client reads slower than they are written."""
    one, last = b"POST /?1 HTTP/1.1\r\nX-1: 1\r\n\r\n", b"Connection: close\r\n\r\n"
    large = b"GET /large HTTP/1.1\r\n"
    answer = _answer(address, large + b"\r\n" + one + large + last)
    heads_and_bodies = answer.split(_LARGE)
    assert [part.count(b"HTTP/1.1 200 OK") for part in heads_and_bodies] == [1, 2, 0]
    assert b'["x-1"]' in heads_and_bodies[1]

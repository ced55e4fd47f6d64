"""The HTTP server's side of a connection: uvicorn's, with one write for each answer.

uvicorn writes the head of an answer and its body apart, which costs the kernel twice,
and the caller a second packet. It also takes trailers for headers.
"""

import asyncio
from typing import Any

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class OneWriteProtocol(HttpToolsProtocol):
    """Sends at once what was written in one turn of the event loop."""

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(_Gathering(transport))  # type: ignore[arg-type]

    @override
    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        # The request keeps its own. httptools reports the trailers of a chunked body as
        # more of them, but who looks at headers on the way here, as a proxy does, does
        # not see those: no credential may stand there (RFC 9110 section 6.5.1).
        self.headers = []


class _Gathering:
    """A transport that holds what is written until the event loop's next turn."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._call_soon = asyncio.get_running_loop().call_soon
        self._held: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._held:
            self._call_soon(self._flush)
        self._held.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._held:
            held, self._held = self._held, []
            self._transport.write(b"".join(held))

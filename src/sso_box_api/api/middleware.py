"""Round every request: its id, the size of its body, the headers of its answer.

Pure ASGI on purpose: Starlette's BaseHTTPMiddleware halves the throughput.
"""

import asyncio
import logging
import random
import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sso_box_api.api import problems
from sso_box_api.errors import BodyTooLarge, RequestTimeout

_log = logging.getLogger(__name__)

MAX_BODY_BYTES = 65_536
MAX_BODY_S = 10
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_ANNOUNCE_A_BODY = frozenset({b"content-length", b"transfer-encoding"})
# Unless the route says something else itself.
_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


class _Gone(Exception):
    """The caller left before the body was complete."""


class RequestShell:
    """The outermost layer of ours; only CORS stands further out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id = _request_id(headers.get(b"x-request-id", b""))
        scope["sso_box_request_id"] = request_id
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                said = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(header for header in _HEADERS if header[0] not in said),
                    (b"x-request-id", request_id.encode()),
                ]
            await send(message)

        try:
            announced = not _ANNOUNCE_A_BODY.isdisjoint(headers)
            # What was not announced (RFC 9112 section 6.3) need not be waited for.
            body = await (_read_body_in_time if announced else _read_body)(receive)
            await self._app(scope, _replay(body, receive), send_with_headers)
        except _Gone:
            # What was cut off may say less than was meant: nothing of it is done.
            return
        except (BodyTooLarge, RequestTimeout) as error:
            answer = problems.render(error, request_id, scope["path"])
            await answer(scope, receive, send_with_headers)
        except Exception:
            _log.exception("unexpected error (request %s)", request_id)
            if started:
                raise
            answer = problems.crash(request_id, scope["path"])
            await answer(scope, receive, send_with_headers)


def _request_id(given: bytes) -> str:
    """Take the caller's own, or make one up: unique, and no secret."""
    if given and _REQUEST_ID.fullmatch(given):
        return given.decode()
    return f"{random.getrandbits(128):032x}"


async def _read_body_in_time(receive: Receive) -> bytes:
    try:
        async with asyncio.timeout(MAX_BODY_S):
            return await _read_body(receive)
    except TimeoutError:
        raise RequestTimeout("body") from None


async def _read_body(receive: Receive) -> bytes:
    """Read the whole body, at most ``MAX_BODY_BYTES``; nothing is parsed before."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        chunk: bytes = message.get("body", b"")
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLarge("body")
        if not message.get("more_body", False):
            return body


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay

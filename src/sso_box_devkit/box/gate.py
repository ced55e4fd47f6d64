"""The way in and out of every call: journal, CORS, latency, faults, Box's clock.

Control routes pass by untouched.
"""

import asyncio
import secrets
from email.utils import formatdate
from fnmatch import fnmatchcase

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sso_box_devkit.box.access import bearer_token
from sso_box_devkit.box.journal import Entry
from sso_box_devkit.box.limits import too_many
from sso_box_devkit.box.oauth import named_subject, parse_form
from sso_box_devkit.box.responses import BoxError, OAuthError
from sso_box_devkit.box.state import Enterprise, World

CONTROL = "/_emulator/"
_OAUTH = "/oauth2/"


class Gate:
    """ASGI middleware round the whole emulator."""

    def __init__(self, app: ASGIApp, world: World) -> None:
        self._app = app
        self._world = world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        path: str = scope["path"]
        if path.startswith(CONTROL):
            await self._app(scope, receive, send)
            return
        # Read whole before any delay: a call that has arrived is worked off even if
        # its sender hangs up meanwhile, and uvicorn would then withhold the body.
        body = await _read(receive)
        if body is None:
            return
        request = HTTPConnection(scope)
        known, subject = self._who(request, body)
        enterprise = known or self._world.default
        entry = enterprise.journal.open(
            scope["method"],
            path,
            scope["query_string"].decode("latin-1"),
            subject=subject,
            origin=request.headers.get("origin", ""),
        )
        out = _stamped(send, enterprise, entry, request_id)
        app = _with_body(self._app, body)
        await asyncio.sleep(enterprise.settings.latency_ms / 1000)
        await self._pass(app, known, scope, receive, out)

    async def _pass(
        self,
        app: ASGIApp,
        known: Enterprise | None,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        request = HTTPConnection(scope)
        if "origin" in request.headers and not request.url.path.startswith(_OAUTH):
            response = _answer_to_page(request, known)
            if response is not None:
                await response(scope, receive, send)
                return
            if known is not None:
                send = _readable(send)
        refused = self._over_budget(request)
        if refused is not None:
            await refused(scope, receive, send)
            return
        faults = (known or self._world.default).faults
        fault = faults.take(scope["method"], scope["path"])
        if fault is None:
            await app(scope, receive, send)
        else:
            # What was ordered is nobody's claim about Box.
            scope["state"]["spoilt"] = fault.spoils
            cleared = faults.cleared
            await fault.play(app, scope, receive, send, cleared=cleared)

    def _over_budget(self, request: HTTPConnection) -> Response | None:
        token = self._world.tokens.get(bearer_token(request))
        if token is None:
            return None
        settings = token.enterprise.settings
        wait_s = token.enterprise.limits.spend(
            settings, request.url.path, token.user_id
        )
        if wait_s is None:
            return None
        return too_many(settings, wait_s, request.scope["state"]["request_id"])

    def _who(
        self, request: HTTPConnection, body: bytes
    ) -> tuple[Enterprise | None, str]:
        """The enterprise and subject of the token that came in or was asked for."""
        if request.url.path.startswith(_OAUTH):
            try:
                return named_subject(self._world, parse_form(body))
            except OAuthError:
                return None, ""
        ticket = request.url.path.removeprefix("/_download/")
        if ticket in self._world.downloads:
            return self._world.downloads[ticket].enterprise, ""
        token = self._world.tokens.get(bearer_token(request))
        return (None, "") if token is None else (token.enterprise, token.subject)


def _answer_to_page(
    request: HTTPConnection, known: Enterprise | None
) -> Response | None:
    """What a web page gets instead of an answer; None lets the call through.

    An unknown token goes through to its 401, which the page cannot read: so at Box.
    """
    headers = request.headers
    if request.scope["method"] == "OPTIONS" and (
        "access-control-request-method" in headers
    ):
        return _preflight(headers.get("access-control-request-headers", "*"))
    if known is None or _allowed(headers["origin"], known.settings.cors_domains):
        return None
    return _origin_refused(headers["origin"], request.scope["state"]["request_id"])


def _allowed(origin: str, domains: list[str]) -> bool:
    """Scheme, host and port; ``https://*.example.com`` is any subdomain."""
    return any(
        fnmatchcase(origin, domain) if "://*." in domain else origin == domain
        for domain in domains
    )


def _origin_refused(origin: str, request_id: str) -> Response:
    return BoxError(
        403,
        "cors_origin_not_whitelisted",
        "Access denied - Did you forget to safelist your origin in the CORS config "
        "of your app?",
        {"origin": origin},
    ).response(request_id)


def _preflight(asked_headers: str) -> Response:
    """A browser's question carries no token, so any origin may ask (ours)."""
    return Response(
        headers={
            "access-control-allow-origin": "*",
            "access-control-allow-methods": "GET, POST, PUT, DELETE, OPTIONS",
            "access-control-allow-headers": asked_headers,
            "access-control-max-age": "600",
            "vary": "Origin",
        }
    )


def _readable(send: Send) -> Send:
    async def with_cors(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            headers["access-control-allow-origin"] = "*"
            headers["access-control-expose-headers"] = (
                "box-request-id, retry-after, www-authenticate"
            )
            headers.add_vary_header("Origin")
        await send(message)

    return with_cors


def _stamped(send: Send, enterprise: Enterprise, entry: Entry, request_id: str) -> Send:
    async def stamped(message: Message) -> None:
        if message["type"] == "http.response.start":
            # Before the answer leaves: who has it may look into the journal.
            entry.status = message["status"]
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            headers.setdefault("date", formatdate(enterprise.now(), usegmt=True))
            headers["box-request-id"] = request_id
        await send(message)

    return stamped


async def _read(receive: Receive) -> bytes | None:
    """None where the sender hung up before the end."""
    parts: list[bytes] = []
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def _with_body(app: ASGIApp, body: bytes) -> ASGIApp:
    """``app``, given a body that was already read."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        pending: list[Message] = [{"type": "http.request", "body": body}]

        async def replay() -> Message:
            return pending.pop() if pending else await receive()

        await app(scope, replay, send)

    return application

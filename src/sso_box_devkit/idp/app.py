"""The provider as an ASGI app: its routes, and what holds for all of them."""

import time
from collections.abc import Callable, Iterable
from email.utils import formatdate
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sso_box_devkit.idp import page
from sso_box_devkit.idp.authorize import SCOPES, authorize
from sso_box_devkit.idp.clients import DEMO_CLIENTS, Client
from sso_box_devkit.idp.control import control_routes
from sso_box_devkit.idp.forms import OAuthError, parse, read_form, with_query
from sso_box_devkit.idp.people import PEOPLE
from sso_box_devkit.idp.provider import Idp
from sso_box_devkit.idp.signing import Algorithm
from sso_box_devkit.idp.tokens import token

_BODY_LIMIT = 64 * 1024


def create_idp(
    issuer: str,
    *,
    clock: Callable[[], float] = time.time,
    clients: Iterable[Client] = tuple(DEMO_CLIENTS.values()),
    algorithm: Algorithm = "RS256",
) -> Starlette:
    """Return a provider that calls itself ``issuer``; ``state.idp`` is its inside.

    Its routes lie under the issuer's path, the control routes always under ``/_idp``.
    """
    prefix = urlsplit(issuer).path.rstrip("/")
    app = Starlette(
        routes=[
            *control_routes(),
            Route(f"{prefix}/authorize", authorize, methods=["GET", "POST"]),
            Route(f"{prefix}/logout", _log_out, methods=["GET", "POST"]),
            _machine_routes(prefix),
        ],
        middleware=[Middleware(_CountedAndUncached)],
        max_body_size=_BODY_LIMIT,
    )
    app.state.idp = Idp(
        issuer,
        clock=clock,
        clients={client.id: client for client in clients},
        algorithm=algorithm,
    )
    return app


def _machine_routes(prefix: str) -> Mount:
    # Pages of any origin may call these: there is no cookie that could be misused.
    cors = Middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "Content-Type"],
    )
    return Mount(
        prefix,
        routes=[
            Route("/.well-known/openid-configuration", _discovery),
            Route("/jwks", _jwks),
            Route("/token", token, methods=["POST"]),
            Route("/userinfo", _userinfo, methods=["GET", "POST"]),
        ],
        middleware=[cors, Middleware(_DownOnRequest)],
    )


async def _discovery(request: Request) -> Response:
    """OpenID Connect Discovery 1.0 section 3."""
    idp: Idp = request.app.state.idp
    base = idp.base_url
    return JSONResponse(
        {
            "issuer": idp.issuer,
            "authorization_endpoint": f"{base}/authorize",
            "token_endpoint": f"{base}/token",
            "jwks_uri": f"{base}/jwks",
            "userinfo_endpoint": f"{base}/userinfo",
            "end_session_endpoint": f"{base}/logout",
            "scopes_supported": SCOPES,
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": sorted(
                {"RS256", *(key.algorithm for key in idp.keys)}
            ),
            "token_endpoint_auth_methods_supported": ["none"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            "request_uri_parameter_supported": False,
            "claims_supported": ["iss", "aud", "exp", "iat", *PEOPLE["ada"].claims()],
        }
    )


async def _jwks(request: Request) -> Response:
    idp: Idp = request.app.state.idp
    return JSONResponse(idp.jwks())


async def _userinfo(request: Request) -> Response:
    idp: Idp = request.app.state.idp
    scheme, _, access_token = request.headers.get("authorization", "").partition(" ")
    claims = idp.userinfo(access_token) if scheme.lower() == "bearer" else None
    if claims is None:
        challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        return JSONResponse({"error": "invalid_token"}, 401, challenge)
    return JSONResponse(claims)


async def _log_out(request: Request) -> Response:
    """OpenID Connect RP-Initiated Logout 1.0: end the person's logins at the client."""
    idp: Idp = request.app.state.idp
    try:
        if request.method == "POST":
            params = await read_form(request)
        else:
            params = parse(request.url.query)
    except OAuthError as problem:
        return page.error(problem.description)
    subject, hinted = idp.read_hint(params.get("id_token_hint", "")) or (None, None)
    client_id = params.get("client_id", hinted)
    if subject is not None and client_id is not None:
        if client_id != hinted:
            return page.error("The client_id is not that of the id_token_hint.")
        idp.end_logins(subject, client_id)
    back = params.get("post_logout_redirect_uri")
    if back is None:
        return page.logged_out()
    client = idp.clients.get(client_id or "")
    if client is None or not client.accepts(back):
        return page.error("The post_logout_redirect_uri is not registered.")
    state = {"state": params["state"]} if "state" in params else {}
    return RedirectResponse(with_query(back, state), 303)


class _CountedAndUncached:
    """Count the requests by path, and let nobody keep an answer.

    Not even the keys: a browser would go on using those of an earlier run.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if not scope["path"].startswith("/_idp/"):
            scope["app"].state.idp.requests[scope["path"]] += 1

        async def send_uncached(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Cache-Control"] = "no-store"
                # By the provider's own clock, which a test may have moved.
                headers["Date"] = formatdate(scope["app"].state.idp.now(), usegmt=True)
            await send(message)

        await self._app(scope, receive, send_uncached)


class _DownOnRequest:
    """Answer 503 while the provider is told to be down."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        down = scope["type"] == "http" and scope["app"].state.idp.down
        answer = JSONResponse({"error": "temporarily_unavailable"}, 503)
        await (answer if down else self._app)(scope, receive, send)

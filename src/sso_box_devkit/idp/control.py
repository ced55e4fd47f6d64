"""Control routes under ``/_idp``: what tests do to a provider. No browser may.

Writes need ``application/json``, which a page can send elsewhere only after asking,
and a request that carries an Origin comes from a page and is refused.
"""

import json
import math
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sso_box_devkit.idp.provider import Idp

_Handler = Callable[[Idp, dict[str, Any]], dict[str, object]]


class _Refused(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def control_routes() -> list[BaseRoute]:
    return [
        _route("/_idp/rotate", "POST", _rotate),
        _route("/_idp/drop-kid", "POST", _drop_kid),
        _route("/_idp/clock", "PATCH", _clock),
        _route("/_idp/down", "POST", _down),
        _route("/_idp/mint", "POST", _mint),
        _route("/_idp/requests", "GET", _requests),
        _route("/_idp/requests", "DELETE", _forget_requests),
    ]


def _rotate(idp: Idp, body: dict[str, Any]) -> dict[str, object]:
    algorithm = body.get("alg")
    if algorithm not in (None, "RS256", "ES256"):
        raise _Refused(422, "alg is RS256 or ES256")
    idp.rotate(algorithm, drop_old=bool(body.get("drop_old", False)))
    return _kids(idp)


def _drop_kid(idp: Idp, body: dict[str, Any]) -> dict[str, object]:
    try:
        idp.drop_kid(body.get("kid"))
    except (KeyError, TypeError):
        raise _Refused(422, "kid is not that of an old key") from None
    return _kids(idp)


def _kids(idp: Idp) -> dict[str, object]:
    return {"kid": idp.current_key.kid, "published": [key.kid for key in idp.keys]}


def _clock(idp: Idp, body: dict[str, Any]) -> dict[str, object]:
    offset = body.get("offset_s")
    if isinstance(offset, bool) or not isinstance(offset, int | float):
        raise _Refused(422, "offset_s is a number of seconds")
    if not math.isfinite(offset):
        raise _Refused(422, "offset_s is finite")
    idp.offset_s = offset
    return {"offset_s": idp.offset_s, "now": idp.now()}


def _down(idp: Idp, body: dict[str, Any]) -> dict[str, object]:
    down = body.get("down", True)
    if not isinstance(down, bool):
        raise _Refused(422, "down is true or false")
    idp.down = down
    return {"down": idp.down}


def _mint(idp: Idp, body: dict[str, Any]) -> dict[str, object]:
    claims, header = body.get("claims", {}), body.get("header", {})
    if not isinstance(claims, dict) or not isinstance(header, dict):
        raise _Refused(422, "claims and header are objects")
    return {"id_token": idp.mint_claims(claims, header)}


def _requests(idp: Idp, body: dict[str, Any]) -> dict[str, object]:
    del body
    return {"requests": dict(idp.requests)}


def _forget_requests(idp: Idp, body: dict[str, Any]) -> dict[str, object]:
    idp.requests.clear()
    return _requests(idp, body)


def _route(path: str, method: str, handler: _Handler) -> Route:
    async def endpoint(request: Request) -> Response:
        try:
            body = await _read(request)
            return JSONResponse(handler(request.app.state.idp, body))
        except _Refused as refused:
            return JSONResponse({"error": str(refused)}, refused.status)

    return Route(path, endpoint, methods=[method])


async def _read(request: Request) -> dict[str, Any]:
    if "origin" in request.headers:
        raise _Refused(403, "not for pages")
    if request.method == "GET":
        return {}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise _Refused(415, "Content-Type must be application/json")
    try:
        body = json.loads(await request.body() or b"{}")
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise _Refused(422, "the body must be a JSON object")
    return body

"""Errors on the wire: RFC 9457 problem documents, RFC 6749 bodies at the OAuth door.

Nothing the caller sent is repeated: of a validation error only the place (where it is
a documented field), the kind and a fixed message leave the process.
"""

import json
import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

from sso_box_api.errors import (
    CredentialError,
    InvalidBody,
    SignedOut,
    SsoBoxError,
    StepUpRequired,
    TokenMissing,
    UnsupportedMediaType,
)

_log = logging.getLogger(__name__)

OAUTH_PATH = "/oauth2/token"
REVOKE_PATH = "/oauth2/revoke"
_OAUTH_PATHS = {OAUTH_PATH, REVOKE_PATH}
REALM = "sso-box-api"
_TYPE = "urn:problem-type:sso-box-api:"
_PLAIN = {
    404: ("not_found", "Not found", "There is nothing at this address."),
    405: ("method_not_allowed", "Method not allowed", "Use a documented method."),
}
_HTTP_STATUSES = {408, 413, 415, 429}
# Field names that may be repeated in a validation error, because they are ours.
_FIELDS = {"body", "id_token", "profile", "scope", "resource", "nonce_verifier"} | {
    "rejected_token_sha256"
}


def install(app: FastAPI) -> None:
    app.add_exception_handler(SsoBoxError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


def crash(request_id: str, path: str) -> Response:
    """Answer for an exception nobody expected; what it was stands in the log only."""
    detail = "An unexpected error occurred; quote the request id when reporting it."
    if path in _OAUTH_PATHS:
        return _oauth(
            status=500,
            error="server_error",
            reason="internal_error",
            description=detail,
            request_id=request_id,
            headers={},
        )
    return problem(
        status=500,
        code="internal_error",
        title="Internal error",
        detail=detail,
        request_id=request_id,
    )


def problem(
    *,
    status: int,
    code: str,
    title: str,
    detail: str,
    request_id: str,
    members: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    content = {
        "type": _TYPE + code,
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
        **(members or {}),
    }
    return JSONResponse(
        content,
        status,
        headers=dict(headers or {}),
        media_type="application/problem+json",
    )


def render(error: SsoBoxError, request_id: str, path: str) -> Response:
    """Turn one of our errors into the answer of the door it came through."""
    level = logging.ERROR if error.status == 502 else logging.WARNING  # noqa: PLR2004 - what needs an administrator
    _log.log(level, "%s %s (request %s)", error.code, error.reason, request_id)
    headers = _headers(error)
    if path in _OAUTH_PATHS:
        status, oauth_error = _oauth_status(error), error.oauth_error
        if path == REVOKE_PATH and isinstance(error, CredentialError):
            # The credential stands in a header there (RFC 6749 section 5.2).
            status, oauth_error = 401, "invalid_client"
        else:
            headers.pop("WWW-Authenticate", None)
        return _oauth(
            status=status,
            error=oauth_error,
            reason=error.code,
            description=error.detail,
            request_id=request_id,
            headers=headers,
            members=_better_login(error),
        )
    return problem(
        status=error.status,
        code=error.code,
        title=error.title,
        detail=error.detail,
        request_id=request_id,
        members=error.members,
        headers=headers,
    )


def request_id_of(request: Request) -> str:
    request_id: str = request.scope["sso_box_request_id"]
    return request_id


async def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, SsoBoxError)  # noqa: S101 - registered for this type
    return render(error, request_id_of(request), request.url.path)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    sent = request.headers.get("content-type", "").split(";")[0].strip().lower()
    body_at_fault = any(item["loc"][0] == "body" for item in error.errors())
    if body_at_fault and sent != "application/json":
        return await _on_error(request, UnsupportedMediaType("content_type"))
    errors = [_validation_item(item) for item in error.errors()]
    return await _on_error(request, InvalidBody("shape", members={"errors": errors}))


def _validation_item(item: Mapping[str, Any]) -> dict[str, object]:
    loc = [p for p in item["loc"] if isinstance(p, int) or p in _FIELDS]
    kind = str(item["type"])
    known = {
        "extra_forbidden": "There is no such field.",
        "json_invalid": "This is not valid JSON.",
    }
    return {
        "loc": loc,
        "type": kind,
        "message": known.get(kind, "This value does not have the documented form."),
    }


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this type
    if error.status_code not in _PLAIN:
        # FastAPI's own 400 for a body that cannot be read as JSON at all.
        return await _on_error(request, InvalidBody("unreadable"))
    code, title, detail = _PLAIN[error.status_code]
    return problem(
        status=error.status_code,
        code=code,
        title=title,
        detail=detail,
        request_id=request_id_of(request),
        headers=error.headers,
    )


def _headers(error: SsoBoxError) -> dict[str, str]:
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, CredentialError):
        headers["WWW-Authenticate"] = _challenge(error)
    return headers


def _challenge(error: CredentialError) -> str:
    """Build the challenge of RFC 6750 section 3; RFC 9470 where a login would help."""
    challenge = f'Bearer realm="{REALM}"'
    if isinstance(error, TokenMissing):
        return challenge
    if wanted := _better_login(error):
        challenge += ', error="insufficient_user_authentication"'
        return challenge + "".join(f', {k}="{v}"' for k, v in wanted.items())
    return f'{challenge}, error="invalid_token", error_description="{error.detail}"'


def _better_login(error: SsoBoxError) -> dict[str, str | int]:
    """What to ask of the provider, as OpenID Connect Core 3.1.2.1 and RFC 9470 name it."""
    if isinstance(error, SignedOut):
        return {"max_age": 0}
    if not isinstance(error, StepUpRequired):
        return {}
    wanted: dict[str, str | int] = {}
    if error.acr_values:
        wanted["acr_values"] = " ".join(error.acr_values)
    if error.max_age_s is not None:
        wanted["max_age"] = error.max_age_s
    return wanted


def _oauth_status(error: SsoBoxError) -> int:
    """Answer 400 as RFC 6749 section 5.2 asks, but where HTTP itself says more."""
    kept = error.oauth_error in {"access_denied", "temporarily_unavailable"}
    return error.status if kept or error.status in _HTTP_STATUSES else 400


def _oauth(
    *,
    status: int,
    error: str,
    reason: str,
    description: str,
    request_id: str,
    headers: Mapping[str, str],
    members: Mapping[str, object] | None = None,
) -> Response:
    content = {
        "error": error,
        "error_description": description,
        "reason": reason,
        "request_id": request_id,
        **(members or {}),
    }
    body = json.dumps(content).encode()
    return Response(body, status, headers=dict(headers), media_type="application/json")

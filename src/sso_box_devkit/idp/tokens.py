"""The token endpoint: a code and its verifier, or a refresh token, for tokens."""

import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sso_box_devkit.idp.forms import OAuthError, read_form
from sso_box_devkit.idp.provider import Idp
from sso_box_devkit.idp.signing import b64url

# RFC 7636 section 4.1.
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")


async def token(request: Request) -> Response:
    """Answer a token request (RFC 6749 section 3.2) of a public client."""
    idp: Idp = request.app.state.idp
    try:
        form = await read_form(request)
        _check_client(idp, request, form)
        body = _tokens(idp, form)
    except OAuthError as problem:
        return JSONResponse(problem.members(), problem.status)
    return JSONResponse(body)


def _tokens(idp: Idp, form: Mapping[str, str]) -> dict[str, object]:
    _require(form, "grant_type")
    match form["grant_type"]:
        case "authorization_code":
            return _by_code(idp, form)
        case "refresh_token":
            return _by_refresh_token(idp, form)
        case _:
            raise OAuthError("unsupported_grant_type", "unknown grant_type")


def _check_client(idp: Idp, request: Request, form: Mapping[str, str]) -> None:
    # Public clients have no secret; one that is sent means another kind of client.
    if "authorization" in request.headers or "client_secret" in form:
        raise OAuthError("invalid_client", "this is a public client", 401)
    if form.get("client_id") not in idp.clients:
        raise OAuthError("invalid_client", "client_id is missing or unknown", 401)


def _by_code(idp: Idp, form: Mapping[str, str]) -> dict[str, object]:
    _require(form, "code", "redirect_uri", "code_verifier")
    code = idp.redeem_code(form["code"])
    if code is None:
        raise OAuthError("invalid_grant", "the code is unknown, used or expired")
    if code.grant.client_id != form["client_id"]:
        raise OAuthError("invalid_grant", "the code is another client's")
    if code.redirect_uri != form["redirect_uri"]:
        raise OAuthError("invalid_grant", "redirect_uri differs from the first one")
    if not _fits(form["code_verifier"], code.code_challenge):
        raise OAuthError("invalid_grant", "code_verifier does not fit the challenge")
    return idp.issue_tokens(code.grant, code.nonce)


def _by_refresh_token(idp: Idp, form: Mapping[str, str]) -> dict[str, object]:
    _require(form, "refresh_token")
    grant = idp.redeem_refresh_token(form["refresh_token"], form["client_id"])
    if grant is None:
        raise OAuthError("invalid_grant", "the refresh token is unknown or used")
    # No nonce: that belongs to the first answer only (Core section 12.2).
    return idp.issue_tokens(grant)


def _require(form: Mapping[str, str], *names: str) -> None:
    for name in names:
        if name not in form:
            raise OAuthError("invalid_request", f"{name} is missing")


def _fits(verifier: str, challenge: str) -> bool:
    """Tell whether the verifier's SHA-256 is the challenge (RFC 7636 section 4.6)."""
    if not _VERIFIER.fullmatch(verifier):
        return False
    digest = b64url(hashlib.sha256(verifier.encode("ascii")).digest())
    return secrets.compare_digest(digest, challenge)

"""POST /oauth2/token: the same exchange for OAuth libraries (RFC 8693).

A thin translator: parameters in, the one exchange, the standard's names out.
"""

import re
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from sso_box_api.api.bodies import read_form
from sso_box_api.api.lean import LeanRoute, json_response
from sso_box_api.api.problems import OAUTH_PATH, request_id_of
from sso_box_api.api.responses import OAUTH_ERRORS
from sso_box_api.api.state import bad_tokens_of, exchange_of
from sso_box_api.api.token import SHA256, client_address
from sso_box_api.errors import InvalidForm
from sso_box_api.exchange import ExchangeRequest
from sso_box_api.identity import NONCE_VERIFIER, UnverifiedToken

router = APIRouter(route_class=LeanRoute)

_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
_TYPE = "urn:ietf:params:oauth:token-type:"
_ACCESS_TOKEN = f"{_TYPE}access_token"
_AUDIENCES = {"box", "https://api.box.com"}
_PARAMETERS = {
    "grant_type",
    "subject_token",
    "subject_token_type",
    "requested_token_type",
    "audience",
    "resource",
    "scope",
    "client_id",
    "profile",
    "nonce_verifier",
    "rejected_token_sha256",
}


class OAuthTokenResponse(BaseModel):
    """RFC 8693 section 2.2.1."""

    access_token: str = Field(repr=False)
    issued_token_type: str
    token_type: str
    expires_in: int
    scope: str
    box_user_id: str


_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": [
                        "grant_type",
                        "subject_token",
                        "subject_token_type",
                        "client_id",
                    ],
                    "properties": {
                        "grant_type": {"type": "string", "enum": [_GRANT]},
                        "subject_token": {
                            "type": "string",
                            "description": "The ID token",
                        },
                        "subject_token_type": {
                            "type": "string",
                            "enum": [f"{_TYPE}id_token", f"{_TYPE}jwt"],
                        },
                        "requested_token_type": {
                            "type": "string",
                            "enum": [_ACCESS_TOKEN],
                        },
                        "audience": {"type": "string", "enum": sorted(_AUDIENCES)},
                        "resource": {
                            "type": "string",
                            "description": "https://api.box.com/2.0/folders/ID",
                        },
                        "scope": {
                            "type": "string",
                            "description": "Separated by spaces",
                        },
                        "client_id": {"type": "string"},
                        "profile": {"type": "string"},
                        "nonce_verifier": {
                            "type": "string",
                            "pattern": NONCE_VERIFIER,
                        },
                        "rejected_token_sha256": {
                            "type": "string",
                            "pattern": SHA256,
                        },
                    },
                }
            }
        },
    }
}


@router.post(
    OAUTH_PATH,
    operation_id="oauthTokenExchange",
    summary="Exchange an ID token for a Box token (RFC 8693)",
    tags=["exchange"],
    response_model=OAuthTokenResponse,
    responses=OAUTH_ERRORS,
    openapi_extra=_FORM,
)
async def oauth_token(request: Request) -> Response:
    form = await read_form(request)
    if request.headers.getlist("authorization"):
        raise InvalidForm("credentials_in_header")
    _check(form)
    address = client_address(request)
    with bad_tokens_of(request).counting(address):
        vended = await exchange_of(request).exchange(
            ExchangeRequest(
                unverified_token=UnverifiedToken(form["subject_token"]),
                profile=form.get("profile"),
                scopes=form["scope"].split(" ") if "scope" in form else None,
                resource=form.get("resource"),
                nonce_verifier=form.get("nonce_verifier"),
                rejected_token_sha256=form.get("rejected_token_sha256"),
                client_id=form["client_id"],
                door="oauth",
                request_id=request_id_of(request),
                client_address=address,
            )
        )
    return json_response(
        {
            "access_token": vended.access_token,
            "issued_token_type": _ACCESS_TOKEN,
            "token_type": "Bearer",
            "expires_in": vended.expires_in,
            "scope": " ".join(vended.scopes),
            "box_user_id": vended.box_user_id,
        }
    )


def _check(form: dict[str, str]) -> None:
    """Check what RFC 8693 section 2.1 says of the parameters, before any token."""
    if "grant_type" not in form:
        raise InvalidForm("grant_type_missing")
    if form["grant_type"] != _GRANT:
        raise InvalidForm("grant_type", "unsupported_grant_type")
    for name in ("subject_token", "subject_token_type", "client_id"):
        if name not in form:
            raise InvalidForm(f"{name}_missing")
    if form.keys() & {"actor_token", "actor_token_type"}:
        raise InvalidForm("actor_token")
    if form.keys() - _PARAMETERS:
        raise InvalidForm("unknown_parameter")
    _check_values(form)


def _check_values(form: dict[str, str]) -> None:
    if form["subject_token_type"] not in {f"{_TYPE}id_token", f"{_TYPE}jwt"}:
        raise InvalidForm("subject_token_type")
    if form.get("requested_token_type", _ACCESS_TOKEN) != _ACCESS_TOKEN:
        raise InvalidForm("requested_token_type")
    if form.get("audience", "box") not in _AUDIENCES:
        raise InvalidForm("audience", "invalid_target")
    verifier = form.get("nonce_verifier")
    if verifier is not None and not re.fullmatch(NONCE_VERIFIER, verifier):
        raise InvalidForm("nonce_verifier")
    rejected = form.get("rejected_token_sha256")
    if rejected is not None and not re.fullmatch(SHA256, rejected):
        raise InvalidForm("rejected_token_sha256")

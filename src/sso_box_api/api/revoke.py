"""POST /oauth2/revoke: give one Box token back (RFC 7009).

Who asks is told by the ID token in the Authorization header, as at the routes under
/v1: the form has no parameter for it, and the clients are public ones.
"""

from typing import Any

from fastapi import APIRouter, Request, Response

from sso_box_api.api.bodies import read_form
from sso_box_api.api.credentials import BearerToken, one_token
from sso_box_api.api.problems import REVOKE_PATH, request_id_of
from sso_box_api.api.responses import REVOKE_ERRORS
from sso_box_api.api.state import BadTokensDep, OwnTokensDep
from sso_box_api.api.token import client_address
from sso_box_api.errors import InvalidForm
from sso_box_api.own_tokens import OwnRequest

router = APIRouter()

_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["token"],
                    "properties": {
                        "token": {"type": "string", "description": "The Box token"},
                        "token_type_hint": {"type": "string"},
                        "client_id": {"type": "string"},
                    },
                }
            }
        },
    }
}


@router.post(
    REVOKE_PATH,
    operation_id="revokeToken",
    summary="Give one Box token back (RFC 7009)",
    tags=["exchange"],
    response_class=Response,
    responses=REVOKE_ERRORS,
    openapi_extra=_FORM,
)
async def revoke(
    request: Request,
    bearer: BearerToken,
    own_tokens: OwnTokensDep,
    bad_tokens: BadTokensDep,
) -> Response:
    form = await read_form(request)
    address = client_address(request)
    with bad_tokens.counting(address):
        unverified = one_token(bearer, None)
        if "token" not in form:
            raise InvalidForm("token_missing")
        # Other parameters are passed over, as RFC 6749 section 3.2 asks: what is to end
        # should not live on for a word too many.
        await own_tokens.revoke(
            OwnRequest(unverified, request_id_of(request), address),
            form["token"],
            client_id=form.get("client_id"),
        )
    return Response(status_code=200)

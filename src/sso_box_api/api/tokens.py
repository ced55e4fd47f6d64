"""DELETE /v1/tokens: sign out everywhere."""

from fastapi import APIRouter, Request

from sso_box_api.api.credentials import BearerToken, one_token
from sso_box_api.api.problems import request_id_of
from sso_box_api.api.responses import IDENTITY_PROBLEMS
from sso_box_api.api.state import BadTokensDep, OwnTokensDep
from sso_box_api.api.token import client_address
from sso_box_api.own_tokens import OwnRequest

router = APIRouter()


@router.delete(
    "/v1/tokens",
    operation_id="signOut",
    summary="Sign out everywhere",
    tags=["exchange"],
    status_code=204,
    responses=IDENTITY_PROBLEMS,
)
async def sign_out(
    request: Request,
    bearer: BearerToken,
    own_tokens: OwnTokensDep,
    bad_tokens: BadTokensDep,
) -> None:
    address = client_address(request)
    with bad_tokens.counting(address):
        await own_tokens.sign_out(
            OwnRequest(one_token(bearer, None), request_id_of(request), address)
        )

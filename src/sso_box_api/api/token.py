"""POST /v1/token: the exchange for pages and apps, in JSON."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter

from sso_box_api.api.bodies import read_json
from sso_box_api.api.credentials import bearer_token, one_token
from sso_box_api.api.lean import LeanRoute, json_response
from sso_box_api.api.problems import request_id_of
from sso_box_api.api.responses import PROBLEMS
from sso_box_api.api.state import state_of
from sso_box_api.exchange import ExchangeRequest
from sso_box_api.identity import NONCE_VERIFIER

router = APIRouter(route_class=LeanRoute)

SHA256 = r"^[0-9a-fA-F]{64}$"

Ascii = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,255}$")]

Sha256 = Annotated[str, StringConstraints(pattern=SHA256)]

NonceVerifier = Annotated[str, StringConstraints(pattern=NONCE_VERIFIER)]


class TokenRequest(BaseModel):
    """What a page may ask; everything is optional and can only narrow."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id_token: Annotated[str, StringConstraints(min_length=1)] | None = Field(
        default=None,
        repr=False,
        description="The ID token, where it is not sent as a Bearer token",
    )
    profile: Ascii | None = Field(
        default=None, description="The name of a profile; the default one if left out"
    )
    scope: Annotated[list[Ascii], Field(min_length=1, max_length=32)] | None = Field(
        default=None, description="Fewer scopes than the profile holds"
    )
    resource: Ascii | None = Field(
        default=None, description="file:ID or folder:ID, to bind the token to it"
    )
    rejected_token_sha256: Sha256 | None = Field(
        default=None,
        description="Of the Box token that Box no longer takes: SHA-256 in hex",
    )
    nonce_verifier: NonceVerifier | None = Field(
        default=None,
        repr=False,
        description="The secret whose hash was the login's nonce",
    )


class TokenResponse(BaseModel):
    """A Box access token and exactly what it is good for."""

    access_token: str = Field(repr=False)
    token_type: str
    expires_in: int = Field(description="Seconds of life left at Box")
    expires_at: datetime
    scope: list[str]
    resource: str | None
    box_user_id: str


_ASKED: TypeAdapter[TokenRequest | None] = TypeAdapter(TokenRequest | None)
_ASKS_NOTHING = TokenRequest()

_SCHEMA = {
    "anyOf": [{"$ref": "#/components/schemas/TokenRequest"}, {"type": "null"}],
    "title": "Body",
}
_BODY: dict[str, Any] = {
    "requestBody": {"content": {"application/json": {"schema": _SCHEMA}}}
}


@router.post(
    "/v1/token",
    operation_id="exchangeToken",
    summary="Exchange an ID token for a Box token",
    tags=["exchange"],
    response_model=TokenResponse,
    responses=PROBLEMS,
    openapi_extra=_BODY,
)
async def exchange_token(request: Request) -> Response:
    bearer = bearer_token(request)
    asked = read_json(request, _ASKED) or _ASKS_NOTHING
    address, state = client_address(request), state_of(request)
    with state["bad_tokens"].counting(address):
        vended = await state["exchange"].exchange(
            ExchangeRequest(
                unverified_token=one_token(bearer, asked.id_token),
                profile=asked.profile,
                scopes=asked.scope,
                resource=asked.resource,
                nonce_verifier=asked.nonce_verifier,
                rejected_token_sha256=asked.rejected_token_sha256,
                request_id=request_id_of(request),
                client_address=address,
            )
        )
    # In the shape of TokenResponse, which a test holds it to.
    return json_response(
        {
            "access_token": vended.access_token,
            "token_type": "bearer",
            "expires_in": vended.expires_in,
            "expires_at": vended.expires_at.isoformat(),
            "scope": vended.scopes,
            "resource": vended.resource,
            "box_user_id": vended.box_user_id,
        }
    )


def client_address(request: Request) -> str:
    """Return the peer's address; the server has put in a trusted proxy's word.

    Which is passed over where it can be no address: it stands in logs.
    """
    host = request.client.host if request.client else ""
    return host if host.isascii() and host.isprintable() else ""

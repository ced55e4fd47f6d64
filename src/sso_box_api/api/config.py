"""GET /v1/config: what a page needs before anybody is logged in. Public."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from sso_box_api.api.state import ProfilesDep, SettingsDep

router = APIRouter()


class PublicProvider(BaseModel):
    """What a page hands to its OpenID Connect library."""

    id: str
    kind: str
    issuer: str
    client_id: str = Field(description="The first of the configured client ids")
    client_ids: list[str]
    scopes: list[str]
    nonce_proof: bool = Field(description="Whether an exchange needs nonce_verifier")


ResourceRule = Literal["none", "optional", "required", "fixed", "template"]


class PublicProfile(BaseModel):
    """A profile that a page may ask for."""

    name: str
    scopes: list[str]
    resource: ResourceRule


class ConfigResponse(BaseModel):
    """Nothing in here is secret."""

    providers: list[PublicProvider]
    profiles: list[PublicProfile]
    default_profile: str


@router.get(
    "/v1/config",
    operation_id="getConfig",
    summary="Providers and profiles",
    tags=["page"],
)
async def config(settings: SettingsDep, profiles: ProfilesDep) -> ConfigResponse:
    return ConfigResponse(
        providers=[
            PublicProvider(
                id=provider.id,
                kind=provider.kind,
                issuer=provider.authority,
                client_id=provider.client_ids[0],
                client_ids=list(provider.client_ids),
                scopes=list(provider.login_scopes),
                nonce_proof=provider.require_nonce_proof,
            )
            for provider in settings.providers
        ],
        profiles=[PublicProfile.model_validate(p) for p in profiles.public()],
        default_profile=settings.vending.default_profile,
    )

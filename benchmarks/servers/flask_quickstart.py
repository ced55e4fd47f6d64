"""Box's documented way to app users for people of an SSO, in Flask with Box's own SDK.

For each page load, as the guide "SSO Identities and App Users" has it: verify who it
is, find the app user by its external id, create it if there is none, get a token for
that user, and, as the guide to UI Elements asks, narrow it before the page gets it.
ID tokens are verified with PyJWT and its caching key client. gunicorn runs it.
"""

import os

import jwt
from box_sdk_gen import BoxClient, BoxJWTAuth, JWTConfig
from box_sdk_gen.networking.base_urls import BaseUrls
from flask import Flask, request
from flask.typing import ResponseReturnValue

_SCOPES = [
    "base_explorer",
    "item_preview",
    "item_download",
    "item_upload",
    "item_rename",
    "item_delete",
]
_BOX_URL = os.environ["BOX_URL"]
_ISSUER = os.environ["OIDC_ISSUER"]
_AUDIENCE = os.environ["OIDC_CLIENT_ID"]

app = Flask(__name__)
keys = jwt.PyJWKClient(f"{_ISSUER}/jwks")
auth = BoxJWTAuth(JWTConfig.from_config_file(os.environ["BOX_CONFIG_FILE"]))
client = BoxClient(auth).with_custom_base_urls(
    BaseUrls(
        base_url=_BOX_URL,
        upload_url=f"{_BOX_URL}/api",
        oauth_2_url=f"{_BOX_URL}/oauth2",
    )
)


@app.post("/v1/token")
def box_token() -> ResponseReturnValue:
    """Hand a narrow Box token to the person of the ID token."""
    unverified = request.headers.get("Authorization", "").removeprefix("Bearer ")
    try:
        key = keys.get_signing_key_from_jwt(unverified)
        claims = jwt.decode(
            unverified, key, algorithms=["RS256"], audience=_AUDIENCE, issuer=_ISSUER
        )
    except jwt.PyJWTError:
        return {"error": "invalid_token"}, 401
    as_user = auth.with_user_subject(_user_id(claims["sub"], claims["name"]))
    narrow = as_user.downscope_token(_SCOPES, network_session=client.network_session)
    return {
        "access_token": narrow.access_token,
        "token_type": "bearer",
        "expires_in": narrow.expires_in,
    }


@app.get("/livez")
def alive() -> ResponseReturnValue:
    return {}


def _user_id(subject: str, name: str) -> str:
    found = client.users.get_users(external_app_user_id=subject).entries
    if found:
        return found[0].id
    created = client.users.create_user(
        name,
        is_platform_access_only=True,
        external_app_user_id=subject,
        space_amount=1_073_741_824,
    )
    return created.id

"""/oauth2/token and /oauth2/revoke: who the client is, then one function per grant."""

import random
import secrets
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sso_box_devkit.box.assertion import parse, verify
from sso_box_devkit.box.downscope import BOX_ORIGIN, exchange
from sso_box_devkit.box.keys import App
from sso_box_devkit.box.responses import OAuthError
from sso_box_devkit.box.state import Enterprise, Token, User, World

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CLIENT_CREDENTIALS = "client_credentials"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - a name

Form = dict[str, str]


async def token_endpoint(request: Request) -> Response:
    world: World = request.app.state.world
    form = parse_form(await request.body())
    grants = {
        JWT_BEARER: jwt_grant,
        CLIENT_CREDENTIALS: client_credentials_grant,
        TOKEN_EXCHANGE: token_exchange_grant,
    }
    grant = grants.get(form.get("grant_type", ""))
    if grant is None:
        raise OAuthError("unsupported_grant_type", "The grant type is not supported")
    own_origin = str(request.base_url)
    if form.get("resource", "").startswith(own_origin):
        form["resource"] = BOX_ORIGIN + form["resource"].removeprefix(own_origin)
    return JSONResponse(grant(world, form), headers={"Cache-Control": "no-store"})


def jwt_grant(world: World, form: Form) -> dict[str, Any]:
    enterprise, app = authenticate_client(world, form)
    if app.grant != "jwt":
        raise OAuthError(
            "invalid_request", "The grant type is unauthorized for this client_id"
        )
    claims = verify(enterprise, app, form.get("assertion", ""))
    if not enterprise.settings.app_authorized:
        raise OAuthError(
            "unauthorized_client", "This app is not authorized by the enterprise admin"
        )
    subject: str = claims["sub"]
    kind = claims.get("box_sub_type")
    if kind == "enterprise" and subject == enterprise.id:
        return answer(mint(world, app, enterprise, enterprise.service_account_of(app)))
    if kind == "user":
        user = _user_for_jwt(enterprise, app, subject)
        return answer(mint(world, app, enterprise, user))
    raise _invalid_subject()


def _user_for_jwt(enterprise: Enterprise, app: App, user_id: str) -> User:
    user = enterprise.user(user_id)
    if user is None:
        raise _invalid_subject()
    if not user_token_allowed(enterprise, app, user):
        raise OAuthError(
            "invalid_request",
            "Cannot obtain user token based on the enterprise configuration for "
            "your app",
        )
    if not _active_enough(enterprise, user):
        raise _invalid_subject(enterprise.settings.inactive_user_error)
    return user


def client_credentials_grant(world: World, form: Form) -> dict[str, Any]:
    """Box has one refusal for all of it: "Grant credentials are invalid"."""
    refusal = OAuthError("invalid_grant", "Grant credentials are invalid")
    try:
        enterprise, app = authenticate_client(world, form)
    except OAuthError as error:
        raise refusal from error
    if app.grant != "client_credentials":
        raise OAuthError(
            "invalid_request", "The grant type is unauthorized for this client_id"
        )
    if not enterprise.settings.app_authorized:
        raise refusal
    subject = form.get("box_subject_id", "")
    match form.get("box_subject_type"):
        case "enterprise" if subject == enterprise.id:
            user: User | None = enterprise.service_account_of(app)
        case "user":
            user = enterprise.user(subject)
            if user is not None and not (
                user_token_allowed(enterprise, app, user)
                and _active_enough(enterprise, user)
            ):
                raise refusal
        case _:
            raise refusal
    if user is None:
        raise refusal
    return answer(mint(world, app, enterprise, user))


def token_exchange_grant(world: World, form: Form) -> dict[str, Any]:
    """Box asks for no client here; one that is named must be the token's own."""
    parent = world.tokens.get(form.get("subject_token", ""))
    if parent is None or not parent.is_live():
        # Seen in Box's answers; the error code beside it is ours.
        raise OAuthError("invalid_grant", "The subject_token provided is invalid")
    if "client_secret" in form and authenticate_client(world, form)[1] != parent.app:
        raise OAuthError("invalid_client", "The client credentials are invalid")
    token, body = exchange(parent, form, life_s(parent.enterprise))
    world.keep(token)
    return body


async def revoke_endpoint(request: Request) -> Response:
    world: World = request.app.state.world
    form = parse_form(await request.body())
    enterprise, app = authenticate_client(world, form)
    token = world.tokens.get(form.get("token", ""))
    if token is not None and token.app == app:
        world.revoke(token)
    elif enterprise.settings.revoke_unknown == "error":
        raise OAuthError("invalid_request", "The token is invalid")
    return Response()


def mint(world: World, app: App, enterprise: Enterprise, user: User) -> Token:
    """A token with all of the user's rights. Earlier ones stay live."""
    token = Token(
        value=secrets.token_urlsafe(24),
        enterprise=enterprise,
        app=app,
        user_id=user.id,
        of_enterprise=enterprise.is_service_account(user),
        expires_at=enterprise.now() + life_s(enterprise),
    )
    return world.keep(token)


def answer(token: Token) -> dict[str, Any]:
    return {
        "access_token": token.value,
        "expires_in": round(token.expires_at - token.enterprise.now()),
        "restricted_to": [],
        "token_type": "bearer",
    }


def life_s(enterprise: Enterprise) -> int:
    return enterprise.settings.token_life_s or random.randint(3600, 4250)  # noqa: S311 - no secret


def user_token_allowed(enterprise: Enterprise, app: App, user: User) -> bool:
    return (
        enterprise.settings.user_tokens_enabled
        and not enterprise.is_service_account(user)
        and enterprise.reaches(app, user)
    )


def _active_enough(enterprise: Enterprise, user: User) -> bool:
    return (
        user.status != "inactive" or enterprise.settings.inactive_user_tokens == "allow"
    )


def _invalid_subject(code: str = "invalid_grant") -> OAuthError:
    return OAuthError(
        code,
        "Please check the 'sub' claim. The 'sub' specified is invalid.",
    )


def authenticate_client(world: World, form: Form) -> tuple[Enterprise, App]:
    known = world.app(form.get("client_id", ""))
    if known is None or known[1].client_secret != form.get("client_secret"):
        raise OAuthError("invalid_client", "The client credentials are invalid")
    return known


def parse_form(body: bytes) -> Form:
    """Raises ``OAuthError`` on a repeated parameter (RFC 6749 section 3.2)."""
    pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
    form = dict(pairs)
    if len(form) != len(pairs):
        raise OAuthError("invalid_request", "A parameter is repeated")
    return form


def named_subject(world: World, form: Form) -> tuple[Enterprise | None, str]:
    """Whom a call to the token endpoint is about, believed as it stands.

    For the journal alone, which notes refused calls too.
    """
    token = world.tokens.get(form.get("subject_token") or form.get("token", ""))
    if token is not None:
        return token.enterprise, token.subject
    known = world.app(form.get("client_id", ""))
    enterprise = known[0] if known else None
    subject: object = form.get("box_subject_id", "")
    if "assertion" in form:
        try:
            subject = parse(form["assertion"]).claims.get("sub")
        except OAuthError:
            subject = ""
    return enterprise, subject[:64] if isinstance(subject, str) else ""

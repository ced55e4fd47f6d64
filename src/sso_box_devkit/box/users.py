"""/2.0/users: the service account makes, finds, changes and removes users."""

from time import monotonic
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sso_box_devkit.box.access import Caller
from sso_box_devkit.box.admin_events import note
from sso_box_devkit.box.bodies import flag, json_object, text
from sso_box_devkit.box.paging import page
from sso_box_devkit.box.responses import (
    BoxError,
    forbidden,
    invalid_parameter,
    not_found,
)
from sso_box_devkit.box.state import Enterprise, User
from sso_box_devkit.box.user_shapes import ATTRIBUTES, render_user, shown_user

MAX_NAME = 50
_STATUSES = ("active", "inactive", "cannot_delete_edit", "cannot_delete_edit_upload")
# Which languages and time zones Box refuses is unknown, so any text will do.
_LENGTHS = {
    "job_title": 100,
    "phone": 100,
    "address": 255,
    "language": None,
    "timezone": None,
}
_FLAGS = {name for name, unset in ATTRIBUTES.items() if unset is False}
_RETENTION = (
    "User cannot be deleted due to retention policies. Please transfer user content "
    "first"
)
_DELETE_REFUSALS = {400: "bad_request", 403: "forbidden", 409: "conflict"}


async def create_user(request: Request, caller: Caller) -> Response:
    caller.require_service_account()
    enterprise = caller.enterprise
    body = await json_object(request)
    name = _name(body)
    is_app_user = body.get("is_platform_access_only") is True
    login = text(body, "login")
    if not is_app_user and not login:
        raise invalid_parameter("login", "A login is required")
    if not is_app_user:
        _check_login(enterprise, login or "")
    external_id = text(body, "external_app_user_id")
    _check_external_id(enterprise, external_id, None)
    _check_values(body)
    user = enterprise.add_user(name, None if is_app_user else login, caller.token.app)
    user.external_app_user_id = external_id
    _apply(user, body)
    note(caller, "NEW_USER", render_user(caller, user, None))
    return JSONResponse(shown_user(request, caller, user), 201)


async def list_users(request: Request, caller: Caller) -> Response:
    caller.require_service_account()
    enterprise, query = caller.enterprise, request.query_params
    found = reached(caller)
    if query.get("user_type") == "external":
        found = []  # users of other enterprises, by collaboration: not emulated
    term = query.get("filter_term", "").casefold()
    external_id = query.get("external_app_user_id")
    if term or external_id is not None:
        findable = monotonic() - enterprise.settings.lookup_lag_s
        found = [u for u in found if u.created_monotonic <= findable]
    if term:
        found = [u for u in found if _starts_with(u, term)]
    if external_id is not None:
        found = [
            u
            for u in found
            if _matches(enterprise, u, external_id)
            and u.client_id == caller.token.app.client_id
        ]
    body = page(
        query,
        found,
        lambda user: shown_user(request, caller, user),
        [{"by": "name", "direction": "ASC"}, {"by": "id", "direction": "ASC"}],
    )
    return JSONResponse(body)


async def get_me(request: Request, caller: Caller) -> Response:
    return JSONResponse(shown_user(request, caller, caller.user))


async def get_user(request: Request, caller: Caller) -> Response:
    is_self = request.path_params["user_id"] == caller.user.id
    user = caller.user if is_self else managed_user(request, caller)
    return JSONResponse(shown_user(request, caller, user))


async def update_user(request: Request, caller: Caller) -> Response:
    user = managed_user(request, caller)
    enterprise = caller.enterprise
    body = await json_object(request)
    if "enterprise" in body:
        raise BoxError(501, "not_emulated", "Rolling a user out is not emulated")
    _check_values(body)
    if "name" in body:
        user.name = _name(body)
    if "login" in body:
        login = text(body, "login") or ""
        _check_login(enterprise, login, besides=user)
        user.login = login
    if "external_app_user_id" in body:
        if user.client_id != caller.token.app.client_id:
            raise forbidden()
        external_id = text(body, "external_app_user_id")
        _check_external_id(enterprise, external_id, user)
        user.external_app_user_id = external_id
    _apply(user, body)
    user.modified_at = enterprise.now()
    note(caller, "EDIT_USER", render_user(caller, user, None))
    return JSONResponse(shown_user(request, caller, user))


async def delete_user(request: Request, caller: Caller) -> Response:
    user = managed_user(request, caller)
    enterprise = caller.enterprise
    owns = not enterprise.tree.is_empty(enterprise.tree.root(user.id))
    if owns and not flag(request.query_params, "force"):
        # What Box answers here is unknown; status by setting, wording ours.
        status = enterprise.settings.delete_with_content_status
        raise BoxError(status, _DELETE_REFUSALS[status], "The user owns content")
    if owns and enterprise.settings.retention_policy:
        raise BoxError(403, "forbidden", _RETENTION)
    note(caller, "DELETE_USER", render_user(caller, user, None))
    enterprise.remove_user(user)
    return Response(status_code=204)


def reached(caller: Caller) -> list[User]:
    """Whom the app has a hand on."""
    enterprise, app = caller.enterprise, caller.token.app
    return [u for u in enterprise.users.values() if enterprise.reaches(app, u)]


def managed_user(request: Request, caller: Caller) -> User:
    caller.require_service_account()
    user = caller.enterprise.users.get(request.path_params["user_id"])
    if user is None or not caller.enterprise.reaches(caller.token.app, user):
        raise not_found()
    return user


def _matches(enterprise: Enterprise, user: User, external_id: str) -> bool:
    known = user.external_app_user_id
    match enterprise.settings.external_id_match:
        case "exact":
            return known == external_id
        case "ignore_case":
            return known is not None and known.casefold() == external_id.casefold()
        case "prefix":
            return known is not None and known.startswith(external_id)


def _starts_with(user: User, term: str) -> bool:
    return user.name.casefold().startswith(term) or user.login.casefold().startswith(
        term
    )


def _name(body: dict[str, Any]) -> str:
    name = text(body, "name")
    if not name or len(name) > MAX_NAME:
        raise invalid_parameter("name", "A name of 1 to 50 characters is required")
    return name


def _check_login(
    enterprise: Enterprise, login: str, besides: User | None = None
) -> None:
    if enterprise.settings.app_access == "app":
        raise forbidden()
    if "@" not in login:
        raise invalid_parameter("login", "The login is not an e-mail address")
    elsewhere = map(str.casefold, enterprise.settings.logins_elsewhere)
    taken = login.casefold() in elsewhere
    if taken or enterprise.user_of(login) not in (None, besides):
        raise BoxError(
            409,
            "user_login_already_used",
            "User with the specified login already exists",
        )


def _check_external_id(
    enterprise: Enterprise, external_id: str | None, besides: User | None
) -> None:
    """Whether Box minds a second user with the id is unknown: a setting."""
    if external_id is None or enterprise.settings.duplicate_external_id == "allow":
        return
    others = (u for u in enterprise.users.values() if u is not besides)
    if any(u.external_app_user_id == external_id for u in others):
        raise BoxError(409, "conflict", "A resource with this value already exists")


def _check_values(body: dict[str, Any]) -> None:
    if body.get("status", "active") not in _STATUSES:
        raise invalid_parameter("status", "Unknown status")
    space = body.get("space_amount", 0)
    if type(space) is not int or space < -1:
        raise invalid_parameter("space_amount", "Not a number of bytes")
    for name, most in _LENGTHS.items():
        value = text(body, name)
        if value and most and len(value) > most:
            raise invalid_parameter(name, f"At most {most} characters")
    for name in _FLAGS & body.keys():
        if not isinstance(body[name], bool):
            raise invalid_parameter(name, "Neither true nor false")


def _apply(user: User, body: dict[str, Any]) -> None:
    user.status = body.get("status", user.status)
    user.space_amount = body.get("space_amount", user.space_amount)
    for name in ATTRIBUTES.keys() & body.keys():
        user.attributes[name] = body[name]

"""/2.0/users: the service account makes, finds, changes and removes users."""

from time import monotonic
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sso_box_devkit.box.access import Caller
from sso_box_devkit.box.bodies import flag, json_object, text
from sso_box_devkit.box.items import asked_fields, constantly, select, timestamp
from sso_box_devkit.box.paging import page
from sso_box_devkit.box.responses import (
    BoxError,
    forbidden,
    invalid_parameter,
    not_found,
)
from sso_box_devkit.box.state import Enterprise, User, World
from sso_box_devkit.box.tree import Tree

MAX_NAME = 50
_STATUSES = ("active", "inactive", "cannot_delete_edit", "cannot_delete_edit_upload")
_BASE = ("type", "id")
# external_app_user_id is not among them: it has to be asked for.
_STANDARD = (
    *_BASE, "name", "login", "created_at", "modified_at", "language", "timezone",
    "space_amount", "space_used", "max_upload_size", "status", "job_title", "phone",
    "address", "avatar_url", "notification_email",
)  # fmt: skip
# What a caller may set and the emulator only keeps, with what is there unset.
_ATTRIBUTES: dict[str, Any] = {
    "language": "en",
    "timezone": "America/Los_Angeles",
    "job_title": "",
    "phone": "",
    "address": "",
    "notification_email": None,
    "role": "user",
    "tracking_codes": [],
    "can_see_managed_users": False,
    "is_sync_enabled": False,
    "is_external_collab_restricted": False,
    "is_exempt_from_device_limits": False,
    "is_exempt_from_login_verification": False,
}
_DELETE_REFUSALS = {400: "bad_request", 403: "forbidden", 409: "conflict"}


async def create_user(request: Request, caller: Caller) -> Response:
    _require_service_account(caller)
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
    user = enterprise.add_user(name, None if is_app_user else login)
    user.external_app_user_id = external_id
    _apply(user, body)
    return JSONResponse(_shown(request, enterprise, user), 201)


async def list_users(request: Request, caller: Caller) -> Response:
    _require_service_account(caller)
    enterprise, query = caller.enterprise, request.query_params
    found = [u for u in enterprise.users.values() if _may_manage(enterprise, u)]
    if query.get("user_type") == "external":
        found = []  # users of other enterprises, by collaboration: not emulated
    term = query.get("filter_term", "").casefold()
    if term:
        found = [u for u in found if _starts_with(u, term)]
    external_id = query.get("external_app_user_id")
    if external_id is not None:
        findable = monotonic() - enterprise.settings.lookup_lag_s
        found = [
            u
            for u in found
            if u.external_app_user_id == external_id and u.created_monotonic <= findable
        ]
    fields = asked_fields(query.get("fields"))
    body = page(
        query,
        found,
        lambda user: render(enterprise.tree, user, fields, enterprise.id),
        [{"by": "name", "direction": "ASC"}, {"by": "id", "direction": "ASC"}],
    )
    return JSONResponse(body)


async def get_me(request: Request, caller: Caller) -> Response:
    return JSONResponse(_shown(request, caller.enterprise, caller.user))


async def get_user(request: Request, caller: Caller) -> Response:
    user_id = request.path_params["user_id"]
    if user_id != caller.user.id:
        _require_service_account(caller)
    user = caller.enterprise.user(user_id)
    if user is None or (
        user is not caller.user and not _may_manage(caller.enterprise, user)
    ):
        raise not_found()
    return JSONResponse(_shown(request, caller.enterprise, user))


async def update_user(request: Request, caller: Caller) -> Response:
    user = _managed(request, caller)
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
        external_id = text(body, "external_app_user_id")
        _check_external_id(enterprise, external_id, user)
        user.external_app_user_id = external_id
    _apply(user, body)
    user.modified_at = enterprise.now()
    return JSONResponse(_shown(request, enterprise, user))


async def delete_user(request: Request, caller: Caller) -> Response:
    user = _managed(request, caller)
    enterprise = caller.enterprise
    owns = not enterprise.tree.is_empty(enterprise.tree.root(user.id))
    if owns and not flag(request.query_params, "force"):
        # What Box answers here is unknown; status by setting, wording ours.
        status = enterprise.settings.delete_with_content_status
        raise BoxError(status, _DELETE_REFUSALS[status], "The user owns content")
    enterprise.remove_user(user)
    return Response(status_code=204)


async def terminate_sessions(request: Request, caller: Caller) -> Response:
    """Box works it off later; here every token of the named users dies at once."""
    _require_service_account(caller)
    body = await json_object(request)
    ids, logins = body.get("user_ids"), body.get("user_logins")
    if not isinstance(ids, list) or not isinstance(logins, list):
        raise invalid_parameter("user_ids", "user_ids and user_logins are required")
    enterprise = caller.enterprise
    hit = {
        user.id
        for user in enterprise.users.values()
        if (user.id in ids or user.login in logins) and _may_manage(enterprise, user)
    }
    world: World = request.app.state.world
    for token in world.tokens.values():
        if token.enterprise is enterprise and token.user_id in hit:
            token.revoked = True
    message = "Request is successful, please check the admin events"
    return JSONResponse({"message": f"{message} for the status of the job"}, 202)


def render(
    tree: Tree, user: User, fields: list[str] | None, enterprise_id: str
) -> dict[str, Any]:
    constant = {
        **_ATTRIBUTES,
        **user.attributes,
        "type": "user",
        "id": user.id,
        "name": user.name,
        "login": user.login,
        "created_at": timestamp(user.created_at),
        "modified_at": timestamp(user.modified_at),
        "space_amount": user.space_amount,
        "max_upload_size": 5_368_709_120,
        "status": user.status,
        "avatar_url": f"https://app.box.com/api/avatar/large/{user.id}",
        "enterprise": {
            "type": "enterprise",
            "id": enterprise_id,
            "name": "Emulated enterprise",
        },
        "my_tags": [],
        "hostname": "https://app.box.com/",
        "is_platform_access_only": user.is_app_user,
        "external_app_user_id": user.external_app_user_id,
    }
    shown = {name: constantly(value) for name, value in constant.items()}
    shown["space_used"] = lambda: tree.size(tree.root(user.id))
    return select(shown, fields or _STANDARD, _BASE)


def _shown(request: Request, enterprise: Enterprise, user: User) -> dict[str, Any]:
    fields = asked_fields(request.query_params.get("fields"))
    return render(enterprise.tree, user, fields, enterprise.id)


def _require_service_account(caller: Caller) -> None:
    if not caller.is_service_account:
        raise forbidden()


def _may_manage(enterprise: Enterprise, user: User) -> bool:
    """With App Access Only an app reaches app users alone."""
    return user.is_app_user or enterprise.settings.app_access == "enterprise"


def _managed(request: Request, caller: Caller) -> User:
    _require_service_account(caller)
    user = caller.enterprise.users.get(request.path_params["user_id"])
    if user is None or not _may_manage(caller.enterprise, user):
        raise not_found()
    return user


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
    taken = (u for u in enterprise.users.values() if u is not besides)
    if any(u.login.casefold() == login.casefold() for u in taken):
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


def _apply(user: User, body: dict[str, Any]) -> None:
    user.status = body.get("status", user.status)
    user.space_amount = body.get("space_amount", user.space_amount)
    for name in _ATTRIBUTES.keys() & body.keys():
        user.attributes[name] = body[name]

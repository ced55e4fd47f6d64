"""/2.0/groups and /2.0/group_memberships: what the service account gathers users in."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sso_box_devkit.box.access import Caller
from sso_box_devkit.box.admin_events import note
from sso_box_devkit.box.bodies import json_object, one_of, required_id, text
from sso_box_devkit.box.items import (
    mini_user,
    select_values,
    timestamp,
)
from sso_box_devkit.box.paging import offset_page
from sso_box_devkit.box.responses import (
    BoxError,
    forbidden_by_policy,
    invalid_parameter,
    not_found,
)
from sso_box_devkit.box.sharing import Group, Membership

_LEVELS = ("admins_only", "admins_and_members", "all_managed_users")
_ROLES = ("member", "admin")
_STANDARD = ("type", "id", "name", "group_type", "created_at", "modified_at")
_TEXTS = ("provenance", "external_sync_identifier", "description")
_LEVEL_NAMES = ("invitability_level", "member_viewability_level")


async def create_group(request: Request, caller: Caller) -> Response:
    caller.require_service_account()
    body = await json_object(request)
    name = _free_name(caller, body, None)
    attributes = _attributes(body)
    now, sharing = caller.enterprise.now(), caller.enterprise.sharing
    client_id = caller.token.app.client_id
    group = Group(sharing.new_id(), name, now, now, client_id, attributes)
    sharing.groups[group.id] = group
    return JSONResponse(_shown(request, group), 201)


async def list_groups(request: Request, caller: Caller) -> Response:
    caller.require_service_account()
    term = request.query_params.get("filter_term", "").casefold()
    found = [
        group
        for group in caller.enterprise.sharing.groups.values()
        if _reaches(caller, group) and group.name.casefold().startswith(term)
    ]
    body = offset_page(
        request.query_params, found, lambda group: _shown(request, group)
    )
    return JSONResponse(body)


async def get_group(request: Request, caller: Caller) -> Response:
    return JSONResponse(_shown(request, _managed_group(request, caller)))


async def update_group(request: Request, caller: Caller) -> Response:
    group = _managed_group(request, caller)
    body = await json_object(request)
    if "name" in body:
        group.name = _free_name(caller, body, group)
    group.attributes |= _attributes(body)
    group.modified_at = caller.enterprise.now()
    return JSONResponse(_shown(request, group))


async def delete_group(request: Request, caller: Caller) -> Response:
    caller.enterprise.sharing.remove_group(_managed_group(request, caller))
    return Response(status_code=204)


async def list_members(request: Request, caller: Caller) -> Response:
    """For its members, too."""
    sharing = caller.enterprise.sharing
    group = sharing.groups.get(request.path_params["group_id"])
    if group is None or sharing.membership(caller.user.id, group) is None:
        group = _managed_group(request, caller)
    found = [m for m in sharing.memberships.values() if m.group is group]
    return _memberships(request, caller, found)


async def list_groups_of_user(request: Request, caller: Caller) -> Response:
    user_id = request.path_params["user_id"]
    if user_id != caller.user.id:
        caller.require_service_account()
    if caller.enterprise.user(user_id) is None:
        raise not_found()
    every = caller.enterprise.sharing.memberships.values()
    return _memberships(request, caller, [m for m in every if m.user_id == user_id])


async def create_membership(request: Request, caller: Caller) -> Response:
    caller.require_service_account()
    body = await json_object(request)
    enterprise, sharing = caller.enterprise, caller.enterprise.sharing
    user = enterprise.users.get(required_id(body, "user"))
    group = sharing.groups.get(required_id(body, "group"))
    role = one_of(body, "role", _ROLES) or "member"
    if user is None or group is None or not _reaches(caller, group):
        raise not_found()
    if enterprise.settings.information_barrier:
        raise forbidden_by_policy()
    if sharing.membership(user.id, group) is not None:
        # Box's answer to a second one is unknown: status by setting, code ours.
        status = enterprise.settings.duplicate_membership_status
        code = {400: "bad_request", 409: "conflict"}[status]
        raise BoxError(status, code, "The user is already a member of the group")
    now = enterprise.now()
    made = Membership(sharing.new_id(), user.id, group, role, now, now)
    sharing.memberships[made.id] = made
    note(caller, "GROUP_ADD_USER", mini_user(user))
    return JSONResponse(_shown_membership(request, caller, made), 201)


async def get_membership(request: Request, caller: Caller) -> Response:
    found = _membership(request, caller)
    return JSONResponse(_shown_membership(request, caller, found))


async def update_membership(request: Request, caller: Caller) -> Response:
    caller.require_service_account()
    found = _membership(request, caller)
    body = await json_object(request)
    found.role = one_of(body, "role", _ROLES) or found.role
    found.modified_at = caller.enterprise.now()
    return JSONResponse(_shown_membership(request, caller, found))


async def delete_membership(request: Request, caller: Caller) -> Response:
    caller.require_service_account()
    found = _membership(request, caller)
    del caller.enterprise.sharing.memberships[found.id]
    note(caller, "GROUP_REMOVE_USER", mini_user(caller.enterprise.user(found.user_id)))
    return Response(status_code=204)


def mini_group(group: Group) -> dict[str, Any]:
    return {
        "type": "group",
        "id": group.id,
        "name": group.name,
        "group_type": "managed_group",
    }


def _shown(request: Request, group: Group) -> dict[str, Any]:
    constant = {
        "provenance": "",
        "external_sync_identifier": "",
        "description": "",
        "invitability_level": "all_managed_users",
        "member_viewability_level": "admins_only",
        **group.attributes,
        **mini_group(group),
        "created_at": timestamp(group.created_at),
        "modified_at": timestamp(group.modified_at),
        "permissions": {"can_invite_as_collaborator": True},
    }
    return select_values(constant, request.query_params.get("fields"), _STANDARD)


def _shown_membership(
    request: Request, caller: Caller, membership: Membership
) -> dict[str, Any]:
    constant = {
        "type": "group_membership",
        "id": membership.id,
        "user": mini_user(caller.enterprise.user(membership.user_id)),
        "group": mini_group(membership.group),
        "role": membership.role,
        "created_at": timestamp(membership.created_at),
        "modified_at": timestamp(membership.modified_at),
    }
    return select_values(constant, request.query_params.get("fields"))


def _memberships(
    request: Request, caller: Caller, found: list[Membership]
) -> JSONResponse:
    body = offset_page(
        request.query_params, found, lambda m: _shown_membership(request, caller, m)
    )
    return JSONResponse(body)


def _membership(request: Request, caller: Caller) -> Membership:
    """One's own, or by the service account anybody's."""
    memberships = caller.enterprise.sharing.memberships
    found = memberships.get(request.path_params["membership_id"])
    if found is None or (
        found.user_id != caller.user.id
        and not (caller.is_service_account and _reaches(caller, found.group))
    ):
        raise not_found()
    return found


def _managed_group(request: Request, caller: Caller) -> Group:
    caller.require_service_account()
    group = caller.enterprise.sharing.groups.get(request.path_params["group_id"])
    if group is None or not _reaches(caller, group):
        raise not_found()
    return group


def _reaches(caller: Caller, group: Group) -> bool:
    """With App Access Only an app has a hand on the groups it made alone."""
    if caller.enterprise.settings.app_access == "enterprise":
        return True
    return group.client_id == caller.token.app.client_id


def _free_name(caller: Caller, body: dict[str, Any], besides: Group | None) -> str:
    name = text(body, "name")
    if not name:
        raise invalid_parameter("name", "'name' is required")
    groups = caller.enterprise.sharing.groups.values()
    others = (g for g in groups if g is not besides)
    if any(g.name.casefold() == name.casefold() for g in others):
        code = caller.enterprise.settings.duplicate_group_code
        raise BoxError(409, code, "A group with this name already exists")
    return name


def _attributes(body: dict[str, Any]) -> dict[str, str]:
    found = {name: text(body, name) for name in _TEXTS}
    found |= {name: one_of(body, name, _LEVELS) for name in _LEVEL_NAMES}
    return {name: value for name, value in found.items() if value is not None}

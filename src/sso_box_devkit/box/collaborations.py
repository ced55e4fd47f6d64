"""/2.0/collaborations: who else may do what with a file or folder."""

from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sso_box_devkit.box.access import Caller
from sso_box_devkit.box.bodies import inner_id, json_object, one_of, required_id, text
from sso_box_devkit.box.groups import mini_group
from sso_box_devkit.box.items import (
    mini,
    mini_user,
    select_values,
    timestamp,
)
from sso_box_devkit.box.paging import marker_page, offset_page
from sso_box_devkit.box.responses import (
    BoxError,
    forbidden,
    forbidden_by_policy,
    invalid_parameter,
    not_found,
)
from sso_box_devkit.box.roles import INVITABLE_ROLES, RIGHTS
from sso_box_devkit.box.scopes import Operation
from sso_box_devkit.box.sharing import Collaboration, Group
from sso_box_devkit.box.state import User
from sso_box_devkit.box.tree import Item, ItemType

_ITEM_TYPES: dict[str, ItemType] = {"file": "file", "folder": "folder"}


async def create_collaboration(request: Request, caller: Caller) -> Response:
    body = await json_object(request)
    item = _item(caller, body)
    role = one_of(body, "role", INVITABLE_ROLES)
    if role is None:
        raise invalid_parameter("role", "'role' is required")
    _check_grant(caller, item, role)
    made = _invitation(caller, item, role, body)
    made.expires_at = _moment(body, "expires_at")
    made.is_access_only = body.get("is_access_only") is True
    caller.enterprise.sharing.collaborations[made.id] = made
    return JSONResponse(_shown(request, caller, made), 201)


async def get_collaboration(request: Request, caller: Caller) -> Response:
    return JSONResponse(_shown(request, caller, _known(request, caller)))


async def update_collaboration(request: Request, caller: Caller) -> Response:
    """The invited accept or reject; who may invite changes the role."""
    found = _known(request, caller)
    body = await json_object(request)
    status = one_of(body, "status", ("pending", "accepted", "rejected"))
    role = one_of(body, "role", (*INVITABLE_ROLES, "owner"))
    expires_at = _moment(body, "expires_at")
    if status is not None and status != found.status:
        if found.user_id != caller.user.id or found.status != "pending":
            raise BoxError(400, "invalid_status", "The status cannot be changed")
        found.status = status
    if role == "owner":
        _give_away(caller, found)
        return Response(status_code=204)
    if role is not None or "expires_at" in body:
        _check_grant(caller, found.item, role or found.role)
        found.role = role or found.role
        found.expires_at = expires_at if "expires_at" in body else found.expires_at
    found.modified_at = caller.enterprise.now()
    return JSONResponse(_shown(request, caller, found))


async def delete_collaboration(request: Request, caller: Caller) -> Response:
    """One may always leave."""
    found = _known(request, caller)
    if found.user_id != caller.user.id:
        caller.require(Operation.COLLABORATE, found.item)
    del caller.enterprise.sharing.collaborations[found.id]
    return Response(status_code=204)


async def list_pending(request: Request, caller: Caller) -> Response:
    """The invitations that wait for the caller's own answer."""
    query = request.query_params
    if query.get("status") != "pending":
        raise invalid_parameter("status", "'status' must be 'pending'")
    every = caller.enterprise.sharing.collaborations.values()
    mine = [c for c in every if c.user_id == caller.user.id and c.status == "pending"]
    return JSONResponse(offset_page(query, mine, lambda c: _shown(request, caller, c)))


async def list_of_folder(request: Request, caller: Caller) -> Response:
    return _list(request, caller, "folder")


async def list_of_file(request: Request, caller: Caller) -> Response:
    return _list(request, caller, "file")


async def list_of_group(request: Request, caller: Caller) -> Response:
    caller.require_service_account()
    group = caller.enterprise.sharing.groups.get(request.path_params["group_id"])
    if group is None:
        raise not_found()
    every = caller.enterprise.sharing.collaborations.values()
    found = [c for c in every if c.group is group]
    query = request.query_params
    return JSONResponse(offset_page(query, found, lambda c: _shown(request, caller, c)))


def _list(request: Request, caller: Caller, kind: ItemType) -> Response:
    """With those on the folders above, by which people get in just as well."""
    item = caller.find(kind, request.path_params[f"{kind}_id"])
    line = [item, *caller.tree.ancestors(item)]
    found = [c for each in line for c in caller.enterprise.sharing.on(each)]
    query = request.query_params
    return JSONResponse(marker_page(query, found, lambda c: _shown(request, caller, c)))


def _item(caller: Caller, body: dict[str, Any]) -> Item:
    item_id = required_id(body, "item")
    kind = one_of(body["item"], "type", _ITEM_TYPES)
    if kind is None:
        raise invalid_parameter("item", "Only files and folders have collaborations")
    item = caller.find(_ITEM_TYPES[kind], item_id)
    if item.is_root:
        raise BoxError(
            400,
            "collaborations_not_available_on_root_folder",
            "Root folder cannot be collaborated",
        )
    return item


def _check_grant(caller: Caller, item: Item, role: str) -> None:
    """Nobody grants more than they have."""
    caller.require(Operation.COLLABORATE, item)
    if not caller.rights(item) >= RIGHTS[role]:
        raise forbidden()
    if caller.enterprise.settings.information_barrier:
        raise forbidden_by_policy()


def _invitation(
    caller: Caller, item: Item, role: str, body: dict[str, Any]
) -> Collaboration:
    sharing, now = caller.enterprise.sharing, caller.enterprise.now()
    made = Collaboration(
        id=sharing.new_id(),
        item=item,
        role=role,
        status="accepted",
        created_by_id=caller.user.id,
        created_at=now,
        modified_at=now,
    )
    invited = _invited(caller, item, body)
    if isinstance(invited, Group):
        made.group = invited
    elif isinstance(invited, User):
        made.user_id = invited.id
        made.status = caller.enterprise.settings.collaboration_status
    else:
        made.invite_email, made.status = invited, "pending"
    if made.user_id == item.owner_id or any(
        _whom(each) == _whom(made) for each in sharing.on(item)
    ):
        # The code is Box's; that a 409 may carry it, too, is a setting's doubt.
        status = caller.enterprise.settings.duplicate_collaboration_status
        message = "User is already a collaborator"
        raise BoxError(status, "user_already_collaborator", message)
    return made


def _invited(caller: Caller, item: Item, body: dict[str, Any]) -> User | Group | str:
    """A user by id or login, a group by id, or an address that nobody here has."""
    grantee = body.get("accessible_by")
    kind = grantee.get("type") if isinstance(grantee, dict) else None
    if not isinstance(grantee, dict) or kind not in ("user", "group"):
        raise invalid_parameter("accessible_by", "A user or a group is required")
    login = text(grantee, "login") if kind == "user" else None
    if login and grantee.get("id") is None:
        return caller.enterprise.user_of(login) or _outsider(caller, item, login)
    grantee_id = inner_id(body, "accessible_by") or ""
    if kind == "group":
        found: User | Group | None = _invitable_group(caller, grantee_id)
    else:
        found = caller.enterprise.user(grantee_id)
    if found is None:
        raise not_found()
    return found


def _invitable_group(caller: Caller, group_id: str) -> Group | None:
    group = caller.enterprise.sharing.groups.get(group_id)
    if (
        group is not None
        and group.attributes.get("invitability_level") == "admins_only"
        and not caller.is_service_account
    ):
        raise forbidden()
    return group


def _outsider(caller: Caller, item: Item, login: str) -> str:
    owner = caller.enterprise.user(item.owner_id)
    restricted = owner and owner.attributes.get("is_external_collab_restricted")
    if "@" not in login:
        raise invalid_parameter("accessible_by", "The login is not an e-mail address")
    if restricted:
        raise BoxError(
            400, "external_collaboration_restricted", "Only people of the enterprise"
        )
    return login


def _give_away(caller: Caller, found: Collaboration) -> None:
    """The new owner gets the item into the root, the old one becomes co-owner."""
    if found.item.owner_id != caller.user.id or found.user_id is None:
        raise forbidden()
    item, sharing, now = found.item, caller.enterprise.sharing, caller.enterprise.now()
    caller.tree.move(item, caller.tree.root(found.user_id))
    del sharing.collaborations[found.id]
    kept = Collaboration(
        id=sharing.new_id(),
        item=item,
        role="co-owner",
        status="accepted",
        created_by_id=found.user_id,
        created_at=now,
        modified_at=now,
        user_id=caller.user.id,
    )
    sharing.collaborations[kept.id] = kept


def _known(request: Request, caller: Caller) -> Collaboration:
    """Whoever sees the item sees who else does; the invited see their invitation."""
    every = caller.enterprise.sharing.collaborations
    found = every.get(request.path_params["collaboration_id"])
    if found is None or (
        found.user_id != caller.user.id and not caller.sees(found.item)
    ):
        raise not_found()
    return found


def _whom(each: Collaboration) -> tuple[str | None, Group | None, str | None]:
    email = each.invite_email
    return each.user_id, each.group, email.casefold() if email else None


def _shown(request: Request, caller: Caller, each: Collaboration) -> dict[str, Any]:
    user = caller.enterprise.user
    constant: dict[str, Any] = {
        "type": "collaboration",
        "id": each.id,
        "created_by": mini_user(user(each.created_by_id)),
        "created_at": timestamp(each.created_at),
        "modified_at": timestamp(each.modified_at),
        "expires_at": timestamp(each.expires_at) if each.expires_at else None,
        "status": each.status,
        "invite_email": each.invite_email,
        "role": each.role,
        "is_access_only": each.is_access_only,
        # Hidden from the invited until they are in.
        "item": mini(each.item) if caller.sees(each.item) else None,
    }
    if each.group is not None:
        constant["accessible_by"] = mini_group(each.group)
    elif each.user_id is not None:
        constant["accessible_by"] = mini_user(user(each.user_id))
    if each.status == "accepted":
        constant["acknowledged_at"] = timestamp(each.created_at)
    return select_values(constant, request.query_params.get("fields"))


def _moment(body: dict[str, Any], name: str) -> float | None:
    value = text(body, name)
    if value is None:
        return None
    try:
        return datetime.fromisoformat(value).timestamp()
    except (ValueError, OverflowError) as error:
        raise invalid_parameter(name, "Not a date and time (RFC 3339)") from error

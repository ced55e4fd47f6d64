"""What files and folders have in common when they are renamed, moved, shared or copied."""

import secrets
from typing import Any

from starlette.requests import Request

from sso_box_devkit.box.access import Caller
from sso_box_devkit.box.bodies import (
    inner_id,
    item_name,
    json_object,
    one_of,
    required_id,
    text,
)
from sso_box_devkit.box.items import mini
from sso_box_devkit.box.quota import check_space
from sso_box_devkit.box.responses import BoxError, forbidden, not_found
from sso_box_devkit.box.scopes import Operation
from sso_box_devkit.box.tree import Item, SharedLink

_ACCESS = ("open", "company", "collaborators")


async def update_item(request: Request, caller: Caller, item: Item) -> None:
    """Rename, move, describe or share; each needs its own scope. All of it or none."""
    check_match(request, item)
    body = await json_object(request)
    name = item_name(body) if "name" in body else item.name
    target = _target(caller, item, inner_id(body, "parent"))
    description = text(body, "description")
    if "name" in body or "description" in body:
        caller.require(Operation.RENAME, item)
    taken = caller.tree.named(target, name)
    if taken is not None and taken is not item:
        raise name_in_use(mini(taken) if item.type == "file" else [mini(taken)])
    if "shared_link" in body:
        item.shared_link = _link(caller, item, body)
    item.name = name
    if description is not None:
        item.description = description
    if item.parent_id != target.id or item.owner_id != target.owner_id:
        caller.tree.move(item, target)
    item.changed(caller.enterprise.now(), caller.user.id)


async def copy_item(request: Request, caller: Caller, item: Item) -> Item:
    body = await json_object(request)
    caller.require(Operation.DOWNLOAD, item)
    target = caller.find("folder", required_id(body, "parent"), Operation.UPLOAD)
    name = item_name(body) if body.get("name") is not None else item.name
    _check_not_inside(caller, item, target)
    taken = caller.tree.named(target, name)
    if taken is not None:
        # One object, also for folders: so it is at Box.
        raise name_in_use(mini(taken))
    check_space(caller.enterprise, target.owner_id, caller.tree.size(item))
    now = caller.enterprise.now()
    return caller.tree.copy(item, target, name, now, caller.user.id)


def name_in_use(conflicts: dict[str, Any] | list[dict[str, Any]]) -> BoxError:
    return BoxError(
        409,
        "item_name_in_use",
        "Item with the same name already exists",
        {"conflicts": conflicts},
    )


def check_match(request: Request, item: Item) -> None:
    asked = request.headers.get("if-match")
    if asked is not None and asked.strip('"') != str(item.etag):
        raise BoxError(412, "precondition_failed", "The item has changed")


def _target(caller: Caller, item: Item, folder_id: str | None) -> Item:
    """The folder that the item shall be in."""
    here = caller.tree.parent(item)
    if here is None:
        raise not_found()
    shown_parent = [each.id for each in caller.above(item)[-1:]]
    if folder_id is None or [folder_id] == shown_parent:
        return here
    caller.require(Operation.MOVE, item)
    target = caller.find("folder", folder_id, Operation.UPLOAD)
    if target.owner_id != item.owner_id != caller.user.id:
        # Out of somebody's tree: only the owner gives an item away (ours).
        raise forbidden()
    _check_not_inside(caller, item, target)
    return target


def _check_not_inside(caller: Caller, item: Item, target: Item) -> None:
    inside = [target, *caller.tree.ancestors(target)]
    if item.type == "folder" and any(above is item for above in inside):
        raise BoxError(400, "cyclical_folder_structure", "Folder would be in itself")


def _link(caller: Caller, item: Item, body: dict[str, Any]) -> SharedLink | None:
    """``{}`` makes a link with Box's defaults, null takes it away."""
    caller.require(Operation.SHARE, item)
    asked = body["shared_link"]
    if not isinstance(asked, dict):
        return None
    permissions = asked.get("permissions")
    known = item.shared_link
    return SharedLink(
        token=known.token if known else secrets.token_hex(16),
        # What a link opens to is an admin's setting at Box; the default here is ours.
        access=one_of(asked, "access", _ACCESS) or (known.access if known else "open"),
        unshared_at=text(asked, "unshared_at"),
        is_password_enabled=text(asked, "password") is not None,
        can_download=permissions != {"can_download": False},
    )

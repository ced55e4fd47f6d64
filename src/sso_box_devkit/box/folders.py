"""/2.0/folders: look, list, make, rename, move, delete."""

from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sso_box_devkit.box.access import Caller
from sso_box_devkit.box.bodies import flag, item_name, json_object, parent_id, text
from sso_box_devkit.box.items import asked_fields, mini, render
from sso_box_devkit.box.paging import page
from sso_box_devkit.box.responses import (
    BoxError,
    forbidden,
    invalid_parameter,
    not_found,
)
from sso_box_devkit.box.scopes import Operation
from sso_box_devkit.box.tree import Item

_SORTS = {
    "id": lambda item: int(item.id),
    "name": lambda item: item.name.casefold(),
    "date": lambda item: item.modified_at,
}


async def get_folder(request: Request, caller: Caller) -> Response:
    folder = caller.find("folder", request.path_params["folder_id"])
    if _unchanged(request, folder):
        return Response(status_code=304)
    return JSONResponse(_shown(request, caller, folder))


async def list_items(request: Request, caller: Caller) -> Response:
    folder = caller.find("folder", request.path_params["folder_id"])
    fields = asked_fields(request.query_params.get("fields"))
    return JSONResponse(_listing(request.query_params, caller, folder, fields))


async def create_folder(request: Request, caller: Caller) -> Response:
    body = await json_object(request)
    name = item_name(body)
    above = parent_id(body)
    if above is None:
        raise invalid_parameter("parent", "'parent' is required")
    parent = caller.find("folder", above)
    taken = caller.tree.named(parent, name)
    if taken is not None:
        # A list here, a single object for files: so it is at Box.
        raise name_in_use([mini(taken)])
    folder = caller.tree.add("folder", parent, name, caller.enterprise.now())
    return JSONResponse(_shown(request, caller, folder), 201)


async def update_folder(request: Request, caller: Caller) -> Response:
    folder = caller.find("folder", request.path_params["folder_id"])
    if folder.is_root:
        raise forbidden()
    await update_item(request, caller, folder)
    return JSONResponse(_shown(request, caller, folder))


async def delete_folder(request: Request, caller: Caller) -> Response:
    folder = caller.find("folder", request.path_params["folder_id"])
    check_match(request, folder)
    if folder.is_root:
        raise forbidden()
    recursive = flag(request.query_params, "recursive")
    if not recursive and not caller.tree.is_empty(folder):
        raise BoxError(400, "folder_not_empty", "Cannot delete: folder not empty")
    caller.tree.remove(folder)
    return Response(status_code=204)


async def update_item(request: Request, caller: Caller, item: Item) -> None:
    """Rename, move or describe a file or folder; each needs its own scope."""
    check_match(request, item)
    body = await json_object(request)
    if "shared_link" in body:
        raise BoxError(501, "not_emulated", "Shared links are not emulated")
    name = item_name(body) if "name" in body else item.name
    target = _target(caller, item, parent_id(body))
    if "name" in body or "description" in body:
        caller.require(Operation.RENAME)
    taken = caller.tree.named(target, name)
    if taken is not None and taken is not item:
        raise name_in_use(mini(taken) if item.type == "file" else [mini(taken)])
    item.name = name
    item.description = text(body, "description") or item.description
    if item.parent_id != target.id:
        caller.tree.move(item, target)
    item.changed(caller.enterprise.now())


def _target(caller: Caller, item: Item, folder_id: str | None) -> Item:
    """The folder that the item shall be in."""
    here = caller.tree.parent(item)
    if here is None:
        raise not_found()
    if folder_id is None or folder_id == here.id:
        return here
    caller.require(Operation.MOVE)
    target = caller.find("folder", folder_id)
    inside = [target, *caller.tree.ancestors(target)]
    if item.type == "folder" and any(above.id == item.id for above in inside):
        raise BoxError(400, "cyclical_folder_structure", "Folder would be in itself")
    return target


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


def _unchanged(request: Request, item: Item) -> bool:
    known = request.headers.get("if-none-match")
    return known is not None and not item.is_root and known.strip('"') == str(item.etag)


def _shown(request: Request, caller: Caller, folder: Item) -> dict[str, Any]:
    query = request.query_params
    fields = asked_fields(query.get("fields"))
    # The fields asked of the folder hold for the items listed in it, too.
    inner = [name for name in fields or () if name != "item_collection"] or None
    return render(
        caller,
        folder,
        fields,
        item_collection=lambda: _listing(query, caller, folder, inner),
    )


def _listing(
    query: QueryParams, caller: Caller, folder: Item, fields: list[str] | None
) -> dict[str, Any]:
    by = query.get("sort", "name").lower()
    direction = query.get("direction", "ASC").upper()
    items = sorted(
        (item for item in caller.tree.children(folder) if caller.sees(item)),
        key=_SORTS.get(by) or caller.tree.size,
        reverse=direction == "DESC",
    )
    # Folders first, whatever the sort; sorting is stable.
    items.sort(key=lambda item: item.type != "folder")
    return page(
        query,
        items,
        lambda item: mini(item) if fields is None else render(caller, item, fields),
        [{"by": "type", "direction": "ASC"}, {"by": by, "direction": direction}],
    )

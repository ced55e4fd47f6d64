"""/2.0/folders: look, list, make, rename, move, copy, delete."""

from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sso_box_devkit.box.access import Caller
from sso_box_devkit.box.bodies import flag, item_name, json_object, required_id
from sso_box_devkit.box.changes import (
    check_match,
    copy_item,
    name_in_use,
    update_item,
)
from sso_box_devkit.box.items import asked_fields, mini, render
from sso_box_devkit.box.paging import page
from sso_box_devkit.box.responses import BoxError, forbidden
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
    return JSONResponse(shown_folder(request, caller, folder))


async def list_items(request: Request, caller: Caller) -> Response:
    folder = caller.find("folder", request.path_params["folder_id"])
    fields = asked_fields(request.query_params.get("fields"))
    return JSONResponse(_listing(request.query_params, caller, folder, fields))


async def create_folder(request: Request, caller: Caller) -> Response:
    body = await json_object(request)
    name = item_name(body)
    parent = caller.find("folder", required_id(body, "parent"), Operation.UPLOAD)
    taken = caller.tree.named(parent, name)
    if taken is not None:
        # A list here, a single object for files: so it is at Box.
        raise name_in_use([mini(taken)])
    now = caller.enterprise.now()
    folder = caller.tree.add("folder", parent, name, now, caller.user.id)
    return JSONResponse(shown_folder(request, caller, folder), 201)


async def update_folder(request: Request, caller: Caller) -> Response:
    folder = caller.find("folder", request.path_params["folder_id"])
    if folder.is_root:
        raise forbidden()
    await update_item(request, caller, folder)
    return JSONResponse(shown_folder(request, caller, folder))


async def copy_folder(request: Request, caller: Caller) -> Response:
    folder = caller.find("folder", request.path_params["folder_id"])
    if folder.is_root:
        # Box's own answer to it, by its OpenAPI.
        raise BoxError(500, "internal_server_error", "Internal Server Error")
    made = await copy_item(request, caller, folder)
    return JSONResponse(shown_folder(request, caller, made), 201)


async def delete_folder(request: Request, caller: Caller) -> Response:
    folder = caller.find("folder", request.path_params["folder_id"])
    if folder.is_root:
        raise forbidden()
    caller.require(Operation.DELETE, folder)
    check_match(request, folder)
    recursive = flag(request.query_params, "recursive")
    if not recursive and not caller.tree.is_empty(folder):
        raise BoxError(400, "folder_not_empty", "Cannot delete: folder not empty")
    caller.enterprise.remove_item(folder)
    return Response(status_code=204)


def _unchanged(request: Request, item: Item) -> bool:
    known = request.headers.get("if-none-match")
    return known is not None and not item.is_root and known.strip('"') == str(item.etag)


def shown_folder(request: Request, caller: Caller, folder: Item) -> dict[str, Any]:
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
    sorts = {**_SORTS, "size": caller.tree.size}
    asked = query.get("sort", "name").lower()
    by = asked if asked in sorts else "name"
    direction = "DESC" if query.get("direction", "").upper() == "DESC" else "ASC"
    items = sorted(
        caller.children(folder),
        key=sorts[by],
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

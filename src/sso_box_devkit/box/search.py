"""/2.0/search and /2.0/recent_items, which the Explorer and the Picker ask."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sso_box_devkit.box.access import Caller
from sso_box_devkit.box.items import asked_fields, render, timestamp
from sso_box_devkit.box.paging import marker_page, offset_page
from sso_box_devkit.box.responses import BoxError
from sso_box_devkit.box.tree import Item

MAX_LIMIT = 200
DEFAULT_LIMIT = 30


async def search(request: Request, caller: Caller) -> Response:
    """By names, not contents. At Box a new item shows up minutes later; here at once."""
    query = request.query_params
    wanted = query.get("query", "").casefold()
    if not wanted:
        raise BoxError(400, "missing_parameter", "'query' or 'mdfilters' is required")
    starts = [
        caller.find("folder", folder_id)
        for folder_id in query.get("ancestor_folder_ids", "").split(",")
        if folder_id
    ]
    kind = query.get("type")
    found = {
        (item.type, item.id): item
        for start in starts or [caller.top()]
        for item in _below(caller, start)
        if wanted in item.name.casefold() and kind in (None, item.type)
    }
    fields = asked_fields(query.get("fields"))
    body = offset_page(
        query,
        list(found.values()),
        lambda item: render(caller, item, fields),
        default=DEFAULT_LIMIT,
        maximum=MAX_LIMIT,
    )
    return JSONResponse({"type": "search_results_items", **body})


async def recent_items(request: Request, caller: Caller) -> Response:
    """The files last changed; who has looked at what is not noted."""
    query = request.query_params
    files = [item for item in _below(caller, caller.top()) if item.type == "file"]
    files.sort(key=lambda file: file.modified_at, reverse=True)
    fields = asked_fields(query.get("fields"))
    body = marker_page(
        query,
        files,
        lambda file: {
            "type": "recent_item",
            "interaction_type": "item_upload",
            "interacted_at": timestamp(file.modified_at),
            "item": render(caller, file, fields),
        },
    )
    order = {"by": "interacted_at", "direction": "DESC"}
    return JSONResponse({**body, "order": order})


def _below(caller: Caller, item: Item) -> list[Item]:
    """What the caller reaches from there by opening folders."""
    inside = caller.children(item) if item.type == "folder" else []
    return inside + [each for child in inside for each in _below(caller, child)]

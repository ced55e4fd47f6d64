"""/2.0/files: look, rename, move, copy, delete, download."""

import re
import secrets
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from sso_box_devkit.box.access import Caller
from sso_box_devkit.box.changes import check_match, copy_item, update_item
from sso_box_devkit.box.items import asked_fields, render
from sso_box_devkit.box.responses import not_found
from sso_box_devkit.box.scopes import Operation
from sso_box_devkit.box.state import Download, World
from sso_box_devkit.box.tree import Item, Version

DOWNLOAD_LIFE_S = 900
_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})")


async def get_file(request: Request, caller: Caller) -> Response:
    file = find_file(request, caller, Operation.READ)
    if request.headers.get("if-none-match", "").strip('"') == str(file.etag):
        return Response(status_code=304)
    return JSONResponse(shown_file(request, caller, file))


async def update_file(request: Request, caller: Caller) -> Response:
    file = find_file(request, caller)
    await update_item(request, caller, file)
    return JSONResponse(shown_file(request, caller, file))


async def copy_file(request: Request, caller: Caller) -> Response:
    made = await copy_item(request, caller, find_file(request, caller))
    return JSONResponse(shown_file(request, caller, made), 201)


async def delete_file(request: Request, caller: Caller) -> Response:
    file = find_file(request, caller, Operation.DELETE)
    check_match(request, file)
    caller.enterprise.remove_item(file)
    return Response(status_code=204)


async def download(request: Request, caller: Caller) -> Response:
    """Box sends downloads to another host by a URL that lives 15 minutes."""
    # By this the preview library tells that it shows a file and saves none.
    is_preview = request.query_params.get("preview") == "true"
    operation = Operation.PREVIEW if is_preview else Operation.DOWNLOAD
    file = find_file(request, caller, operation)
    wanted = request.query_params.get("version", file.version.id)
    version = next((v for v in file.versions if v.id == wanted), None)
    if version is None:
        raise not_found()
    return RedirectResponse(_download_url(request, caller, version), 302)


async def follow_download(request: Request) -> Response:
    """The other host's part: whoever has the URL gets the bytes."""
    world: World = request.app.state.world
    found = world.downloads.get(request.path_params["ticket"])
    if found is None or found.expires_at <= found.enterprise.now():
        raise not_found()
    content = found.content
    headers = {"accept-ranges": "bytes", "content-type": "application/octet-stream"}
    asked = _RANGE.fullmatch(request.headers.get("range", ""))
    if asked is None:
        return Response(content, headers=headers)
    start, end = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
    if start > end:
        return Response(
            status_code=416, headers={"content-range": f"bytes */{len(content)}"}
        )
    headers["content-range"] = f"bytes {start}-{end}/{len(content)}"
    return Response(content[start : end + 1], 206, headers)


def find_file(
    request: Request, caller: Caller, operation: Operation | None = None
) -> Item:
    return caller.find("file", request.path_params["file_id"], operation)


def shown_file(request: Request, caller: Caller, file: Item) -> dict[str, Any]:
    def download_url() -> str | None:
        """The Explorer asks for it to save a file."""
        if not caller.may(Operation.DOWNLOAD, file):
            return None
        return _download_url(request, caller, file.version)

    fields = asked_fields(request.query_params.get("fields"))
    return render(caller, file, fields, download_url=download_url)


def _download_url(request: Request, caller: Caller, version: Version) -> str:
    world: World = request.app.state.world
    ticket = secrets.token_urlsafe(24)
    expires = caller.enterprise.now() + DOWNLOAD_LIFE_S
    world.downloads[ticket] = Download(caller.enterprise, version.content, expires)
    return f"{caller.base_url}_download/{ticket}"

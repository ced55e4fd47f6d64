"""/2.0/files and /api/2.0/files/content: upload, look, rename, download, delete."""

import hashlib
import re
import secrets
from typing import Any, NamedTuple

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from sso_box_devkit.box.access import Caller
from sso_box_devkit.box.bodies import as_object, item_name, json_object, parent_id
from sso_box_devkit.box.folders import check_match, name_in_use, update_item
from sso_box_devkit.box.items import asked_fields, mini, render
from sso_box_devkit.box.responses import BoxError, invalid_parameter, not_found
from sso_box_devkit.box.state import UNLIMITED_SPACE, Download, World
from sso_box_devkit.box.tree import Item

DOWNLOAD_LIFE_S = 900
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class Upload(NamedTuple):
    """What came in a multipart body."""

    attributes: dict[str, Any]
    content: bytes


async def get_file(request: Request, caller: Caller) -> Response:
    return JSONResponse(_shown(request, caller, _file(request, caller)))


async def update_file(request: Request, caller: Caller) -> Response:
    file = _file(request, caller)
    await update_item(request, caller, file)
    return JSONResponse(_shown(request, caller, file))


async def delete_file(request: Request, caller: Caller) -> Response:
    file = _file(request, caller)
    check_match(request, file)
    caller.tree.remove(file)
    return Response(status_code=204)


async def preflight(request: Request, caller: Caller) -> Response:
    """Box's own check before an upload, not a browser's; it also is an OPTIONS."""
    body = await json_object(request)
    known = request.path_params.get("file_id")
    if known is not None:
        caller.find("file", known)
    elif "name" in body:
        _free_place(caller, body)
    base = str(request.base_url)
    path = "content" if known is None else f"{known}/content"
    url = f"{base}api/2.0/files/{path}"
    return JSONResponse({"upload_url": url, "upload_token": None})


async def upload_file(request: Request, caller: Caller) -> Response:
    upload = await _read_upload(request)
    parent, name = _free_place(caller, upload.attributes)
    _check_space(caller, upload)
    file = caller.tree.add("file", parent, name, caller.enterprise.now())
    caller.tree.add_version(file, upload.content)
    return _uploaded(request, caller, file, 201)


async def upload_version(request: Request, caller: Caller) -> Response:
    file = _file(request, caller)
    check_match(request, file)
    upload = await _read_upload(request)
    _check_space(caller, upload)
    caller.tree.add_version(file, upload.content)
    file.changed(caller.enterprise.now())
    # 200 in the OpenAPI, unlike a first upload.
    return _uploaded(request, caller, file, 200)


async def download(request: Request, caller: Caller) -> Response:
    """Box sends downloads to another host by a URL that lives 15 minutes."""
    file = _file(request, caller)
    wanted = request.query_params.get("version", file.version.id)
    version = next((v for v in file.versions if v.id == wanted), None)
    if version is None:
        raise not_found()
    world: World = request.app.state.world
    ticket = secrets.token_urlsafe(24)
    expires = caller.enterprise.now() + DOWNLOAD_LIFE_S
    world.downloads[ticket] = Download(caller.enterprise, version.content, expires)
    return RedirectResponse(f"{request.base_url}_download/{ticket}", 302)


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
    headers["content-range"] = f"bytes {start}-{end}/{len(content)}"
    return Response(content[start : end + 1], 206, headers)


def _file(request: Request, caller: Caller) -> Item:
    return caller.find("file", request.path_params["file_id"])


def _shown(request: Request, caller: Caller, file: Item) -> dict[str, Any]:
    return render(caller, file, asked_fields(request.query_params.get("fields")))


def _uploaded(request: Request, caller: Caller, file: Item, status: int) -> Response:
    body = {"total_count": 1, "entries": [_shown(request, caller, file)]}
    return JSONResponse(body, status)


async def _read_upload(request: Request) -> Upload:
    """The multipart body: ``attributes`` first, then the file."""
    async with request.form() as form:
        parts = form.multi_items()
        if not parts or parts[0][0] != "attributes":
            raise BoxError(
                400,
                "metadata_after_file_contents",
                "Upload information must appear before the file contents",
            )
        files = [value for _, value in parts[1:] if isinstance(value, UploadFile)]
        if not files:
            raise invalid_parameter("file", "The file part is missing")
        first = parts[0][1]
        raw = await first.read() if isinstance(first, UploadFile) else first
        upload = Upload(as_object(raw), await files[0].read())
    _check_digest(request, upload.content)
    return upload


def _check_digest(request: Request, content: bytes) -> None:
    asked = request.headers.get("content-md5")
    # Box's content-md5 header holds a SHA-1, in spite of its name.
    sha1 = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    if asked is not None and asked.lower() != sha1:
        raise BoxError(400, "bad_digest", "The content does not match its digest")


def _free_place(caller: Caller, attributes: dict[str, Any]) -> tuple[Item, str]:
    """Folder and name for a new file, or Box's 404 or 409."""
    above = parent_id(attributes)
    if above is None:
        raise invalid_parameter("parent", "'parent' is required")
    try:
        parent = caller.find("folder", above)
    except BoxError as error:
        message = (
            f"Invalid value 'd_{above}'. 'parent' with value 'd_{above}' not found"
        )
        reason = {"reason": "invalid_parameter", "name": "parent", "message": message}
        raise BoxError(404, "not_found", "Not Found", {"errors": [reason]}) from error
    name = item_name(attributes)
    taken = caller.tree.named(parent, name)
    if taken is not None:
        raise name_in_use(mini(taken))
    return parent, name


def _check_space(caller: Caller, upload: Upload) -> None:
    user, tree = caller.user, caller.tree
    used = tree.size(tree.root(user.id)) + len(upload.content)
    if user.space_amount != UNLIMITED_SPACE and used > user.space_amount:
        raise BoxError(403, "storage_limit_exceeded", "Account storage limit reached")

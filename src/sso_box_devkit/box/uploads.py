"""Uploads of small files: Box's check before (API host), the upload (upload host)."""

import hashlib
from typing import Any, NamedTuple

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sso_box_devkit.box.access import Caller
from sso_box_devkit.box.bodies import as_object, item_name, json_object, required_id
from sso_box_devkit.box.changes import check_match, name_in_use
from sso_box_devkit.box.files import find_file, shown_file
from sso_box_devkit.box.items import mini
from sso_box_devkit.box.quota import check_file_size, check_space
from sso_box_devkit.box.responses import BoxError, invalid_parameter
from sso_box_devkit.box.scopes import Operation
from sso_box_devkit.box.tree import Item


class Upload(NamedTuple):
    """What came in a multipart body."""

    attributes: dict[str, Any]
    content: bytes


async def preflight(request: Request, caller: Caller) -> Response:
    """Box's own check before an upload, not a browser's; it also is an OPTIONS."""
    body = await json_object(request)
    if "file_id" in request.path_params:
        file = find_file(request, caller, Operation.UPLOAD)
        owner_id, path = file.owner_id, f"{file.id}/content"
    elif "name" in body:
        owner_id, path = _free_place(caller, body)[0].owner_id, "content"
    else:
        owner_id, path = caller.user.id, "content"
    size = body.get("size")
    if isinstance(size, int):
        check_file_size(caller.enterprise, size)
        check_space(caller.enterprise, owner_id, size)
    url = f"{caller.base_url}api/2.0/files/{path}"
    return JSONResponse({"upload_url": url, "upload_token": None})


async def upload_file(request: Request, caller: Caller) -> Response:
    upload = await _read_upload(request)
    parent, name = _free_place(caller, upload.attributes)
    _check_content(request, caller, parent, upload.content)
    now = caller.enterprise.now()
    file = caller.tree.add("file", parent, name, now, caller.user.id)
    caller.tree.add_version(file, upload.content)
    return _uploaded(request, caller, file, 201)


async def upload_version(request: Request, caller: Caller) -> Response:
    file = find_file(request, caller, Operation.UPLOAD)
    check_match(request, file)
    upload = await _read_upload(request)
    _check_content(request, caller, file, upload.content)
    caller.tree.add_version(file, upload.content)
    file.changed(caller.enterprise.now(), caller.user.id)
    # 200 in the OpenAPI, unlike a first upload.
    return _uploaded(request, caller, file, 200)


def _uploaded(request: Request, caller: Caller, file: Item, status: int) -> Response:
    body = {"total_count": 1, "entries": [shown_file(request, caller, file)]}
    return JSONResponse(body, status)


async def _read_upload(request: Request) -> Upload:
    """The multipart body: ``attributes`` first, then the file."""
    try:
        form = await request.form()
    except HTTPException as error:
        raise BoxError(400, "bad_request", "Could not parse the multipart") from error
    try:
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
        return Upload(as_object(raw), await files[0].read())
    finally:
        await form.close()


def _check_content(
    request: Request, caller: Caller, place: Item, content: bytes
) -> None:
    asked = request.headers.get("content-md5")
    # Box's content-md5 header holds a SHA-1, in spite of its name.
    sha1 = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    if asked is not None and asked.lower() != sha1:
        raise BoxError(400, "bad_digest", "The content does not match its digest")
    check_file_size(caller.enterprise, len(content))
    check_space(caller.enterprise, place.owner_id, len(content))


def _free_place(caller: Caller, attributes: dict[str, Any]) -> tuple[Item, str]:
    """Folder and name for a new file, or Box's 404 or 409."""
    above = required_id(attributes, "parent")
    try:
        parent = caller.find("folder", above)
    except BoxError as error:
        message = (
            f"Invalid value 'd_{above}'. 'parent' with value 'd_{above}' not found"
        )
        reason = {"reason": "invalid_parameter", "name": "parent", "message": message}
        raise BoxError(404, "not_found", "Not Found", {"errors": [reason]}) from error
    caller.require(Operation.UPLOAD, parent)
    name = item_name(attributes)
    taken = caller.tree.named(parent, name)
    if taken is not None:
        raise name_in_use(mini(taken))
    return parent, name

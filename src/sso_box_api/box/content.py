"""Folders and files at Box, as far as a person's first day needs them.

Names are unique within a folder, whatever their case; so to make a thing by its name
is to find it where it is there already. ``as_user`` is a Box user's id; without it the
service account acts. Source: developer.box.com "Create folder", "List items in
folder", "Upload small files", "Errors".
"""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import httpx

from sso_box_api.box.answers import Answer, Unreadable
from sso_box_api.box.api import Api, Ensured
from sso_box_api.box.lists import checked_id, id_of, text, whole

ROOT = "0"
MAX_UPLOAD_BYTES = 50 * 1024 * 1024
# Up to here packing takes a millisecond or two; above, all other calls would wait.
MAX_INLINE_BYTES = 1024 * 1024
_FIELDS = "id,type,name,sha1,owned_by"
_CONTENT = f"/2.0/files/content?fields={_FIELDS}"

ItemType = Literal["file", "folder", "web_link"]


@dataclass(frozen=True)
class Item:
    """Something in a folder; ``sha1`` in hex, of files only. None where Box is silent."""

    type: ItemType
    id: str
    name: str
    sha1: str | None = None
    owner_id: str | None = None


class Content(Api):
    """The folders, items and uploads of Box's API."""

    async def get_folder(self, folder_id: str, *, as_user: str | None = None) -> Item:
        """Read a folder's name (GET /2.0/folders/ID). Raises ``NotFoundAtBox``."""
        path = f"/2.0/folders/{checked_id(folder_id)}?fields={_FIELDS}"
        return await self._api("GET", path, whole(_item), as_user=as_user)

    async def list_items(
        self, folder_id: str, *, as_user: str | None = None
    ) -> list[Item]:
        """List all of a folder (GET /2.0/folders/ID/items, by marker)."""
        path = f"/2.0/folders/{checked_id(folder_id)}/items"
        query = {"fields": _FIELDS, "usemarker": "true"}
        return await self._list_by_marker(path, query, _item, as_user=as_user)

    async def find_item(
        self, folder_id: str, name: str, *, as_user: str | None = None
    ) -> Item | None:
        """Find a folder's item of a name, in any case as Box compares names."""
        items = await self.list_items(folder_id, as_user=as_user)
        wanted = name.casefold()
        return next((item for item in items if item.name.casefold() == wanted), None)

    async def ensure_folder(
        self, parent_id: str, name: str, *, as_user: str | None = None
    ) -> Ensured[Item]:
        """Create a folder or find the one of that name (POST /2.0/folders).

        Raises ``ConflictAtBox`` where a file has the name, and what every write raises.
        """
        body = {"name": name, "parent": {"id": checked_id(parent_id)}}
        path = f"/2.0/folders?fields={_FIELDS}"
        make = self._write("POST", path, whole(_item), body, as_user=as_user)
        look = partial(self._find, "folder", parent_id, name, as_user)
        return await self._ensure(make, look, 409)

    async def upload_file(
        self, parent_id: str, name: str, content: bytes, *, as_user: str | None = None
    ) -> Ensured[Item]:
        """Upload a new file, or find the one of that name, whatever is in it.

        POST /api/2.0/files/content. Compare ``sha1`` with the content's own where
        ``created`` is false. Raises ``ValueError`` above 50 MB, ``ConflictAtBox``
        where a folder has the name, and what every write raises.
        """
        if len(content) > MAX_UPLOAD_BYTES:
            raise ValueError("more than 50 MB need an upload session")
        make = self._upload(checked_id(parent_id), name, content, as_user)
        look = partial(self._find, "file", parent_id, name, as_user)
        return await self._ensure(make, look, 409)

    async def _find(
        self, kind: ItemType, folder_id: str, name: str, as_user: str | None
    ) -> Item | None:
        found = await self.find_item(folder_id, name, as_user=as_user)
        return found if found and found.type == kind else None

    async def _upload(
        self, parent_id: str, name: str, content: bytes, as_user: str | None
    ) -> Item:
        pack = partial(_packed, parent_id, name, content)
        small = len(content) <= MAX_INLINE_BYTES
        packed = pack() if small else await asyncio.to_thread(pack)
        host = self._settings.upload_url

        def build(authorization: Mapping[str, str]) -> httpx.Request:
            headers = {
                "content-type": packed.content_type,
                "content-md5": packed.sha1,  # by that name, and SHA-1 all the same
                **authorization,
            }
            return self._request("POST", _CONTENT, headers, packed.body, host)

        return await self._authorized(
            "upload",
            build,
            partial(_uploaded, packed.sha1),
            as_user,
            self._settings.call_timeout_s,
        )


@dataclass(frozen=True, slots=True)
class _Packed:
    content_type: str
    body: bytes
    sha1: str


def _packed(parent_id: str, name: str, content: bytes) -> _Packed:
    attributes = json.dumps({"name": name, "parent": {"id": parent_id}})
    # The attributes first: Box refuses them after the content.
    form = httpx.Request(
        "POST",
        "https://unused.invalid",
        files=[
            ("attributes", (None, attributes.encode())),
            ("file", (name, content, "application/octet-stream")),
        ],
    )
    sha1 = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    return _Packed(form.headers["content-type"], form.read(), sha1)


def _uploaded(sha1: str, answer: Answer) -> Item:
    entries = answer.json().get("entries")
    if not isinstance(entries, list) or len(entries) != 1:
        raise Unreadable
    item = _item(entries[0])
    if item.sha1 != sha1:
        raise Unreadable
    return item


def _item(data: Any) -> Item:
    item_id = id_of(data)
    kind, name = data.get("type"), text(data, "name")
    if kind not in ("file", "folder", "web_link") or name is None:
        raise Unreadable
    owner = data.get("owned_by")
    owner_id = text(owner, "id") if isinstance(owner, dict) else None
    return Item(kind, item_id, name, text(data, "sha1"), owner_id)

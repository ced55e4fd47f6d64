"""Users and content to begin with, from one JSON document.

::

    {"users": [{"name": "Ada", "external_app_user_id": "x1",
                "items": [{"type": "folder", "name": "Docs",
                           "items": [{"type": "file", "name": "a.txt",
                                      "content": "hello"}]}]}],
     "items": [...]}

``login`` makes a managed user; ``id`` names a user who is there already; ``count``
makes so many, with ``{n}`` in name, login and external id replaced by 1, 2, 3 …; a file
may have ``content_base64`` instead; the outer ``items`` are the service account's.
Settings such as duplicate_external_id do not apply: any state can be had.
"""

import base64
import binascii
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sso_box_devkit.box.items import mini
from sso_box_devkit.box.responses import BoxError, not_found
from sso_box_devkit.box.state import DEFAULT_SPACE, Enterprise, User
from sso_box_devkit.box.tree import Item


class SeedItem(BaseModel):
    """A file, or a folder with what is in it."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["folder", "file"]
    name: str
    content: str = ""
    content_base64: str | None = None
    items: "list[SeedItem]" = []


class SeedUser(BaseModel):
    """A new user, or by ``id`` a known one, with content for its tree."""

    model_config = ConfigDict(extra="forbid")

    id: str | None = None
    count: int = Field(default=1, ge=1, le=1_000_000)
    name: str = "Seeded user"
    login: str | None = None
    external_app_user_id: str | None = None
    status: Literal[
        "active", "inactive", "cannot_delete_edit", "cannot_delete_edit_upload"
    ] = "active"
    space_amount: int = DEFAULT_SPACE
    items: list[SeedItem] = []


class Seed(BaseModel):
    """The whole document."""

    model_config = ConfigDict(extra="forbid")

    users: list[SeedUser] = []
    items: list[SeedItem] = []


def plant(enterprise: Enterprise, document: dict[str, Any]) -> dict[str, Any]:
    """What came to be, with its ids; raises ``BoxError`` 400 before any change."""
    try:
        wanted = Seed.model_validate(document)
    except ValidationError as error:
        raise BoxError(400, "bad_request", "Not a seed document") from error
    root = enterprise.tree.root(enterprise.service_account.id)
    return {
        "users": [
            _plant_user(enterprise, _numbered(user, number))
            for user in wanted.users
            for number in range(1, user.count + 1)
        ],
        "items": [_plant_item(enterprise, root, item) for item in wanted.items],
    }


def _numbered(wanted: SeedUser, number: int) -> SeedUser:
    if wanted.count == 1:
        return wanted
    texts = wanted.model_dump(include={"name", "login", "external_app_user_id"})
    numbered = {
        name: text and text.replace("{n}", str(number)) for name, text in texts.items()
    }
    return wanted.model_copy(update=numbered)


def _plant_user(enterprise: Enterprise, wanted: SeedUser) -> dict[str, Any]:
    user = _user(enterprise, wanted)
    root = enterprise.tree.root(user.id)
    return {
        "id": user.id,
        "name": user.name,
        "login": user.login,
        "external_app_user_id": user.external_app_user_id,
        "items": [_plant_item(enterprise, root, item) for item in wanted.items],
    }


def _user(enterprise: Enterprise, wanted: SeedUser) -> User:
    if wanted.id is not None:
        known = enterprise.user(wanted.id)
        if known is None:
            raise not_found()
        return known
    user = enterprise.add_user(wanted.name, wanted.login)
    user.external_app_user_id = wanted.external_app_user_id
    user.status = wanted.status
    user.space_amount = wanted.space_amount
    return user


def _plant_item(
    enterprise: Enterprise, folder: Item, wanted: SeedItem
) -> dict[str, Any]:
    tree = enterprise.tree
    item = tree.add(wanted.type, folder, wanted.name, enterprise.now())
    if wanted.type == "file":
        tree.add_version(item, _content(wanted))
        return mini(item)
    return {
        **mini(item),
        "items": [_plant_item(enterprise, item, child) for child in wanted.items],
    }


def _content(wanted: SeedItem) -> bytes:
    if wanted.content_base64 is None:
        return wanted.content.encode()
    try:
        return base64.b64decode(wanted.content_base64, validate=True)
    except binascii.Error as error:
        raise BoxError(400, "bad_request", "content_base64 is not base64") from error

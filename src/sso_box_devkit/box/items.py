"""How files and folders look in an answer: base, mini, standard and asked-for fields."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

from sso_box_devkit.box.access import Caller
from sso_box_devkit.box.roles import INVITABLE_ROLES
from sso_box_devkit.box.scopes import Operation
from sso_box_devkit.box.state import User
from sso_box_devkit.box.tree import Item

# Box answers in Pacific time, with the offset.
_BOX_ZONE = timezone(timedelta(hours=-8))


def timestamp(seconds: float) -> str:
    """RFC 3339 with whole seconds."""
    return datetime.fromtimestamp(seconds, _BOX_ZONE).isoformat(timespec="seconds")


def asked_fields(value: str | None) -> list[str] | None:
    """``fields=`` of the query; None where absent or empty: the standard answer."""
    names = [name.strip() for name in (value or "").split(",")]
    return [name for name in names if name] or None


def select(
    shown: dict[str, Callable[[], Any]], names: Iterable[str], always: Iterable[str]
) -> dict[str, Any]:
    """Unknown names are left out, as Box does."""
    wanted = dict.fromkeys([*always, *names])
    return {name: shown[name]() for name in wanted if name in shown}


def select_values(
    values: dict[str, Any],
    asked: str | None,
    standard: Iterable[str] | None = None,
) -> dict[str, Any]:
    """What ``fields=`` asks for; else the standard ones, or all."""
    shown = {name: constantly(value) for name, value in values.items()}
    return select(shown, asked_fields(asked) or standard or values, _KEY)


def mini_user(user: User | None) -> dict[str, Any]:
    """Of somebody who is gone, and over a root, Box shows a user without a name."""
    if user is None:
        return {"type": "user", "id": "", "name": "", "login": ""}
    return {"type": "user", "id": user.id, "name": user.name, "login": user.login}


def mini(item: Item) -> dict[str, Any]:
    """Box's mini form: what listings, parents and conflicts show."""
    etag = None if item.is_root else str(item.etag)
    body: dict[str, Any] = {
        "type": item.type,
        "id": item.id,
        "sequence_id": etag,
        "etag": etag,
        "name": item.name,
    }
    if item.type == "file":
        body["sha1"] = item.version.sha1
        body["file_version"] = _version(item)
    return body


_KEY = ("type", "id")
_BASE = (*_KEY, "etag")
_MINI = (*_BASE, "sequence_id", "name")
_STANDARD = (
    *_MINI, "created_at", "modified_at", "description", "size", "path_collection",
    "created_by", "modified_by", "trashed_at", "purged_at", "content_created_at",
    "content_modified_at", "owned_by", "shared_link", "parent", "item_status",
)  # fmt: skip
_STANDARD_OF = {
    "folder": (*_STANDARD, "folder_upload_email", "item_collection"),
    "file": (*_STANDARD, "sha1", "file_version"),
}


def render(
    caller: Caller, item: Item, fields: list[str] | None, **more: Callable[[], Any]
) -> dict[str, Any]:
    """``more``: fields that only the endpoint knows, such as item_collection."""
    shown = {**_fields(caller, item), **more}
    return select(shown, fields or _STANDARD_OF[item.type], _BASE)


def _fields(caller: Caller, item: Item) -> dict[str, Callable[[], Any]]:
    user = caller.enterprise.user
    created = None if item.is_root else timestamp(item.created_at)
    modified = None if item.is_root else timestamp(item.modified_at)
    constant = {
        **mini(item),
        "created_at": created,
        "modified_at": modified,
        "content_created_at": created,
        "content_modified_at": modified,
        "description": item.description,
        "created_by": mini_user(user(item.created_by_id)),
        "modified_by": mini_user(user(item.modified_by_id)),
        "owned_by": mini_user(user(item.owner_id)),
        "trashed_at": None,
        "purged_at": None,
        "shared_link": shown_link(item),
        "item_status": "active",
        "is_externally_owned": False,
        "allowed_invitee_roles": list(INVITABLE_ROLES),
        "watermark_info": {"is_watermarked": False},
        **(_file_only(caller, item) if item.type == "file" else _FOLDER_ONLY),
    }
    computed: dict[str, Callable[[], Any]] = {
        "size": lambda: caller.tree.size(item),
        "parent": lambda: _parent(caller, item),
        "path_collection": lambda: _path(caller, item),
        "permissions": lambda: permissions(caller, item),
        "has_collaborations": lambda: _has_collaborations(caller, item),
    }
    return {name: constantly(value) for name, value in constant.items()} | computed


def constantly(value: Any) -> Callable[[], Any]:
    return lambda: value


_FOLDER_ONLY = {"folder_upload_email": None, "can_non_owners_invite": True}


def _file_only(caller: Caller, item: Item) -> dict[str, Any]:
    content = f"{caller.base_url}2.0/files/{item.id}/content"
    return {
        "extension": item.name.rpartition(".")[2] if "." in item.name else "",
        "version_number": str(len(item.versions)),
        "comment_count": 0,
        "is_download_available": True,
        "authenticated_download_url": content,
        # Nothing is converted: a page that asks for pictures is told of none.
        "representations": {"entries": []},
    }


def shown_link(item: Item) -> dict[str, Any] | None:
    link = item.shared_link
    if link is None:
        return None
    can = "can_download" if link.can_download else "can_preview"
    return {
        "url": f"https://app.box.com/s/{link.token}",
        "download_url": None,
        "vanity_url": None,
        "vanity_name": None,
        "access": link.access,
        "effective_access": link.access,
        "effective_permission": can,
        "unshared_at": link.unshared_at,
        "is_password_enabled": link.is_password_enabled,
        "permissions": {
            "can_download": link.can_download,
            "can_preview": True,
            "can_edit": False,
        },
        "download_count": 0,
        "preview_count": 0,
    }


def _has_collaborations(caller: Caller, item: Item) -> bool:
    line = [item, *caller.tree.ancestors(item)]
    return any(caller.enterprise.sharing.on(each) for each in line)


def _version(item: Item) -> dict[str, Any]:
    version = item.version
    return {"type": "file_version", "id": version.id, "sha1": version.sha1}


def _parent(caller: Caller, item: Item) -> dict[str, Any] | None:
    above = caller.above(item)
    return mini(above[-1]) if above else None


def _path(caller: Caller, item: Item) -> dict[str, Any]:
    """From the highest folder that this token may see; the cut is ours."""
    above = [mini(each) for each in caller.above(item)]
    return {"total_count": len(above), "entries": above}


def permissions(caller: Caller, item: Item) -> dict[str, bool]:
    """What UI Elements build their menus from: scopes and roles narrow it."""

    def may(operation: Operation) -> bool:
        return caller.may(operation, item)

    shown = {
        "can_download": may(Operation.DOWNLOAD),
        "can_upload": may(Operation.UPLOAD),
        "can_rename": may(Operation.RENAME) and not item.is_root,
        "can_delete": may(Operation.DELETE) and not item.is_root,
        "can_share": may(Operation.SHARE) and not item.is_root,
        "can_set_share_access": may(Operation.SHARE) and not item.is_root,
        "can_invite_collaborator": may(Operation.COLLABORATE) and not item.is_root,
    }
    if item.type == "folder":
        return {**shown, "can_apply_watermark": False}
    return {
        **shown,
        "can_preview": may(Operation.PREVIEW),
        "can_comment": False,
        "can_annotate": False,
        "can_view_annotations_all": False,
        "can_view_annotations_self": False,
    }

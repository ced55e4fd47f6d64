"""What each collaboration role allows on the item and everything below it.

Box describes the roles in words ("Understanding collaborator permission levels"); the
table from role to operations is this emulator's reading of it.
"""

from sso_box_devkit.box.scopes import Operation

_SEE = frozenset({Operation.BROWSE, Operation.READ})
_PREVIEW = _SEE | {Operation.PREVIEW}
_VIEW = _PREVIEW | {Operation.DOWNLOAD, Operation.SHARE}
_UPLOAD = _SEE | {Operation.UPLOAD}
_EDIT = frozenset(
    {Operation.RENAME, Operation.MOVE, Operation.DELETE, Operation.COLLABORATE}
)
_ALL = frozenset(Operation)

RIGHTS: dict[str, frozenset[Operation]] = {
    "previewer": _PREVIEW,
    "viewer": _VIEW,
    "uploader": _UPLOAD,
    "previewer uploader": _PREVIEW | _UPLOAD,
    "viewer uploader": _VIEW | _UPLOAD,
    "editor": _VIEW | _UPLOAD | _EDIT,
    "co-owner": _ALL,
    "owner": _ALL,
}
INVITABLE_ROLES = tuple(role for role in RIGHTS if role != "owner")

# A user whom an admin has forbidden to change things (`status`).
FORBIDDEN_BY_STATUS: dict[str, frozenset[Operation]] = {
    "cannot_delete_edit": _EDIT,
    "cannot_delete_edit_upload": _EDIT | {Operation.UPLOAD},
}

"""What each scope of a downscoped token allows.

Box documents the scopes per UI Element ("Dedicated scopes for Box UI Elements"), not
per endpoint; the table from operation to scopes is this emulator's reading of it.
"""

from enum import Enum, auto

KNOWN_SCOPES = frozenset(
    {
        "annotation_edit", "annotation_view_all", "annotation_view_self",
        "base_explorer", "base_picker", "base_preview", "base_sidebar", "base_upload",
        "item_comment", "item_delete", "item_download", "item_preview", "item_read",
        "item_rename", "item_share", "item_task", "item_upload",
        "ai.readwrite", "sign_requests.readwrite",
        "manage_app_users", "manage_managed_users", "manage_groups", "manage_webhook",
        "manage_enterprise_properties", "manage_data_retention", "manage_legal_hold",
        "root_readonly", "root_readwrite",
    }
)  # fmt: skip


class Operation(Enum):
    """What a token may be asked to do, as far as scopes tell it apart."""

    BROWSE = auto()  # a folder and its items
    READ = auto()  # what is known about a file, not its content
    PREVIEW = auto()  # its content, to look at
    DOWNLOAD = auto()
    UPLOAD = auto()  # also new folders: the uploader makes them
    RENAME = auto()
    MOVE = auto()
    DELETE = auto()
    SHARE = auto()  # a shared link
    COLLABORATE = auto()  # who else may do what with an item
    MANAGE_USERS = auto()
    MANAGE_GROUPS = auto()
    READ_EVENTS = auto()


_READ_ALL = {"root_readonly", "root_readwrite"}
_BROWSE = {"base_explorer", "base_picker", "item_read", *_READ_ALL}

GRANTING_SCOPES: dict[Operation, frozenset[str]] = {
    Operation.BROWSE: frozenset(_BROWSE),
    Operation.READ: frozenset(
        {"base_preview", "base_sidebar", "item_preview", "item_download", *_BROWSE}
    ),
    Operation.PREVIEW: frozenset(
        {"base_preview", "item_preview", "item_download", *_READ_ALL}
    ),
    Operation.DOWNLOAD: frozenset({"item_download", *_READ_ALL}),
    Operation.UPLOAD: frozenset({"base_upload", "item_upload", "root_readwrite"}),
    Operation.RENAME: frozenset({"item_rename", "root_readwrite"}),
    Operation.MOVE: frozenset({"root_readwrite"}),
    Operation.DELETE: frozenset({"item_delete", "root_readwrite"}),
    Operation.SHARE: frozenset({"item_share", "root_readwrite"}),
    # item_share is documented for links alone; invitations need the whole.
    Operation.COLLABORATE: frozenset({"root_readwrite"}),
    Operation.MANAGE_USERS: frozenset({"manage_app_users", "manage_managed_users"}),
    Operation.MANAGE_GROUPS: frozenset({"manage_groups"}),
    Operation.READ_EVENTS: frozenset({"manage_enterprise_properties"}),
}


def allows(scopes: frozenset[str] | None, operation: Operation) -> bool:
    """None is a token that was never narrowed."""
    return scopes is None or not scopes.isdisjoint(GRANTING_SCOPES[operation])

"""How much a user may store, and how big one file may be."""

from sso_box_devkit.box.responses import BoxError
from sso_box_devkit.box.state import UNLIMITED_SPACE, Enterprise


def check_space(enterprise: Enterprise, owner_id: str, more: int) -> None:
    """Room counts against the owner of the folder, whoever uploads."""
    owner = enterprise.user(owner_id)
    if owner is None or owner.space_amount == UNLIMITED_SPACE:
        return
    if enterprise.tree.stored(owner_id) + more > owner.space_amount:
        raise BoxError(403, "storage_limit_exceeded", "Account storage limit reached")


def check_file_size(enterprise: Enterprise, size: int) -> None:
    if size > enterprise.settings.max_upload_size:
        raise BoxError(
            403,
            "file_size_limit_exceeded",
            "File size exceeds the folder owner's limit",
        )

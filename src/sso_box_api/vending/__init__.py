"""Which token? Profiles decide what may be asked, the ledger lists what is out."""

from sso_box_api.vending.ledger import (
    DamagedHandle,
    LedgerKeys,
    LiveVend,
    SealedVend,
    VendKey,
    close_account,
    count_pending,
    find_live,
    insert,
    mark_revoked,
    still_to_revoke,
    unknown_keys,
)
from sso_box_api.vending.profiles import (
    Grant,
    Profiles,
    Resource,
    check_answer,
    parse_resource,
)

__all__ = [
    "DamagedHandle",
    "Grant",
    "LedgerKeys",
    "LiveVend",
    "Profiles",
    "Resource",
    "SealedVend",
    "VendKey",
    "check_answer",
    "close_account",
    "count_pending",
    "find_live",
    "insert",
    "mark_revoked",
    "parse_resource",
    "still_to_revoke",
    "unknown_keys",
]

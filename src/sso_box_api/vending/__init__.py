"""Which token? Profiles decide what may be asked, the ledger lists what is out."""

from sso_box_api.vending.ledger import (
    DamagedHandle,
    LedgerKeys,
    LiveVend,
    VendKey,
    find_live,
    insert,
    unknown_keys,
)
from sso_box_api.vending.profiles import (
    Grant,
    Profiles,
    Resource,
    check_answer,
    parse_resource,
)
from sso_box_api.vending.sweep import (
    PENDING_CHANNEL,
    SealedVend,
    bury,
    close_account,
    count_pending,
    delete_expired,
    hurry,
    leave_to_expire,
    mark_revoked,
    put_off,
    take_pending,
    worth_waiting,
)

__all__ = [
    "PENDING_CHANNEL",
    "DamagedHandle",
    "Grant",
    "LedgerKeys",
    "LiveVend",
    "Profiles",
    "Resource",
    "SealedVend",
    "VendKey",
    "bury",
    "check_answer",
    "close_account",
    "count_pending",
    "delete_expired",
    "find_live",
    "hurry",
    "insert",
    "leave_to_expire",
    "mark_revoked",
    "parse_resource",
    "put_off",
    "take_pending",
    "unknown_keys",
    "worth_waiting",
]

"""The gate: may this account be served now? Asked of its row, as it is at that moment.

Functions take the session of a transaction that the caller opened and never commit.
"""

from typing import Final
from uuid import UUID

from sqlalchemy import BigInteger, String, bindparam, func, select as core_select, true
from sqlmodel import col, select as sql_select
from sqlmodel.ext.asyncio.session import AsyncSession

from sso_box_api.accounts.store import Account, to_account
from sso_box_api.accounts.suspensions import refuse, suspended_by
from sso_box_api.accounts.tables import ACCOUNT, IDENTITY, AccountRow, IdentityRow
from sso_box_api.db import Condition
from sso_box_api.errors import ProvisioningInProgress


async def is_open(session: AsyncSession, account_id: UUID, box_user_id: str) -> bool:
    """Whether an account has this Box user, and is neither locked nor removed."""
    statement = sql_select(AccountRow.id).where(
        AccountRow.id == account_id,
        AccountRow.box_user_id == box_user_id,
        col(AccountRow.locked_at).is_(None),
        col(AccountRow.removed_at).is_(None),
    )
    return (await session.exec(statement)).first() is not None


async def gate_for_vend(
    session: AsyncSession,
    account: Account,
    signed_in_at: int,
    *,
    provider: str,
    client_id: str,
    alone: bool = False,
) -> None:
    """Check the gate once more, on the row itself, before a token is recorded.

    FOR SHARE makes a lock wait for this transaction, and this one for a lock: a token
    is either on the list that the lock revokes, or never leaves. A relink is waited
    for alike: a token for the Box user that the account had is refused after it. Who
    closes a suspension waits for this transaction, too (``settle_suspension``).
    ``alone`` keeps other mints of the account waiting as well (FOR NO KEY UPDATE).
    """
    statement = (
        sql_select(AccountRow, suspended_by(provider, client_id, held=True))
        .where(AccountRow.id == account.id)
        .with_for_update(read=not alone, key_share=alone)
    )
    row, suspended = (await session.exec(statement)).one()
    refuse(suspended)
    to_account(account.identity_id, row).check_gate(signed_in_at)
    # A statement of its own: it must see what was committed while the first one waited.
    belongs = sql_select(IdentityRow.account_id).where(
        IdentityRow.id == account.identity_id
    )
    moved = (await session.exec(belongs)).one() != account.id
    if moved or account.box_user_id not in {None, row.box_user_id}:
        raise ProvisioningInProgress("relinked meanwhile", retry_after=1)


_OPEN: Final = (
    core_select(ACCOUNT.c.id)
    .join_from(ACCOUNT, IDENTITY, IDENTITY.c.account_id == ACCOUNT.c.id)
    .where(
        ACCOUNT.c.id == bindparam("gate_account"),
        IDENTITY.c.id == bindparam("gate_identity"),
        ACCOUNT.c.box_user_id == bindparam("gate_box_user"),
        ACCOUNT.c.locked_at.is_(None),
        ACCOUNT.c.removed_at.is_(None),
        func.coalesce(
            func.extract("epoch", ACCOUNT.c.not_before)
            < bindparam("gate_signed_in_at", type_=BigInteger),
            true(),
        ),
        suspended_by(
            bindparam("gate_provider", type_=String),
            bindparam("gate_client", type_=String),
            held=True,
        ).is_(None),
    )
    # In this order, which is that of whoever moves an identity.
    .with_for_update(read=True, of=[ACCOUNT, IDENTITY])
)


def open_gate(
    account: Account, signed_in_at: int, *, provider: str, client_id: str
) -> Condition:
    """Say in SQL what ``gate_for_vend`` checks, for an insert that is one statement.

    What both rows are is judged once they are locked, by what was committed until then
    (PostgreSQL manual, 13.2.1).
    """
    values = {
        "gate_account": account.id,
        "gate_identity": account.identity_id,
        "gate_box_user": account.bound_user_id,
        "gate_signed_in_at": signed_in_at,
        "gate_provider": provider,
        "gate_client": client_id,
    }
    return Condition(_OPEN, values)

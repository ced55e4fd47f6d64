"""Sign out everywhere: every login of an account up to now is ended.

Functions take the session of a transaction that the caller opened and never commit.
"""

from datetime import UTC, datetime

from sqlalchemy import func
from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from sso_box_api.accounts.proofs import drop_proofs
from sso_box_api.accounts.store import Account
from sso_box_api.accounts.tables import AccountRow, IdentityRow
from sso_box_api.errors import ProvisioningInProgress


async def sign_out(session: AsyncSession, account: Account, *, at_least: int) -> None:
    """End every login up to now by PostgreSQL's clock, and those up to ``at_least``.

    ``at_least``, in epoch seconds, is the presenting login's own time, for a provider's
    clock may be ahead. The account row stays locked to the end of the transaction, so
    that a mint that is under way is either on the list by then or sees this. Raises
    ``ProvisioningInProgress`` where the identity was moved to another account.
    """
    ending = (
        update(AccountRow)
        .where(col(AccountRow.id) == account.id)
        .values(
            not_before=func.greatest(
                AccountRow.not_before,  # GREATEST passes over NULL
                func.clock_timestamp(),
                datetime.fromtimestamp(at_least, UTC),
            )
        )
    )
    await session.exec(ending)
    # A statement of its own: it must see what was committed while the first one waited.
    belongs = select(IdentityRow.account_id).where(
        IdentityRow.id == account.identity_id
    )
    if (await session.exec(belongs)).one() != account.id:
        raise ProvisioningInProgress("relinked meanwhile", retry_after=1)
    await drop_proofs(session, account.id)

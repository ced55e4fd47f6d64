"""When the page of an identity last proved that the login was its own.

Read and written beside the account on the way of an exchange, for providers that ask
for the proof. Functions take the session of a transaction that the caller opened.
"""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, delete, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from sso_box_api.accounts.gate import gate_for_vend
from sso_box_api.accounts.store import Account
from sso_box_api.accounts.tables import AccountRow, IdentityRow, NonceProofRow

# A page that is open proves itself at each exchange; not each time is worth a write.
_WORTH_WRITING_S = 60


async def record_proof(
    session: AsyncSession,
    account: Account,
    client_id: str,
    *,
    provider: str,
    signed_in_at: int,
    session_s: int,
) -> None:
    """Note that the page has proved itself now, for ``session_s`` from now.

    The gate is checked on the row itself, under a lock that ``lock`` waits for or makes
    this wait for: a proof from before it is not noted after it. Raises what
    ``Account.check_gate`` raises, or ``AccessSuspended``.
    """
    recent_s = min(_WORTH_WRITING_S, session_s // 10)
    if await has_proved(session, account, client_id, within_s=recent_s):
        return
    await gate_for_vend(
        session, account, signed_in_at, provider=provider, client_id=client_id
    )
    statement = (
        insert(NonceProofRow)
        .values(identity_id=account.identity_id, client_id=client_id)
        .on_conflict_do_update(
            index_elements=["identity_id", "client_id"],
            set_={"proved_at": func.clock_timestamp()},
        )
    )
    await session.exec(statement)


async def has_proved(
    session: AsyncSession, account: Account, client_id: str, *, within_s: int
) -> bool:
    """Whether the proof is recent, and no sign-out came after it."""
    statement = (
        select(NonceProofRow.identity_id)
        .join(IdentityRow, col(IdentityRow.id) == col(NonceProofRow.identity_id))
        .join(AccountRow, col(AccountRow.id) == col(IdentityRow.account_id))
        .where(
            NonceProofRow.identity_id == account.identity_id,
            NonceProofRow.client_id == client_id,
            col(NonceProofRow.proved_at)
            > func.clock_timestamp() - timedelta(seconds=within_s),
            or_(
                col(AccountRow.not_before).is_(None),
                col(NonceProofRow.proved_at) > col(AccountRow.not_before),
            ),
        )
    )
    return (await session.exec(statement)).first() is not None


async def drop_proofs(session: AsyncSession, account_id: UUID) -> None:
    """Forget all of an account: its pages have to log in anew."""
    identities = select(IdentityRow.id).where(IdentityRow.account_id == account_id)
    await session.exec(
        delete(NonceProofRow).where(col(NonceProofRow.identity_id).in_(identities))
    )

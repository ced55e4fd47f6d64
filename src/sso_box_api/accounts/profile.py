"""What an identity's claims said when they were last acted on.

Claims change with each login, and tokens of different age are in use at one time: only
a newer token changes anything, and each change is noted once, whoever comes first.
Functions take the session of a transaction that the caller opened.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from sso_box_api.accounts.store import Person
from sso_box_api.accounts.tables import IdentityRow


@dataclass(frozen=True, slots=True)
class Noted:
    """Something is new. ``former_name`` is None at the first time, or if unknown."""

    first: bool
    former_name: str | None


async def note_claims(
    session: AsyncSession,
    identity_id: UUID,
    person: Person,
    *,
    digest: str,
    issued_at: int,
) -> Noted | None:
    """Note what a token of ``issued_at`` (epoch seconds) says; None if that is no news.

    The row stays locked to the end of the transaction, in which the caller acts on it.
    Name and e-mail address, the hints for administrators, are kept up to date with it.
    """
    statement = (
        select(IdentityRow).where(col(IdentityRow.id) == identity_id).with_for_update()
    )
    row = (await session.exec(statement)).one()
    older = row.claims_issued_at is not None and issued_at < row.claims_issued_at
    if older or row.claims_digest == digest:
        return None
    noted = Noted(row.claims_digest is None, row.name)
    row.claims_digest, row.claims_issued_at = digest, issued_at
    row.name, row.email = person.name or row.name, person.email or row.email
    session.add(row)
    return noted

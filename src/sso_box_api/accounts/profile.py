"""What an identity's claims said when they were last acted on.

Claims change with each login, and tokens of different age are in use at one time: only
a newer token changes anything, and each change is noted once, whoever comes first.
``note_claims`` takes the session of a transaction that the caller opened.
"""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import String, bindparam, false, func, true, update as core_update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from sso_box_api.accounts.store import Account, Person
from sso_box_api.accounts.tables import IDENTITY, IdentityRow
from sso_box_api.db import Database


@dataclass(frozen=True, slots=True)
class Noted:
    """Something is new. ``former_name`` is None at the first time, or if unknown."""

    first: bool
    former_name: str | None


_NOTE: Final = (
    core_update(IDENTITY)
    .where(
        IDENTITY.c.id == bindparam("identity"),
        IDENTITY.c.account_id == bindparam("account"),
        IDENTITY.c.claims_digest.is_not_distinct_from(bindparam("read_digest")),
        func.coalesce(IDENTITY.c.claims_issued_at <= bindparam("issued_at"), true()),
        func.coalesce(IDENTITY.c.name == bindparam("told_name"), false()),
    )
    .values(
        claims_digest=bindparam("new_digest"),
        claims_issued_at=bindparam("issued_at"),
        email=func.coalesce(bindparam("told_email", type_=String), IDENTITY.c.email),
    )
    .returning(IDENTITY.c.id)
)


async def note_digest(
    database: Database, account: Account, person: Person, *, digest: str, issued_at: int
) -> bool:
    """Note claims of the name that is known already, from which nothing else follows.

    One statement. False where the row is not as ``account`` was read, or there is
    another name: then it is for ``note_claims``.
    """
    values = {
        "identity": account.identity_id,
        "account": account.id,
        "read_digest": account.claims_digest,
        "issued_at": issued_at,
        "told_name": person.name,
        "new_digest": digest,
        "told_email": person.email,
    }
    return bool(await database.execute(_NOTE, values))


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

"""What an administrator changes of a binding: relink, move, unlink, recreate, adopt.

Each locks the account's row and judges what it finds there, so that logins
and other administrators come before or after it, never in between. The lock of an
account and its ``not_before`` are other facts, and stay.
Functions take the session of a transaction that the caller opened and never commit.
Where something cannot be done they raise ``CommandRefused`` with what to do instead.
"""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from sqlalchemy import case, func
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from sso_box_api.accounts.orphans import unlist
from sso_box_api.accounts.store import Account, Person, ensure_row, find
from sso_box_api.accounts.tables import AccountRow, IdentityRow
from sso_box_api.errors import CommandRefused

# A flight under way is fenced off. ``create_sent_at`` stays: a POST that may be out is
# settled by its age, whatever an administrator does meanwhile.
_UNCLAIMED: Final = {
    "claim_fence": AccountRow.claim_fence + 1,
    "claim_until": None,
    "refused_until": None,
    "refusal": None,
}
GIVEN_UP: Final = {**_UNCLAIMED, "box_user_id": None, "bound_at": None}


async def relink(
    session: AsyncSession,
    account_id: UUID,
    box_user_id: str,
    *,
    kind: str,
    box_app: tuple[str, str],
) -> str | None:
    """Bind the account to this Box user; return the one it had."""
    row = await _hold(session, account_id)
    values = {
        **_UNCLAIMED,
        "kind": kind,
        "box_client_id": box_app[0],
        "box_enterprise_id": box_app[1],
        "removed_at": None,
    }
    former = row.box_user_id
    await _bind(session, account_id, box_user_id, values)
    return former


async def move(
    session: AsyncSession, identity_id: UUID, from_account: UUID, to_account: UUID
) -> str | None:
    """Put an identity onto another account.

    An account that nobody is left on is removed and gives its Box user up, which is
    returned: nobody would find it any more. A sign-out goes with the identity; a lock
    would be lost, and has to be lifted first.
    """
    both = {x: await _hold(session, x) for x in sorted({from_account, to_account})}
    left, to = both[from_account], both[to_account]
    if to.removed_at is not None:
        raise CommandRefused(
            f"account {to_account} is removed; relink or recreate it first"
        )
    if left.locked_at is not None and to.locked_at is None:
        raise CommandRefused(
            f"account {from_account} is locked, and {to_account} is not; unlock the one"
            " or lock the other first"
        )
    if left.not_before is not None:
        later = func.greatest(AccountRow.not_before, left.not_before)
        await _change(session, to_account, {"not_before": later})
    moving = (
        update(IdentityRow)
        .where(
            col(IdentityRow.id) == identity_id,
            col(IdentityRow.account_id) == from_account,
        )
        .values(account_id=to_account)
    )
    if (await session.exec(moving)).rowcount != 1:
        raise CommandRefused("the identity was moved meanwhile; look at it again")
    others = (
        select(IdentityRow.id).where(IdentityRow.account_id == from_account).limit(1)
    )
    if (await session.exec(others)).first() is not None:
        return None
    return await unlink(session, from_account)


async def unlink(session: AsyncSession, account_id: UUID) -> str | None:
    """Remove the account and have it give its Box user up, which is returned."""
    row = await _hold(session, account_id)
    former = row.box_user_id
    removed_at = func.coalesce(AccountRow.removed_at, func.clock_timestamp())
    await _change(session, account_id, {**GIVEN_UP, "removed_at": removed_at})
    return former


async def require_recreatable(
    session: AsyncSession, account_id: UUID, box_app: tuple[str, str]
) -> str | None:
    """Refuse where a new Box user would come by itself, or too early.

    Returns the Box user that the account has.
    """
    row = await _hold(session, account_id)
    if (row.box_client_id, row.box_enterprise_id) != box_app:
        raise CommandRefused(
            "the account belongs to another Box app, where its user may still be; see"
            " `sso-box-api db rebind`"
        )
    now = (await session.exec(select(func.clock_timestamp()))).one()
    if row.claim_until is not None and row.claim_until > now:
        raise CommandRefused("a first login is under way; try again in a minute")
    if row.box_user_id is None and row.removed_at is None:
        raise CommandRefused("no Box user is bound; the next login makes one by itself")
    return row.box_user_id


async def recreate(
    session: AsyncSession,
    account_id: UUID,
    box_app: tuple[str, str],
    *,
    examined: str | None,
) -> None:
    """Let the next login make a new Box user.

    ``examined``: the one of which Box said that it is gone.
    """
    if await require_recreatable(session, account_id, box_app) != examined:
        raise CommandRefused("the account was relinked meanwhile; look at it again")
    await _change(session, account_id, {**GIVEN_UP, "removed_at": None})


async def require_adoptable(
    session: AsyncSession, person: Person, box_user_id: str
) -> Account | None:
    """Refuse where person or Box user is bound otherwise, or the account is removed.

    Returns the account if there is one; it may have this Box user already.
    """
    account = await find(session, person.namespace, person.subject)
    await _require_free(session, box_user_id, account.id if account else None)
    if account is None:
        return None
    if account.removed_at is not None:
        raise CommandRefused("the account is removed; relink it by hand")
    if account.box_user_id not in {None, box_user_id}:
        raise CommandRefused(
            f"the subject has Box user {account.box_user_id} already; relink it by hand"
        )
    return account


async def adopt(
    session: AsyncSession,
    person: Person,
    box_user_id: str,
    *,
    realm: str,
    box_app: tuple[str, str],
) -> Account:
    """Bind a person to a Box user that an older system made; twice is once."""
    await ensure_row(session, person, realm=realm, box_app=box_app)
    account = await find(session, person.namespace, person.subject)
    assert account is not None  # noqa: S101 - inserted a line ago, or by somebody else
    await _hold(session, account.id)
    account = await require_adoptable(session, person, box_user_id)
    assert account is not None  # noqa: S101 - it is held
    if account.box_user_id is None:
        await _bind(session, account.id, box_user_id, {**_UNCLAIMED, "kind": "app"})
    return account


async def _bind(
    session: AsyncSession,
    account_id: UUID,
    box_user_id: str,
    values: Mapping[str, object],
) -> None:
    await _require_free(session, box_user_id, account_id)
    now = func.clock_timestamp()
    # Of a POST that may be out Box is to be looked at for what comes of it.
    is_out = col(AccountRow.create_sent_at).is_not(None)
    unsettled = is_out & col(AccountRow.box_user_id).is_(None)
    bound = {
        "box_user_id": box_user_id,
        "bound_at": now,
        "recheck_at": case((unsettled, now), else_=col(AccountRow.recheck_at)),
    }
    try:
        async with session.begin_nested():
            await _change(session, account_id, {**values, **bound})
    except IntegrityError:
        # Bound to another account since the look a moment ago.
        raise CommandRefused(f"Box user {box_user_id} was bound meanwhile") from None
    # The account first, as a login does: else the two could wait for each other.
    if not await unlist(session, box_user_id):
        raise CommandRefused(
            f"Box user {box_user_id} was made in vain and is being deleted"
        )


async def _require_free(
    session: AsyncSession, box_user_id: str, besides: UUID | None
) -> None:
    owner = select(AccountRow.id).where(AccountRow.box_user_id == box_user_id)
    found = (await session.exec(owner)).first()
    if found not in {None, besides}:
        raise CommandRefused(
            f"Box user {box_user_id} is bound to account {found}; to share it, put the"
            f" identity there with `account relink --to-account {found}`"
        )


async def _hold(session: AsyncSession, account_id: UUID) -> AccountRow:
    """Lock the row, but not against rows that refer to it.

    A furnishing's first plan has the identity, and refers to the account after that.
    """
    statement = (
        select(AccountRow)
        .where(AccountRow.id == account_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    row = (await session.exec(statement)).first()
    if row is None:
        raise CommandRefused(f"there is no account {account_id}")
    return row


async def _change(
    session: AsyncSession, account_id: UUID, values: Mapping[str, object]
) -> None:
    statement = (
        update(AccountRow)
        .where(col(AccountRow.id) == account_id)
        .values(values)
        # The row that was read is not looked at again.
        .execution_options(synchronize_session=False)
    )
    await session.exec(statement)

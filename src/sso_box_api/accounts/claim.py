"""The claim protocol: one process at a time may make an identity's Box user.

Each function is one step of one short transaction; the calls to Box happen between
them, in ``binding``. All times are PostgreSQL's own, so that no worker's clock counts.
Every claim carries a fencing token: who was overtaken can no longer write.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from sqlalchemy import case, func
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from sso_box_api.accounts.orphans import unlist
from sso_box_api.accounts.store import Account, Person, ensure_row, to_account
from sso_box_api.accounts.suspensions import refuse, suspended_by
from sso_box_api.accounts.tables import AccountRow, IdentityRow
from sso_box_api.errors import ProvisioningInProgress


@dataclass(frozen=True, slots=True)
class Bound:
    """The account has its Box user; nothing is left to do."""

    account: Account


@dataclass(frozen=True, slots=True)
class Held:
    """Another process holds the claim for ``seconds`` more, unless it dies."""

    seconds: float


@dataclass(frozen=True, slots=True)
class RefusedEarlier:
    """Box refused this creation a moment ago; asking again now would not help."""

    refusal: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Won:
    """The claim is ours until the lease ends.

    ``sent_ago_s``: seconds since an earlier holder sent a POST whose outcome nobody
    recorded; None if there was none.
    """

    account: Account
    fence: int
    sent_ago_s: float | None


Claim = Bound | Held | RefusedEarlier | Won

# Nobody knows what came of it; it made nothing that showed in its time; it certainly
# made no user.
Post = Literal["unknown", "settled", "not made"]


async def take_claim(
    session: AsyncSession,
    person: Person,
    *,
    kind: Literal["app", "managed"],
    realm: str,
    box_app: tuple[str, str],
    lease_s: float,
) -> Claim:
    """Take the claim to a Box user of this ``kind``, or say why not.

    Raises ``AccessSuspended``, ``AccountLocked`` or ``AccountRemoved``: nobody locked is
    made a Box user.
    """
    found = await _find_for_update(session, person)
    if found is None:
        await ensure_row(session, person, realm=realm, box_app=box_app)
        found = await _find_for_update(session, person)
        assert found is not None  # noqa: S101 - inserted a line ago, or by the winner
    identity_id, row, now, suspended = found
    refuse(suspended)
    account = to_account(identity_id, row)
    account.check_open()
    if row.box_user_id is not None:
        return Bound(account)
    if row.refused_until is not None and row.refused_until > now:
        seconds = (row.refused_until - now).total_seconds()
        return RefusedEarlier(row.refusal or "", seconds)
    if row.claim_until is not None and row.claim_until > now:
        return Held((row.claim_until - now).total_seconds())
    row.kind = kind
    row.claim_fence += 1
    row.claim_until = now + timedelta(seconds=lease_s)
    session.add(row)
    sent = row.create_sent_at
    return Won(account, row.claim_fence, (now - sent).total_seconds() if sent else None)


async def renew(
    session: AsyncSession, account_id: UUID, fence: int, *, lease_s: float
) -> bool:
    """Extend the lease while the claim is still ours; False if it is not."""
    return await _update_claim(
        session,
        account_id,
        fence,
        claim_until=func.clock_timestamp() + timedelta(seconds=lease_s),
    )


async def mark_create_sent(
    session: AsyncSession, account_id: UUID, fence: int, *, lease_s: float
) -> bool:
    """Write down that a POST is about to leave; False if the claim is no longer ours.

    Commits before the POST: whoever finds this mark without a Box user knows that one
    may exist, and only looks until it has had time to show.
    """
    return await _update_claim(
        session,
        account_id,
        fence,
        create_sent_at=func.clock_timestamp(),
        creates_sent=AccountRow.creates_sent + 1,
        claim_until=func.clock_timestamp() + timedelta(seconds=lease_s),
    )


async def release(
    session: AsyncSession,
    account_id: UUID,
    fence: int,
    *,
    post: Post = "unknown",
    refusal: str | None = None,
    refusal_memory_s: float = 0.0,
) -> None:
    """Give the claim up; ``post`` says what is known of the POST that was marked."""
    values: dict[str, object] = {"claim_until": None}
    if post != "unknown":
        values["create_sent_at"] = None
    if post == "not made":
        values["creates_sent"] = AccountRow.creates_sent - 1
    if refusal is not None:
        memory = timedelta(seconds=refusal_memory_s)
        values |= {"refusal": refusal, "refused_until": func.clock_timestamp() + memory}
    await _update_claim(session, account_id, fence, **values)


async def record(
    session: AsyncSession,
    account: Account,
    box_user_id: str,
    *,
    kind: Literal["app", "managed"],
    ours: bool,
    settle_s: float,
    inactive: bool = False,
) -> Account | None:
    """Bind the Box user if nobody did before; return the account as it now stands.

    Set-once and without a fence: a slow winner whose user is the only one is right
    whoever claims now. The caller compares ``box_user_id`` with its own; a removed
    account gets none. None means that this Box user is bound to another account. An
    ``inactive`` user is bound to a locked account, so that a login cannot undo what an
    administrator did at Box. Raises ``ProvisioningInProgress`` while the Box user is
    being deleted, as one that was made in vain.

    ``ours``: the answer to our own POST named it. Where any other POST was sent, its
    outcome stays unknown, and Box is to be looked at again for it after ``settle_s``.
    """
    others_sent = col(AccountRow.creates_sent) > (1 if ours else 0)
    recheck_at = func.clock_timestamp() + timedelta(seconds=settle_s)
    values: dict[str, object] = {
        "box_user_id": box_user_id,
        "kind": kind,
        "bound_at": func.clock_timestamp(),
        "claim_until": None,
        "refused_until": None,
        "create_sent_at": case(
            (others_sent, col(AccountRow.create_sent_at)), else_=None
        ),
        "recheck_at": case((others_sent, recheck_at), else_=None),
    }
    if inactive:
        values["locked_at"] = func.coalesce(
            AccountRow.locked_at, func.clock_timestamp()
        )
        values["lock_reason"] = func.coalesce(
            AccountRow.lock_reason, "the Box user was inactive when it was found"
        )
    statement = (
        update(AccountRow)
        .where(
            col(AccountRow.id) == account.id,
            col(AccountRow.box_user_id).is_(None),
            col(AccountRow.removed_at).is_(None),
        )
        .values(values)
    )
    try:
        async with session.begin_nested():
            is_bound = (await session.exec(statement)).rowcount == 1
    except IntegrityError:
        return None
    if is_bound and not await unlist(session, box_user_id):
        raise ProvisioningInProgress("made in vain, and being deleted")
    reread = select(AccountRow).where(AccountRow.id == account.id)
    row = (await session.exec(reread.execution_options(populate_existing=True))).one()
    return to_account(account.identity_id, row)


async def _find_for_update(
    session: AsyncSession, person: Person
) -> tuple[UUID, AccountRow, datetime, str | None] | None:
    statement = (
        select(
            IdentityRow.id,
            AccountRow,
            func.clock_timestamp(),
            suspended_by(person.provider),
        )
        .join(AccountRow, col(AccountRow.id) == col(IdentityRow.account_id))
        .where(
            IdentityRow.namespace == person.namespace,
            IdentityRow.subject == person.subject,
        )
        .with_for_update(of=AccountRow)
    )
    row = (await session.exec(statement)).first()
    return (row[0], row[1], row[2], row[3]) if row else None


async def _update_claim(
    session: AsyncSession, account_id: UUID, fence: int, **values: object
) -> bool:
    statement = (
        update(AccountRow)
        .where(
            col(AccountRow.id) == account_id,
            col(AccountRow.claim_fence) == fence,
            col(AccountRow.claim_until) > func.clock_timestamp(),
            col(AccountRow.box_user_id).is_(None),
            col(AccountRow.locked_at).is_(None),
            col(AccountRow.removed_at).is_(None),
        )
        .values(values)
    )
    return (await session.exec(statement)).rowcount == 1

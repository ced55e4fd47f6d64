"""The end of the claim protocol: a Box user is bound to an account, once.

Called by ``binding`` with the user that it found or made. All times are PostgreSQL's.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Final, Literal

from sqlalchemy import Interval, bindparam, case, exists, func, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from sso_box_api.accounts.orphans import unlist
from sso_box_api.accounts.store import Account, to_account
from sso_box_api.accounts.tables import ACCOUNT, BOX_ORPHAN, AccountRow
from sso_box_api.db import Database, execute
from sso_box_api.errors import ProvisioningInProgress

_NOW: Final = func.clock_timestamp()
_OTHERS_SENT: Final = ACCOUNT.c.creates_sent > bindparam("own_posts")
_RECORD: Final = (
    update(ACCOUNT)
    .where(
        ACCOUNT.c.id == bindparam("account"),
        ACCOUNT.c.box_user_id.is_(None),
        ACCOUNT.c.removed_at.is_(None),
    )
    .values(
        box_user_id=bindparam("user"),
        kind=bindparam("of_kind"),
        bound_at=_NOW,
        claim_until=None,
        refused_until=None,
        create_sent_at=case((_OTHERS_SENT, ACCOUNT.c.create_sent_at), else_=None),
        recheck_at=case(
            (_OTHERS_SENT, _NOW + bindparam("settle", type_=Interval)), else_=None
        ),
    )
    .returning(ACCOUNT.c.locked_at, ACCOUNT.c.lock_reason, ACCOUNT.c.not_before)
)
_RECORD_UNLISTED: Final = _RECORD.where(
    ~exists().where(
        BOX_ORPHAN.c.box_user_id == bindparam("user"),
        BOX_ORPHAN.c.resolved_at.is_(None),
    )
)
_LOCKED_AS_FOUND: Final = {
    "locked_at": func.coalesce(ACCOUNT.c.locked_at, _NOW),
    "lock_reason": func.coalesce(
        ACCOUNT.c.lock_reason, "the Box user was inactive when it was found"
    ),
}


async def record_new(
    database: Database,
    account: Account,
    box_user_id: str,
    *,
    kind: Literal["app", "managed"],
    settle_s: float,
) -> Account | None:
    """Bind the Box user that our own POST made, in the usual case.

    Which is that nobody was bound before and nobody listed that user as left over. After
    None ``record`` says what is the case.
    """
    values = _recorded(account, box_user_id, kind, ours=True, settle_s=settle_s)
    try:
        bound = await database.execute(_RECORD_UNLISTED, values)
    except IntegrityError:
        return None
    if not bound:
        return None
    [(locked_at, lock_reason, not_before)] = bound
    return replace(
        account,
        kind=kind,
        box_user_id=box_user_id,
        locked_at=locked_at,
        lock_reason=lock_reason,
        not_before=not_before,
    )


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
    values = _recorded(account, box_user_id, kind, ours=ours, settle_s=settle_s)
    statement = _RECORD.values(_LOCKED_AS_FOUND) if inactive else _RECORD
    try:
        async with session.begin_nested():
            is_bound = bool(await execute(session, statement, values))
    except IntegrityError:
        return None
    if is_bound and not await unlist(session, box_user_id):
        raise ProvisioningInProgress("made in vain, and being deleted")
    reread = select(AccountRow).where(AccountRow.id == account.id)
    row = (await session.exec(reread.execution_options(populate_existing=True))).one()
    return to_account(account.identity_id, row)


def _recorded(
    account: Account,
    box_user_id: str,
    kind: Literal["app", "managed"],
    *,
    ours: bool,
    settle_s: float,
) -> dict[str, object]:
    return {
        "account": account.id,
        "user": box_user_id,
        "of_kind": kind,
        "own_posts": 1 if ours else 0,
        "settle": timedelta(seconds=settle_s),
    }

"""The claim protocol: one process at a time may make an identity's Box user.

Each function is one step; the calls to Box happen between them, in ``binding``. A step
that takes the database is one statement, and commits with it; the others are part of
one short transaction. All times are PostgreSQL's own, so that no worker's clock counts.
Every claim carries a fencing token: who was overtaken can no longer write.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID, uuid4

from sqlalchemy import (
    Interval,
    String,
    Uuid,
    bindparam,
    func,
    literal,
    select as core_select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from sso_box_api.accounts.store import (
    Account,
    Person,
    ensure_row,
    external_id,
    to_account,
)
from sso_box_api.accounts.suspensions import refuse, suspended_by
from sso_box_api.accounts.tables import (
    ACCOUNT,
    IDENTITY,
    AccountRow,
    IdentityRow,
)
from sso_box_api.db import Database


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


# Of a claim on an account that is made with it.
_FIRST_FENCE: Final = 1

Claim = Bound | Held | RefusedEarlier | Won

# Nobody knows what came of it; it made nothing that showed in its time; it certainly
# made no user.
Post = Literal["unknown", "settled", "not made"]


_NOW: Final = func.clock_timestamp()
_LEASE_END: Final = _NOW + bindparam("lease", type_=Interval)

_PROVIDER: Final = bindparam("of_provider", type_=String)
_NEW_VALUES: Final = {
    "id": bindparam("new_account", type_=Uuid),
    "kind": bindparam("new_kind", type_=String),
    "realm": bindparam("in_realm", type_=String),
    "external_app_user_id": bindparam("ext_id", type_=String),
    "box_client_id": bindparam("app_client", type_=String),
    "box_enterprise_id": bindparam("app_enterprise", type_=String),
    "claim_fence": literal(_FIRST_FENCE),
    "claim_until": _LEASE_END,
}
_NEW_ACCOUNT: Final = (
    insert(ACCOUNT)
    .from_select(
        [*_NEW_VALUES],
        core_select(*_NEW_VALUES.values()).where(suspended_by(_PROVIDER).is_(None)),
    )
    .on_conflict_do_nothing(index_elements=["external_app_user_id"])
    .returning(ACCOUNT.c.id)
    .cte("new_account")
)
_NEW_IDENTITY: Final = {
    "id": bindparam("new_identity", type_=Uuid),
    "namespace": bindparam("of_namespace", type_=String),
    "subject": bindparam("of_subject", type_=String),
    "provider": _PROVIDER,
    "account_id": _NEW_ACCOUNT.c.id,
    "name": bindparam("of_name", type_=String),
    "email": bindparam("of_email", type_=String),
}
_CLAIM_NEW: Final = (
    insert(IDENTITY)
    .from_select([*_NEW_IDENTITY], core_select(*_NEW_IDENTITY.values()))
    .returning(IDENTITY.c.id)
)


async def claim_new(
    database: Database,
    person: Person,
    *,
    kind: Literal["app", "managed"],
    realm: str,
    box_app: tuple[str, str],
    lease_s: float,
) -> Won | None:
    """Make identity and account with the claim on it, where nothing is in the way.

    All of it or nothing; the database decides the race. After None ``take_claim`` says
    what is: one of both, or a suspension of the provider.
    """
    ext_id = external_id(realm, person.namespace, person.subject)
    account_id, identity_id = uuid4(), uuid4()
    values = {
        "new_account": account_id,
        "new_kind": kind,
        "in_realm": realm,
        "ext_id": ext_id,
        "app_client": box_app[0],
        "app_enterprise": box_app[1],
        "lease": timedelta(seconds=lease_s),
        "new_identity": identity_id,
        "of_namespace": person.namespace,
        "of_subject": person.subject,
        "of_provider": person.provider,
        "of_name": person.name,
        "of_email": person.email,
    }
    try:
        made = await database.execute(_CLAIM_NEW, values)
    except IntegrityError:
        return None  # the identity is on another account
    if not made:
        return None
    account = Account(
        account_id, identity_id, kind, ext_id, None, None, None, None, None, is_new=True
    )
    return Won(account, _FIRST_FENCE, sent_ago_s=None)


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


_IF_OURS: Final = (
    update(ACCOUNT)
    .where(
        ACCOUNT.c.id == bindparam("account"),
        ACCOUNT.c.claim_fence == bindparam("fence"),
        ACCOUNT.c.claim_until > _NOW,
        ACCOUNT.c.box_user_id.is_(None),
        ACCOUNT.c.locked_at.is_(None),
        ACCOUNT.c.removed_at.is_(None),
    )
    .returning(ACCOUNT.c.id)
)
_RENEW: Final = _IF_OURS.values(claim_until=_LEASE_END)
_MARK_CREATE_SENT: Final = _RENEW.values(
    create_sent_at=_NOW, creates_sent=ACCOUNT.c.creates_sent + 1
)


async def renew(
    database: Database, account_id: UUID, fence: int, *, lease_s: float
) -> bool:
    """Extend the lease while the claim is still ours; False if it is not."""
    lease = timedelta(seconds=lease_s)
    values = {"account": account_id, "fence": fence, "lease": lease}
    return bool(await database.execute(_RENEW, values))


async def mark_create_sent(
    database: Database, account_id: UUID, fence: int, *, lease_s: float
) -> bool:
    """Write down that a POST is about to leave; False if the claim is no longer ours.

    Committed before the POST: whoever finds this mark without a Box user knows that one
    may exist, and only looks until it has had time to show.
    """
    lease = timedelta(seconds=lease_s)
    values = {"account": account_id, "fence": fence, "lease": lease}
    return bool(await database.execute(_MARK_CREATE_SENT, values))


async def release(
    database: Database,
    account_id: UUID,
    fence: int,
    *,
    post: Post = "unknown",
    refusal: str | None = None,
    refusal_memory_s: float = 0.0,
) -> None:
    """Give the claim up; ``post`` says what is known of the POST that was marked."""
    changes: dict[str, object] = {"claim_until": None}
    if post != "unknown":
        changes["create_sent_at"] = None
    if post == "not made":
        changes["creates_sent"] = ACCOUNT.c.creates_sent - 1
    if refusal is not None:
        memory = timedelta(seconds=refusal_memory_s)
        changes |= {"refusal": refusal, "refused_until": _NOW + memory}
    values = {"account": account_id, "fence": fence}
    await database.execute(_IF_OURS.values(changes), values)


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

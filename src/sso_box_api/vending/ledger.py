"""The ledger: every minted token is listed here before anybody gets it.

It is the cache that workers share and the list that the kill switch works through;
``sweep`` has the latter's half.
Functions take the session of a transaction that the caller opened and never commit.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final, Literal, Self
from uuid import UUID, uuid4

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr
from sqlalchemy import (
    ARRAY,
    Executable,
    Interval,
    Select,
    String,
    any_,
    bindparam,
    case,
    func,
    or_,
    select as core_select,
)
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from sso_box_api.db import Condition, Database, execute
from sso_box_api.vending.profiles import Grant
from sso_box_api.vending.tables import VEND, VendRow

_MINTERS_OWN_TRY = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class VendKey:
    """What must be equal for a live token to be handed out again.

    The client is part of it: a token given to one application is never given to
    another, even for the same person and profile.
    """

    identity_id: UUID
    client_id: str
    profile: str
    scopes: tuple[str, ...]
    resource: str

    @classmethod
    def of(cls, identity_id: UUID, client_id: str, grant: Grant) -> Self:
        where = str(grant.resource) if grant.resource else ""
        return cls(identity_id, client_id, grant.profile, grant.scopes, where)


@dataclass(frozen=True, slots=True)
class LiveVend:
    """A token that is out. ``expires_at``: Box's own end, or ours before it; aware.

    ``minted_at``; ``read_at``: when it was read from the ledger; ``probed_at``: when
    Box last said whether it lives; all by PostgreSQL's clock.
    """

    id: UUID
    token: str = field(repr=False)
    minted_at: datetime
    expires_at: datetime
    read_at: datetime
    probed_at: datetime | None = None

    @property
    def sha256(self) -> str:
        return token_sha256(self.token)

    @property
    def left_s(self) -> float:
        """Seconds of life that were left when it was read."""
        return (self.expires_at - self.read_at).total_seconds()

    @property
    def half_life_s(self) -> float:
        return (self.expires_at - self.minted_at).total_seconds() / 2

    @property
    def is_aging(self) -> bool:
        """Whether it had lived through half of its life: another one is due."""
        return self.left_s < self.half_life_s

    def was_probed_after(self, earlier: Self) -> bool:
        """Whether Box was asked about this very token since ``earlier`` was read."""
        if earlier.id != self.id or self.probed_at is None:
            return False
        return self.probed_at > earlier.read_at


def token_sha256(token: str) -> str:
    """Name a token without holding it."""
    return hashlib.sha256(token.encode()).hexdigest()


class DamagedHandle(Exception):
    """A handle that is not its row's, or that no key opens; it is never handed out."""


class LedgerKeys:
    """The keys that encrypt tokens at rest, newest first (MultiFernet).

    A handle holds the ids of its row and account beside the token: one copied into
    another row is an error, not another person's access.
    """

    def __init__(self, keys: Sequence[SecretStr]) -> None:
        values = [key.get_secret_value() for key in keys]
        self._fernet = MultiFernet([Fernet(value) for value in values])
        self.ids = tuple(_key_id(value) for value in values)

    def seal(self, vend_id: UUID, account_id: UUID, token: str) -> str:
        content = {"vend_id": str(vend_id), "account_id": str(account_id)}
        plain = json.dumps({**content, "token": token})
        return self._fernet.encrypt(plain.encode()).decode()

    def open(self, vend_id: UUID, account_id: UUID, handle: str) -> str:
        """Return the token. Raises ``DamagedHandle``."""
        try:
            content = json.loads(self._fernet.decrypt(handle))
        except InvalidToken:
            message = f"no configured key opens the handle of vend {vend_id}"
            raise DamagedHandle(message) from None
        if (content["vend_id"], content["account_id"]) != (
            str(vend_id),
            str(account_id),
        ):
            message = f"the handle of vend {vend_id} belongs to another row"
            raise DamagedHandle(message)
        return str(content["token"])


def _key_id(key: str) -> str:
    # Names the key in the row. A digest of 256 random bits tells nothing about them.
    return hashlib.sha256(b"sso-box-api ledger key " + key.encode()).hexdigest()[:16]


_NOW: Final = func.clock_timestamp()
# LEAST passes over NULL.
_ENDS: Final = func.least(VEND.c.expires_at, VEND.c.revoke_at)
_LEFT: Final = _ENDS - _NOW
_FIND_LIVE: Final = (
    core_select(
        VEND.c.id,
        VEND.c.account_id,
        VEND.c.handle,
        VEND.c.minted_at,
        _ENDS,
        _NOW,
        # With a lease the question was begun, and not answered.
        case((VEND.c.lease_until.is_(None), VEND.c.probed_at)),
    )
    .where(
        VEND.c.state == "live",
        VEND.c.identity_id == bindparam("identity"),
        VEND.c.client_id == bindparam("client"),
        VEND.c.profile == bindparam("profile"),
        VEND.c.scopes == bindparam("scopes"),
        VEND.c.resource == bindparam("resource"),
        VEND.c.key_id == any_(bindparam("key_ids", type_=ARRAY(String))),
        # In the first half of its life, what is left is more than what is gone.
        or_(
            bindparam("renew_below", type_=Interval) < _LEFT,
            _NOW - VEND.c.minted_at < _LEFT,
        ),
    )
    .order_by(VEND.c.minted_at.desc())
    .limit(1)
)


@cache
def _find_live_unless(select: Select[*tuple[Any, ...]]) -> Executable:
    return _FIND_LIVE.where(~select.exists())


async def find_live(
    on: Database | AsyncSession,
    keys: LedgerKeys,
    key: VendKey,
    *,
    renew_below_s: int,
    unless: Condition | None = None,
) -> LiveVend | None:
    """Return the newest token for ``key`` with enough life left, if there is one.

    Enough is more than ``renew_below_s``, or half its whole life if that is less; see
    ``spare_s``. None is, where ``unless`` is the case.
    Rows under keys this process does not hold are passed over: while a key is being
    rotated in, an older process mints its own.
    """
    values: dict[str, object] = {
        "identity": key.identity_id,
        "client": key.client_id,
        "profile": key.profile,
        "scopes": " ".join(key.scopes),
        "resource": key.resource,
        "key_ids": keys.ids,
        "renew_below": timedelta(seconds=renew_below_s),
    }
    statement: Executable = _FIND_LIVE
    if unless is not None:
        statement = _find_live_unless(unless.select)
        values |= unless.values
    found = await execute(on, statement, values)
    if not found:
        return None
    [(vend_id, account_id, handle, minted_at, ends_at, read_at, probed_at)] = found
    return LiveVend(
        vend_id,
        keys.open(vend_id, account_id, handle),
        minted_at=minted_at,
        expires_at=ends_at,
        read_at=read_at,
        probed_at=probed_at,
    )


def spare_s(vend: LiveVend, renew_below_s: int) -> float:
    """Return for how many seconds from ``read_at`` on a token may be handed out."""
    return vend.left_s - min(renew_below_s, vend.half_life_s)


_GIVEN: Final = (
    "id",
    "account_id",
    "identity_id",
    "provider",
    "client_id",
    "profile",
    "scopes",
    "resource",
    "token_sha256",
    "handle",
    "key_id",
    "state",
    "expires_at",
)
_ROW: Final = {
    **{x: bindparam(f"vend_{x}", type_=VEND.c[x].type) for x in _GIVEN},
    # Of no longest life, which is NULL, no end comes.
    "revoke_at": _NOW + bindparam("max_life", type_=Interval),
}
_PENDING: Final = {"state": "revoke_pending", "lease_until": _NOW + _MINTERS_OWN_TRY}
_LISTED: Final = (
    VEND.c.id,
    VEND.c.minted_at,
    _ENDS,
)
_INSERT: Final = pg_insert(VEND).values(_ROW).returning(*_LISTED)
_INSERT_PENDING: Final = (
    pg_insert(VEND)
    .values({**_ROW, **_PENDING})
    .on_conflict_do_update(index_elements=["token_sha256"], set_=_PENDING)
    .returning(*_LISTED)
)


@cache
def _insert_from(select: Select[*tuple[Any, ...]]) -> Executable:
    row = select.with_only_columns(*_ROW.values())
    return pg_insert(VEND).from_select([*_ROW], row).returning(*_LISTED)


async def insert(
    session: AsyncSession,
    keys: LedgerKeys,
    key: VendKey,
    *,
    account_id: UUID,
    provider: str,
    token: str,
    expires_at: float,
    state: Literal["live", "revoke_pending"],
    max_life_s: int | None = None,
) -> LiveVend:
    """List a freshly minted token. ``expires_at`` in epoch seconds.

    ``max_life_s``: from now, after which it is revoked.

    As ``revoke_pending`` it may be listed already, by a commit whose answer was lost.
    The caller is the first to revoke it then, and has half a minute for that.
    """
    values = _values(
        keys,
        key,
        account_id=account_id,
        provider=provider,
        token=token,
        expires_at=expires_at,
        max_life_s=max_life_s,
    )
    statement = _INSERT if state == "live" else _INSERT_PENDING
    [(vend_id, minted_at, ends_at)] = await execute(session, statement, values)
    return LiveVend(vend_id, token, minted_at, ends_at, read_at=minted_at)


async def insert_if(
    database: Database,
    condition: Condition,
    keys: LedgerKeys,
    key: VendKey,
    *,
    account_id: UUID,
    provider: str,
    token: str,
    expires_at: float,
    max_life_s: int | None = None,
) -> LiveVend | None:
    """List a live token as ``insert`` does, if ``condition`` holds; None if not.

    One statement, which commits by itself. The rows that the condition locks are held
    until then.
    """
    values = _values(
        keys,
        key,
        account_id=account_id,
        provider=provider,
        token=token,
        expires_at=expires_at,
        max_life_s=max_life_s,
    )
    statement = _insert_from(condition.select)
    listed = await database.execute(statement, {**values, **condition.values})
    if not listed:
        return None
    [(vend_id, minted_at, ends_at)] = listed
    return LiveVend(vend_id, token, minted_at, ends_at, read_at=minted_at)


def _values(
    keys: LedgerKeys,
    key: VendKey,
    *,
    account_id: UUID,
    provider: str,
    token: str,
    expires_at: float,
    max_life_s: int | None,
) -> dict[str, object]:
    vend_id = uuid4()
    row = {
        "id": vend_id,
        "account_id": account_id,
        "identity_id": key.identity_id,
        "provider": provider,
        "client_id": key.client_id,
        "profile": key.profile,
        "scopes": " ".join(key.scopes),
        "resource": key.resource,
        "token_sha256": token_sha256(token),
        "handle": keys.seal(vend_id, account_id, token),
        "key_id": keys.ids[0],
        "state": "live",
        "expires_at": datetime.fromtimestamp(expires_at, UTC),
    }
    life = None if max_life_s is None else timedelta(seconds=max_life_s)
    return {**{f"vend_{x}": value for x, value in row.items()}, "max_life": life}


async def unknown_keys(session: AsyncSession, keys: LedgerKeys) -> bool:
    """Tell whether unexpired tokens are listed under a key that is not configured."""
    statement = (
        select(VendRow.id)
        .where(
            VendRow.state != "revoked",
            col(VendRow.expires_at) > func.clock_timestamp(),
            col(VendRow.key_id).not_in(keys.ids),
        )
        .limit(1)
    )
    return (await session.exec(statement)).first() is not None

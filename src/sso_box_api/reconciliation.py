"""Compare what PostgreSQL says of Box users with what Box says, for ``reconcile``.

Both are read a page at a time. What is kept meanwhile is eight bytes for each Box user
that an account has, so that it can be told which account's was not there.
Box may list a user late or not at all, so nothing is called missing before a GET says
so. What is repaired is what cannot hurt: external ids, and users made in vain.
"""

from array import array
from bisect import bisect_left
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal
from uuid import UUID

from sso_box_api import accounts
from sso_box_api.accounts import Orphan, Stored
from sso_box_api.box import (
    Box,
    BoxUser,
    NotFoundAtBox,
    RefusedByBox,
    patiently,
    short_name,
)
from sso_box_api.db import Database

_ROWS = 1000
# Longer than a deletion takes with its retries.
_LEASE_S = 130.0

Kind = Literal[
    "orphan", "listed_orphan", "duplicate", "missing", "inactive", "renamed", "note"
]


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference. ``fixed``: it was there and is repaired."""

    kind: Kind
    box_user_id: str
    said: str
    account: UUID | None = None
    external_id: str | None = None
    fixed: bool = False

    @property
    def is_open(self) -> bool:
        """Whether somebody has to do something."""
        return self.kind != "note" and not self.fixed


@dataclass(slots=True)
class _Seen:
    """What the pages showed: ids of bound users, and who else has a bound one's id."""

    bound: "array[int]" = field(default_factory=partial(array, "Q"))
    left: list[tuple[BoxUser, Stored]] = field(default_factory=list)

    def add(self, box_user_id: str) -> None:
        self.bound.append(_number(box_user_id))

    def sort(self) -> None:
        self.bound = array("Q", sorted(self.bound))

    def has(self, box_user_id: str) -> bool:
        wanted = _number(box_user_id)
        position = bisect_left(self.bound, wanted)
        return position < len(self.bound) and self.bound[position] == wanted


class Reconciliation:
    """One comparison. ``page_size``: users of one answer of Box."""

    def __init__(
        self, database: Database, box: Box, *, fix: bool = False, page_size: int = 500
    ) -> None:
        self._database = database
        self._box = box
        self._fix = fix
        self._page_size = page_size

    async def run(self) -> AsyncIterator[Finding]:
        """Yield what differs. Raises ``BoxUnavailable``, ``BoxRefused``."""
        async for finding in self._listed_orphans():
            yield finding
        seen = _Seen()
        async for page in self._box.every_user(page_size=self._page_size):
            async for finding in self._page(page, seen):
                yield finding
        for user, account in seen.left:
            yield await self._left_over(user, account)
        seen.sort()
        async for finding in self._missing(seen):
            yield finding

    async def _page(self, page: list[BoxUser], seen: _Seen) -> AsyncIterator[Finding]:
        ids = [user.id for user in page]
        external_ids = [user.external_app_user_id or "" for user in page]
        async with self._database.transaction() as session:
            stored = await accounts.stored_for(session, ids, external_ids)
            listed = await accounts.listed_among(session, ids)
        by_user = {row.box_user_id: row for row in stored}
        by_external_id = {row.external_app_user_id: row for row in stored}
        for user in page:
            if (account := by_user.get(user.id)) is not None:
                seen.add(user.id)
                async for finding in self._bound(user, account):
                    yield finding
            elif user.id not in listed and _is_ours(user):
                async for finding in self._unbound(user, by_external_id, seen):
                    yield finding

    async def _bound(self, user: BoxUser, account: Stored) -> AsyncIterator[Finding]:
        """Compare an account with its own Box user."""
        found = partial(Finding, box_user_id=user.id, account=account.id)
        if user.status == "inactive":
            # Of a leaver, that is as it should be.
            kind: Kind = "inactive" if account.is_open else "note"
            state = "open" if account.is_open else "locked or removed"
            yield found(kind, said=f"inactive at Box, and the account is {state}")
        if account.kind == "app" and not _has_its_id(user, account):
            yield await self._renamed(user, account)
        if account.names and user.name not in map(short_name, account.names):
            yield found("note", said="has another name at Box than at the first login")

    async def _unbound(
        self, user: BoxUser, by_external_id: Mapping[str, Stored], seen: _Seen
    ) -> AsyncIterator[Finding]:
        """Judge a user that no account has, though its external id is of our form."""
        external_id = user.external_app_user_id or ""
        account = by_external_id.get(external_id)
        found = partial(Finding, box_user_id=user.id, external_id=external_id)
        if account is None:
            said = "no account: made by another deployment, or its row was lost"
            yield found("orphan", said=said)
        elif account.box_user_id is not None:
            seen.left.append((user, account))
        elif account.unfinished:
            said = "of a first login that is not finished; the next one adopts it"
            yield found("note", said=said, account=account.id)
        else:
            said = (
                "its account gave it up; `account relink` somebody to it, or delete it"
            )
            yield found("orphan", said=said, account=account.id)

    async def _left_over(self, user: BoxUser, account: Stored) -> Finding:
        """Judge a user under the external id of an account that has another user."""
        found = partial(
            Finding,
            box_user_id=user.id,
            account=account.id,
            external_id=account.external_app_user_id,
        )
        try:
            bound = await patiently(
                partial(self._box.get_user, account.box_user_id or "")
            )
        except NotFoundAtBox:
            bound = None
        if bound is not None and _has_its_id(bound, account):
            said = f"the same external id as {bound.id}, which the account has"
            return found("duplicate", said=said)
        said = (
            f"its account has {account.box_user_id} instead, by a relink; restored from"
            " before that, it would have this one again: delete or deactivate it"
        )
        return found("orphan", said=said)

    async def _renamed(self, user: BoxUser, account: Stored) -> Finding:
        found = partial(
            Finding,
            "renamed",
            user.id,
            account=account.id,
            external_id=user.external_app_user_id,
        )
        said = f"its external id should be {account.external_app_user_id}"
        if not self._fix:
            return found(said=said)
        why_not = await self._write_external_id(user, account)
        if why_not is None:
            return found(said=f"{said}, and is now", fixed=True)
        return found(said=f"{said}; {why_not}")

    async def _write_external_id(self, user: BoxUser, account: Stored) -> str | None:
        """Write it back, or say why not."""
        external_id = account.external_app_user_id
        look = partial(self._box.find_app_users, external_id)
        if others := [other.id for other in await patiently(look)]:
            return f"{', '.join(others)} has it"
        async with self._database.transaction() as session:
            now = await accounts.stored_for(session, [user.id], [])
        if [row.id for row in now] != [account.id]:
            return "it was relinked meanwhile"
        write = partial(
            self._box.update_user, user.id, external_app_user_id=external_id
        )
        try:
            await patiently(write)
        except RefusedByBox as refused:
            return refused.reason
        return None

    async def _missing(self, seen: _Seen) -> AsyncIterator[Finding]:
        after: UUID | None = None
        while True:
            async with self._database.transaction() as session:
                rows = await accounts.page_of_bound(session, after, limit=_ROWS)
            for row in rows:
                user_id = row.box_user_id or ""
                if not seen.has(user_id) and await self._is_missing(user_id, row):
                    said = "Box has no such user, or none that this app sees"
                    yield Finding("missing", user_id, said, account=row.id)
            if len(rows) < _ROWS:
                return
            after = rows[-1].id

    async def _is_missing(self, box_user_id: str, account: Stored) -> bool:
        """Whether Box says so itself, and the account has not got another one since."""
        try:
            await patiently(partial(self._box.get_user, box_user_id))
        except NotFoundAtBox:
            async with self._database.transaction() as session:
                now = await accounts.stored_for(session, [box_user_id], [])
            return [row.id for row in now] == [account.id]
        return False

    async def _listed_orphans(self) -> AsyncIterator[Finding]:
        after: str | None = None
        while True:
            async with self._database.transaction() as session:
                rows = await accounts.open_orphans(session, after, limit=_ROWS)
            for row in rows:
                yield await self._listed_orphan(row)
            if len(rows) < _ROWS:
                return
            after = rows[-1].box_user_id

    async def _listed_orphan(self, row: Orphan) -> Finding:
        found = partial(
            Finding, "listed_orphan", row.box_user_id, account=row.account_id
        )
        try:
            user = await patiently(partial(self._box.get_user, row.box_user_id))
        except NotFoundAtBox:
            if self._fix:
                await self._resolve(row)
            return found(said=f"{row.reason}; gone at Box", fixed=self._fix)
        # An external id that is not ours is somebody's doing, who may want the user.
        if not (self._fix and row.spare and _is_ours(user)):
            return found(said=row.reason)
        why_not = await self._delete(row)
        if why_not is None:
            return found(said=f"{row.reason}; deleted", fixed=True)
        return found(said=f"{row.reason}; {why_not}")

    async def _delete(self, row: Orphan) -> str | None:
        """Delete a user made in vain, without force, or say why not."""
        async with self._database.transaction() as session:
            ours = await accounts.take_spares(
                session, limit=1, lease_s=_LEASE_S, box_user_id=row.box_user_id
            )
        if not ours:
            return "bound by now, or being deleted"
        try:
            await patiently(partial(self._box.delete_user, row.box_user_id))
        except RefusedByBox as refused:
            return refused.reason
        await self._resolve(row)
        return None

    async def _resolve(self, row: Orphan) -> None:
        async with self._database.transaction() as session:
            await accounts.resolve_orphan(session, row.box_user_id)


def _is_ours(user: BoxUser) -> bool:
    return (user.external_app_user_id or "").startswith(accounts.EXTERNAL_ID_PREFIX)


def _has_its_id(user: BoxUser, account: Stored) -> bool:
    return user.external_app_user_id == account.external_app_user_id


def _number(box_user_id: str) -> int:
    # Box's ids are far shorter; a longer one must not stop the work.
    return int(box_user_id) % 2**64

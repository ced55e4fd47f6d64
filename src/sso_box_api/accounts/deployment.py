"""Which deployment the rows belong to, and their move to another Box app.

External ids are made of realm and namespace, so those two never change under rows that
are there. The Box app or enterprise may: ``db rebind`` tells which accounts' users the
new one sees, and gives those rows over.
Functions take the session of a transaction that the caller opened and never commit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement
from sqlmodel import col, or_, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from sso_box_api.accounts.links import GIVEN_UP
from sso_box_api.accounts.tables import AccountRow, IdentityRow

BoxApp = tuple[str, str]  # client id, enterprise id


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """An account of another Box app; ``box_user_id`` is None where nothing is bound."""

    id: UUID
    box_user_id: str | None


async def mismatches(
    session: AsyncSession,
    *,
    realm: str,
    namespaces: Mapping[str, Callable[[str], bool]],
    box_app: BoxApp,
) -> Sequence[str]:
    """Name what in the configuration contradicts the rows that are already there.

    ``namespaces`` tells by provider id whether a namespace is that provider's. Going on
    would give people of the old rows a second Box user, so a start is refused on any
    finding.
    """
    found = []
    other_realm = select(AccountRow.id).where(AccountRow.realm != realm).limit(1)
    if (await session.exec(other_realm)).first():
        found.append(
            "SSO_BOX_REALM differs from the one the stored accounts were made under;"
            " put the former value back: the external ids at Box are made of it, so no"
            " command changes it"
        )
    other_app = select(AccountRow.id).where(_is_elsewhere(box_app)).limit(1)
    if (await session.exec(other_app)).first():
        found.append(
            "SSO_BOX_BOX__CONFIG_FILE names another Box app or enterprise than the"
            " stored accounts belong to; put the former one back, or see what"
            " `sso-box-api db rebind` would give over to the new one"
        )
    for provider, is_own in namespaces.items():
        stored = (
            select(IdentityRow.namespace)
            .where(IdentityRow.provider == provider)
            .distinct()
        )
        if not all(map(is_own, await session.exec(stored))):
            found.append(
                f"SSO_BOX_PROVIDERS: the namespace of provider {provider} changed while"
                " identities are stored under the old one; set `namespace` to the"
                " former value: the external ids at Box are made of it, so no command"
                " changes it"
            )
    return found


async def page_elsewhere(
    session: AsyncSession, box_app: BoxApp, after: UUID | None, *, limit: int
) -> list[Elsewhere]:
    """Return accounts of any other Box app, in the order of their ids."""
    statement = (
        select(AccountRow.id, AccountRow.box_user_id)
        .where(_is_elsewhere(box_app))
        .order_by(col(AccountRow.id))
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(AccountRow.id > after)
    return [Elsewhere(*row) for row in await session.exec(statement)]


async def rebind(
    session: AsyncSession, accounts: Sequence[Elsewhere], box_app: BoxApp
) -> int:
    """Give these accounts over to ``box_app``, unless they were relinked meanwhile."""
    return await _give_over(session, accounts, box_app, {})


async def rebind_without_user(
    session: AsyncSession, accounts: Sequence[Elsewhere], box_app: BoxApp
) -> int:
    """The same for those whose Box user ``box_app`` does not have: they lose it."""
    return await _give_over(session, accounts, box_app, GIVEN_UP)


async def _give_over(
    session: AsyncSession,
    accounts: Sequence[Elsewhere],
    box_app: BoxApp,
    values: Mapping[str, object],
) -> int:
    changed = 0
    # In one order everywhere, so that two of these never wait for each other.
    for account in sorted(accounts, key=lambda account: account.id):
        statement = (
            update(AccountRow)
            .where(
                col(AccountRow.id) == account.id,
                col(AccountRow.box_user_id).is_not_distinct_from(account.box_user_id),
            )
            .values(box_client_id=box_app[0], box_enterprise_id=box_app[1], **values)
        )
        changed += (await session.exec(statement)).rowcount
    return changed


def _is_elsewhere(box_app: BoxApp) -> ColumnElement[bool]:
    return or_(
        col(AccountRow.box_client_id) != box_app[0],
        col(AccountRow.box_enterprise_id) != box_app[1],
    )

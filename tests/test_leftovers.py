"""Box users that first logins have left: rechecked, deleted, named, by any process."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from starlette.applications import Starlette

from sso_box_api import accounts, doctor
from sso_box_api.accounts import Candidate
from sso_box_api.box import within
from sso_box_api.leftovers import LeftOvers
from sso_box_api.parts import Parts
from sso_box_api.settings import Settings
from sso_box_devkit.box import Enterprise
from sso_box_devkit.box.state import User
from tests.support.api import BOX_URL, ISSUER, Api, Control
from tests.support.connections import opened


@pytest.fixture
async def parts(
    settings: Settings, emulator: Starlette, idp_app: Starlette
) -> AsyncIterator[Parts]:
    """A process without a background of its own; ada has logged in at another one."""
    async with Api.start(settings, emulator, idp_app) as api:
        assert (await api.exchange()).is_success
    mounts = {BOX_URL: httpx.ASGITransport(emulator)}
    async with opened(settings, mounts=mounts) as parts:
        yield parts


async def _sql(parts: Parts, statement: str) -> list[tuple[Any, ...]]:
    async with parts.database.transaction() as session:
        result = await (await session.connection()).execute(text(statement))
        return [tuple(row) for row in result] if result.returns_rows else []


async def _ada(parts: Parts) -> Candidate:
    async with parts.database.transaction() as session:
        [ada] = await accounts.select(session, namespace=ISSUER, subject="ada")
    return ada


async def _list(parts: Parts, user: User, *, spare: bool) -> None:
    account_id = (await _ada(parts)).account.id
    async with parts.database.transaction() as session:
        await accounts.report_orphan(session, account_id, user.id, "why", spare=spare)


async def _work(parts: Parts) -> bool:
    return await LeftOvers(parts.database, parts.box).work()


async def test_what_was_made_in_vain_is_deleted_and_others_are_not(
    parts: Parts, enterprise: Enterprise
) -> None:
    spare, other = enterprise.add_user("a", None), enterprise.add_user("b", None)
    await _list(parts, spare, spare=True)
    await _list(parts, other, spare=False)
    assert await _work(parts) is False
    assert spare.id not in enterprise.users
    assert other.id in enterprise.users
    unresolved = "SELECT box_user_id FROM box_orphan WHERE resolved_at IS NULL"
    assert await _sql(parts, unresolved) == [(other.id,)]


async def test_a_user_found_by_a_look_up_and_then_known_to_be_spare_is_deleted(
    parts: Parts, enterprise: Enterprise
) -> None:
    """Whoever comes first with what, and never the other way round."""
    user = enterprise.add_user("a", None)
    for spare in (False, True, False):
        await _list(parts, user, spare=spare)
    await _work(parts)
    assert user.id not in enterprise.users


async def test_a_user_that_box_keeps_is_left_to_an_administrator(
    parts: Parts, enterprise: Enterprise, box: Control
) -> None:
    """It owns content, so somebody may have got it after all."""
    spare = enterprise.add_user("owns something", None)
    await _list(parts, spare, spare=True)
    await box.fault("DELETE", "/2.0/users/*", status=400)
    await _work(parts)
    row = "SELECT spare, lease_until, resolved_at FROM box_orphan"
    assert await _sql(parts, row) == [(False, None, None)]
    await _work(parts)
    assert spare.id in enterprise.users


async def test_a_recheck_that_box_refuses_keeps_no_spare_waiting(
    parts: Parts, enterprise: Enterprise, box: Control
) -> None:
    spare = enterprise.add_user("a", None)
    await _list(parts, spare, spare=True)
    await _sql(parts, "UPDATE account SET recheck_at = now()")
    await box.fault("GET", "/2.0/users", status=403)
    await _work(parts)
    assert spare.id not in enterprise.users
    assert await _sql(parts, "SELECT 1 FROM account WHERE recheck_at > now()") == [(1,)]


async def test_a_box_that_is_down_ends_the_round(
    parts: Parts, enterprise: Enterprise, box: Control
) -> None:
    for name in "ab":
        await _list(parts, enterprise.add_user(name, None), spare=True)
    await box.fault("*", "/2.0/*", status=503, times=None)
    with within(0.5):
        assert await _work(parts) is False
    assert len([r for r in await box.requests() if r.startswith("DELETE")]) <= 4
    await box.clear_faults()
    assert await _sql(parts, "SELECT 1 FROM box_orphan WHERE resolved_at IS NULL")


async def test_a_recheck_lists_whoever_is_beside_the_bound_user(
    parts: Parts, enterprise: Enterprise
) -> None:
    ada = (await _ada(parts)).account
    second = enterprise.add_user("second", None)
    second.external_app_user_id = ada.external_app_user_id
    second.created_monotonic -= 60
    assert await _work(parts) is False
    assert await _sql(parts, "SELECT 1 FROM box_orphan") == []
    await _sql(
        parts,
        "UPDATE account SET recheck_at = now(), bound_at = now() - interval '50 s'",
    )
    await _work(parts)
    listed = await _sql(parts, "SELECT box_user_id, spare FROM box_orphan")
    assert listed == [(second.id, False)]
    # After as long again as it has been bound.
    again = "SELECT recheck_at - bound_at BETWEEN '100 s' AND '140 s' FROM account"
    assert await _sql(parts, again) == [(True,)]


@pytest.mark.parametrize(
    "change",
    ["bound_at = now() - interval '1 day'", "box_user_id = NULL, bound_at = NULL"],
)
async def test_rechecks_end_after_a_day_or_with_the_binding(
    parts: Parts, change: str
) -> None:
    await _sql(parts, f"UPDATE account SET recheck_at = now(), {change}")  # noqa: S608 - from above
    await _work(parts)
    assert await _sql(parts, "SELECT recheck_at FROM account") == [(None,)]
    assert await _sql(parts, "SELECT 1 FROM box_orphan") == []


async def test_doctor_names_them_and_readyz_counts_them(
    parts: Parts, api: Api, enterprise: Enterprise
) -> None:
    async def nothing() -> None: ...

    async def no_checks() -> AsyncIterator[Any]:
        nothing_else: list[Any] = []
        for check in nothing_else:
            yield check

    async def finding() -> doctor.Finding:
        checks = doctor.examine(
            database=parts.database,
            consistent_rows=nothing(),
            verifier=parts.verifier,
            provider_ids=(),
            box_checks=no_checks(),
        )
        [found] = [one async for one in checks if one.check == "left-over Box users"]
        return found

    assert (await finding()).ok
    left = [enterprise.add_user(str(n), None) for n in range(12)]
    for user in left:
        await _list(parts, user, spare=False)
    assert (await api.http.get("/readyz")).json()["left_over_box_users"] == 12
    problem = (await finding()).problem or ""
    assert f"{left[0].id} (why)" in problem
    assert left[11].id not in problem
    assert "and 2 more" in problem

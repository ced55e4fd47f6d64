"""A first login, killed at every point there is, is finished by the next one.

The points are found by the tests themselves, and docs/claim-protocol.md numbers them.
"""

import asyncio
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from starlette.applications import Starlette

from sso_box_api.accounts import external_id
from sso_box_api.errors import ProvisioningInProgress
from sso_box_api.exchange import Exchange, ExchangeRequest, Vended
from sso_box_api.identity import UnverifiedToken
from sso_box_api.leftovers import LeftOvers
from sso_box_api.parts import Parts
from sso_box_devkit.box import Enterprise
from tests.races.conftest import FULL, LAG_S
from tests.support.api import ISSUER, Control
from tests.support.victim import Victim, Victims

DOCUMENT = Path(__file__).parents[2] / "docs" / "claim-protocol.md"
BOUND_BY = 10
IN_A_FIRST_LOGIN = 22
POST = "POST /2.0/users: before"


class Stage:
    """One Box, one database, and the processes that come and go."""

    def __init__(
        self,
        victims: Victims,
        values: dict[str, Any],
        parts: Parts,
        box: Control,
        idp_app: Starlette,
    ) -> None:
        self.victims = victims
        self.values = values
        self.parts = parts
        self.box = box
        self.idp = idp_app.state.idp

    def token(self, subject: str) -> str:
        token: str = self.idp.mint(sub=subject, aud="demo-spa")
        return token

    async def points(self, subject: str = "ada") -> list[str]:
        """The points of a login that nothing happens to."""
        seen, outcome = await self.victims.log_in(
            self.values, self.token(subject)
        ).told()
        assert outcome.isdigit(), outcome
        return seen

    async def killed(self, subject: str, at: str) -> None:
        victim = self.victims.log_in(self.values, self.token(subject), die_at=at)
        assert await victim.ended() == -signal.SIGKILL

    async def log_in(self, exchange: Exchange, subject: str) -> Vended:
        """Come back as often as one is told to."""
        request = ExchangeRequest(UnverifiedToken(self.token(subject)))
        async with asyncio.timeout(60):
            while True:
                try:
                    return await exchange.exchange(request)
                except ProvisioningInProgress:
                    await asyncio.sleep(0.05)

    async def rows(self, query: str, **values: object) -> list[tuple[Any, ...]]:
        async with self.parts.database.transaction() as session:
            result = await (await session.connection()).execute(text(query), values)
            return [tuple(row) for row in result]

    async def users_of(self, subject: str) -> set[str]:
        ext_id = external_id("", ISSUER, subject)
        return {
            user["id"]
            for user in await self.box.users()
            if user["external_app_user_id"] == ext_id
        }

    async def one_user_of(self, subject: str, vended: Vended) -> None:
        """Everything agrees on the one Box user; whoever else is there is listed."""
        bound = await self.rows(
            "SELECT box_user_id FROM account JOIN identity ON account_id = account.id"
            " WHERE subject = :subject",
            subject=subject,
        )
        assert bound == [(vended.box_user_id,)]
        me = await self.box.call("GET", "/2.0/users/me", vended.access_token)
        assert me.json()["id"] == vended.box_user_id
        listed = {
            box_user_id
            for (box_user_id,) in await self.rows(
                "SELECT box_user_id FROM box_orphan WHERE resolved_at IS NULL"
            )
        }
        others = await self.users_of(subject) - {vended.box_user_id}
        assert others <= listed

    async def clear_up(self) -> None:
        """What the background of any serve process does in time."""
        # Of all that are to come: it waits for those that a killed process still holds,
        # which the background would leave to its next round.
        due = "UPDATE account SET recheck_at = now() WHERE recheck_at IS NOT NULL"
        await self.run(due)
        await self.run("UPDATE box_orphan SET lease_until = NULL")
        work = LeftOvers(self.parts.database, self.parts.box).work
        while await work():
            pass

    async def run(self, statement: str, **values: object) -> None:
        async with self.parts.database.transaction() as session:
            await (await session.connection()).execute(text(statement), values)


@pytest.fixture
def stage(
    victims: Victims,
    values: dict[str, Any],
    parts: Parts,
    box: Control,
    idp_app: Starlette,
) -> Stage:
    return Stage(victims, values, parts, box, idp_app)


def _documented() -> list[str]:
    """The numbered points, in their order; nothing is numbered twice or left out."""
    pattern = re.compile(r"^\| ([0-9]+) \| `([^`]+)` \|", re.MULTILINE)
    rows = pattern.findall(DOCUMENT.read_text())
    assert [int(number) for number, _ in rows] == [*range(1, len(rows) + 1)]
    return [point for _, point in rows]


async def _crash_everywhere(stage: Stage, points: list[str]) -> None:
    """Kill one person's login at each point, then log every one of them in."""
    subjects = [f"ada{number}" for number in range(len(points))]
    await asyncio.gather(
        *(
            stage.killed(subject, at)
            for at, subject in zip(points, subjects, strict=True)
        )
    )
    binder = stage.parts.binder()
    exchange = stage.parts.exchange(binder, stage.parts.provisioner())
    found = await asyncio.gather(
        *(stage.log_in(exchange, subject) for subject in subjects)
    )
    await binder.close()
    await stage.clear_up()
    for subject, vended in zip(subjects, found, strict=True):
        await stage.one_user_of(subject, vended)
    assert await stage.rows("SELECT count(*) FROM account") == [(len(points) + 1,)]


async def test_the_points_of_a_first_login_are_those_that_are_documented(
    stage: Stage,
) -> None:
    points, documented = await stage.points(), _documented()[:IN_A_FIRST_LOGIN]
    assert points[:BOUND_BY] == documented[:BOUND_BY]
    # From then on it does two things at a time.
    assert sorted(points) == sorted(documented)


@pytest.mark.parametrize("lag_s", [0.0, LAG_S] if FULL else [LAG_S])
async def test_a_first_login_killed_at_any_point_is_finished_by_the_next(
    stage: Stage, box: Control, lag_s: float
) -> None:
    await box.settings(lookup_lag_s=lag_s)
    await _crash_everywhere(stage, await stage.points())
    assert await stage.rows("SELECT count(*) FROM box_orphan") == [(0,)]
    assert len(await box.users()) == len(await stage.rows("SELECT 1 FROM account"))


@pytest.mark.parametrize("policy", ["allow", "conflict"] if FULL else ["allow"])
async def test_killed_while_the_answer_to_the_creation_is_lost(
    stage: Stage, box: Control, policy: str
) -> None:
    await box.settings(lookup_lag_s=LAG_S, duplicate_external_id=policy)
    await box.fault("POST", "/2.0/users", times=None, after_commit=True, drop=True)
    points = await stage.points()
    # Before the POST and once the user is bound, it is as any first login.
    bound = points.index("commit of insert vend: before")
    await _crash_everywhere(stage, points[points.index(POST) + 1 : bound])
    assert len(await box.users()) == len(await stage.rows("SELECT 1 FROM account"))


@pytest.mark.parametrize("post_timeout_s", [None, 60.0] if FULL else [60.0])
async def test_a_stopped_winner_that_goes_on_leaves_one_user_and_none_unlisted(
    stage: Stage, enterprise: Enterprise, post_timeout_s: float | None
) -> None:
    """Stopped between look-up and POST, overtaken, woken; then killed at each point.

    With a long time-out it still takes the answer to its late POST, otherwise not.
    """
    binder = stage.parts.binder()
    exchange = stage.parts.exchange(binder, stage.parts.provisioner())
    values = stage.values
    if post_timeout_s is not None:
        # Longer by more than a slow machine takes from the mark to the POST.
        lease_s = post_timeout_s + 20.0
        times = {"post_timeout_s": post_timeout_s, "flight_deadline_s": 90.0}
        claim = values["claim"] | times | {"lease_s": lease_s}
        values = {**values, "claim": claim}

    async def overtake(subject: str, die_at: str | None) -> tuple[Victim, Vended]:
        victim = stage.victims.log_in(
            values, stage.token(subject), stop_at=POST, die_at=die_at
        )
        await victim.stopped()
        if post_timeout_s is not None:
            # Not the others', who may be on their way to their POST.
            await stage.run(
                "UPDATE account SET claim_until = now() FROM identity"
                " WHERE account_id = account.id AND subject = :subject",
                subject=subject,
            )
        vended = await stage.log_in(exchange, subject)
        victim.go_on()
        return victim, vended

    victim, vended = await overtake("ada", None)
    seen, outcome = await victim.told()
    # Its caller may have been told to come back while it was stopped.
    assert outcome in {vended.box_user_id, "provisioning_in_progress"}
    assert ("DELETE /2.0/users/ID: after" in seen) is (post_timeout_s is not None)
    points = seen[seen.index(POST) + 1 :]
    if post_timeout_s is not None:
        # But for the token that it had begun to ask for, and what follows as usual.
        overtaken_by = [point for point in points[1:] if "/oauth2/token" not in point]
        assert overtaken_by[:8] == _documented()[IN_A_FIRST_LOGIN:]
    overtaken = await asyncio.gather(
        *(overtake(f"ada{number}", point) for number, point in enumerate(points))
    )
    for victim, _ in overtaken:
        assert await victim.ended() == -signal.SIGKILL
    await binder.close()
    await stage.clear_up()
    await stage.one_user_of("ada", vended)
    for number, (_, vended) in enumerate(overtaken):
        await stage.one_user_of(f"ada{number}", vended)
    bound = await stage.rows("SELECT 1 FROM account WHERE box_user_id IS NOT NULL")
    left = await stage.rows("SELECT 1 FROM box_orphan WHERE resolved_at IS NULL")
    assert len(bound) == len(points) + 1
    assert len(enterprise.users) == len(bound) + len(left)


@pytest.mark.skipif(
    not FULL, reason="full size only; tests/test_binding.py has the adoption"
)
async def test_killed_while_it_adopts_one_of_several_users(
    stage: Stage, enterprise: Enterprise
) -> None:
    """Whoever binds the oldest lists the others in the same transaction."""

    def add(subject: str) -> None:
        for _ in range(2):
            user = enterprise.add_user("left by a restore", None)
            user.external_app_user_id = external_id("", ISSUER, subject)
            user.created_monotonic -= 60

    add("ada")
    points = await stage.points()
    for number in range(len(points)):
        add(f"ada{number}")
    await _crash_everywhere(stage, points)
    assert len(await stage.rows("SELECT 1 FROM box_orphan")) == len(points) + 1

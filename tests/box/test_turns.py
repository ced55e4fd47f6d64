"""In which order Box is asked for tokens where many wait, by the emulator's journal."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field

import pytest

from sso_box_api.box import Box, BoxToken, NoVerdict, Rank, open_transport, ranked
from sso_box_api.box.turns import QUEUE_FOR_EACH
from sso_box_api.settings import BoxSettings
from sso_box_devkit.box import Enterprise
from tests.support.box_script import QUICK, credentials

TOKEN = "/oauth2/token"


@dataclass
class Rush:
    """Calls that come one after the other while the only place is taken."""

    box: Box
    enterprise: Enterprise
    calls: list[asyncio.Task[object]] = field(default_factory=list)

    async def parent(self, name: str) -> BoxToken:
        user = self.enterprise.add_user(name, None, self.enterprise.jwt_app)
        return await self.box.user_token(user.id)

    def call(self, parent: BoxToken, rank: Rank = Rank.LOGIN) -> None:
        """Begin a downscope; all that are begun queue before the first is answered."""
        with ranked(rank):
            self.calls.append(asyncio.create_task(self._downscope(parent)))

    async def _downscope(self, parent: BoxToken) -> object:
        return await self.box.downscope(parent, ["base_explorer"], None)

    async def order(self) -> list[str]:
        """The names in the order in which Box was asked, once all have their token."""
        await asyncio.gather(*self.calls)
        return self.asked()

    def asked(self) -> list[str]:
        requests = self.enterprise.journal.since(0)["requests"]
        subjects = [r["subject"] for r in requests if r["path"] == TOKEN]
        names = {user.id: user.name for user in self.enterprise.users.values()}
        return [names.get(subject, "the service") for subject in subjects]


@pytest.fixture
async def rush(address: str, enterprise: Enterprise) -> AsyncIterator[Rush]:
    settings = BoxSettings.model_validate(
        {
            **QUICK,
            "config": json.dumps(enterprise.config()),
            "api_url": address,
            "max_token_calls": 1,
        }
    )
    async with open_transport(settings) as http:
        yield Rush(Box(credentials(settings), settings, http), enterprise)


async def parents(rush: Rush, names: str) -> list[BoxToken]:
    """Users whose tokens are at hand; what that took is not in the journal."""
    made = [await rush.parent(name) for name in names]
    rush.enterprise.journal.clear()
    return made


async def test_first_logins_go_before_others_and_background_work_goes_last(
    rush: Rush,
) -> None:
    holder, revoking, renewing, new = await parents(rush, "HBRN")
    rush.call(holder)
    rush.call(revoking, Rank.BACKGROUND)
    rush.call(renewing)
    rush.call(new, Rank.FIRST_LOGIN)
    assert await rush.order() == ["H", "N", "R", "B"]


async def test_one_persons_many_requests_do_not_keep_the_others_waiting(
    rush: Rush,
) -> None:
    holder, many, second, third = await parents(rush, "HMST")
    rush.call(holder)
    for parent in (many, many, many, second, second, third):
        rush.call(parent)
    assert await rush.order() == ["H", "M", "S", "T", "M", "S", "M"]


async def test_every_eighth_turn_is_of_whoever_has_waited_longest(rush: Rush) -> None:
    """Else a rush of first logins would keep a renewal, or a revocation, for ever."""
    holder, renewing, revoking, *new = await parents(rush, "HRBabcdefgh")
    rush.call(holder)
    rush.call(revoking, Rank.BACKGROUND)
    rush.call(renewing)
    for parent in new:
        rush.call(parent, Rank.FIRST_LOGIN)
    assert "".join(await rush.order()) == "HabcdefgBhR"


async def test_who_stops_waiting_takes_no_room_in_the_queue(rush: Rush) -> None:
    holder, leaving, *staying = await parents(rush, "HLabcdefgh")
    rush.call(holder)
    for _ in range(QUEUE_FOR_EACH):
        rush.call(leaving)
    await asyncio.sleep(0)
    _, *leavers = rush.calls
    del rush.calls[1:]
    for left in leavers:
        left.cancel()
    await asyncio.wait(leavers)
    for parent in staying:
        rush.call(parent)
    assert "".join(await rush.order()) == "Habcdefgh"


async def test_who_leaves_as_its_turn_comes_passes_it_on(rush: Rush) -> None:
    holder, leaving, staying = await parents(rush, "HLS")
    left: asyncio.Task[object] | None = None

    async def hold(call: Awaitable[object]) -> None:
        await call
        # The turn was given on the way here, and nobody has run since.
        assert left is not None
        left.cancel()

    holding = asyncio.create_task(
        hold(rush.box.downscope(holder, ["base_explorer"], None))
    )
    rush.call(leaving)
    left = rush.calls.pop()
    rush.call(staying)
    await holding
    assert await rush.order() == ["H", "S"]
    assert left.cancelled()


async def test_a_full_queue_of_one_rank_refuses_that_rank_alone(rush: Rush) -> None:
    holder, many, new = await parents(rush, "HMN")
    rush.call(holder)
    for _ in range(QUEUE_FOR_EACH):
        rush.call(many)
    await asyncio.sleep(0)
    with pytest.raises(NoVerdict, match="too many are under way") as told:
        await rush.box.downscope(many, ["base_explorer"], None)
    assert told.value.retry_after == 1
    rush.call(new, Rank.FIRST_LOGIN)
    assert (await rush.order())[:2] == ["H", "N"]


async def test_the_services_own_token_goes_before_all_that_wait_for_it(
    rush: Rush,
) -> None:
    holder, other = await parents(rush, "HO")
    rush.call(holder)
    rush.call(other)
    with ranked(Rank.BACKGROUND):
        await rush.box.service_token()
    assert await rush.order() == ["H", "the service", "O"]

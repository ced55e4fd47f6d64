"""Keys are renewed before they expire, by nobody's request."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

import pytest

from sso_box_api.identity import IdentityVerifier, UnverifiedToken
from sso_box_api.settings import ProviderSettings
from tests.support.oidc import Clock, FakeIssuer, Sleeps, provider_values
from tests.support.tokens import SigningKey, good_claims

OLD = SigningKey.rsa("old")
NEW = SigningKey.rsa("new", number=1)
HOUR = 3_600


@dataclass
class Stage:
    issuer: FakeIssuer
    clock: Clock
    sleeps: Sleeps
    verifier: IdentityVerifier

    @property
    def state(self) -> str:
        return self.verifier.key_states()["main"].state

    async def started(self) -> None:
        self.verifier.start()
        await self.settle()

    async def wake(self, after_s: float | None = None) -> None:
        """Let the time pass that is being slept, or another."""
        # Floats of today's size are exact to less than a microsecond.
        slept_s = self.sleeps.asked[-1] + 0.001
        self.clock.advance(slept_s if after_s is None else after_s)
        self.sleeps.ended.set()
        await self.settle()

    async def settle(self) -> None:
        for _ in range(50):
            await asyncio.sleep(0)

    async def verify(self, key: SigningKey = OLD) -> str:
        token = key.token(good_claims(self.clock()))
        return (await self.verifier.verify(UnverifiedToken(token))).subject


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    issuer, clock, sleeps = FakeIssuer(OLD), Clock(), Sleeps()
    async with issuer.client() as http:
        provider = ProviderSettings.model_validate(provider_values())
        verifier = IdentityVerifier([provider], http, clock=clock, sleep=sleeps)
        yield Stage(issuer, clock, sleeps, verifier)
        await verifier.close()


async def test_a_start_waits_for_no_issuer_and_fetches_without_a_token(
    stage: Stage,
) -> None:
    stage.issuer.gate.clear()
    await stage.started()
    assert stage.state == "unfetched"
    stage.issuer.gate.set()
    await stage.settle()
    assert stage.state == "fresh"
    assert await stage.verify() == "00u1ada"
    assert stage.issuer.key_fetches == 1


async def test_a_token_that_comes_during_the_first_fetch_waits_for_that_one(
    stage: Stage,
) -> None:
    stage.issuer.gate.clear()
    await stage.started()
    call = asyncio.create_task(stage.verify())
    await stage.settle()
    stage.issuer.gate.set()
    assert await call == "00u1ada"
    assert stage.issuer.key_fetches == 1


async def test_an_issuer_that_is_down_at_the_start_is_asked_until_it_answers(
    stage: Stage,
) -> None:
    stage.issuer.down = True
    await stage.started()
    for _ in range(6):
        assert stage.state == "unavailable"
        await stage.wake()
    stage.issuer.down = False
    await stage.wake()
    assert stage.state == "fresh"
    assert stage.sleeps.asked[:-1] == [1, 2, 4, 8, 16, 32, 32]


async def test_keys_are_renewed_at_four_fifths_of_their_life_give_or_take_a_tenth(
    stage: Stage,
) -> None:
    await stage.started()
    for renewals in range(1, 100):
        assert stage.issuer.key_fetches == renewals
        await stage.wake(stage.sleeps.asked[-1] - 1)
        assert (stage.issuer.key_fetches, stage.state) == (renewals, "fresh")
        await stage.wake()
    slept = stage.sleeps.asked[::2]
    assert all(0.72 * HOUR <= seconds <= 0.88 * HOUR for seconds in slept)
    assert min(slept) < 0.76 * HOUR < 0.84 * HOUR < max(slept)


async def test_the_time_of_a_renewal_follows_what_the_issuer_says(
    stage: Stage,
) -> None:
    stage.issuer.headers["Cache-Control"] = "max-age=1000"
    await stage.started()
    assert 720 <= stage.sleeps.asked[-1] <= 880


async def test_a_renewal_brings_new_keys_and_takes_old_ones_without_any_token(
    stage: Stage,
) -> None:
    await stage.started()
    stage.issuer.publish(NEW)
    await stage.wake()
    fetches = stage.issuer.key_fetches
    assert await stage.verify(NEW) == "00u1ada"
    assert stage.issuer.key_fetches == fetches


async def test_keys_that_were_fetched_for_a_token_are_not_renewed_at_once(
    stage: Stage,
) -> None:
    await stage.started()
    stage.clock.advance(600)
    stage.issuer.publish(OLD, NEW)
    await stage.verify(NEW)
    await stage.wake(stage.sleeps.asked[-1] - 600)
    assert stage.issuer.key_fetches == 2
    await stage.wake()
    assert stage.issuer.key_fetches == 3


async def test_a_failed_renewal_leaves_the_keys_and_is_tried_again(
    stage: Stage,
) -> None:
    await stage.started()
    stage.issuer.down = True
    await stage.wake()
    assert (stage.sleeps.asked[-1], stage.state) == (1, "fresh")
    assert await stage.verify() == "00u1ada"
    stage.issuer.down = False
    await stage.wake()
    assert stage.verifier.key_states()["main"].age_s == 0


async def test_a_clock_set_back_causes_one_renewal_not_many(stage: Stage) -> None:
    await stage.started()
    await stage.wake(-24 * HOUR)
    assert stage.issuer.key_fetches == 2
    assert stage.sleeps.asked[-1] >= 0.72 * HOUR


async def test_a_clock_that_runs_backwards_makes_the_renewal_spin_no_faster_than_a_second() -> (
    None
):
    """Each look at it shows an earlier time, so that every pause seems to be over."""
    issuer, sleeps = FakeIssuer(OLD), Sleeps()
    issuer.down = True
    times = itertools.count(1_800_000_000, -100)
    async with issuer.client() as http:
        provider = ProviderSettings.model_validate(provider_values())
        clock = partial(next, times)
        verifier = IdentityVerifier([provider], http, clock=clock, sleep=sleeps)
        stage = Stage(issuer, Clock(), sleeps, verifier)
        await stage.started()
        assert sleeps.asked == [1]
        await verifier.close()


async def test_a_second_start_changes_nothing(stage: Stage) -> None:
    await stage.started()
    await stage.started()
    assert (stage.issuer.key_fetches, len(stage.sleeps.asked)) == (1, 1)


async def test_closing_ends_the_renewal_and_the_fetch_that_runs(stage: Stage) -> None:
    before = asyncio.all_tasks()
    stage.issuer.gate.clear()
    await stage.started()
    assert len(asyncio.all_tasks() - before) == 2
    await stage.verifier.close()
    assert asyncio.all_tasks() == before

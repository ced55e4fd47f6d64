"""A certified provider as second opinion: people log in there, and its keys rotate.

Everything is real but the clock: the provider in a process of its own, its pages and
redirects, the production transport.
"""

import asyncio
import os
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from sso_box_api.errors import BadSignature, KeysUnavailable
from sso_box_api.identity import (
    Identity,
    IdentityVerifier,
    ProviderTransport,
    UnverifiedToken,
)
from sso_box_api.settings import ProviderSettings
from tests.support.certified import (
    ALGS,
    Browser,
    CertifiedProvider,
    certified_provider,
    unverified,
)
from tests.support.node import skip_module_without_node
from tests.support.oidc import Clock, Sleeps
from tests.support.tokens import SigningKey, good_claims

FULL = os.environ.get("TEST_SIZE") == "full"
ROTATIONS = 20 if FULL else 3
# By each person under each key; the tokens of before come on top.
LOGINS = 20 if FULL else 1
STRANGERS = 4 if FULL else 1
STRANGERS_KEY = SigningKey.ed25519(None)
# Only so that a test which waits for what never comes fails.
PATIENCE_S = 60

skip_module_without_node()


@pytest.fixture(scope="module")
async def provider() -> AsyncIterator[CertifiedProvider]:
    async with certified_provider() as provider:
        yield provider


@dataclass
class Stage:
    """The verifier, the provider it asks, and a person for each algorithm.

    ``accepted`` counts logins by person and kid, ``refused`` strangers by reason.
    """

    provider: CertifiedProvider
    verifier: IdentityVerifier
    clock: Clock
    sleeps: Sleeps
    people: list[Browser]
    accepted: Counter[tuple[str, str]] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    fetches_before: int = 0

    async def verify(self, token: str, person: Browser) -> Identity:
        identity = await self.verifier.verify(UnverifiedToken(token))
        who = (identity.subject, identity.client_id)
        assert who == (person.subject, person.client_id)
        self.accepted[person.subject, unverified(token)[0]["kid"]] += 1
        return identity

    async def everybody_logs_in(self) -> None:
        for person in self.people:
            await self.verify(await person.log_in(), person)

    async def keep_logging_in(self, person: Browser) -> None:
        """Each time with a token that was never seen."""
        while True:
            await self.verify(await person.log_in(), person)

    async def flood(self, subject: str) -> None:
        """What a stranger sends: all is right but the key, which nobody knows."""
        claims = good_claims(self.clock(), iss=self.provider.issuer, sub=subject)
        claims["aud"] = self.people[0].client_id
        while True:
            token = STRANGERS_KEY.under(str(uuid.uuid4())).token(claims)
            try:
                await self.verifier.verify(UnverifiedToken(token))
            except (BadSignature, KeysUnavailable) as refusal:
                self.refused[refusal.reason] += 1
            await asyncio.sleep(0)

    @asynccontextmanager
    async def busy(self, *, strangers_send: str) -> AsyncIterator[None]:
        """People log in and strangers flood meanwhile; one failed login ends it all."""
        await self.everybody_logs_in()
        async with asyncio.TaskGroup() as group:
            flood = [self.flood(strangers_send) for _ in range(STRANGERS)]
            logins = [self.keep_logging_in(person) for person in self.people]
            tasks = [group.create_task(work) for work in (*flood, *logins)]
            await self.strangers_are_limited()
            yield
            await self.strangers_are_limited()
            for task in tasks:
                task.cancel()

    async def strangers_are_limited(self) -> None:
        before = self.refused["keys_fetches_limited"]
        await self.until(lambda: self.refused["keys_fetches_limited"] > before)

    async def the_new_keys_sign(self) -> None:
        """Until each person was accepted under them."""
        kids = self.provider.signing_kids
        await self.until(
            lambda: all(
                sum(self.accepted[person.subject, kid] for kid in kids) >= LOGINS
                for person in self.people
            )
        )

    async def until(self, seen: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not seen():  # noqa: ASYNC110 - the verifier rightly tells nobody
                await asyncio.sleep(0.005)

    async def key_fetches(self) -> int:
        await self.provider.tell("state")
        return self.provider.key_fetches - self.fetches_before

    @property
    def age_s(self) -> float | None:
        return self.verifier.key_states()["certified"].age_s


@pytest.fixture
async def stage(
    provider: CertifiedProvider, record_property: Callable[[str, object], None]
) -> AsyncIterator[Stage]:
    settings = ProviderSettings.model_validate(
        {
            "id": "certified",
            "issuer": provider.issuer,
            "client_ids": [f"spa-{alg}" for alg in ALGS],
            "algs": ALGS,
        }
    )
    transport = ProviderTransport([settings])
    # Ahead of the provider's: nothing it issues during a test is of the future.
    clock, sleeps = Clock(time.time() + 1800), Sleeps()
    people = [Browser(provider, alg) for alg in ALGS]
    async with httpx.AsyncClient(transport=transport, trust_env=False) as http:
        verifier = IdentityVerifier([settings], http, clock=clock, sleep=sleeps)
        stage = Stage(provider, verifier, clock, sleeps, people)
        await provider.tell("withdraw")
        stage.fetches_before = provider.key_fetches
        yield stage
        record_property("logins", stage.accepted.total())
        record_property("strangers_refused", stage.refused.total())
        record_property("key_fetches", await stage.key_fetches())
        await verifier.close()
    for person in people:
        await person.close()


@pytest.mark.parametrize("alg", ALGS)
async def test_a_login_is_accepted_under_every_algorithm(
    stage: Stage, alg: str
) -> None:
    person = stage.people[ALGS.index(alg)]
    token = await person.log_in()
    assert unverified(token)[0]["alg"] == alg
    identity = await stage.verify(token, person)
    assert identity.issuer == stage.provider.issuer
    assert (identity.name, identity.email) == ("Ada Lovelace", "ada@example.com")


@pytest.mark.parametrize("alg", ALGS)
async def test_the_signature_of_another_login_is_refused(
    stage: Stage, alg: str
) -> None:
    person = stage.people[ALGS.index(alg)]
    one, other = [(await person.log_in()).rsplit(".", 1) for _ in range(2)]
    await stage.verify(".".join(one), person)
    with pytest.raises(BadSignature, match="signature_invalid"):
        await stage.verifier.verify(UnverifiedToken(f"{one[0]}.{other[1]}"))


async def test_the_provider_is_real_and_refuses_a_code_with_another_verifier(
    stage: Stage,
) -> None:
    person = stage.people[0]
    code, other = await person.authorize(), await person.authorize()
    code.verifier = other.verifier
    answer = await person.redeem(code)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


async def test_keys_that_sign_at_once_fail_nobody_while_strangers_send_unknown_kids(
    stage: Stage,
) -> None:
    async with stage.busy(strangers_send="stranger"):
        for _ in range(ROTATIONS):
            old = await asyncio.gather(*(person.log_in() for person in stage.people))
            await stage.provider.tell("rotate")
            await stage.the_new_keys_sign()
            for token, person in zip(old, stage.people, strict=True):
                await stage.verify(token, person)
            await stage.provider.tell("withdraw")
    # The first one, all that strangers may have, and one for each rotation.
    assert await stage.key_fetches() == 1 + 2 + ROTATIONS
    assert stage.refused.keys() == {"kid_unknown", "keys_fetches_limited"}


async def test_keys_announced_a_minute_ahead_fail_nobody_whatever_strangers_know(
    stage: Stage,
) -> None:
    async with stage.busy(strangers_send=stage.people[0].subject):
        for _ in range(ROTATIONS):
            await stage.provider.tell("announce")
            stage.clock.advance(60)
            await stage.until(lambda: stage.age_s == 0)
            await stage.provider.tell("sign")
            await stage.the_new_keys_sign()
            await stage.provider.tell("withdraw")
    # Each minute gives one, which finds the new keys and so is given back once.
    assert await stage.key_fetches() == 1 + 3 + 2 * ROTATIONS
    # Several at one time: who joins another's fetch is told to come again.
    assert stage.refused.keys() - {"keys_fetch_overlapped"} == {
        "kid_unknown",
        "keys_fetches_limited",
    }


async def test_announced_keys_are_renewed_in_time_by_nobodys_request(
    stage: Stage,
) -> None:
    stage.verifier.start()
    await stage.until(lambda: bool(stage.sleeps.asked))
    await stage.provider.tell("announce")
    stage.clock.advance(stage.sleeps.asked[-1] + 0.001)
    stage.sleeps.ended.set()
    await stage.until(lambda: stage.age_s == 0)
    await stage.provider.tell("sign")
    await stage.everybody_logs_in()
    assert await stage.key_fetches() == 2

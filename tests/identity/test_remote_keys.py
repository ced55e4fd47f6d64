"""When the issuer is asked for its keys, when it is not, and what serves meanwhile."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from sso_box_api.errors import BadSignature, KeysUnavailable, SsoBoxError
from sso_box_api.identity import IdentityVerifier, KeysState, UnverifiedToken
from sso_box_api.settings import ProviderSettings
from tests.support.oidc import Clock, FakeIssuer, provider_values
from tests.support.tokens import SigningKey, good_claims

OLD = SigningKey.rsa("old")
NEW = SigningKey.rsa("new", number=1)
HOUR = 3_600
DAY = 86_400


@dataclass
class Stage:
    """A verifier, the issuer it asks, and the clock of both."""

    issuer: FakeIssuer
    verifier: IdentityVerifier
    clock: Clock

    async def verify(self, key: SigningKey = OLD, **header: Any) -> str:
        token = key.token(good_claims(self.clock()), header)
        identity = await self.verifier.verify(UnverifiedToken(token))
        return identity.subject

    async def stranger(self, sub: Any = "stranger") -> str:
        """What becomes of a token under a key that nobody has, with this subject."""
        claims = good_claims(self.clock(), sub=sub)
        token = UnverifiedToken(NEW.token(claims, {"kid": "x"}))
        with pytest.raises((BadSignature, KeysUnavailable)) as refusal:
            await self.verifier.verify(token)
        return refusal.value.reason

    @property
    def state(self) -> KeysState:
        return self.verifier.key_states()["main"]

    async def settle(self) -> None:
        """Let what runs in the background come to its end."""
        for _ in range(50):
            await asyncio.sleep(0)


@pytest.fixture
def values() -> dict[str, Any]:
    """Settings of the provider; a test module parametrises or changes them."""
    return provider_values()


@pytest.fixture
async def stage(values: dict[str, Any]) -> AsyncIterator[Stage]:
    issuer, clock = FakeIssuer(OLD), Clock()
    async with issuer.client() as http:
        provider = ProviderSettings.model_validate(values)
        verifier = IdentityVerifier([provider], http, clock=clock)
        yield Stage(issuer, verifier, clock)
        await verifier.close()


async def outcome(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except SsoBoxError as error:
        return error.reason


def with_settings(**changes: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("values", [provider_values(**changes)], ids=[""])


async def test_nothing_is_fetched_before_the_first_token(stage: Stage) -> None:
    assert stage.state == KeysState("unfetched", None, 0)
    assert stage.issuer.requests == []


async def test_the_first_token_fetches_and_the_next_ones_do_not(stage: Stage) -> None:
    for _ in range(3):
        assert await stage.verify() == "00u1ada"
    assert (stage.issuer.discoveries, stage.issuer.key_fetches) == (1, 1)
    stage.clock.advance(10)
    assert stage.state == KeysState("fresh", 10, 1)


async def test_a_thousand_first_tokens_cause_one_fetch(stage: Stage) -> None:
    assert set(await asyncio.gather(*(stage.verify() for _ in range(1000)))) == {
        "00u1ada"
    }
    assert (stage.issuer.discoveries, stage.issuer.key_fetches) == (1, 1)


@pytest.mark.parametrize("warm", [True, False])
async def test_a_thousand_tokens_with_unknown_keys_cause_one_fetch(
    stage: Stage, *, warm: bool
) -> None:
    if warm:
        await stage.verify()
    fetched = stage.issuer.key_fetches
    claims = good_claims(stage.clock(), sub="stranger")
    tokens = [OLD.token(claims, {"kid": f"kid-{n}"}) for n in range(1000)]
    calls = [stage.verifier.verify(UnverifiedToken(token)) for token in tokens]
    assert {await outcome(call) for call in asyncio.as_completed(calls)} == {
        "kid_unknown"
    }
    assert stage.issuer.key_fetches == fetched + 1


async def test_a_thousand_tokens_about_somebody_known_cause_one_fetch_too(
    stage: Stage,
) -> None:
    """Those that came after it had begun are told to come again."""
    await stage.verify()
    calls = (outcome(stage.verify(kid=f"kid-{n}")) for n in range(1000))
    found = Counter(await asyncio.gather(*calls))
    assert found == {"kid_unknown": 1, "keys_fetch_overlapped": 999}
    assert stage.issuer.key_fetches == 2


async def test_a_new_key_is_found_at_the_first_token_it_signs(stage: Stage) -> None:
    await stage.verify()
    stage.issuer.publish(OLD, NEW)
    assert await stage.verify(NEW) == "00u1ada"
    assert await stage.verify(OLD) == "00u1ada"
    assert stage.issuer.key_fetches == 2


async def test_a_key_that_was_taken_back_no_longer_verifies(stage: Stage) -> None:
    await stage.verify()
    stage.issuer.publish(NEW)
    await stage.verify(NEW)
    assert await outcome(stage.verify(OLD)) == "kid_unknown"


async def test_a_rotation_without_kids_is_noticed(stage: Stage) -> None:
    stage.issuer.publish(OLD.under(None))
    await stage.verify(OLD.under(None))
    stage.issuer.publish(NEW.under(None))
    assert await stage.verify(NEW.under(None)) == "00u1ada"


async def test_a_bad_signature_under_a_known_key_asks_nobody(stage: Stage) -> None:
    await stage.verify()
    assert await outcome(stage.verify(NEW.under("old"))) == "signature_invalid"
    assert stage.issuer.key_fetches == 1


async def test_unknown_keys_may_cause_three_fetches_and_one_more_a_minute(
    stage: Stage,
) -> None:
    await stage.verify()
    for _ in range(3):
        assert await outcome(stage.verify(kid="x")) == "kid_unknown"
    with pytest.raises(KeysUnavailable, match="keys_fetches_limited") as refusal:
        await stage.verify(kid="x")
    assert refusal.value.retry_after == 60
    stage.clock.advance(30)
    with pytest.raises(KeysUnavailable, match="keys_fetches_limited") as refusal:
        await stage.verify(kid="x")
    assert refusal.value.retry_after == 30
    stage.clock.advance(29)
    assert await outcome(stage.verify(kid="x")) == "keys_fetches_limited"
    assert stage.issuer.key_fetches == 4
    stage.clock.advance(1)
    assert await outcome(stage.verify(kid="x")) == "kid_unknown"
    assert await outcome(stage.verify(kid="x")) == "keys_fetches_limited"
    assert stage.issuer.key_fetches == 5


async def test_strangers_leave_one_fetch_for_people_who_were_verified_before(
    stage: Stage,
) -> None:
    await stage.verify()
    outcomes = [await stage.stranger() for _ in range(4)]
    assert outcomes == ["kid_unknown"] * 2 + ["keys_fetches_limited"] * 2
    stage.issuer.publish(OLD, NEW)
    assert await stage.stranger() == "keys_fetches_limited"
    assert await stage.verify(NEW) == "00u1ada"
    assert stage.issuer.key_fetches == 4


async def test_a_stranger_is_told_when_the_next_fetch_will_be(stage: Stage) -> None:
    await stage.verify()
    for _ in range(2):
        await stage.stranger()
    stage.clock.advance(45)
    token = NEW.token(good_claims(stage.clock(), sub="stranger"), {"kid": "x"})
    with pytest.raises(KeysUnavailable) as refusal:
        await stage.verifier.verify(UnverifiedToken(token))
    assert refusal.value.retry_after == 15
    stage.clock.advance(15)
    assert await stage.stranger() == "kid_unknown"


async def test_who_is_not_even_named_by_a_text_is_a_stranger(stage: Stage) -> None:
    await stage.verify()
    subjects: list[Any] = [["00u1ada"], None, {}]
    outcomes = [await stage.stranger(subject) for subject in subjects]
    assert outcomes == ["kid_unknown"] * 2 + ["keys_fetches_limited"]


async def test_a_stranger_with_a_persons_claims_delays_a_new_key_by_a_minute_at_most(
    stage: Stage,
) -> None:
    await stage.verify()
    outcomes = [await stage.stranger("00u1ada") for _ in range(4)]
    assert outcomes == ["kid_unknown"] * 3 + ["keys_fetches_limited"]
    stage.issuer.publish(OLD, NEW)
    assert await outcome(stage.verify(NEW)) == "keys_fetches_limited"
    stage.clock.advance(60)
    await stage.stranger("00u1ada")
    assert await stage.verify(NEW) == "00u1ada"


async def test_fetches_that_find_new_keys_are_not_counted(stage: Stage) -> None:
    await stage.verify()
    for _ in range(5):
        for new in (NEW, OLD):
            stage.issuer.publish(new)
            assert await stage.verify(new) == "00u1ada"
    outcomes = [await stage.stranger("00u1ada") for _ in range(4)]
    assert outcomes == ["kid_unknown"] * 3 + ["keys_fetches_limited"]


async def test_a_key_that_is_renamed_or_taken_back_is_no_new_one(stage: Stage) -> None:
    stage.issuer.publish(OLD, NEW)
    await stage.verify()
    for kid in ("a", "b", "c"):
        stage.issuer.publish(OLD.under(kid))
        assert await stage.verify(OLD.under(kid)) == "00u1ada"
    assert await stage.stranger("00u1ada") == "keys_fetches_limited"


async def test_an_issuer_whose_keys_are_never_twice_the_same_is_not_asked_for_ever(
    stage: Stage,
) -> None:
    await stage.verify()
    for turn in range(100):
        stage.issuer.publish(NEW if turn % 2 else OLD)
        await stage.stranger("00u1ada")
    assert stage.issuer.key_fetches == 1 + 3 + 20
    for turn in range(100):
        stage.clock.advance(30)
        stage.issuer.publish(NEW if turn % 2 else OLD)
        await stage.stranger("00u1ada")
    assert stage.issuer.key_fetches <= 1 + 3 + 20 + 2 * 50


async def test_an_hour_of_quiet_gives_back_three_fetches_and_no_more(
    stage: Stage,
) -> None:
    await stage.verify()
    for _ in range(3):
        await outcome(stage.verify(kid="x"))
    stage.clock.advance(HOUR - 1)
    outcomes = [await outcome(stage.verify(kid="x")) for _ in range(4)]
    assert outcomes == ["kid_unknown"] * 3 + ["keys_fetches_limited"]


async def test_known_keys_are_served_while_the_bucket_is_empty(stage: Stage) -> None:
    await stage.verify()
    for _ in range(4):
        await outcome(stage.verify(kid="x"))
    assert await stage.verify() == "00u1ada"


async def test_a_clock_set_back_neither_fills_the_bucket_nor_drains_it(
    stage: Stage,
) -> None:
    await stage.verify()
    await outcome(stage.verify(kid="x"))
    stage.clock.advance(-DAY)
    # The first one joins the renewal of keys that seem to come from the future.
    outcomes = [await outcome(stage.verify(kid="x")) for _ in range(4)]
    assert outcomes == ["kid_unknown"] * 3 + ["keys_fetches_limited"]


async def test_a_request_joins_the_fetch_that_runs(stage: Stage) -> None:
    await stage.verify()
    stage.issuer.publish(OLD, NEW)
    stage.issuer.gate.clear()
    calls = [asyncio.create_task(stage.verify(NEW)) for _ in range(2)]
    await stage.settle()
    calls.append(asyncio.create_task(stage.verify(NEW)))
    stage.issuer.gate.set()
    assert await asyncio.gather(*calls) == ["00u1ada"] * 3
    assert stage.issuer.key_fetches == 2


async def test_known_keys_do_not_wait_for_the_fetch_that_runs(stage: Stage) -> None:
    await stage.verify()
    stage.issuer.gate.clear()
    unknown = asyncio.create_task(outcome(stage.verify(kid="x")))
    await stage.settle()
    assert await stage.verify() == "00u1ada"
    assert not unknown.done()
    stage.issuer.gate.set()
    assert await unknown == "kid_unknown"


async def test_a_caller_that_goes_away_does_not_end_the_fetch_of_the_others(
    stage: Stage,
) -> None:
    stage.issuer.gate.clear()
    first, second = (asyncio.create_task(stage.verify()) for _ in range(2))
    await stage.settle()
    first.cancel()
    await stage.settle()
    assert first.cancelled()
    stage.issuer.gate.set()
    assert await second == "00u1ada"
    assert stage.issuer.key_fetches == 1


async def test_a_token_that_expires_while_the_keys_are_fetched_is_refused(
    stage: Stage,
) -> None:
    stage.issuer.gate.clear()
    call = asyncio.create_task(outcome(stage.verify()))
    await stage.settle()
    stage.clock.advance(HOUR + 60)
    stage.issuer.gate.set()
    assert await call == "exp_past"


async def test_expired_keys_serve_at_once_while_one_fetch_renews_them(
    stage: Stage,
) -> None:
    await stage.verify()
    stage.clock.advance(HOUR)
    assert stage.state == KeysState("stale", HOUR, 1)
    stage.issuer.gate.clear()
    assert await asyncio.gather(*(stage.verify() for _ in range(10)))
    stage.issuer.gate.set()
    await stage.settle()
    assert stage.issuer.key_fetches == 2
    assert stage.state == KeysState("fresh", 0, 1)


async def test_keys_from_before_the_clock_was_set_back_are_renewed(
    stage: Stage,
) -> None:
    await stage.verify()
    stage.clock.advance(-DAY)
    assert await stage.verify() == "00u1ada"
    await stage.settle()
    assert stage.issuer.key_fetches == 2
    assert stage.state.state == "fresh"


async def test_warm_keys_outlive_an_hour_without_the_issuer(stage: Stage) -> None:
    await stage.verify()
    stage.issuer.down = True
    for _ in range(65):
        stage.clock.advance(60)
        for _ in range(2):
            assert await stage.verify() == "00u1ada"
            await stage.settle()
    assert stage.state == KeysState("stale", 65 * 60, 1)
    assert stage.issuer.key_fetches == 1 + 6  # one a minute since they expired
    stage.issuer.down = False
    stage.clock.advance(60)
    await stage.verify()
    await stage.settle()
    assert stage.state == KeysState("fresh", 0, 1)


async def test_an_hour_of_silence_costs_a_warm_user_no_wait(stage: Stage) -> None:
    """Requests hang at the issuer, and nobody's login waits for one of them."""
    await stage.verify()
    stage.issuer.gate.clear()
    for _ in range(65):
        stage.clock.advance(60)
        for _ in range(2):
            assert await asyncio.wait_for(stage.verify(), 1) == "00u1ada"
            await asyncio.sleep(0)  # a login that waits for nothing lets nothing run
    assert stage.issuer.key_fetches == 2  # the one that hangs is the only one
    stage.issuer.gate.set()
    await stage.settle()
    assert stage.state == KeysState("fresh", 0, 1)


async def test_an_unknown_key_is_unavailable_not_wrong_while_the_issuer_is_down(
    stage: Stage,
) -> None:
    await stage.verify()
    stage.issuer.down = True
    assert await outcome(stage.verify(NEW)) == "keys_fetch_failed"
    stage.issuer.down = False
    stage.issuer.publish(OLD, NEW)
    assert await stage.verify(NEW) == "00u1ada"


async def test_keys_too_old_to_trust_are_unavailable(stage: Stage) -> None:
    await stage.verify()
    stage.issuer.down = True
    stage.clock.advance(HOUR + DAY - 1)
    assert await stage.verify() == "00u1ada"
    await stage.settle()
    stage.clock.advance(1)
    assert await outcome(stage.verify()) == "keys_fetch_failed"
    assert stage.state == KeysState("unavailable", HOUR + DAY, 1)
    stage.issuer.down = False
    stage.clock.advance(60)
    assert await stage.verify() == "00u1ada"


async def test_a_cold_start_without_the_issuer_recovers_by_itself(stage: Stage) -> None:
    stage.issuer.down = True
    pauses = []
    for _ in range(7):
        with pytest.raises(KeysUnavailable, match="keys_fetch_failed") as refusal:
            await stage.verify()
        assert refusal.value.retry_after is not None
        pauses.append(refusal.value.retry_after)
        asked = len(stage.issuer.requests)
        assert await outcome(stage.verify()) == "keys_fetch_failed"
        assert len(stage.issuer.requests) == asked  # left alone meanwhile
        stage.clock.advance(refusal.value.retry_after)
    assert pauses == [1, 2, 4, 8, 16, 32, 32]
    assert stage.state == KeysState("unavailable", None, 0)
    stage.issuer.down = False
    assert await stage.verify() == "00u1ada"


async def test_a_clock_set_back_does_not_prolong_a_pause(stage: Stage) -> None:
    stage.issuer.down = True
    await outcome(stage.verify())
    stage.issuer.down = False
    stage.clock.advance(-DAY)
    assert await stage.verify() == "00u1ada"


async def test_a_pause_does_not_keep_a_token_from_the_fetch_that_runs_anyway(
    stage: Stage,
) -> None:
    await stage.verify()
    stage.clock.advance(HOUR + DAY - 0.5)
    stage.issuer.down = True
    assert await outcome(stage.verify(kid="x")) == "keys_fetch_failed"
    stage.issuer.gate.clear()
    unknown = asyncio.create_task(outcome(stage.verify(kid="x")))
    await stage.settle()
    stage.clock.advance(0.5)  # the keys are too old now, the pause lasts
    known = asyncio.create_task(stage.verify())
    await stage.settle()
    stage.issuer.down = False
    stage.issuer.gate.set()
    assert await unknown == "kid_unknown"
    assert await known == "00u1ada"


@pytest.mark.parametrize(
    ("cache_control", "ttl_s"),
    [
        (None, HOUR),
        ("no-cache", HOUR),
        ("No-Store, max-age=0", HOUR),
        ("no-cache, max-age=7200", HOUR),
        ("public", HOUR),
        ("max-age=junk", HOUR),
        ("s-maxage=7200", HOUR),
        ("max-age=0", 300),
        ("public, max-age=19800, must-revalidate", 19_800),
        ("Max-Age=7200", 7_200),
        ('max-age="7200"', 7_200),
        ("max-age=604800", DAY),
        ("max-age=99999999999999999999", DAY),
    ],
)
async def test_the_life_of_keys_follows_cache_control_within_bounds(
    stage: Stage, cache_control: str | None, ttl_s: int
) -> None:
    if cache_control is not None:
        stage.issuer.headers["Cache-Control"] = cache_control
    await stage.verify()
    states = []
    for seconds in (ttl_s - 1, 1):
        stage.clock.advance(seconds)
        states.append(stage.state.state)
    assert states == ["fresh", "stale"]


async def test_the_discovery_document_is_read_once_a_day(stage: Stage) -> None:
    for _ in range(25):
        await stage.verify()
        await stage.settle()
        stage.clock.advance(HOUR)
    assert (stage.issuer.discoveries, stage.issuer.key_fetches) == (2, 25)


@pytest.mark.parametrize("status", [404, 410])
async def test_a_key_set_that_has_moved_is_found_again(
    stage: Stage, status: int
) -> None:
    await stage.verify()
    stage.issuer.publish(NEW)
    stage.issuer.keys_path = "/keys/v2"
    stage.issuer.absent_status = status
    assert await outcome(stage.verify(NEW)) == "keys_fetch_failed"
    assert await stage.verify(NEW) == "00u1ada"
    assert stage.issuer.discoveries == 2


@with_settings(jwks_uri="https://idp.example/keys")
async def test_a_configured_key_set_needs_no_discovery(stage: Stage) -> None:
    await stage.verify()
    assert stage.issuer.requests == ["/keys"]


@with_settings(discovery_url="https://idp.example/tenant/metadata")
async def test_a_configured_discovery_document_is_read_in_place_of_the_usual(
    stage: Stage,
) -> None:
    stage.issuer.discovery_path = "/tenant/metadata"
    assert await stage.verify() == "00u1ada"


@with_settings(issuer="https://idp.example/")
async def test_the_slash_of_an_issuer_is_kept_in_names_and_dropped_in_addresses(
    stage: Stage,
) -> None:
    stage.issuer.metadata["issuer"] = "https://idp.example/"
    token = OLD.token(good_claims(stage.clock(), iss="https://idp.example/"))
    identity = await stage.verifier.verify(UnverifiedToken(token))
    assert identity.issuer == identity.namespace == "https://idp.example/"
    assert stage.issuer.requests[0] == "/.well-known/openid-configuration"


async def test_an_empty_set_never_replaces_a_good_one(stage: Stage) -> None:
    await stage.verify()
    stage.issuer.publish()
    stage.clock.advance(HOUR)
    await stage.verify()
    await stage.settle()
    assert stage.issuer.key_fetches == 2
    assert stage.state == KeysState("stale", HOUR, 1)
    assert await stage.verify() == "00u1ada"


async def test_private_keys_in_the_set_are_an_alarm_without_the_key(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.issuer.jwks = [OLD.jwk(d="c2VjcmV0")]
    with caplog.at_level(logging.ERROR):
        assert await stage.verify() == "00u1ada"
    assert "provider main publishes private keys" in caplog.text
    assert "c2VjcmV0" not in caplog.text


async def test_closing_ends_the_fetch_and_those_who_wait_for_it(stage: Stage) -> None:
    stage.issuer.gate.clear()
    cold = asyncio.create_task(stage.verify())
    await stage.settle()
    await stage.verifier.close()
    with pytest.raises(KeysUnavailable, match="keys_fetch_failed") as refusal:
        await cold
    assert refusal.value.retry_after == 1


async def test_closing_ends_those_who_wait_for_an_unknown_key(stage: Stage) -> None:
    await stage.verify()
    stage.issuer.gate.clear()
    unknown = asyncio.create_task(outcome(stage.verify(kid="x")))
    await stage.settle()
    await stage.verifier.close()
    assert await unknown == "keys_fetch_failed"


async def test_a_key_published_during_a_strangers_fetch_is_no_forgery(
    stage: Stage,
) -> None:
    """What that fetch brings may be from before it; of a stranger nobody asks again."""
    await stage.verify()
    stage.issuer.gate.clear()
    strangers = asyncio.create_task(stage.stranger())
    await stage.settle()
    known = asyncio.create_task(stage.verify(NEW))
    await stage.settle()
    stage.issuer.gate.set()
    assert await strangers == "kid_unknown"
    with pytest.raises(KeysUnavailable, match="keys_fetch_overlapped"):
        await known
    stage.issuer.publish(NEW)
    assert await stage.verify(NEW) == "00u1ada"


async def test_providers_do_not_share_fetches_or_limits() -> None:
    one, two = FakeIssuer(OLD), FakeIssuer(NEW, issuer="https://two.example")
    mounts = {"https://two.example": httpx.ASGITransport(two)}
    transport = httpx.ASGITransport(one)
    clock = Clock()
    async with httpx.AsyncClient(transport=transport, mounts=mounts) as http:
        providers = [
            ProviderSettings.model_validate(provider_values(**changes))
            for changes in ({}, {"id": "two", "issuer": "https://two.example"})
        ]
        verifier = IdentityVerifier(providers, http, clock=clock)
        stage = Stage(one, verifier, clock)
        await stage.verify()
        for _ in range(4):
            await outcome(stage.verify(kid="x"))
        states = verifier.key_states()
        assert (states["main"].state, states["two"].state) == ("fresh", "unfetched")
        claims = good_claims(clock(), iss="https://two.example")
        token = NEW.token(claims)
        assert (await verifier.verify(UnverifiedToken(token))).provider == "two"
        with pytest.raises(BadSignature, match="kid_unknown"):
            await verifier.verify(UnverifiedToken(NEW.token(claims, {"kid": "x"})))
        await verifier.close()

"""A token seen a moment ago: known again by its text, and not a moment too long.

One that is known again yields the very object of the first time; one that is judged
anew yields an equal one.
"""

import dataclasses
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sso_box_api.errors import BadSignature, KeysUnavailable, SsoBoxError, TokenExpired
from sso_box_api.identity import Identity, IdentityVerifier, UnverifiedToken
from sso_box_api.identity.compact import MAX_TOKEN_CHARS
from sso_box_api.identity.remembered import MAX_REMEMBERED, RememberedTokens
from sso_box_api.settings import ProviderSettings
from tests.support.oidc import Clock, FakeIssuer, provider_values
from tests.support.tokens import SigningKey, good_claims

KEY = SigningKey.rsa("key-1")
NEW = SigningKey.rsa("new", number=1)
DAY = 86_400


@dataclasses.dataclass
class Stage:
    issuer: FakeIssuer
    verifier: IdentityVerifier
    provider: ProviderSettings
    clock: Clock

    def token(self, key: SigningKey = KEY, **claims: Any) -> UnverifiedToken:
        return UnverifiedToken(key.token(good_claims(self.clock(), **claims)))

    async def verify(self, token: UnverifiedToken) -> Identity:
        return await self.verifier.verify(token)

    async def outcome(self, token: UnverifiedToken) -> str:
        try:
            return (await self.verify(token)).subject
        except SsoBoxError as error:
            return error.reason


@pytest.fixture
def values() -> dict[str, Any]:
    return provider_values()


@pytest.fixture
async def stage(values: dict[str, Any]) -> AsyncIterator[Stage]:
    issuer, clock = FakeIssuer(KEY), Clock()
    issuer.headers["Cache-Control"] = "max-age=86400"
    async with issuer.client() as http:
        provider = ProviderSettings.model_validate(values)
        verifier = IdentityVerifier([provider], http, clock=clock)
        yield Stage(issuer, verifier, provider, clock)
        await verifier.close()


def with_settings(**changes: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("values", [provider_values(**changes)], ids=[""])


async def test_a_token_is_known_again_and_another_one_is_not(stage: Stage) -> None:
    first, second = stage.token(), stage.token(sub="00u2bob")
    identity = await stage.verify(first)
    assert await stage.verify(first) is identity
    assert (await stage.verify(second)).subject == "00u2bob"


async def test_a_refused_token_is_judged_every_time(stage: Stage) -> None:
    forged = UnverifiedToken(NEW.under("key-1").token(good_claims(stage.clock())))
    for _ in range(2):
        with pytest.raises(BadSignature):
            await stage.verify(forged)
    assert len(stage.verifier._remembered) == 0


@pytest.mark.parametrize("change", ["signature", "payload", "suffix"])
async def test_nothing_but_the_very_text_is_known_again(
    stage: Stage, change: str
) -> None:
    token = stage.token()
    await stage.verify(token)
    header, payload, signature = token.split(".")
    other = stage.token(sub="00u2bob").split(".")
    changed = {
        "signature": f"{header}.{payload}.{other[2]}",
        "payload": f"{header}.{other[1]}.{signature}",
        "suffix": token + "A",
    }[change]
    with pytest.raises(SsoBoxError):
        await stage.verify(UnverifiedToken(changed))


@pytest.mark.parametrize("text", ["é", "\ud800", "x" * (MAX_TOKEN_CHARS + 1)])
async def test_text_that_can_be_no_token_is_refused_as_ever(
    stage: Stage, text: str
) -> None:
    with pytest.raises(SsoBoxError, match="token_"):
        await stage.verify(UnverifiedToken(text))


async def test_a_token_is_remembered_for_ten_minutes_at_most(stage: Stage) -> None:
    token = stage.token()
    identity = await stage.verify(token)
    stage.clock.advance(599)
    assert await stage.verify(token) is identity
    stage.clock.advance(1)
    again = await stage.verify(token)
    assert again is not identity
    assert again == identity
    assert await stage.verify(token) is again


async def test_a_remembered_token_expires_when_any_other_does(stage: Stage) -> None:
    token = stage.token(exp=int(stage.clock()) + 100)
    await stage.verify(token)
    stage.clock.advance(159)
    assert await stage.outcome(token) == "00u1ada"
    stage.clock.advance(1)
    with pytest.raises(TokenExpired):
        await stage.verify(token)


@with_settings(max_age_s=120)
async def test_a_remembered_token_gets_too_old_when_any_other_does(
    stage: Stage,
) -> None:
    token = stage.token()  # ten seconds old
    await stage.verify(token)
    stage.clock.advance(169)
    assert await stage.outcome(token) == "00u1ada"
    stage.clock.advance(1)
    assert await stage.outcome(token) == "iat_too_old"


@with_settings(max_auth_age_s=120)
async def test_a_remembered_login_gets_too_old_when_any_other_does(
    stage: Stage,
) -> None:
    token = stage.token()  # the login is twenty seconds old
    await stage.verify(token)
    stage.clock.advance(159)
    assert await stage.outcome(token) == "00u1ada"
    stage.clock.advance(1)
    assert await stage.outcome(token) == "auth_time_too_old"


async def test_a_clock_set_back_to_before_the_token_voids_it(stage: Stage) -> None:
    token = stage.token()
    await stage.verify(token)
    stage.clock.advance(-300)
    assert await stage.outcome(token) == "iat_future"


async def test_a_token_is_void_once_its_key_has_left_the_set(stage: Stage) -> None:
    token = stage.token()
    await stage.verify(token)
    stage.issuer.publish(NEW)
    assert await stage.outcome(token) == "00u1ada"  # not known yet: nobody asked
    await stage.verify(stage.token(NEW))
    assert await stage.outcome(token) == "kid_unknown"


async def test_a_new_set_that_holds_the_key_judges_the_token_anew(
    stage: Stage,
) -> None:
    token = stage.token()
    identity = await stage.verify(token)
    stage.issuer.publish(KEY, NEW)
    await stage.verify(stage.token(NEW))
    again = await stage.verify(token)
    assert again is not identity
    assert again == identity


async def test_a_key_that_was_replaced_under_its_name_voids_its_tokens(
    stage: Stage,
) -> None:
    token = stage.token()
    await stage.verify(token)
    stage.issuer.publish(NEW.under("key-1"), NEW.under("key-2"))
    await stage.verify(stage.token(NEW.under("key-2")))
    assert await stage.outcome(token) == "signature_invalid"


@with_settings(keys_max_stale_s=60)
async def test_a_token_is_void_while_the_keys_are_too_old_to_trust(
    stage: Stage,
) -> None:
    await stage.verify(stage.token())
    stage.issuer.down = True
    stage.clock.advance(DAY + 59)
    token = stage.token()
    assert await stage.verify(token) is await stage.verify(token)
    stage.clock.advance(1)
    with pytest.raises(KeysUnavailable):
        await stage.verify(token)


async def test_the_number_of_remembered_tokens_is_bounded(stage: Stage) -> None:
    """The least recently used ones go; taken by the module, as signing costs time."""
    tokens = RememberedTokens()
    identity = await stage.verify(stage.token())
    keys = await stage.verifier._keys["main"].current()
    for number in range(MAX_REMEMBERED + 1):
        sha256 = hashlib.sha256(str(number).encode()).hexdigest()
        one = dataclasses.replace(identity, token_sha256=sha256)
        tokens.add(stage.provider, one, keys, stage.clock())
        assert tokens.find(UnverifiedToken("0"), stage.clock()) is not None
    assert len(tokens) == MAX_REMEMBERED
    assert tokens.find(UnverifiedToken("1"), stage.clock()) is None

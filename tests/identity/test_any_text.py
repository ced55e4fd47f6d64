"""No text, however odd, is accepted, and none causes anything but a refusal."""

import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings, strategies as st

from sso_box_api.errors import CredentialError, KeysUnavailable
from sso_box_api.identity import Identity, IdentityVerifier, UnverifiedToken
from sso_box_api.settings import ProviderSettings, Settings
from sso_box_devkit.idp import create_idp
from tests.support.api import ISSUER, Api
from tests.support.oidc import Clock, FakeIssuer, provider_values
from tests.support.secrecy import WATCH
from tests.support.tokens import SigningKey, compact_json, good_claims

# Each rule has its own test, with coverage; measured here it doubles the time.
pytestmark = pytest.mark.no_cover

FULL = os.environ.get("TEST_SIZE") == "full"
KEY = SigningKey.rsa("key-1")
CLOCK = Clock()
NOW = int(CLOCK())
# Without nonce, so that one claim of an access token more makes it look like one.
CLAIMS = good_claims(NOW, without=("nonce",))
GOOD = KEY.token(CLAIMS)
HEADER = {"alg": "RS256", "typ": "JWT", "kid": "key-1"}
ATTACKER = SigningKey.rsa("key-1", number=1)

thorough = settings(
    max_examples=20_000 if FULL else 500,
    deadline=None,
    # The verifier is shared on purpose: one text must not change what the next sees.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

# Flat on purpose: deeper values cost seconds to draw, and depth has its own tests.
atoms = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(NOW - 100_000, NOW + 100_000)
    | st.floats()
    | st.text(st.characters(codec=None), max_size=10)
    | st.sampled_from(["spa", "mobile", "https://idp.example", "RS256", "JWT", "key-1"])
)
json_values = (
    atoms
    | st.lists(atoms, max_size=2)
    | st.dictionaries(st.sampled_from(["a", ""]), atoms, max_size=1)
)
claim_names = st.sampled_from(
    [*CLAIMS, "nonce", "nbf", "azp", "events", "typ", "token_use", "gty", "scope", "x"]
)
header_names = st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "jku", "x"])
# What else a provider could have written; half of it is in order.
near_values: dict[str, list[Any]] = {
    "iss": ["https://idp.example/", "https://evil.example", ["https://idp.example"]],
    "sub": ["", "s" * 255, "s" * 256, "jörg", "a\0", 7],
    "aud": ["mobile", "other", [], ["spa", "mobile"], ["spa", "other"], {"spa": 1}],
    "azp": ["spa", "other", ["spa"]],
    "exp": [NOW - 61, NOW - 60, NOW - 59, NOW + 86_391, "1800000060", 0, None],
    "iat": [NOW - 86_460, NOW - 86_459, NOW + 60, NOW + 61, NOW + 3_590, True, []],
    "nbf": [NOW + 60, NOW + 61, "soon"],
    "auth_time": [0, NOW + 60, NOW + 61, False],
    "events": [{}, None],
    "typ": ["ID", "Bearer", 1],
    "token_use": ["id", "access"],
    "scope": ["openid"],
}
one_near_claim = st.sampled_from(
    [{claim: value} for claim, values in near_values.items() for value in values]
)
left_out = st.sampled_from([*CLAIMS])


@st.composite
def edited(draw: Callable[..., Any], text: str) -> str:
    """The text with one piece of it replaced, so that it is another text."""
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, min(len(text), start + 8)))
    piece: str = draw(
        st.text(max_size=8)
        | st.text(".=-_+/ AZaz09", max_size=8)
        | st.text('{}[]":,.-+eE0123456789 \\', max_size=8)
    )
    whole = text[:start] + piece + text[end:]
    return whole if whole != text else text + "A"


@st.composite
def changed(draw: Callable[..., Any]) -> dict[str, Any]:
    """Good claims with one left out or not, and others replaced or added."""
    any_claims = st.dictionaries(claim_names, json_values, max_size=3)
    changes = draw(one_near_claim | one_near_claim | any_claims)
    missing = draw(st.none() | st.none() | left_out)
    return {k: v for k, v in (CLAIMS | changes).items() if k != missing}


@dataclass
class Judge:
    """A verifier, and what became of each token it was shown."""

    verifier: IdentityVerifier
    outcomes: Counter[str] = field(default_factory=Counter)

    async def outcome(self, text: str) -> Identity | None:
        """The identity, or None for a refusal; other errors fail the test."""
        try:
            identity = await self.verifier.verify(UnverifiedToken(text))
        except (CredentialError, KeysUnavailable) as error:
            self._note(error.reason)
            return None
        self._note("accepted")
        return identity

    async def refused(self, text: str) -> None:
        found = await self.outcome(text)
        assert found is None, f"accepted as {found}"

    def _note(self, outcome: str) -> None:
        event(outcome)
        self.outcomes[outcome] += 1


@pytest.fixture
async def judge(
    record_property: Callable[[str, object], None],
) -> AsyncIterator[Judge]:
    async with FakeIssuer(KEY).client() as http:
        provider = ProviderSettings.model_validate(provider_values())
        judge = Judge(IdentityVerifier([provider], http, clock=CLOCK))
        good = await judge.verifier.verify(UnverifiedToken(GOOD))
        assert good.subject == "00u1ada"
        yield judge
        await judge.verifier.close()
    record_property("tokens", judge.outcomes.total())
    record_property("outcomes", len(judge.outcomes))


@thorough
@given(text=st.text(st.characters(codec=None)) | st.text("ey.-_=AZaz09", max_size=200))
async def test_any_text_is_refused(judge: Judge, text: str) -> None:
    await judge.refused(text)


@thorough
@given(text=edited(GOOD))
async def test_a_good_token_with_any_change_is_refused(judge: Judge, text: str) -> None:
    await judge.refused(text)


@thorough
@given(
    header=st.dictionaries(header_names, json_values, max_size=3),
    claims=changed(),
)
async def test_any_header_and_claims_under_a_foreign_signature_are_refused(
    judge: Judge, header: dict[str, Any], claims: dict[str, Any]
) -> None:
    await judge.refused(ATTACKER.token(claims, header))


RULES_OF_CLAIMS = {
    *("accepted", "iss_missing", "iss_type", "iss_unknown", "sub_missing"),
    *("sub_invalid", "aud_missing", "aud_type", "aud_mismatch"),
    *("aud_untrusted_extra", "azp_missing", "azp_type", "azp_not_allowed"),
    *("exp_missing", "exp_type", "exp_past", "iat_missing", "iat_type"),
    *("iat_future", "iat_too_old", "nbf_type", "nbf_future", "auth_time_type"),
    *("auth_time_future", "exp_not_after_iat", "lifetime_too_long", "nonce_type"),
    *("events_present", "token_kind", "access_token_claims"),
}


@pytest.fixture
async def deep_judge(judge: Judge) -> AsyncIterator[Judge]:
    """A test that stays at the door proves little: it has to come to the rules."""
    yield judge
    # Each is one of some sixty, so a few of them may be missing from the short form.
    assert len(RULES_OF_CLAIMS - judge.outcomes.keys()) <= (0 if FULL else 8)


@thorough
@given(claims=changed())
async def test_signed_claims_of_any_shape_give_an_identity_in_bounds_or_a_refusal(
    deep_judge: Judge, claims: dict[str, Any]
) -> None:
    found = await deep_judge.outcome(KEY.token(claims))
    if found is not None:
        assert_in_bounds(found)


def assert_in_bounds(identity: Identity) -> None:
    assert identity.issuer == identity.namespace == "https://idp.example"
    assert 1 <= len(identity.subject) <= 255
    assert identity.subject.isascii()
    assert {identity.client_id, identity.audience} <= {"spa", "mobile"}
    assert identity.name is None or 0 < len(identity.name.encode()) <= 4 * 255
    assert identity.email is None or 0 < len(identity.email) <= 254
    assert identity.email_trusted is False
    assert identity.issued_at <= NOW + 60
    assert identity.expires_at > NOW - 61
    assert 0 < identity.expires_at - identity.issued_at <= 86_401


@thorough
@given(payload=edited(compact_json(CLAIMS).decode()))
async def test_a_signed_payload_with_any_change_gives_an_identity_in_bounds_or_a_refusal(
    judge: Judge, payload: str
) -> None:
    found = await judge.outcome(KEY.token(payload.encode()))
    if found is not None:
        assert_in_bounds(found)


@thorough
@given(header=edited(compact_json(HEADER).decode()))
async def test_a_signed_header_with_any_change_gives_an_identity_in_bounds_or_a_refusal(
    judge: Judge, header: str
) -> None:
    found = await judge.outcome(KEY.token(CLAIMS, header.encode()))
    if found is not None:
        assert_in_bounds(found)


@thorough
@given(data=st.binary(max_size=60))
async def test_any_signed_bytes_are_refused(judge: Judge, data: bytes) -> None:
    await judge.refused(KEY.token(data))
    await judge.refused(KEY.token(CLAIMS, data))


@pytest.fixture
async def door(settings_values: dict[str, Any], emulator: Any) -> AsyncIterator[Api]:
    """The whole service, which lets every bad token through to be judged."""
    settings_values["limits"] = {"bad_tokens_per_minute": 0}
    settings = Settings.model_validate(settings_values)
    async with Api.start(settings, emulator, create_idp(ISSUER)) as api:
        # Words of the code are drawn, too: as tokens they would be found in answers.
        WATCH.is_deaf = True
        yield api
        WATCH.is_deaf = False


@thorough
@given(
    value=st.binary(max_size=60)
    | st.binary(max_size=60).map(b"Bearer ".__add__)
    | st.text(max_size=60).map(
        lambda text: b"bearer " + text.encode("latin-1", "replace")
    )
    | edited(GOOD).map(lambda text: b"Bearer " + text.encode("utf-8", "replace"))
)
async def test_any_bytes_in_the_header_are_answered_with_a_401(
    door: Api, value: bytes
) -> None:
    answer = await door.http.get("/v1/me", headers=[(b"authorization", value)])
    code = answer.json()["code"]
    event(code)
    assert (answer.status_code, code.startswith("token_")) == (401, True)

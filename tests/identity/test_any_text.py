"""No text, however odd, is accepted, and none causes anything but a refusal."""

import base64
import json
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from sso_box_api.errors import CredentialError, KeysUnavailable
from sso_box_api.identity import Identity, IdentityVerifier, UnverifiedToken
from sso_box_api.settings import ProviderSettings
from tests.support.oidc import Clock, FakeIssuer, provider_values
from tests.support.tokens import SigningKey, good_claims

FULL = os.environ.get("TEST_SIZE") == "full"
KEY = SigningKey.rsa("key-1")
CLOCK = Clock()
GOOD = KEY.token(good_claims(CLOCK()))
ATTACKER = SigningKey.rsa("key-1", number=1)

thorough = settings(
    max_examples=10_000 if FULL else 500,
    deadline=None,
    # The verifier is shared on purpose: one text must not change what the next sees.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

# Flat on purpose: deeper values cost seconds to draw, and depth has its own tests.
atoms = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None), max_size=10)
    | st.sampled_from(["spa", "https://idp.example", "RS256", "JWT", "key-1"])
)
json_values = (
    atoms
    | st.lists(atoms, max_size=2)
    | st.dictionaries(st.sampled_from(["a", ""]), atoms, max_size=1)
)
claim_names = st.sampled_from(
    [*good_claims(0), "nbf", "azp", "events", "typ", "token_use", "scope", "x"]
)
header_names = st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "jku", "x"])


@st.composite
def mutated(draw: Callable[..., Any]) -> str:
    """A good token with one piece of its text replaced, so that it is another text."""
    start = draw(st.integers(0, len(GOOD)))
    end = draw(st.integers(start, min(len(GOOD), start + 8)))
    piece: str = draw(st.text(max_size=8) | st.text(".=-_+/ AZaz09", max_size=8))
    return GOOD[:start] + piece + GOOD[end:]


@pytest.fixture
async def verifier() -> AsyncIterator[IdentityVerifier]:
    async with FakeIssuer(KEY).client() as http:
        provider = ProviderSettings.model_validate(provider_values())
        verifier = IdentityVerifier([provider], http, clock=CLOCK)
        assert (await verifier.verify(UnverifiedToken(GOOD))).subject == "00u1ada"
        yield verifier
        await verifier.close()


async def refused(verifier: IdentityVerifier, text: str) -> None:
    try:
        identity = await verifier.verify(UnverifiedToken(text))
    except (CredentialError, KeysUnavailable):
        return
    pytest.fail(f"accepted as {identity}")


@thorough
@given(text=st.text(st.characters(codec=None)) | st.text("ey.-_=AZaz09", max_size=200))
async def test_any_text_is_refused(verifier: IdentityVerifier, text: str) -> None:
    await refused(verifier, text)


@thorough
@given(text=mutated().filter(lambda text: text != GOOD))
async def test_a_good_token_with_any_change_is_refused(
    verifier: IdentityVerifier, text: str
) -> None:
    await refused(verifier, text)


@thorough
@given(
    header=st.dictionaries(header_names, json_values, max_size=3),
    claims=st.dictionaries(claim_names, json_values, max_size=3),
)
async def test_any_header_and_claims_under_a_foreign_signature_are_refused(
    verifier: IdentityVerifier, header: dict[str, Any], claims: dict[str, Any]
) -> None:
    await refused(verifier, ATTACKER.token(good_claims(CLOCK()) | claims, header))


@thorough
@given(claims=st.dictionaries(claim_names, json_values, max_size=3))
async def test_signed_claims_of_any_shape_give_an_identity_in_bounds_or_a_refusal(
    verifier: IdentityVerifier, claims: dict[str, Any]
) -> None:
    token = KEY.token(good_claims(CLOCK()) | claims)
    try:
        identity = await verifier.verify(UnverifiedToken(token))
    except (CredentialError, KeysUnavailable):
        return
    assert_in_bounds(identity)


def assert_in_bounds(identity: Identity) -> None:
    assert identity.issuer == identity.namespace == "https://idp.example"
    assert 1 <= len(identity.subject) <= 255
    assert identity.subject.isascii()
    assert {identity.client_id, identity.audience} <= {"spa", "mobile"}
    assert identity.name is None or 0 < len(identity.name.encode()) <= 4 * 255
    assert identity.email is None or 0 < len(identity.email) <= 254
    assert identity.email_trusted is False
    assert identity.issued_at <= CLOCK() + 60
    assert identity.expires_at > CLOCK() - 61


@thorough
@given(data=st.binary(max_size=60))
async def test_any_signed_bytes_are_refused(
    verifier: IdentityVerifier, data: bytes
) -> None:
    await refused(verifier, KEY.token(data))
    await refused(verifier, KEY.token(good_claims(CLOCK()), data))


async def test_the_mutations_start_from_a_token_that_is_good() -> None:
    """Otherwise nothing above could fail for the right reason."""
    header, payload, _ = GOOD.split(".")
    assert json.loads(base64.urlsafe_b64decode(header + "=="))["kid"] == "key-1"
    assert json.loads(base64.urlsafe_b64decode(payload + "=="))["aud"] == "spa"

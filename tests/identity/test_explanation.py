"""Every check by itself, for an administrator with somebody's token in hand."""

from collections.abc import Callable
from typing import Any

import pytest

from sso_box_api.identity import Explanation, IdentityVerifier, UnverifiedToken
from sso_box_api.identity.id_token import CLAIM_CHECKS
from sso_box_api.identity.signature import HEADER_CHECKS
from sso_box_api.settings import ProviderSettings
from tests.support.oidc import Clock, FakeIssuer, provider_values
from tests.support.tokens import SigningKey, good_claims

NOW = 1_800_000_000
KEY = SigningKey.rsa("key-1")
STRANGER = SigningKey.rsa("key-1", number=1)
CHECKS = ["form", *HEADER_CHECKS, "issuer", "allowed algorithm", "signature"]


async def explain(
    token: str, *, online: bool = True, issuer: FakeIssuer | None = None, **values: Any
) -> Explanation:
    provider = ProviderSettings.model_validate(provider_values(**values))
    async with (issuer or FakeIssuer(KEY)).client() as http:
        verifier = IdentityVerifier([provider], http, clock=Clock(NOW))
        return await verifier.explain(UnverifiedToken(token), online=online)


def good(**changes: Any) -> str:
    return KEY.token(good_claims(NOW, **changes))


def outcomes(found: Explanation, outcome: str) -> dict[str, str]:
    return {one.name: one.text for one in found.checks if one.outcome == outcome}


async def test_a_good_token_passes_every_check_that_a_request_makes() -> None:
    found = await explain(good())
    assert [one.name for one in found.checks] == [*CHECKS, *CLAIM_CHECKS]
    assert (found.verdict, found.code) == ("granted", None)
    assert not outcomes(found, "failed")
    assert not outcomes(found, "unknown")
    assert found.provider is not None
    assert found.provider.id == "main"
    assert found.identity is not None
    assert found.identity.subject == "00u1ada"


# What is wrong with a token, the checks that fail and why, and what a caller is told.
FAILURES: list[tuple[str, Callable[[], str], dict[str, str], str]] = [
    ("no token", lambda: "x", {"form": "segment_count"}, "token_malformed"),
    (
        "a header of another token",
        lambda: KEY.token(good_claims(NOW), {"typ": "at+jwt", "crit": ["b64"]}),
        {"extensions": "header_extension", "type": "typ_not_accepted"},
        "token_policy",
    ),
    (
        "a foreign issuer",
        lambda: good(iss="https://evil.example"),
        {"issuer": 'iss_unknown; iss "https://evil.example"'},
        "token_untrusted_issuer",
    ),
    (
        "an algorithm that is not allowed",
        lambda: SigningKey.ec("key-1").token(good_claims(NOW)),
        {"allowed algorithm": "alg_not_allowed; ES256 of RS256", "signature": "kid"},
        "token_signature",
    ),
    (
        "a key nobody knows",
        lambda: KEY.under("key-2").token(good_claims(NOW)),
        {"signature": "kid_unknown; 0 of 1 keys"},
        "token_signature",
    ),
    (
        "somebody else's signature",
        lambda: STRANGER.token(good_claims(NOW)),
        {"signature": "signature_invalid; 1 of 1 keys"},
        "token_signature",
    ),
    (
        "several things at once, of which the audience comes first",
        lambda: STRANGER.token(
            good_claims(NOW, aud="other", exp=NOW - 7200, sub="", iat=NOW - 9000)
        ),
        {
            "audience": 'aud_mismatch; aud "other"; -> add the client to client_ids',
            "parties": "aud_untrusted_extra",
            "validity": "exp_past; iat 2027-01-15T05:30:00+00:00 (2 h ago), exp",
            "subject": 'sub_invalid; sub ""',
            "signature": "signature_invalid",
        },
        "token_audience",
    ),
    (
        "expired with a strange signature",
        lambda: STRANGER.token(good_claims(NOW, exp=NOW - 90, iat=NOW - 7200)),
        {"validity": "(90 s ago)", "signature": "signature_invalid"},
        "token_expired",
    ),
    (
        "times that are no times",
        lambda: good(iat=True, nbf=10**40, exp=NOW + 200_000),
        {"times": "iat_type", "validity": "in 2 d"},
        "token_malformed",
    ),
]


@pytest.mark.parametrize(
    ("token", "failed", "code"),
    [
        pytest.param(make, failed, code, id=name)
        for name, make, failed, code in FAILURES
    ],
)
async def test_each_failed_check_says_its_rule_and_what_it_looked_at(
    token: Callable[[], str], failed: dict[str, str], code: str
) -> None:
    found = await explain(token())
    said = outcomes(found, "failed")
    assert said.keys() == failed.keys()
    for name, text in failed.items():
        assert text in said[name]
    assert (found.verdict, found.code) == ("refused", code)


async def test_the_code_is_the_one_that_a_request_gets() -> None:
    for _, make, _, code in FAILURES:
        provider = ProviderSettings.model_validate(provider_values())
        async with FakeIssuer(KEY).client() as http:
            verifier = IdentityVerifier([provider], http, clock=Clock(NOW))
            with pytest.raises(Exception, match=code):
                await verifier.verify(UnverifiedToken(make()))


async def test_an_unacceptable_header_leaves_the_signature_open() -> None:
    found = await explain(KEY.token(good_claims(NOW), {"kid": ""}))
    assert outcomes(found, "unknown").keys() == {"signature"}
    assert outcomes(found, "failed").keys() == {"key id"}


async def test_what_the_settings_ask_for_is_shown_with_what_the_token_says() -> None:
    found = await explain(
        good(org_id="org_b", acr="low", oid="x" * 200),
        required_claims={"org_id": ["org_a"]},
        allowed_acr=["high"],
        subject_claims=["oid"],
    )
    failed = outcomes(found, "failed")
    assert 'required_claim; org_id "org_b"' in failed["required claims"]
    assert 'acr_not_allowed; auth_time 1799999980, acr "low"' in failed["login"]
    [subject] = [one.text for one in found.checks if one.name == "subject"]
    assert subject == 'oid "' + "x" * 119 + "..."


async def test_nobody_is_asked_unless_told_to() -> None:
    issuer = FakeIssuer(KEY)
    found = await explain(good(), online=False, issuer=issuer)
    assert issuer.requests == []
    assert outcomes(found, "unknown").keys() == {"signature"}
    assert found.verdict == "undecided"
    assert found.identity is not None


async def test_keys_that_stand_in_the_settings_are_no_question() -> None:
    found = await explain(
        good(), online=False, jwks_inline={"keys": [KEY.jwk()]}, algs=["RS256"]
    )
    assert found.verdict == "granted"


async def test_keys_that_cannot_be_had_are_said_with_what_to_do() -> None:
    issuer = FakeIssuer(KEY)
    issuer.down = True
    found = await explain(good(), issuer=issuer)
    assert found.verdict == "undecided"
    said = outcomes(found, "unknown")["signature"]
    assert "the discovery document answers with status 503; check" in said


async def test_nothing_that_could_be_used_is_repeated() -> None:
    """No segment of the token, no nonce, no name, no address, no control character."""
    token = KEY.token(
        good_claims(NOW, aud="\x1b[31m\u202ered"), {"kid": "key-1", "x5c": ["c2VjcmV0"]}
    )
    found = await explain(token)
    text = "\n".join(f"{one.name}: {one.text}" for one in found.checks)
    segments = token.split(".")
    for secret in (*segments, "n-0S6_WzA2Mj", "Ada", "@example.com", "c2VjcmV0"):
        assert secret not in text
    assert text.replace("\n", "").isascii()
    assert text.replace("\n", "").isprintable()

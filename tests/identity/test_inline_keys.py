"""A key set in the configuration: tokens are judged by it, and nobody is asked."""

from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from sso_box_api.errors import BadSignature, ConfigurationError
from sso_box_api.identity import (
    IdentityVerifier,
    KeysState,
    Probed,
    UnverifiedToken,
)
from sso_box_api.settings import ProviderSettings
from tests.support.oidc import Clock, FakeIssuer, provider_values
from tests.support.tokens import SigningKey, good_claims

KEY = SigningKey.rsa("inline")
STRANGER = SigningKey.rsa("stranger", number=1)
CLOCK = Clock()


def verifier_of(
    http: httpx.AsyncClient, *jwks: dict[str, Any], **values: Any
) -> IdentityVerifier:
    inline = provider_values(jwks_inline={"keys": list(jwks)}, **values)
    other = provider_values(id="other", issuer="https://two.example")
    providers = [ProviderSettings.model_validate(v) for v in (other, inline)]
    return IdentityVerifier(providers, http, clock=CLOCK)


def token(key: SigningKey, **header: Any) -> UnverifiedToken:
    return UnverifiedToken(key.token(good_claims(CLOCK()), header))


async def test_inline_keys_verify_and_nothing_is_ever_fetched() -> None:
    issuer = FakeIssuer(STRANGER)
    async with issuer.client() as http:
        verifier = verifier_of(http, KEY.jwk())
        assert verifier.key_states()["main"] == KeysState("fresh", None, 1)
        assert (await verifier.verify(token(KEY))).subject == "00u1ada"
        for _ in range(5):  # more than the tries a remote set would have
            with pytest.raises(BadSignature, match="kid_unknown"):
                await verifier.verify(token(STRANGER))
        with pytest.raises(BadSignature, match="signature_invalid"):
            await verifier.verify(token(STRANGER, kid=None))
        with pytest.raises(BadSignature, match="signature_invalid"):
            await verifier.verify(token(STRANGER, kid="inline"))
        report = await verifier.probe("main")
        assert report.probed == (Probed("keys", note="1 usable key, inline"),)
        await verifier.close()
    assert issuer.requests == []


async def test_a_start_fetches_for_the_other_providers_only() -> None:
    issuer = FakeIssuer(KEY, issuer="https://two.example")
    async with issuer.client() as http:
        verifier = verifier_of(http, KEY.jwk())
        verifier.start()
        claims = good_claims(CLOCK(), iss="https://two.example")
        await verifier.verify(UnverifiedToken(KEY.token(claims)))
        await verifier.close()
    assert len(issuer.requests) == 2


@pytest.mark.parametrize(
    ("jwks", "problem"),
    [
        ([], "holds no usable key for RS256"),
        ([SigningKey.ec("curve").jwk()], "holds no usable key for RS256"),
        ([{"kty": "oct", "k": "c2VjcmV0LXRleHQ"}], "holds a private key"),
        ([KEY.jwk(d="c2VjcmV0LXRleHQ")], "holds a private key"),
    ],
)
async def test_inline_keys_that_cannot_be_used_or_are_secret_are_refused_at_start(
    jwks: list[dict[str, Any]], problem: str
) -> None:
    async with FakeIssuer().client() as http:
        with pytest.raises(ConfigurationError) as refusal:
            verifier_of(http, *jwks)
    [line] = refusal.value.problems
    assert line.startswith("SSO_BOX_PROVIDERS[1].jwks_inline: ")
    assert problem in line
    assert "c2VjcmV0LXRleHQ" not in line


@pytest.mark.parametrize("other", ["jwks_uri", "discovery_url"])
def test_inline_keys_exclude_an_address_to_fetch_keys_from(other: str) -> None:
    values = provider_values(jwks_inline={"keys": []}, **{other: "https://x.example"})
    with pytest.raises(ValidationError, match="jwks_inline excludes"):
        ProviderSettings.model_validate(values)

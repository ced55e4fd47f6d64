"""The relying-party tests of the OpenID Foundation's suite that apply to us.

Named after the suite's ids, ``oidcc-client-test-…``: those in which a token is judged
or keys are found. We meet a token at the page's hand and not at the token endpoint,
so an unsigned one is refused where the suite lets the code flow take it.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from sso_box_api.errors import CredentialError, KeysUnavailable, NonceProofFailed
from sso_box_api.identity import IdentityVerifier, UnverifiedToken
from sso_box_api.identity.nonce import nonce_for
from sso_box_api.settings import ProviderSettings
from tests.support.oidc import Clock, FakeIssuer, provider_values
from tests.support.tokens import SigningKey, b64url, compact_json, good_claims

NOW = 1_800_000_000
KEY = SigningKey.rsa("key-1")
NEW_KEY = SigningKey.rsa("key-2", number=1)
THIRD_KEY = SigningKey.rsa("key-3", number=2)
EC_KEY = SigningKey.ec("key-ec")


class RelyingParty:
    """One provider, and a verifier that has read nothing of it yet."""

    def __init__(self, op: FakeIssuer, verifier: IdentityVerifier) -> None:
        self.op = op
        self._verifier = verifier

    async def takes(self, token: str) -> None:
        identity = await self._verifier.verify(UnverifiedToken(token))
        assert identity.subject == "00u1ada"

    async def refuses(self, token: str, reason: str) -> None:
        with pytest.raises(CredentialError) as refusal:
            await self._verifier.verify(UnverifiedToken(token))
        assert refusal.value.reason == reason

    async def cannot_tell(self, token: str) -> None:
        with pytest.raises(KeysUnavailable):
            await self._verifier.verify(UnverifiedToken(token))


@pytest.fixture
async def rp() -> AsyncIterator[RelyingParty]:
    op = FakeIssuer(KEY)
    provider = ProviderSettings.model_validate(provider_values(algs=["RS256", "ES256"]))
    async with op.client() as http:
        verifier = IdentityVerifier([provider], http, clock=Clock(NOW))
        yield RelyingParty(op, verifier)
        await verifier.close()


def token(*, without: tuple[str, ...] = (), **changes: Any) -> str:
    return KEY.token(good_claims(NOW, without=without, **changes))


def damaged(whole: str) -> str:
    """The same token with one bit of the signature turned."""
    signed, _, signature = whole.rpartition(".")
    return f"{signed}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


async def test_oidcc_client_test(rp: RelyingParty) -> None:
    await rp.takes(token())


async def test_oidcc_client_test_invalid_iss(rp: RelyingParty) -> None:
    await rp.refuses(token(iss="https://idp.example/invalid"), "iss_unknown")


async def test_oidcc_client_test_missing_sub(rp: RelyingParty) -> None:
    await rp.refuses(token(without=("sub",)), "sub_missing")


async def test_oidcc_client_test_invalid_aud(rp: RelyingParty) -> None:
    await rp.refuses(token(aud="spa1"), "aud_mismatch")


async def test_oidcc_client_test_missing_aud(rp: RelyingParty) -> None:
    await rp.refuses(token(without=("aud",)), "aud_missing")


async def test_oidcc_client_test_missing_iat(rp: RelyingParty) -> None:
    await rp.refuses(token(without=("iat",)), "iat_missing")


async def test_oidcc_client_test_kid_absent_single_jwks(rp: RelyingParty) -> None:
    rp.op.jwks = [KEY.jwk(kid=None)]
    await rp.takes(KEY.token(good_claims(NOW), {"kid": None}))


async def test_oidcc_client_test_kid_absent_multiple_jwks(rp: RelyingParty) -> None:
    rp.op.jwks = [NEW_KEY.jwk(kid=None), EC_KEY.jwk(kid=None), KEY.jwk(kid=None)]
    await rp.takes(KEY.token(good_claims(NOW), {"kid": None}))


async def test_oidcc_client_test_idtoken_sig_rs256(rp: RelyingParty) -> None:
    await rp.takes(KEY.token(good_claims(NOW), {"alg": "RS256"}))


async def test_oidcc_client_test_idtoken_sig_es256(rp: RelyingParty) -> None:
    rp.op.publish(KEY, EC_KEY)
    await rp.takes(EC_KEY.token(good_claims(NOW)))


async def test_oidcc_client_test_idtoken_sig_none(rp: RelyingParty) -> None:
    unsigned = f"{b64url(compact_json({'alg': 'none'}))}.{token().split('.')[1]}."
    await rp.refuses(unsigned, "signature_missing")
    await rp.refuses(unsigned + "AAAA", "alg_not_allowed")


async def test_oidcc_client_test_invalid_sig_rs256(rp: RelyingParty) -> None:
    await rp.refuses(damaged(token()), "signature_invalid")


async def test_oidcc_client_test_invalid_sig_es256(rp: RelyingParty) -> None:
    rp.op.publish(KEY, EC_KEY)
    await rp.refuses(damaged(EC_KEY.token(good_claims(NOW))), "signature_invalid")


async def test_oidcc_client_test_invalid_sig_hs256(rp: RelyingParty) -> None:
    await rp.refuses(KEY.token(good_claims(NOW), {"alg": "HS256"}), "alg_not_allowed")


async def test_oidcc_client_test_discovery_openid_config(rp: RelyingParty) -> None:
    await rp.takes(token())
    assert rp.op.requests == ["/.well-known/openid-configuration", "/keys"]


@pytest.mark.parametrize("path", ["/keys/a", "/somewhere/else"])
async def test_oidcc_client_test_discovery_jwks_uri_keys(
    rp: RelyingParty, path: str
) -> None:
    rp.op.keys_path = path
    await rp.takes(token())
    assert rp.op.requests[-1] == path


async def test_oidcc_client_test_discovery_issuer_mismatch(rp: RelyingParty) -> None:
    rp.op.metadata["issuer"] = "https://idp.example/other"
    await rp.cannot_tell(token())
    assert rp.op.key_fetches == 0


async def test_oidcc_client_test_signing_key_rotation(rp: RelyingParty) -> None:
    await rp.takes(token())
    rp.op.publish(NEW_KEY)
    await rp.takes(NEW_KEY.token(good_claims(NOW)))
    await rp.refuses(token(), "kid_unknown")


async def test_oidcc_client_test_signing_key_rotation_just_before_signing(
    rp: RelyingParty,
) -> None:
    """Keys were read a moment ago, and the first miss is looked up all the same."""
    await rp.takes(token())
    for key in (NEW_KEY, THIRD_KEY):
        rp.op.publish(key)
        await rp.takes(key.token(good_claims(NOW)))


async def test_oidcc_client_test_nonce_invalid() -> None:
    """Where a nonce is expected: of a page that has to prove that it logged in."""
    provider = ProviderSettings.model_validate(
        provider_values(require_nonce_proof=True)
    )
    async with FakeIssuer(KEY).client() as http:
        verifier = IdentityVerifier([provider], http, clock=Clock(NOW))
        own = token(nonce=nonce_for("v" * 43))
        identity = await verifier.verify(UnverifiedToken(own))
        assert verifier.check_nonce(identity, "v" * 43) is not None
        other = await verifier.verify(UnverifiedToken(token(nonce="another")))
        with pytest.raises(NonceProofFailed, match="nonce_mismatch"):
            verifier.check_nonce(other, "v" * 43)


LOGOUT: dict[str, Any] = {
    "events": {"http://schemas.openid.net/event/backchannel-logout": {}}
}


@pytest.mark.parametrize(
    ("changes", "header", "reason"),
    [
        pytest.param(LOGOUT, {}, "events_present", id="rpinitlogout"),
        pytest.param(LOGOUT, {"typ": "logout+jwt"}, "typ_not_accepted", id="typ"),
        pytest.param(LOGOUT, {"alg": "none"}, "alg_not_allowed", id="alg-none"),
        pytest.param(LOGOUT, {"alg": "ES256"}, "kid_unknown", id="wrong-alg"),
        pytest.param(
            {**LOGOUT, "iss": "https://x.example"}, {}, "iss_unknown", id="wrong-iss"
        ),
        pytest.param({**LOGOUT, "aud": "x"}, {}, "aud_mismatch", id="wrong-aud"),
        pytest.param({"events": {"x": {}}}, {}, "events_present", id="wrong-event"),
        pytest.param({**LOGOUT, "nonce": "n"}, {}, "events_present", id="with-nonce"),
    ],
)
async def test_oidcc_client_test_rp_backchannel(
    rp: RelyingParty, changes: dict[str, Any], header: dict[str, Any], reason: str
) -> None:
    """There is no route that takes a logout token, and none logs anybody in.

    The suite's -no-event differs from an ID token in nothing that is forbidden there.
    """
    claims = good_claims(NOW, without=("nonce",)) | changes
    await rp.refuses(KEY.token(claims, header), reason)

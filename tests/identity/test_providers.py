"""For each provider its genuine tokens, and what a validator that knows less takes.

The tokens have the members and the shapes that the provider documents.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from sso_box_api.errors import CredentialError, KeysUnavailable
from sso_box_api.identity import Identity, IdentityVerifier, UnverifiedToken
from sso_box_api.settings import ProviderSettings
from tests.support.oidc import Clock, FakeIssuer
from tests.support.tokens import SigningKey

NOW = 1_800_000_000
KEY = SigningKey.rsa("key-1")
ACME = "0f3a1c52-9d6e-4b7a-8c21-5e4d3f2a1b0c"
BETA = "1e2b4d60-7c8f-4a9b-9d30-6f5e4c3b2a1d"
PERSONAL = "9188040d-6c67-4c5b-b112-36a304b66dad"

Verify = Callable[[str], Awaitable[Identity]]


def _nobody(_: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("no such host")


@asynccontextmanager
async def verifying(*hosts: FakeIssuer, **values: Any) -> AsyncIterator[Verify]:
    """A verifier of one provider, whose hosts are all there is to reach."""
    provider = ProviderSettings.model_validate(
        {"id": "main", "client_ids": ["spa"]} | values
    )
    mounts = {
        "all://" + host.issuer.split("/")[2]: httpx.ASGITransport(host)
        for host in hosts
    }
    elsewhere = httpx.MockTransport(_nobody)
    async with httpx.AsyncClient(mounts=mounts, transport=elsewhere) as http:
        verifier = IdentityVerifier([provider], http, clock=Clock(NOW))

        async def verify(token: str) -> Identity:
            return await verifier.verify(UnverifiedToken(token))

        yield verify
        await verifier.close()


def host_of(
    issuer: str, *keys: SigningKey, keys_path: str = "/keys", at: str | None = None
) -> FakeIssuer:
    """An issuer with its metadata under its own path, or under that of ``at``."""
    host = FakeIssuer(*keys, issuer=issuer)
    parts = urlsplit(at or issuer)
    path = parts.path.rstrip("/")
    host.discovery_path = f"{path}/.well-known/openid-configuration"
    host.keys_path = keys_path
    host.metadata["jwks_uri"] = f"https://{parts.netloc}{keys_path}"
    return host


async def refused(verify: Verify, token: str, reason: str) -> None:
    with pytest.raises(CredentialError) as refusal:
        await verify(token)
    assert refusal.value.reason == reason


def token(
    issuer: str, claims: dict[str, Any], *, key: SigningKey = KEY, life_s: int = 3_600
) -> str:
    times = {"iat": NOW - 5, "exp": NOW - 5 + life_s}
    typ = {"typ": claims.pop("header_typ")} if "header_typ" in claims else {}
    return key.token({"iss": issuer, "aud": "spa", **times, **claims}, typ)


# --- Okta -----------------------------------------------------------------------------

OKTA = "https://acme.okta.com/oauth2/default"


def okta(issuer: str = OKTA, **changes: Any) -> str:
    return token(
        issuer,
        {
            "sub": "00uid4BxXw6I6TV4m0g3",
            "ver": 1,
            "jti": "ID.Rp1jDGUYYUWPTVeKAAAFsuHdjqLKV-0iIk9LsRjIH2I",
            "amr": ["pwd", "mfa"],
            "idp": "00oid9BXU7Kc7Y1aa0g3",
            "auth_time": NOW - 60,
            "name": "Ada Lovelace",
            "preferred_username": "ada@acme.example",
        }
        | changes,
    )


async def test_okta_one_tenant_under_two_issuers_is_one_person() -> None:
    custom = "https://login.acme.example/oauth2/default"
    async with verifying(
        host_of(OKTA, KEY, keys_path="/oauth2/default/v1/keys"),
        kind="okta",
        issuer=OKTA,
        other_issuers=[custom],
    ) as verify:
        first, second = await verify(okta()), await verify(okta(custom))
        assert first.namespace == second.namespace == OKTA
        assert first.subject == second.subject == "00uid4BxXw6I6TV4m0g3"
        assert (first.issuer, second.issuer) == (OKTA, custom)
        other_server = okta("https://acme.okta.com/oauth2/aus1")
        await refused(verify, other_server, "iss_unknown")
        admin = okta("https://acme-admin.okta.com/oauth2/default")
        await refused(verify, admin, "iss_unknown")
        await refused(verify, okta("https://acme.okta.com"), "iss_unknown")


async def test_okta_its_access_token_for_the_same_client_is_no_id_token() -> None:
    keys_path = "/oauth2/default/v1/keys"
    async with verifying(
        host_of(OKTA, KEY, keys_path=keys_path), kind="okta", issuer=OKTA
    ) as verify:
        access = okta(jti="AT.x", cid="spa", uid="00uid4BxXw6I6TV4m0g3")
        await refused(verify, access, "access_token_claims")


# --- Auth0 ----------------------------------------------------------------------------

AUTH0 = "https://acme.eu.auth0.com/"


def auth0(issuer: str = AUTH0, life_s: int = 36_000, **changes: Any) -> str:
    claims = {
        "sub": "auth0|507f1f77bcf86cd799439011",
        "sid": "Aa1",
        "nickname": "ada",
        "name": "Ada Lovelace",
        "email": "ada@acme.example",
        "email_verified": True,
        "https://acme.example/roles": ["editor"],
        "org_id": "org_acme",
    }
    return token(issuer, claims | changes, life_s=life_s)


async def test_auth0_the_slash_and_ten_hours_belong_to_it() -> None:
    async with verifying(
        host_of(AUTH0, KEY, keys_path="/.well-known/jwks.json"),
        kind="auth0",
        issuer=AUTH0,
        required_claims={"org_id": ["org_acme", "org_beta"]},
    ) as verify:
        identity = await verify(auth0())
        assert identity.subject == "auth0|507f1f77bcf86cd799439011"
        assert not identity.email_trusted
        await refused(verify, auth0(AUTH0.rstrip("/")), "iss_unknown")
        await refused(verify, auth0(life_s=36_001), "lifetime_too_long")
        await refused(verify, auth0(org_id="org_evil"), "required_claim")


async def test_auth0_its_access_tokens_under_the_same_key_are_no_id_tokens() -> None:
    async with verifying(
        host_of(AUTH0, KEY, keys_path="/.well-known/jwks.json"),
        kind="auth0",
        issuer=AUTH0,
    ) as verify:
        of_a_person: dict[str, Any] = {"azp": "spa", "scope": "openid profile"}
        api = auth0(**of_a_person, aud=["https://api.acme.example", "spa"])
        await refused(verify, api, "aud_untrusted_extra")
        await refused(verify, auth0(**of_a_person), "access_token_claims")
        machine = auth0(sub="spa@clients", gty="client-credentials")
        await refused(verify, machine, "token_kind")
        await refused(verify, auth0(header_typ="at+jwt"), "typ_not_accepted")


# --- Entra ----------------------------------------------------------------------------

MICROSOFT = "https://login.microsoftonline.com"


def entra_metadata(*keys: SigningKey) -> FakeIssuer:
    """What all tenants share, with the template as its issuer."""
    host = host_of(
        f"{MICROSOFT}/{{tenantid}}/v2.0",
        keys_path="/common/discovery/v2.0/keys",
        at=f"{MICROSOFT}/common/v2.0",
    )
    host.jwks = [
        key.jwk(alg=None, issuer=f"{MICROSOFT}/{{tenantid}}/v2.0") for key in keys
    ]
    return host


def entra(
    tenant: str = ACME,
    issuer: str | None = None,
    *,
    without: tuple[str, ...] = (),
    **changes: Any,
) -> str:
    claims = {
        "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ",
        "tid": tenant,
        "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
        "nonce": "123523",
        "uti": "fqiBqXLPj0eQa82S-IYFAA",
        "ver": "2.0",
        "name": "Ada Lovelace",
        "preferred_username": "ada@acme.example",
        "email": "ada@acme.example",
    }
    kept = {k: v for k, v in (claims | changes).items() if k not in without}
    return token(issuer or f"{MICROSOFT}/{tenant}/v2.0", kept)


SUBJECT = f"{ACME}/690222be-ff1a-4d56-abd1-7e4f7d38e474"


async def test_entra_one_tenant_by_its_own_metadata() -> None:
    issuer = f"{MICROSOFT}/{ACME}/v2.0"
    host = host_of(issuer, KEY, keys_path=f"/{ACME}/discovery/v2.0/keys")
    async with verifying(host, kind="entra", tenants=[ACME]) as verify:
        identity = await verify(entra())
        assert (identity.namespace, identity.subject) == (f"entra:{ACME}", SUBJECT)
        await refused(verify, entra(BETA), "iss_unknown")
        await refused(verify, entra(tid=BETA), "tenant_mismatch")


async def test_entra_two_apps_see_one_person_although_sub_differs() -> None:
    async with verifying(
        entra_metadata(KEY), kind="entra", tenants=[ACME, BETA]
    ) as verify:
        page, phone = await verify(entra()), await verify(entra(sub="pairwise-2"))
        assert page.subject == phone.subject == SUBJECT


async def test_entra_several_tenants_are_the_listed_ones_each_by_itself() -> None:
    async with verifying(
        entra_metadata(KEY), kind="entra", tenants=[ACME, BETA]
    ) as verify:
        assert (await verify(entra(ACME))).namespace == f"entra:{ACME}"
        assert (await verify(entra(BETA))).namespace == f"entra:{BETA}"
        await refused(verify, entra(PERSONAL), "iss_unknown")
        await refused(verify, entra(ACME, tid=BETA), "tenant_mismatch")
        for literal in ("common", "organizations", "{tenantid}", ACME.upper()):
            foreign = entra(issuer=f"{MICROSOFT}/{literal}/v2.0")
            await refused(verify, foreign, "iss_unknown")


async def test_entra_a_token_without_tid_is_of_no_tenant() -> None:
    async with verifying(
        entra_metadata(KEY), kind="entra", tenants=[ACME, BETA], subject_claims=["oid"]
    ) as verify:
        assert (await verify(entra())).subject == "690222be-ff1a-4d56-abd1-7e4f7d38e474"
        await refused(verify, entra(without=("tid",)), "tenant_mismatch")
        await refused(verify, entra(tid=None), "tenant_mismatch")


async def test_entra_a_key_for_personal_accounts_signs_for_no_company() -> None:
    personal = SigningKey.rsa("personal", number=1)
    host = entra_metadata(KEY)
    host.jwks.append(
        personal.jwk(alg=None, issuer=f"{MICROSOFT}/{PERSONAL}/v2.0"),
    )
    async with verifying(host, kind="entra", dangerously_accept_anyone=True) as verify:
        claims = {
            "iss": f"{MICROSOFT}/{ACME}/v2.0",
            "aud": "spa",
            "iat": NOW,
            "exp": NOW + 60,
            "sub": "s",
            "tid": ACME,
            "oid": "o",
        }
        await refused(verify, personal.token(claims), "key_of_other_issuer")
        own = claims | {"iss": f"{MICROSOFT}/{PERSONAL}/v2.0", "tid": PERSONAL}
        assert (await verify(personal.token(own))).namespace == f"entra:{PERSONAL}"


async def test_entra_without_kid_keys_of_others_are_no_candidates() -> None:
    """So the set cannot tell, and a newer one is asked for."""
    host = entra_metadata()
    issuer = f"{MICROSOFT}/{PERSONAL}/v2.0"
    host.jwks = [SigningKey.rsa("personal", number=1).jwk(alg=None, issuer=issuer)]
    async with verifying(host, kind="entra", dangerously_accept_anyone=True) as verify:
        times = {"iat": NOW, "exp": NOW + 60}
        claims = {"aud": "spa", **times, "sub": "s", "tid": ACME, "oid": "o"}
        without_kid = KEY.under(None).token(
            {"iss": f"{MICROSOFT}/{ACME}/v2.0", **claims}
        )
        await refused(verify, without_kid, "signature_invalid")
        host.jwks.append(KEY.jwk(alg=None))
        assert (await verify(without_kid)).namespace == f"entra:{ACME}"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"scp": "access_as_user"}, "access_token_claims"),
        ({"appid": "spa"}, "access_token_claims"),
        ({"idtyp": "app"}, "token_kind"),
    ],
    ids=str,
)
async def test_entra_its_access_token_for_the_same_client_is_no_id_token(
    changes: dict[str, Any], reason: str
) -> None:
    """A page with an API of its own may have both for one client id."""
    async with verifying(
        entra_metadata(KEY), kind="entra", tenants=[ACME, BETA]
    ) as verify:
        assert (await verify(entra(without=("nonce",)))).subject == SUBJECT
        await refused(verify, entra(without=("nonce",), **changes), reason)


async def test_entra_the_first_version_of_tokens_only_where_it_is_listed() -> None:
    v1 = f"https://sts.windows.net/{ACME}/"
    async with verifying(
        entra_metadata(KEY), kind="entra", tenants=[ACME, BETA]
    ) as verify:
        await refused(verify, entra(issuer=v1, ver="1.0"), "iss_unknown")
    async with verifying(
        entra_metadata(KEY),
        kind="entra",
        tenants=[ACME, BETA],
        other_issuers=["https://sts.windows.net/{tenantid}/"],
    ) as verify:
        old, new = await verify(entra(issuer=v1, ver="1.0")), await verify(entra())
        assert (old.namespace, old.subject) == (new.namespace, new.subject)
        await refused(verify, entra(issuer=v1.rstrip("/")), "iss_unknown")


async def test_entra_a_sovereign_cloud_is_another_template() -> None:
    cloud = "https://login.microsoftonline.us"
    host = host_of(f"{cloud}/{ACME}/v2.0", KEY)
    async with verifying(
        host,
        kind="entra",
        tenants=[ACME],
        issuer_template=cloud + "/{tenantid}/v2.0",
    ) as verify:
        identity = await verify(entra(issuer=f"{cloud}/{ACME}/v2.0"))
        assert identity.namespace == f"entra:{ACME}"
        await refused(verify, entra(), "iss_unknown")


async def test_entra_any_tenant_only_when_that_is_asked_for() -> None:
    async with verifying(
        entra_metadata(KEY), kind="entra", dangerously_accept_anyone=True
    ) as verify:
        assert (await verify(entra(BETA))).namespace == f"entra:{BETA}"
        await refused(verify, entra(BETA, tid=ACME), "tenant_mismatch")
        await refused(verify, entra("common"), "iss_unknown")
        evil = entra(issuer=f"https://evil.example/{BETA}/v2.0")
        await refused(verify, evil, "iss_unknown")


@pytest.mark.parametrize(
    ("changes", "trusted"),
    [
        ({}, False),
        ({"email_verified": True}, False),
        ({"xms_edov": False}, False),
        ({"xms_edov": "0"}, False),
        ({"xms_edov": True}, True),
        ({"xms_edov": 1}, True),
        ({"xms_edov": "1"}, True),
        ({"xms_edov": "true"}, True),
    ],
    ids=str,
)
async def test_entra_an_address_is_trusted_by_xms_edov_alone(
    changes: dict[str, Any], *, trusted: bool
) -> None:
    """Any tenant's administrator can write any address into ``email``."""
    values = {"kind": "entra", "tenants": [ACME, BETA]}
    async with verifying(entra_metadata(KEY), **values) as verify:
        identity = await verify(entra(**changes))
        assert (identity.email, identity.email_trusted) == ("ada@acme.example", trusted)
    async with verifying(entra_metadata(KEY), **values, trust_email=False) as verify:
        assert not (await verify(entra(**changes))).email_trusted


# --- Azure AD B2C ---------------------------------------------------------------------


async def test_b2c_metadata_that_lies_elsewhere_than_the_issuer_says() -> None:
    issuer = f"https://acme.b2clogin.com/{ACME}/v2.0/"
    policy = f"https://acme.b2clogin.com/{ACME}/b2c_1_signin"
    keys_path = f"/{ACME}/b2c_1_signin/discovery/v2.0/keys"
    host = host_of(issuer, KEY, keys_path=keys_path, at=f"{policy}/v2.0")
    claims = {
        "sub": "884408e1-2918-4cz0-b12d-3aa027d7563b",
        "ver": "1.0",
        "nonce": "defaultNonce",
        "tfp": "b2c_1_signin",
        "auth_time": NOW - 9,
        "nbf": NOW - 5,
        "emails": ["ada@acme.example", "ada@home.example"],
    }
    async with verifying(
        host,
        kind="entra-b2c",
        issuer=issuer,
        discovery_url=f"{policy}/v2.0/.well-known/openid-configuration",
    ) as verify:
        identity = await verify(token(issuer, claims))
        assert identity.namespace == issuer
        assert identity.email == "ada@acme.example"
        assert not identity.email_trusted
        empty = await verify(token(issuer, claims | {"emails": []}))
        assert empty.email is None
        # Neither where the metadata lies nor what its address seems to say.
        for other in (f"{policy}/v2.0", f"{policy}/v2.0/", issuer.rstrip("/")):
            await refused(verify, token(other, claims), "iss_unknown")


async def test_b2c_metadata_at_the_usual_place_is_not_guessed_at() -> None:
    issuer = f"https://acme.b2clogin.com/{ACME}/v2.0/"
    policy = f"https://acme.b2clogin.com/{ACME}/b2c_1_signin/v2.0"
    host = host_of(issuer, KEY, at=policy)
    host.metadata["issuer"] = f"{policy}/"
    async with verifying(
        host,
        kind="entra-b2c",
        issuer=issuer,
        discovery_url=f"{policy}/.well-known/openid-configuration",
    ) as verify:
        with pytest.raises(KeysUnavailable):
            await verify(token(issuer, {"sub": "s"}))
    assert host.requests == [host.discovery_path]


# --- OneLogin -------------------------------------------------------------------------


async def test_onelogin_a_number_as_text_and_an_address_nobody_vouches_for() -> None:
    issuer = "https://acme.onelogin.com/oidc/2"
    claims = {
        "sub": "40065476",
        "email": "ada@acme.example",
        "preferred_username": "ada",
        "name": "Ada Lovelace",
        "groups": "Engineering",
    }
    async with verifying(
        host_of(issuer, KEY), kind="onelogin", issuer=issuer, trust_email=True
    ) as verify:
        identity = await verify(token(issuer, claims))
        assert (identity.subject, identity.email_trusted) == ("40065476", False)
        await refused(verify, token(issuer, claims | {"sub": 40065476}), "sub_invalid")
        for other in (f"{issuer}/", "https://acme.onelogin.com/oidc"):
            await refused(verify, token(other, claims), "iss_unknown")
        # It has no such claim; whoever wrote one, it was not this provider's word.
        claimed = await verify(token(issuer, claims | {"email_verified": "yes"}))
        assert not claimed.email_trusted


# --- Google ---------------------------------------------------------------------------

GOOGLE = "https://accounts.google.com"


def google(
    issuer: str = GOOGLE, *, without: tuple[str, ...] = (), **changes: Any
) -> str:
    claims: dict[str, Any] = {
        "azp": "spa",
        "sub": "110169484474386276334",
        "hd": "acme.example",
        "email": "ada@acme.example",
        "email_verified": True,
        "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q",
        "name": "Ada Lovelace",
        "given_name": "Ada",
        "family_name": "Lovelace",
    } | changes
    kept = {claim: value for claim, value in claims.items() if claim not in without}
    return token(issuer, kept)


def google_metadata() -> FakeIssuer:
    """Its keys lie on another host than its issuer."""
    host = FakeIssuer(issuer=GOOGLE)
    host.metadata["jwks_uri"] = "https://www.googleapis.com/oauth2/v3/certs"
    return host


def google_keys() -> FakeIssuer:
    host = FakeIssuer(KEY, issuer="https://www.googleapis.com")
    host.keys_path = "/oauth2/v3/certs"
    return host


async def test_google_both_spellings_of_the_issuer_are_one_person() -> None:
    async with verifying(
        google_metadata(),
        google_keys(),
        kind="google",
        required_claims={"hd": ["acme.example", "acme.test"]},
    ) as verify:
        new, old = await verify(google()), await verify(google("accounts.google.com"))
        assert new.namespace == old.namespace == GOOGLE
        assert new.subject == old.subject
        await refused(verify, google("http://accounts.google.com"), "iss_unknown")


async def test_google_only_the_listed_domains_and_no_consumer() -> None:
    async with verifying(
        google_metadata(),
        google_keys(),
        kind="google",
        required_claims={"hd": "acme.example"},
    ) as verify:
        # An address in the domain is no membership of it.
        await refused(verify, google(without=("hd",)), "required_claim")
        await refused(verify, google(hd="evil.example"), "required_claim")


async def test_google_a_phones_token_names_the_phone_in_azp() -> None:
    hosts = (google_metadata(), google_keys())
    values = {"kind": "google", "required_claims": {"hd": "acme.example"}}
    async with verifying(*hosts, **values) as verify:
        await refused(verify, google(azp="android"), "azp_not_allowed")
    async with verifying(*hosts, **values, allowed_azp=["android"]) as verify:
        identity = await verify(google(azp="android"))
        assert (identity.client_id, identity.audience) == ("android", "spa")


@pytest.mark.parametrize(
    ("changes", "without", "trusted"),
    [
        ({}, (), True),
        ({"email_verified": False}, (), False),
        ({}, ("hd",), False),
        ({"email": "ada@gmail.com"}, ("hd",), True),
        ({"email": "ada@notgmail.com"}, ("hd",), False),
        ({"email": "Ada@GMail.com"}, ("hd",), True),
        ({"hd": None}, (), False),
    ],
    ids=str,
)
async def test_google_answers_for_its_own_and_for_hosted_addresses(
    changes: dict[str, Any], without: tuple[str, ...], *, trusted: bool
) -> None:
    async with verifying(
        google_metadata(), google_keys(), kind="google", dangerously_accept_anyone=True
    ) as verify:
        identity = await verify(google(without=without, **changes))
        assert identity.email_trusted is trusted


# --- Ping -----------------------------------------------------------------------------


async def test_pingone_an_access_token_says_so_in_its_typ() -> None:
    issuer = f"https://auth.pingone.eu/{ACME}/as"
    claims = {"sub": BETA, "sid": "s", "acr": "Single_Factor", "amr": ["pwd"]}
    async with verifying(host_of(issuer, KEY), kind="pingone", issuer=issuer) as verify:
        assert (await verify(token(issuer, dict(claims)))).subject == BETA
        access = token(issuer, {**claims, "header_typ": "at+jwt"})
        await refused(verify, access, "typ_not_accepted")
        other = f"https://auth.pingone.eu/{BETA}/as"  # another environment
        await refused(verify, token(other, dict(claims)), "iss_unknown")


async def test_pingfederate_the_right_key_in_a_mixed_set() -> None:
    """Curve keys first, keys to encrypt with, one key under several names."""
    issuer = "https://sso.acme.example:9031"
    ec, encryption = SigningKey.ec("ec-1"), SigningKey.rsa("enc-1", number=1)
    host = host_of(issuer, keys_path="/pf/JWKS")
    host.jwks = [
        ec.jwk(alg=None),
        SigningKey.ec("ec-2", "ES512").jwk(alg=None),
        encryption.jwk(use="enc", alg=None),
        KEY.jwk(kid="rsa-any", alg=None),
        KEY.jwk(kid="rsa-rs256", alg="RS256"),
        KEY.jwk(kid="rsa-ps256", alg="PS256"),
        SigningKey.ed25519("okp").jwk(),
        SigningKey.rsa("pending", number=2).jwk(alg=None),
    ]
    claims = {"sub": "ada", "pi.sri": "x", "auth_time": NOW - 9}
    async with verifying(
        host, kind="pingfederate", issuer=issuer, algs=["RS256", "PS256", "ES256"]
    ) as verify:
        for key in (
            KEY.under("rsa-any"),
            KEY.under("rsa-rs256"),
            KEY.under("rsa-any", alg="PS256"),
            KEY.under("rsa-ps256", alg="PS256"),
            ec,
        ):
            assert (await verify(token(issuer, claims, key=key))).subject == "ada"
        for key in (
            encryption,
            KEY.under("rsa-ps256"),
            KEY.under("rsa-rs256", alg="PS256"),
        ):
            await refused(verify, token(issuer, claims, key=key), "kid_unknown")


# --- Keycloak -------------------------------------------------------------------------


async def test_keycloak_its_access_token_under_the_same_key_is_no_id_token() -> None:
    issuer = "https://sso.acme.example/realms/acme"
    keys_path = "/realms/acme/protocol/openid-connect/certs"
    host = host_of(issuer, KEY, keys_path=keys_path)
    host.jwks.insert(0, SigningKey.rsa("enc", number=1).jwk(use="enc", alg="RSA-OAEP"))
    host.headers = {"cache-control": "no-cache"}
    claims = {
        "sub": BETA,
        "typ": "ID",
        "azp": "spa",
        "sid": "s",
        "acr": "1",
        "auth_time": NOW - 9,
        "jti": "j",
        "preferred_username": "ada",
    }
    async with verifying(host, kind="keycloak", issuer=issuer) as verify:
        assert (await verify(token(issuer, claims, life_s=300))).subject == BETA
        access = claims | {"typ": "Bearer", "scope": "openid"}
        await refused(verify, token(issuer, access), "token_kind")
        untold = {claim: value for claim, value in claims.items() if claim != "typ"}
        await refused(verify, token(issuer, untold), "required_claim")
    assert host.requests.count(keys_path) == 1  # whatever its Cache-Control says


# --- Cognito --------------------------------------------------------------------------


async def test_cognito_its_access_token_under_the_same_key_is_no_id_token() -> None:
    issuer = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_aBc123"
    keys_path = "/eu-central-1_aBc123/.well-known/jwks.json"
    host = host_of(issuer, KEY, keys_path=keys_path)
    claims: dict[str, Any] = {
        "header_typ": None,
        "sub": BETA,
        "token_use": "id",
        "cognito:username": "ada",
        "cognito:groups": ["staff"],
        "event_id": "e",
        "auth_time": NOW - 9,
        "email": "ada@acme.example",
        "email_verified": "true",
    }
    async with verifying(
        host, kind="cognito", issuer=issuer, trust_email=True
    ) as verify:
        identity = await verify(token(issuer, dict(claims)))
        assert (identity.subject, identity.email_trusted) == (BETA, True)
        access = claims | {"token_use": "access", "client_id": "spa", "scope": "openid"}
        await refused(verify, token(issuer, access), "token_kind")
        untold = {k: v for k, v in claims.items() if k != "token_use"}
        await refused(verify, token(issuer, untold), "required_claim")

"""Which tokens are accepted, and the exact rule by which each other one is refused."""

import base64
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from jose.backends.base import Key
from typing_extensions import override

from sso_box_api.errors import CredentialError, StepUpRequired
from sso_box_api.identity import Identity, IdentityVerifier, UnverifiedToken
from sso_box_api.identity.compact import parse
from sso_box_api.identity.issuers import TrustedIssuer
from sso_box_api.identity.keyset import (
    SUPPORTED_ALGS,
    KeySet,
    VerificationKey,
    parse_keyset,
)
from sso_box_api.identity.rules import Rule
from sso_box_api.identity.signature import SigningHeader, is_signed_by
from sso_box_api.settings import ProviderSettings
from tests.support.oidc import Clock, FakeIssuer, provider_values
from tests.support.tokens import SigningKey, b64url, compact_json, good_claims

NOW = 1_800_000_000
KEY = SigningKey.rsa("key-1")
STRANGER = SigningKey.rsa("key-1", number=1)
ES_KEY = SigningKey.ec("key-ec")
GOOD = good_claims(NOW)


def claims(*, without: tuple[str, ...] = (), **changes: Any) -> str:
    return KEY.token(good_claims(NOW, without=without, **changes))


def header(**changes: Any) -> str:
    return KEY.token(GOOD, changes)


def payload(text: str | bytes) -> str:
    return KEY.token(text if isinstance(text, bytes) else text.encode())


def segments(**changes: str) -> str:
    names = ("header", "payload", "signature")
    parts = dict(zip(names, KEY.token(GOOD).split("."), strict=True)) | changes
    return ".".join(parts[name] for name in names)


def hs256_with_public_key() -> str:
    import hmac

    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = KEY.private.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    text = f"{b64url(compact_json({'alg': 'HS256'}))}.{b64url(compact_json(GOOD))}"
    return f"{text}.{b64url(hmac.digest(public, text.encode(), 'sha256'))}"


def with_loose_bits() -> str:
    """The same signature bytes, spelled with unused bits set in the last character."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    signature = KEY.token(GOOD).split(".")[2]
    loose = signature[:-1] + alphabet[alphabet.index(signature[-1]) + 1]
    pad = "=" * (-len(loose) % 4)
    assert base64.urlsafe_b64decode(loose + pad) == base64.urlsafe_b64decode(
        signature + pad
    )
    return segments(signature=loose)


def raw_claim(name: str, text: str) -> str:
    """A payload in which one value is spelled by hand."""
    body = json.dumps({k: v for k, v in GOOD.items() if k != name})
    return payload(f'{body[:-1]}, "{name}": {text}}}')


def nested(depth: int) -> str:
    return raw_claim("deep", "[" * depth + "]" * depth)


def of_length(length: int) -> str:
    """A good token of exactly this many characters."""
    for spare in range(3):  # there is no base64 text of 4n + 1 characters
        bare = KEY.token(GOOD | {"x": ""}, {"x": "x" * spare})
        room = length - len(bare)
        for size in range(room * 3 // 4 - 2, room * 3 // 4 + 3):
            token = KEY.token(GOOD | {"x": "x" * size}, {"x": "x" * spare})
            if len(token) == length:
                return token
    raise AssertionError


def with_header_of(length: int) -> str:
    """A good token with a header of 4n or 4n + 2 or 4n + 3 characters."""
    bare = len(compact_json({"alg": "RS256", "typ": "JWT", "kid": "key-1", "x": ""}))
    token = header(x="x" * (length * 3 // 4 - bare))
    assert len(token.split(".")[0]) == length
    return token


# Each is no date in JSON, for every claim that has one.
NO_DATES = {
    "null": "null",
    "true": "true",
    "text": f'"{NOW}"',
    "a list": f"[{NOW}]",
    "an object": "{}",
    "negative": "-1",
    "beyond every date": str(2**53),
}
DATES = {
    "exp": Rule.EXP_TYPE,
    "iat": Rule.IAT_TYPE,
    "nbf": Rule.NBF_TYPE,
    "auth_time": Rule.AUTH_TIME_TYPE,
}

TENANT = "0f3a1c52-9d6e-4b7a-8c21-5e4d3f2a1b0c"
TENANT_ISSUER = f"https://tenants.example/{TENANT}/v2.0"


STRICT_CLAIMS: dict[str, Any] = {
    "iss": TENANT_ISSUER,
    "tid": TENANT,
    "oid": "o-1",
    "acr": "mfa",
    "org": 1,
}


def strict(*, kid: str = "key-1", without: tuple[str, ...] = (), **changes: Any) -> str:
    """A token for ``STRICT``, good but for the changes."""
    whole = good_claims(NOW, without=without, **(STRICT_CLAIMS | changes))
    return KEY.under(kid).token(whole)


LOGOUT: dict[str, Any] = {"http://schemas.openid.net/event/backchannel-logout": {}}

# Each differs from a good token in exactly one thing.
REFUSED: list[tuple[str, Rule, Callable[[], str]]] = [
    ("longer than the limit", Rule.TOKEN_TOO_LONG, lambda: of_length(16_385)),
    ("not ASCII", Rule.TOKEN_NOT_ASCII, lambda: segments(signature="é")),
    ("a lone surrogate", Rule.TOKEN_NOT_ASCII, lambda: segments(signature="\ud800")),
    ("empty", Rule.SEGMENT_COUNT, lambda: ""),
    ("two segments", Rule.SEGMENT_COUNT, lambda: KEY.token(GOOD).rpartition(".")[0]),
    ("four segments", Rule.SEGMENT_COUNT, lambda: KEY.token(GOOD) + ".AAAA"),
    ("only dots", Rule.SEGMENT_COUNT, lambda: "." * 16_000),
    ("encrypted", Rule.TOKEN_ENCRYPTED, lambda: KEY.token(GOOD) + ".AAAA.AAAA"),
    ("no header", Rule.SEGMENT_EMPTY, lambda: segments(header="")),
    ("no payload", Rule.SEGMENT_EMPTY, lambda: segments(payload="")),
    ("unsigned", Rule.SIGNATURE_MISSING, lambda: segments(signature="")),
    ("a long header", Rule.HEADER_TOO_LONG, lambda: with_header_of(2_050)),
    ("a header too long by one", Rule.HEADER_TOO_LONG, lambda: "A" * 2_049 + ".e30.AA"),
    (
        "a long signature",
        Rule.SIGNATURE_TOO_LONG,
        lambda: segments(signature="A" * 1_367),
    ),
    (
        "the longest signature, but not one",
        Rule.SIGNATURE_INVALID,
        lambda: segments(signature="A" * 1_366),
    ),
    (
        "padding",
        Rule.BASE64URL_NOT_CANONICAL,
        lambda: KEY.token(GOOD) + "==",
    ),
    (
        "junk that a decoder skips",
        Rule.BASE64URL_NOT_CANONICAL,
        lambda: KEY.token(GOOD) + "!",
    ),
    ("a line break", Rule.BASE64URL_NOT_CANONICAL, lambda: KEY.token(GOOD) + "\n"),
    (
        "the other base64 alphabet",
        Rule.BASE64URL_NOT_CANONICAL,
        lambda: segments(signature="+/+/"),
    ),
    (
        "an impossible length",
        Rule.BASE64URL_NOT_CANONICAL,
        lambda: segments(signature="AAAAA"),
    ),
    ("loose bits", Rule.BASE64URL_NOT_CANONICAL, with_loose_bits),
    ("a header that is no JSON", Rule.JSON_INVALID, lambda: KEY.token(GOOD, b"{")),
    ("a payload that is no JSON", Rule.JSON_INVALID, lambda: payload("{'iss': 1}")),
    ("a payload not in UTF-8", Rule.JSON_INVALID, lambda: payload(b'{"x":"\xff"}')),
    (
        "a payload in UTF-16",
        Rule.JSON_INVALID,
        lambda: payload(json.dumps(GOOD).encode("utf-16")),
    ),
    (
        "a byte order mark",
        Rule.JSON_INVALID,
        lambda: payload(b"\xef\xbb\xbf" + compact_json(GOOD)),
    ),
    ("a header that is a list", Rule.JSON_NOT_OBJECT, lambda: KEY.token(GOOD, b"[]")),
    ("a payload that is a string", Rule.JSON_NOT_OBJECT, lambda: payload('"ada"')),
    (
        "a claim twice",
        Rule.JSON_DUPLICATE_MEMBER,
        lambda: payload(json.dumps(GOOD)[:-1] + ', "sub": "00u1ada"}'),
    ),
    (
        "a nested claim twice",
        Rule.JSON_DUPLICATE_MEMBER,
        lambda: raw_claim("address", '{"a": 1, "a": 1}'),
    ),
    (
        "a header member twice",
        Rule.JSON_DUPLICATE_MEMBER,
        lambda: KEY.token(GOOD, b'{"alg":"RS256","kid":"key-1","alg":"RS256"}'),
    ),
    ("NaN", Rule.JSON_NUMBER, lambda: raw_claim("x", "NaN")),
    ("Infinity", Rule.JSON_NUMBER, lambda: raw_claim("exp", "-Infinity")),
    ("a number beyond floats", Rule.JSON_NUMBER, lambda: raw_claim("exp", "1e400")),
    ("a huge integer", Rule.JSON_NUMBER, lambda: raw_claim("exp", "9" * 5_000)),
    ("a long integer", Rule.JSON_NUMBER, lambda: raw_claim("x", "9" * 65)),
    ("a long fraction", Rule.JSON_NUMBER, lambda: raw_claim("x", "0." + "1" * 63)),
    ("nested too deep", Rule.JSON_TOO_DEEP, lambda: nested(32)),
    (
        "objects nested too deep",
        Rule.JSON_TOO_DEEP,
        lambda: raw_claim("deep", '{"a":' * 31 + "{}" + "}" * 31),
    ),
    ("nested beyond recursion", Rule.JSON_TOO_DEEP, lambda: nested(5_500)),
    ("no alg", Rule.ALG_NOT_ALLOWED, lambda: header(alg=None)),
    ("alg none", Rule.ALG_NOT_ALLOWED, lambda: header(alg="none")),
    ("alg of another type", Rule.ALG_NOT_ALLOWED, lambda: header(alg=["RS256"])),
    ("alg as an object", Rule.ALG_NOT_ALLOWED, lambda: header(alg={"RS256": 1})),
    (
        "a null alg",
        Rule.ALG_NOT_ALLOWED,
        lambda: KEY.token(GOOD, b'{"alg":null,"kid":"key-1"}'),
    ),
    ("alg in lower case", Rule.ALG_NOT_ALLOWED, lambda: header(alg="rs256")),
    ("HS256 with the public key", Rule.ALG_NOT_ALLOWED, hs256_with_public_key),
    (
        "an algorithm this provider may not use",
        Rule.ALG_NOT_ALLOWED,
        lambda: KEY.under("key-1", alg="RS384").token(GOOD),
    ),
    ("crit", Rule.HEADER_EXTENSION, lambda: header(crit=["exp"], exp=1)),
    ("an empty crit", Rule.HEADER_EXTENSION, lambda: header(crit=[])),
    ("an unencoded payload", Rule.HEADER_EXTENSION, lambda: header(b64=False)),
    ("b64 that changes nothing", Rule.HEADER_EXTENSION, lambda: header(b64=True)),
    ("compression", Rule.HEADER_EXTENSION, lambda: header(zip="DEF")),
    ("enc in a signed token", Rule.HEADER_EXTENSION, lambda: header(enc="A128GCM")),
    ("an empty kid", Rule.KID_INVALID, lambda: header(kid="")),
    ("a kid of another type", Rule.KID_INVALID, lambda: header(kid={"a": 1})),
    (
        "a null kid",
        Rule.KID_INVALID,
        lambda: KEY.token(GOOD, b'{"alg":"RS256","kid":null}'),
    ),
    ("a long kid", Rule.KID_INVALID, lambda: header(kid="k" * 257)),
    ("the longest kid", Rule.KID_UNKNOWN, lambda: header(kid="k" * 256)),
    ("a kid with a control", Rule.KID_INVALID, lambda: header(kid="key-1\n")),
    ("a kid with umlauts", Rule.KID_INVALID, lambda: header(kid="schlüssel")),
    ("an access token by typ", Rule.TYP_NOT_ACCEPTED, lambda: header(typ="at+jwt")),
    (
        "an access token by its media type",
        Rule.TYP_NOT_ACCEPTED,
        lambda: header(typ="application/at+jwt"),
    ),
    *(
        (f"typ {typ!r}", Rule.TYP_NOT_ACCEPTED, lambda typ=typ: header(typ=typ))
        for typ in (
            "logout+jwt",
            "application/logout+jwt",
            "secevent+jwt",
            "dpop+jwt",
            "token-exchange+jwt",
            "JOSE",
            "xjwt",
            "",
        )
    ),
    ("a typ of another type", Rule.TYP_NOT_ACCEPTED, lambda: header(typ=1)),
    (
        "a null typ",
        Rule.TYP_NOT_ACCEPTED,
        lambda: KEY.token(GOOD, b'{"alg":"RS256","kid":"key-1","typ":null}'),
    ),
    ("no iss", Rule.ISS_MISSING, lambda: claims(without=("iss",))),
    ("iss as a list", Rule.ISS_TYPE, lambda: claims(iss=["https://idp.example"])),
    ("a null iss", Rule.ISS_TYPE, lambda: claims(iss=None)),
    ("another iss", Rule.ISS_UNKNOWN, lambda: claims(iss="https://evil.example")),
    ("iss with a slash", Rule.ISS_UNKNOWN, lambda: claims(iss="https://idp.example/")),
    ("iss in capitals", Rule.ISS_UNKNOWN, lambda: claims(iss="https://IDP.example")),
    ("no aud", Rule.AUD_MISSING, lambda: claims(without=("aud",))),
    ("a null aud", Rule.AUD_TYPE, lambda: claims(aud=None)),
    ("an empty aud list", Rule.AUD_TYPE, lambda: claims(aud=[])),
    ("aud with a number", Rule.AUD_TYPE, lambda: claims(aud=["spa", 1])),
    ("aud with a list", Rule.AUD_TYPE, lambda: claims(aud=[["spa"]])),
    ("aud as an object", Rule.AUD_TYPE, lambda: claims(aud={"spa": 1})),
    ("another aud", Rule.AUD_MISMATCH, lambda: claims(aud="other")),
    ("part of our aud", Rule.AUD_MISMATCH, lambda: claims(aud="sp")),
    ("more than our aud", Rule.AUD_MISMATCH, lambda: claims(aud="spa mobile")),
    ("only a trusted audience", Rule.AUD_MISMATCH, lambda: claims(aud="api")),
    *(
        (f"{claim} is {what}", rule, lambda c=claim, t=text: raw_claim(c, t))
        for claim, rule in DATES.items()
        for what, text in NO_DATES.items()
    ),
    *(
        (f"{claim} is zero", DATES[claim], lambda c=claim: raw_claim(c, "0"))
        for claim in ("exp", "iat", "nbf")
    ),
    ("no exp", Rule.EXP_MISSING, lambda: claims(without=("exp",))),
    ("expired at the leeway", Rule.EXP_PAST, lambda: claims(exp=NOW - 60)),
    ("a foreign key", Rule.SIGNATURE_INVALID, lambda: STRANGER.token(GOOD)),
    (
        "another payload under the signature",
        Rule.SIGNATURE_INVALID,
        lambda: segments(payload=b64url(compact_json(GOOD | {"sub": "root"}))),
    ),
    (
        "another alg label on the signature",
        Rule.SIGNATURE_INVALID,
        lambda: SigningKey("key-ec", "RS256", KEY.private).token(
            GOOD, {"alg": "ES256"}
        ),
    ),
    ("an unknown kid", Rule.KID_UNKNOWN, lambda: header(kid="key-2")),
    (
        "the kid of a key for another algorithm",
        Rule.KID_UNKNOWN,
        lambda: header(kid="key-ec"),
    ),
    (
        "its own key in the header",
        Rule.SIGNATURE_INVALID,
        lambda: STRANGER.token(GOOD, {"jwk": STRANGER.jwk()}),
    ),
    *(
        (
            f"its own key by {name}",
            Rule.SIGNATURE_INVALID,
            lambda n=name, v=value: STRANGER.token(GOOD, {n: v}),
        )
        for name, value in (
            ("jku", "https://idp.example/keys"),
            ("x5u", "https://idp.example/certificate"),
            ("x5c", ["MIIB"]),
        )
    ),
    (
        "no kid, and no key that fits",
        Rule.SIGNATURE_INVALID,
        lambda: STRANGER.token(GOOD, {"kid": None}),
    ),
    ("no sub", Rule.SUB_MISSING, lambda: claims(without=("sub",))),
    ("an empty sub", Rule.SUB_INVALID, lambda: claims(sub="")),
    ("a numeric sub", Rule.SUB_INVALID, lambda: claims(sub=42)),
    ("a null sub", Rule.SUB_INVALID, lambda: claims(sub=None)),
    ("sub as a list", Rule.SUB_INVALID, lambda: claims(sub=["00u1ada"])),
    ("a long sub", Rule.SUB_INVALID, lambda: claims(sub="s" * 256)),
    ("a sub with NUL", Rule.SUB_INVALID, lambda: claims(sub="ada\0")),
    ("a sub with umlauts", Rule.SUB_INVALID, lambda: claims(sub="jörg")),
    ("no iat", Rule.IAT_MISSING, lambda: claims(without=("iat",))),
    (
        "a login of the future",
        Rule.AUTH_TIME_FUTURE,
        lambda: claims(auth_time=NOW + 61),
    ),
    ("a false auth_time", Rule.AUTH_TIME_TYPE, lambda: claims(auth_time=False)),
    ("a nonce that is a number", Rule.NONCE_TYPE, lambda: claims(nonce=1)),
    ("an unused sub that is a list", Rule.SUB_INVALID, lambda: strict(sub=["x"])),
    ("an unused sub that is a number", Rule.SUB_INVALID, lambda: strict(sub=5)),
    ("an unused sub too long", Rule.SUB_INVALID, lambda: strict(sub="s" * 256)),
    ("half a character", Rule.SUB_INVALID, lambda: strict(sub="x\ud800")),
    ("a nonce that is null", Rule.NONCE_TYPE, lambda: claims(nonce=None)),
    (
        "a stranger in aud",
        Rule.AUD_UNTRUSTED_EXTRA,
        lambda: claims(aud=["spa", "other"], azp="spa"),
    ),
    ("two in aud without azp", Rule.AZP_MISSING, lambda: claims(aud=["spa", "mobile"])),
    ("azp as a list", Rule.AZP_TYPE, lambda: claims(azp=["spa"])),
    ("a null azp", Rule.AZP_TYPE, lambda: claims(azp=None)),
    ("a foreign azp", Rule.AZP_NOT_ALLOWED, lambda: claims(azp="other")),
    ("a trusted audience as azp", Rule.AZP_NOT_ALLOWED, lambda: claims(azp="api")),
    ("not valid yet", Rule.NBF_FUTURE, lambda: claims(nbf=NOW + 61)),
    ("issued in the future", Rule.IAT_FUTURE, lambda: claims(iat=NOW + 61)),
    (
        "issued too long ago",
        Rule.IAT_TOO_OLD,
        lambda: claims(iat=NOW - 86_400 - 60, exp=NOW + 60),
    ),
    (
        "issued a week ago",
        Rule.IAT_TOO_OLD,
        lambda: claims(iat=NOW - 604_800),
    ),
    (
        "expired when issued",
        Rule.EXP_NOT_AFTER_IAT,
        lambda: claims(iat=NOW, exp=NOW),
    ),
    (
        "valid for too long",
        Rule.LIFETIME_TOO_LONG,
        lambda: claims(iat=NOW, exp=NOW + 86_401),
    ),
    ("a logout token", Rule.EVENTS_PRESENT, lambda: claims(events=LOGOUT)),
    ("null events", Rule.EVENTS_PRESENT, lambda: claims(events=None)),
    ("Keycloak's access token", Rule.TOKEN_KIND, lambda: claims(typ="Bearer")),
    ("Cognito's access token", Rule.TOKEN_KIND, lambda: claims(token_use="access")),
    ("Entra's app-only token", Rule.TOKEN_KIND, lambda: claims(idtyp="app")),
    (
        "Auth0's machine token",
        Rule.TOKEN_KIND,
        lambda: claims(gty="client-credentials"),
    ),
    (
        "PingAM's access token",
        Rule.TOKEN_KIND,
        lambda: claims(tokenName="access_token"),
    ),
    ("a kind of another type", Rule.TOKEN_KIND, lambda: claims(typ=["ID"])),
    ("a null kind", Rule.TOKEN_KIND, lambda: claims(token_use=None)),
    (
        "a key of another tenant",
        Rule.KEY_OF_OTHER_ISSUER,
        lambda: strict(kid="key-other-tenant"),
    ),
    (
        "no stable id",
        Rule.SUBJECT_CLAIM_MISSING,
        lambda: strict(without=("oid",)),
    ),
    ("no sub beside the stable id", Rule.SUB_MISSING, lambda: strict(without=("sub",))),
    ("an id that is no text", Rule.SUB_INVALID, lambda: strict(oid=1)),
    ("an empty id", Rule.SUB_INVALID, lambda: strict(oid="")),
    ("an id with the joint in it", Rule.SUB_INVALID, lambda: strict(oid="o/1")),
    (
        "another tenant than the issuer's",
        Rule.TENANT_MISMATCH,
        lambda: strict(tid=TENANT.replace("0", "1")),
    ),
    ("no required claim", Rule.REQUIRED_CLAIM, lambda: strict(without=("org",))),
    ("a required claim of another value", Rule.REQUIRED_CLAIM, lambda: strict(org=2)),
    (
        "a required claim of another type",
        Rule.REQUIRED_CLAIM,
        lambda: strict(org=True),
    ),
    (
        "a required claim in a list",
        Rule.REQUIRED_CLAIM,
        lambda: strict(org=[1]),
    ),
    (
        "no auth_time where logins may not be old",
        Rule.AUTH_TIME_MISSING,
        lambda: strict(without=("auth_time",)),
    ),
    (
        "a login as old as it may not be",
        Rule.AUTH_TIME_TOO_OLD,
        lambda: strict(auth_time=NOW - 3_600 - 60),
    ),
    ("a weak login", Rule.ACR_NOT_ALLOWED, lambda: strict(acr="pwd")),
    ("no acr", Rule.ACR_NOT_ALLOWED, lambda: strict(without=("acr",))),
    ("an acr of another type", Rule.ACR_NOT_ALLOWED, lambda: strict(acr=["mfa"])),
    *(
        (
            f"an access token by {name}",
            Rule.ACCESS_TOKEN_CLAIMS,
            lambda name=name: claims(without=("nonce",), **{name: "openid"}),
        )
        for name in ("scope", "scp", "client_id", "cid", "appid")
    ),
]

PROVIDER = ProviderSettings.model_validate(
    provider_values(
        namespace="stable",
        algs=["RS256", "ES256"],
        trusted_extra_audiences=["api"],
        allowed_azp=["android"],
        other_issuers=["https://login.example.com"],
        trust_email=True,
    )
)
ISSUER = TrustedIssuer(PROVIDER)

# With everything that a provider's settings can ask for.
STRICT = ProviderSettings.model_validate(
    {
        "id": "strict",
        "issuer_template": "https://tenants.example/{tenantid}/v2.0",
        "tenants": [TENANT],
        "jwks_uri": "https://idp.example/keys",
        "client_ids": ["spa"],
        "subject_claims": ["tid", "oid"],
        "required_claims": {"org": [0, 1]},
        "max_auth_age_s": 3_600,
        "allowed_acr": ["mfa", "phr"],
    }
)


@pytest.fixture
async def verifier() -> AsyncIterator[IdentityVerifier]:
    issuer = FakeIssuer(KEY, ES_KEY)
    other_tenant = f"https://tenants.example/{TENANT.replace('0', '1')}/v2.0"
    issuer.jwks.append(KEY.jwk(kid="key-other-tenant", issuer=other_tenant))
    async with issuer.client() as http:
        verifier = IdentityVerifier([PROVIDER, STRICT], http, clock=Clock(NOW))
        yield verifier
        await verifier.close()


async def identity_of(verifier: IdentityVerifier, token: str) -> Identity:
    return await verifier.verify(UnverifiedToken(token))


@pytest.mark.parametrize(
    ("rule", "make"),
    [pytest.param(rule, make, id=what) for what, rule, make in REFUSED],
)
async def test_a_token_with_one_fault_is_refused_by_the_rule_for_it(
    verifier: IdentityVerifier, rule: Rule, make: Callable[[], str]
) -> None:
    with pytest.raises(CredentialError) as refusal:
        await identity_of(verifier, make())
    assert (type(refusal.value), refusal.value.reason) == (rule.error, rule.reason)


MISSING = object()

# Header and claims of one fault each, in the order in which the rules are applied.
IN_ORDER: list[tuple[Rule, dict[str, Any], dict[str, Any]]] = [
    (Rule.ALG_NOT_ALLOWED, {"alg": "none"}, {}),
    (Rule.HEADER_EXTENSION, {"crit": ["x"]}, {}),
    (Rule.KID_INVALID, {"kid": ""}, {}),
    (Rule.TYP_NOT_ACCEPTED, {"typ": "at+jwt"}, {}),
    (Rule.ISS_UNKNOWN, {}, {"iss": "https://evil.example"}),
    (Rule.ALG_NOT_ALLOWED, {"alg": "ES256"}, {}),
    (Rule.AUD_MISMATCH, {}, {"aud": "other"}),
    (Rule.EXP_PAST, {}, {"exp": NOW - 61}),
    (Rule.KID_UNKNOWN, {"kid": "key-2"}, {}),
    (Rule.SUBJECT_CLAIM_MISSING, {}, {"oid": MISSING}),
    (Rule.IAT_MISSING, {}, {"iat": MISSING}),
    (Rule.AZP_NOT_ALLOWED, {}, {"azp": "other"}),
    (Rule.NBF_FUTURE, {}, {"nbf": NOW + 61}),
    (Rule.IAT_FUTURE, {}, {"iat": NOW + 61}),
    (Rule.AUTH_TIME_FUTURE, {}, {"auth_time": NOW + 61}),
    (Rule.LIFETIME_TOO_LONG, {}, {"exp": NOW + 100_000}),
    (Rule.EVENTS_PRESENT, {}, {"events": {}}),
    (Rule.TOKEN_KIND, {}, {"token_use": "access"}),
    (Rule.TENANT_MISMATCH, {}, {"tid": "other"}),
    (Rule.REQUIRED_CLAIM, {}, {"org": 2}),
    (Rule.AUTH_TIME_MISSING, {}, {"auth_time": MISSING}),
    (Rule.ACR_NOT_ALLOWED, {}, {"acr": "pwd"}),
]


@pytest.mark.parametrize("first", range(len(IN_ORDER)))
async def test_of_several_faults_the_first_in_the_order_of_the_rules_is_named(
    verifier: IdentityVerifier, first: int
) -> None:
    """The cheap ones first, and none of the claims before the signature."""
    whole_header: dict[str, Any] = {}
    whole_claims = good_claims(NOW) | STRICT_CLAIMS
    for _, header_fault, claim_fault in reversed(IN_ORDER[first:]):
        whole_header |= header_fault
        whole_claims |= claim_fault
    kept = {k: v for k, v in whole_claims.items() if v is not MISSING}
    with pytest.raises(CredentialError) as refusal:
        await identity_of(verifier, KEY.token(kept, whole_header))
    assert refusal.value.reason == IN_ORDER[first][0].reason


def test_every_rule_has_a_token_that_breaks_it() -> None:
    # Broken by what is sent beside a token: test_nonce.py.
    of_the_sender = {Rule.NONCE_VERIFIER_MISSING, Rule.NONCE_MISMATCH}
    assert {rule for _, rule, _ in REFUSED} == set(Rule) - of_the_sender


# Alerts and searches of logs stand on the names, pages on the codes.
PUBLISHED = {
    "token_malformed": """
        token_too_long token_not_ascii token_encrypted segment_count
        segment_empty signature_missing header_too_long signature_too_long
        base64url_not_canonical json_invalid json_not_object
        json_duplicate_member json_number json_too_deep kid_invalid iss_missing
        iss_type sub_missing sub_invalid exp_missing exp_type iat_missing
        iat_type nbf_type auth_time_type nonce_type aud_type azp_type
    """,
    "token_signature": """
        alg_not_allowed key_of_other_issuer kid_unknown signature_invalid
    """,
    "token_policy": """
        header_extension typ_not_accepted exp_not_after_iat lifetime_too_long
        subject_claim_missing required_claim events_present token_kind
        access_token_claims
    """,
    "token_untrusted_issuer": """
        iss_unknown tenant_mismatch
    """,
    "token_audience": """
        aud_missing aud_mismatch aud_untrusted_extra azp_missing azp_not_allowed
    """,
    "token_expired": """
        exp_past nbf_future iat_future auth_time_future iat_too_old
    """,
    "nonce_proof_failed": """
        nonce_verifier_missing nonce_mismatch
    """,
    "step_up_required": """
        auth_time_missing auth_time_too_old acr_not_allowed
    """,
}


def test_the_name_of_a_rule_and_its_code_do_not_change() -> None:
    codes = {rule.reason: rule.error.code for rule in Rule}
    published = {
        name: code for code, names in PUBLISHED.items() for name in names.split()
    }
    assert codes == published


def test_no_two_rules_share_a_name() -> None:
    assert len({rule.reason for rule in Rule}) == len(Rule)


async def test_a_good_token_becomes_the_identity_it_names(
    verifier: IdentityVerifier,
) -> None:
    token = KEY.token(GOOD)
    assert await identity_of(verifier, token) == Identity(
        provider="main",
        namespace="stable",
        issuer="https://idp.example",
        subject="00u1ada",
        client_id="spa",
        audience="spa",
        issued_at=NOW - 10,
        expires_at=NOW + 3590,
        auth_time=NOW - 20,
        nonce="n-0S6_WzA2Mj",
        name="Ada Lovelace",
        email="ada@example.com",
        email_trusted=True,
        token_sha256=hashlib.sha256(token.encode()).hexdigest(),
    )


# Genuine tokens that a rule written too tightly would refuse.
ACCEPTED: list[tuple[str, Callable[[], str]]] = [
    ("as long as a token may be", lambda: of_length(16_384)),
    ("with the longest header", lambda: with_header_of(2_048)),
    ("the longest integer", lambda: raw_claim("x", "9" * 64)),
    ("the longest fraction", lambda: raw_claim("x", "0." + "1" * 62)),
    ("no typ", lambda: header(typ=None)),
    ("many brackets and none deep", lambda: claims(groups=[["a"]] * 40)),
    ("typ in lower case", lambda: header(typ="jwt")),
    ("typ as a media type", lambda: header(typ="application/JWT")),
    ("jku and x5t in the header", lambda: header(jku="https://x.example", x5t="t")),
    ("another's key in the header", lambda: header(jwk=STRANGER.jwk())),
    ("unknown members in the header", lambda: header(cty="x", x={"y": [1]})),
    ("no kid", lambda: header(kid=None)),
    ("an elliptic curve key", lambda: ES_KEY.token(GOOD)),
    ("another spelling of the issuer", lambda: claims(iss="https://login.example.com")),
    ("aud as a list", lambda: claims(aud=["spa"])),
    ("a trusted further audience", lambda: claims(aud=["api", "spa"], azp="spa")),
    ("both of our clients", lambda: claims(aud=["spa", "mobile"], azp="mobile")),
    ("an allowed authorized party", lambda: claims(azp="android")),
    ("times with fractions", lambda: claims(iat=NOW - 1.5, exp=NOW + 60.25)),
    ("expired within the leeway", lambda: claims(iat=NOW - 99, exp=NOW - 59)),
    ("issued by a fast clock", lambda: claims(iat=NOW + 60)),
    ("valid soon, within the leeway", lambda: claims(nbf=NOW + 60)),
    ("valid since a moment ago", lambda: claims(nbf=NOW - 10.5)),
    ("valid for a second", lambda: claims(iat=NOW, exp=NOW + 1)),
    ("as old as allowed", lambda: claims(iat=NOW - 86_400, exp=NOW)),
    ("as long as allowed", lambda: claims(iat=NOW, exp=NOW + 86_400)),
    ("a provider that does not know auth_time", lambda: claims(auth_time=0)),
    ("no auth_time", lambda: claims(without=("auth_time",))),
    ("auth_time within the leeway", lambda: claims(auth_time=NOW + 60)),
    ("the longest sub", lambda: claims(sub="s" * 255)),
    ("the shortest sub", lambda: claims(sub="0")),
    ("a sub with slashes", lambda: claims(sub="people/ada/1")),
    ("a sub of Auth0", lambda: claims(sub="samlp|acme|ada lovelace")),
    ("Keycloak's ID token", lambda: claims(typ="ID")),
    ("Cognito's ID token", lambda: claims(without=("nonce",), token_use="id")),
    ("Zitadel's ID token", lambda: claims(client_id="spa")),
    ("hashes of what was not sent along", lambda: claims(at_hash="x", c_hash="x")),
    ("Entra's token of a person", lambda: claims(idtyp="user")),
    ("a scope beside nonce", lambda: claims(scope="openid")),
    *(
        (
            f"a scope beside {name}",
            lambda n=name, v=value: claims(
                without=("nonce",), scope="openid", **{n: v}
            ),
        )
        for name, value in (
            ("at_hash", "x"),
            ("c_hash", "x"),
            ("typ", "ID"),
            ("token_use", "id"),
            ("tokenName", "id_token"),
        )
    ),
    ("200 groups", lambda: claims(groups=[f"{n:036}" for n in range(200)])),
    ("nested as deep as allowed", lambda: nested(31)),
    (
        "objects nested as deep as allowed",
        lambda: raw_claim("deep", '{"a":' * 30 + "{}" + "}" * 30),
    ),
]


@pytest.mark.parametrize(
    "make", [pytest.param(make, id=what) for what, make in ACCEPTED]
)
async def test_a_genuine_token_is_accepted(
    verifier: IdentityVerifier, make: Callable[[], str]
) -> None:
    assert (await identity_of(verifier, make())).provider == "main"


@pytest.mark.parametrize(
    "changes",
    [{}, {"auth_time": NOW - 3_600 - 59}, {"acr": "phr"}, {"org": 0}],
    ids=str,
)
async def test_a_token_is_accepted_that_has_all_a_provider_asks_for(
    verifier: IdentityVerifier, changes: dict[str, Any]
) -> None:
    identity = await identity_of(verifier, strict(**changes))
    assert (identity.namespace, identity.subject) == (TENANT_ISSUER, f"{TENANT}/o-1")


@pytest.mark.parametrize(
    "changes",
    [{"without": ("auth_time",)}, {"auth_time": NOW - 9_999}, {"acr": "pwd"}],
    ids=str,
)
async def test_a_refused_login_says_all_that_the_next_one_has_to_be(
    verifier: IdentityVerifier, changes: dict[str, Any]
) -> None:
    with pytest.raises(StepUpRequired) as refusal:
        await identity_of(verifier, strict(**changes))
    assert refusal.value.max_age_s == 3_600
    assert refusal.value.acr_values == ("mfa", "phr")


@pytest.mark.parametrize(
    ("changes", "client_id", "audience"),
    [
        ({}, "spa", "spa"),
        ({"azp": "android"}, "android", "spa"),
        ({"aud": ["api", "mobile"], "azp": "spa"}, "spa", "mobile"),
    ],
)
async def test_the_client_is_azp_and_the_audience_the_member_that_is_ours(
    verifier: IdentityVerifier, changes: dict[str, Any], client_id: str, audience: str
) -> None:
    identity = await identity_of(verifier, claims(**changes))
    assert (identity.client_id, identity.audience) == (client_id, audience)


@pytest.mark.parametrize("without", [(), ("auth_time",)])
async def test_an_unknown_auth_time_is_none(
    verifier: IdentityVerifier, without: tuple[str, ...]
) -> None:
    identity = await identity_of(verifier, claims(without=without, auth_time=0))
    assert identity.auth_time is None


@pytest.mark.parametrize(
    ("leeway_s", "changes", "reason"),
    [
        (0, {"exp": NOW + 1}, None),
        (0, {"exp": NOW}, "exp_past"),
        (0, {"iat": NOW}, None),
        (0, {"iat": NOW + 1}, "iat_future"),
        (0, {"nbf": NOW}, None),
        (0, {"nbf": NOW + 1}, "nbf_future"),
        (0, {"auth_time": NOW + 1}, "auth_time_future"),
        (300, {"iat": NOW - 600, "exp": NOW - 299}, None),
        (300, {"iat": NOW - 600, "exp": NOW - 300}, "exp_past"),
        (300, {"iat": NOW + 300}, None),
        (300, {"iat": NOW + 301}, "iat_future"),
    ],
    ids=str,
)
async def test_the_leeway_is_the_one_that_is_set(
    leeway_s: int, changes: dict[str, Any], reason: str | None
) -> None:
    values = provider_values(leeway_s=leeway_s, jwks_inline={"keys": [KEY.jwk()]})
    provider = ProviderSettings.model_validate(values)
    async with FakeIssuer().client() as http:
        verifier = IdentityVerifier([provider], http, clock=Clock(NOW))
        if reason is None:
            assert (await identity_of(verifier, claims(**changes))).provider == "main"
        else:
            with pytest.raises(CredentialError, match=reason):
                await identity_of(verifier, claims(**changes))


async def test_no_address_in_a_token_is_ever_asked() -> None:
    """However it is named, and whether the token is good or not."""
    issuer = FakeIssuer(KEY)
    address = "https://evil.example/stolen"
    named = {"jku": address, "x5u": address, "kid": "key-1"}
    async with issuer.client() as http:
        verifier = IdentityVerifier([PROVIDER], http, clock=Clock(NOW))
        await identity_of(verifier, header(**named))
        for token in (
            STRANGER.token(GOOD, named),
            STRANGER.token(GOOD, named | {"kid": address}),
            claims(iss=address),
            claims(_claim_names={"groups": "g"}, _claim_sources={"g": address}),
        ):
            with contextlib.suppress(CredentialError):
                await identity_of(verifier, token)
    assert set(issuer.requests) == {"/.well-known/openid-configuration", "/keys"}


async def test_an_unknown_issuer_and_a_hopeless_token_cause_no_fetch() -> None:
    issuer = FakeIssuer(KEY)
    async with issuer.client() as http:
        verifier = IdentityVerifier([PROVIDER], http, clock=Clock(NOW))
        for token in (
            claims(iss="https://evil.example"),
            claims(aud="other"),
            claims(exp=NOW - 3600),
            KEY.under("key-1", alg="RS512").token(GOOD),
        ):
            with pytest.raises(CredentialError):
                await identity_of(verifier, token)
    assert issuer.requests == []


def signing_keys(number: int) -> list[SigningKey]:
    """One for each algorithm; keys of two numbers differ in nothing but the key."""
    rsa_algs = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
    rsa = SigningKey.rsa(None, number=number)
    return [
        *(rsa.under(alg, alg=alg) for alg in rsa_algs),
        *(
            SigningKey.ec(alg, alg, number=number)
            for alg in ("ES256", "ES384", "ES512")
        ),
        *(
            SigningKey.ed25519(alg, number=number).under(alg, alg=alg)
            for alg in ("EdDSA", "Ed25519")
        ),
    ]


async def test_the_signature_of_every_algorithm_is_verified() -> None:
    keys, foreign = signing_keys(0), signing_keys(1)
    assert {key.alg for key in keys} == SUPPORTED_ALGS
    issuer = FakeIssuer(*keys)
    values = provider_values(algs=[key.alg for key in keys])
    async with issuer.client() as http:
        provider = ProviderSettings.model_validate(values)
        verifier = IdentityVerifier([provider], http, clock=Clock(NOW))
        for key in keys:
            assert (await identity_of(verifier, key.token(GOOD))).subject == "00u1ada"
        for key in foreign:
            with pytest.raises(CredentialError, match="signature_invalid"):
                await identity_of(verifier, key.token(GOOD))


@pytest.mark.parametrize("published", ["EdDSA", "Ed25519", None])
@pytest.mark.parametrize("configured", ["EdDSA", "Ed25519"])
async def test_a_token_bears_the_name_of_ed25519_that_is_configured(
    configured: str, published: str | None
) -> None:
    """RFC 9864. Under which of them the key is published does not matter."""
    issuer = FakeIssuer()
    key = SigningKey.ed25519("ed")
    issuer.jwks = [key.jwk(alg=published)]
    values = provider_values(algs=[configured])
    async with issuer.client() as http:
        provider = ProviderSettings.model_validate(values)
        verifier = IdentityVerifier([provider], http, clock=Clock(NOW))
        for alg in ("EdDSA", "Ed25519"):
            token = key.under("ed", alg=alg).token(GOOD)
            if alg == configured:
                assert (await identity_of(verifier, token)).subject == "00u1ada"
            else:
                with pytest.raises(CredentialError, match="alg_not_allowed"):
                    await identity_of(verifier, token)


def test_a_salt_of_another_length_is_no_pss_signature() -> None:
    """RFC 7518 section 3.5 fixes it; a library that guesses it takes any."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    key = KEY.under(None, alg="PS256")
    keys = parse_keyset({"keys": [key.jwk()]}, ["PS256"])
    signed = key.token(GOOD).rpartition(".")[0]
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 20)
    assert isinstance(key.private, RSAPrivateKey)
    signature = key.private.sign(signed.encode(), pss, hashes.SHA256())
    other_salt = parse(UnverifiedToken(f"{signed}.{b64url(signature)}"))
    assert not is_signed_by(other_salt, SigningHeader("PS256", None), ISSUER, keys)
    genuine = parse(UnverifiedToken(key.token(GOOD)))
    assert is_signed_by(genuine, SigningHeader("PS256", None), ISSUER, keys)


@pytest.mark.parametrize("alg", ["HS256", "none", "RSA1_5"])
def test_no_provider_can_be_given_an_algorithm_that_is_not_a_signature(
    alg: str,
) -> None:
    with pytest.raises(ValueError, match="algs"):
        ProviderSettings.model_validate(provider_values(algs=[alg]))


async def test_a_token_of_one_provider_does_not_pass_under_the_keys_of_another() -> (
    None
):
    """Both publish the same kid; only the issuer decides whose key is used."""
    other = ProviderSettings.model_validate(
        provider_values(
            id="other",
            issuer="https://other.example",
            jwks_uri="https://other.example/keys",
        )
    )
    issuer = FakeIssuer(KEY)
    elsewhere = FakeIssuer(STRANGER, issuer="https://other.example")
    mounts = {"https://other.example": httpx.ASGITransport(elsewhere)}
    transport = httpx.ASGITransport(issuer)
    async with httpx.AsyncClient(transport=transport, mounts=mounts) as http:
        verifier = IdentityVerifier([PROVIDER, other], http, clock=Clock(NOW))
        foreign = KEY.token(good_claims(NOW, iss="https://other.example"))
        with pytest.raises(CredentialError, match="signature_invalid"):
            await identity_of(verifier, foreign)
        own = STRANGER.token(good_claims(NOW, iss="https://other.example"))
        assert (await identity_of(verifier, own)).provider == "other"


def test_a_provider_is_found_under_every_spelling_and_no_other(
    verifier: IdentityVerifier,
) -> None:
    assert verifier.provider_of("https://idp.example") is PROVIDER
    assert verifier.provider_of("https://login.example.com") is PROVIDER
    assert verifier.provider_of("https://login.example.com/") is None


def test_a_namespace_is_found_by_the_issuer_of_its_tenant(
    verifier: IdentityVerifier,
) -> None:
    assert verifier.namespace_of("https://login.example.com") == "stable"
    assert verifier.namespace_of(TENANT_ISSUER) == TENANT_ISSUER
    assert verifier.namespace_of("https://tenants.example/common/v2.0") is None


@pytest.mark.parametrize("trust_email", [True, False])
async def test_a_verified_address_is_trusted_only_from_a_trusted_provider(
    *, trust_email: bool
) -> None:
    async with FakeIssuer(KEY).client() as http:
        values = provider_values(trust_email=trust_email)
        provider = ProviderSettings.model_validate(values)
        verifier = IdentityVerifier([provider], http, clock=Clock(NOW))
        identity = await identity_of(verifier, KEY.token(GOOD))
    assert (identity.email, identity.email_trusted) == ("ada@example.com", trust_email)


def test_whom_a_key_is_published_for_matters_among_tenants_only() -> None:
    keys = parse_keyset({"keys": [KEY.jwk(issuer="https://x.example")]}, ["RS256"])
    token = parse(UnverifiedToken(KEY.token(GOOD)))
    assert is_signed_by(token, SigningHeader("RS256", "key-1"), ISSUER, keys)


def test_the_signature_must_cover_the_very_text_that_was_parsed() -> None:
    keys = parse_keyset({"keys": [KEY.under(None).jwk()]}, ["RS256"])
    token = parse(UnverifiedToken(KEY.token(GOOD)))
    header = SigningHeader("RS256", None)
    assert is_signed_by(token, header, ISSUER, keys)
    other = parse(UnverifiedToken(KEY.token(GOOD | {"sub": "root"})))
    moved = replace(token, signing_input=other.signing_input)
    assert not is_signed_by(moved, header, ISSUER, keys)


def test_a_library_that_fails_on_a_signature_has_not_verified_it() -> None:
    """Its errors have no common base; one that got through would be a 500."""

    class Failing(Key):
        @override
        def verify(self, msg: bytes, sig: bytes) -> bool:
            raise MemoryError

    keys = KeySet([VerificationKey(None, "RS256", ("x",), Failing(b"", "RS256"))])
    token = parse(UnverifiedToken(KEY.token(GOOD)))
    assert not is_signed_by(token, SigningHeader("RS256", None), ISSUER, keys)


async def test_the_token_is_in_no_refusal(verifier: IdentityVerifier) -> None:
    token = STRANGER.token(GOOD)
    with pytest.raises(CredentialError) as refusal:
        await identity_of(verifier, token)
    shown = repr(refusal.value) + str(refusal.value) + str(vars(refusal.value))
    assert not any(part in shown for part in token.split("."))

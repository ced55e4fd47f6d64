"""Whatever the issuer's servers answer, a token is unavailable and the cause is named.

The same cases go through the doctor's probe, whose one line an operator acts on.
"""

import asyncio
import gzip
import hmac
import json
import logging
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
import respx
from typing_extensions import override

from sso_box_api.errors import BadSignature, KeysUnavailable
from sso_box_api.identity import IdentityVerifier, KeysState, UnverifiedToken
from sso_box_api.identity.documents import MAX_DOCUMENT_BYTES
from sso_box_api.identity.key_source import METADATA_TTL_S
from sso_box_api.settings import ProviderSettings
from tests.support.oidc import Clock, provider_values
from tests.support.tokens import SigningKey, b64url, compact_json, good_claims

KEY = SigningKey.rsa("key-1")
EC_KEY = SigningKey.ec("key-ec")
ISSUER = "https://idp.example"
DISCOVERY = f"{ISSUER}/.well-known/openid-configuration"
JWKS = f"{ISSUER}/keys"
METADATA = {"issuer": ISSUER, "jwks_uri": JWKS}
MARK = "text-of-the-other-end"
# Nothing is connected to here, and reading the system's certificates takes its time.
TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Chunks(httpx.AsyncByteStream):
    """A body that is produced while it is read, and counts how far that went."""

    def __init__(self, chunk: bytes, times: int) -> None:
        self.chunk, self.times, self.read = chunk, times, 0

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(self.times):
            self.read += len(self.chunk)
            yield self.chunk


async def _hangs(_: httpx.Request) -> httpx.Response:
    await asyncio.Event().wait()
    raise AssertionError


def metadata(**changes: Any) -> dict[str, Any]:
    return {"json": METADATA | changes}


def jwks(*keys: Any) -> dict[str, Any]:
    return {"json": {"keys": list(keys)}}


ANY_DOCUMENT: dict[str, tuple[dict[str, Any], str]] = {
    "an error": ({"status_code": 500, "text": MARK}, "answers with status 500"),
    "not allowed": ({"status_code": 403, "json": METADATA}, "answers with status 403"),
    "no content": ({"status_code": 204}, "answers with status 204"),
    "a redirect": (
        {"status_code": 302, "headers": {"Location": f"https://x.example/{MARK}"}},
        "answers with a redirect, and none is followed",
    ),
    "a page": ({"html": f"<html>{MARK}</html>"}, "is not a JSON object"),
    "an empty body": ({"content": b""}, "is not a JSON object"),
    "a list": ({"json": [MARK]}, "is not a JSON object"),
    "nesting": ({"content": b"[" * 200_000}, "is not a JSON object"),
    "not UTF-8": ({"content": b"\xff\xfe\xff"}, "is not a JSON object"),
    "compression": (
        {
            "content": gzip.compress(json.dumps(METADATA).encode()),
            "headers": {"Content-Encoding": "gzip"},
        },
        "comes compressed",
    ),
    "ten megabytes": ({"content": b"x" * 10_000_000}, "is larger than 262144 bytes"),
}
FAILURES: dict[str, tuple[Any, str]] = {
    "no connection": (httpx.ConnectError(MARK), "no usable answer (ConnectError)"),
    "a transport timeout": (httpx.ReadTimeout(MARK), "no usable answer (ReadTimeout)"),
    "a broken protocol": (
        httpx.RemoteProtocolError(MARK),
        "no usable answer (RemoteProtocolError)",
    ),
    "an error nobody expects": (LookupError(MARK), "no usable answer (LookupError)"),
    "silence": (_hangs, "no complete answer within 0.05 s"),
}
BAD_METADATA: dict[str, tuple[dict[str, Any], str]] = {
    "another issuer": (metadata(issuer=f"https://{MARK}"), "names another issuer"),
    "a slash": (metadata(issuer=f"{ISSUER}/"), "differs from the configured one only"),
    "no issuer": (metadata(issuer=None), "names another issuer"),
    "no jwks_uri": (metadata(jwks_uri=None), "jwks_uri is not an https URL"),
    "keys in the clear": (
        metadata(jwks_uri=f"http://idp.example/{MARK}"),
        "jwks_uri is not an https URL",
    ),
    "keys in a file": (metadata(jwks_uri="file:///etc/keys"), "jwks_uri is not"),
    "keys nowhere": (metadata(jwks_uri="https:///keys"), "jwks_uri is not"),
    "a password": (metadata(jwks_uri=f"https://a:{MARK}@idp.example/k"), "jwks_uri is"),
    "no address": (metadata(jwks_uri="https://[half/keys"), "jwks_uri is not"),
    "a long address": (metadata(jwks_uri=JWKS + "k" * 2_048), "jwks_uri is not"),
    "an odd address": (
        metadata(jwks_uri="https://idp.example:port/keys"),
        "no usable answer (InvalidURL)",
    ),
}
BAD_KEYS: dict[str, tuple[dict[str, Any], str]] = {
    "no keys": ({"json": {"kids": MARK}}, "no usable key for RS256"),
    "an empty set": (jwks(), "no usable key for RS256"),
    "only a curve key": (jwks(EC_KEY.jwk()), "no usable key for RS256"),
    "only a shared secret": (jwks({"kty": "oct", "k": MARK}), "no usable key"),
    "only a key for encryption": (jwks(KEY.jwk(use="enc")), "no usable key"),
    "two keys under one kid": (
        jwks(KEY.jwk(), SigningKey.rsa("key-1", number=1).jwk()),
        "no usable key",
    ),
}


def _cases() -> list[Any]:
    answers = [
        (
            f"{what} for {name}",
            url,
            httpx.Response(**{"status_code": 200} | answer),
            line,
        )
        for url, name, cases in (
            (DISCOVERY, "metadata", ANY_DOCUMENT | BAD_METADATA),
            (JWKS, "keys", ANY_DOCUMENT | BAD_KEYS),
        )
        for what, (answer, line) in cases.items()
    ]
    failures = [
        (f"{what} for {name}", url, effect, line)
        for url, name in ((DISCOVERY, "metadata"), (JWKS, "keys"))
        for what, (effect, line) in FAILURES.items()
    ]
    return [pytest.param(url, e, line, id=i) for i, url, e, line in answers + failures]


@pytest.fixture
def issuer() -> Iterator[respx.MockRouter]:
    """Answers well, unless a test says otherwise; anything else asked is an error."""
    with respx.mock(assert_all_called=False) as router:
        router.get(DISCOVERY, name="metadata").respond(**metadata())
        router.get(JWKS, name="keys").respond(**jwks(KEY.jwk()))
        yield router


@pytest.fixture
def values() -> dict[str, Any]:
    return provider_values(fetch_timeout_s=0.05)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def verifier(
    issuer: respx.MockRouter, values: dict[str, Any], clock: Clock
) -> AsyncIterator[IdentityVerifier]:
    del issuer
    async with httpx.AsyncClient(trust_env=False, verify=TLS) as http:
        provider = ProviderSettings.model_validate(values)
        verifier = IdentityVerifier([provider], http, clock=clock)
        yield verifier
        await verifier.close()


def good_token(now: float = Clock().now, **header: Any) -> UnverifiedToken:
    return UnverifiedToken(KEY.token(good_claims(now), header))


Effect = httpx.Response | Exception | Callable[..., Any]


def answers(issuer: respx.MockRouter, url: str, effect: Effect) -> None:
    if isinstance(effect, httpx.Response):
        issuer.get(url).mock(return_value=effect)
    else:
        issuer.get(url).mock(side_effect=effect)


@pytest.mark.parametrize(("url", "effect", "line"), _cases())
async def test_no_answer_of_the_issuer_does_more_than_make_its_keys_unavailable(
    issuer: respx.MockRouter,
    verifier: IdentityVerifier,
    caplog: pytest.LogCaptureFixture,
    url: str,
    effect: Effect,
    line: str,
) -> None:
    answers(issuer, url, effect)
    with caplog.at_level(logging.WARNING), pytest.raises(KeysUnavailable) as refusal:
        await verifier.verify(good_token())
    assert (refusal.value.reason, refusal.value.retry_after) == ("keys_fetch_failed", 1)
    assert line in caplog.text
    report = await verifier.probe("main")
    assert report.keys is None
    [problem] = report.problems
    assert line in problem
    assert "\n" not in problem
    assert MARK not in caplog.text + problem + repr(refusal.value)


@pytest.mark.parametrize(("url", "effect", "line"), _cases())
async def test_no_answer_of_the_issuer_takes_keys_away_that_are_held(
    issuer: respx.MockRouter,
    verifier: IdentityVerifier,
    clock: Clock,
    url: str,
    effect: Effect,
    line: str,
) -> None:
    del line
    await verifier.verify(good_token())
    answers(issuer, url, effect)
    clock.advance(METADATA_TTL_S)  # so that both documents are asked for again
    with pytest.raises(KeysUnavailable, match="keys_fetch_failed"):
        await verifier.verify(good_token(clock(), kid="unknown"))
    assert (await verifier.verify(good_token(clock()))).subject == "00u1ada"
    state = verifier.key_states()["main"]
    assert state == KeysState("stale", METADATA_TTL_S, 1)


async def test_a_provider_that_signs_otherwise_is_told_from_one_without_keys(
    issuer: respx.MockRouter, verifier: IdentityVerifier
) -> None:
    algs = ["ES256", 7]
    issuer["metadata"].respond(**metadata(id_token_signing_alg_values_supported=algs))
    issuer["keys"].respond(**jwks(EC_KEY.jwk()))
    assert (await verifier.probe("main")).problems == (
        "the provider does not sign with RS256; take it out of algs",
        "the provider does not sign with RS256; correct algs",
    )


async def test_what_the_provider_does_not_sign_with_is_not_accepted(
    issuer: respx.MockRouter,
) -> None:
    """Allowed by the settings and fitting the key, it is still not what it sends."""
    algs = ["RS256", "Ed25519"]
    issuer["metadata"].respond(**metadata(id_token_signing_alg_values_supported=algs))
    edwards = SigningKey.ed25519("key-ed")
    issuer["keys"].respond(**jwks(KEY.jwk(alg=None), edwards.jwk(alg=None)))
    values = provider_values(algs=["RS256", "PS256", "EdDSA"])
    async with httpx.AsyncClient(trust_env=False) as http:
        verifier = IdentityVerifier([ProviderSettings.model_validate(values)], http)
        claims = good_claims(time.time())
        for key in (KEY, edwards):
            await verifier.verify(UnverifiedToken(key.token(claims)))
        other = UnverifiedToken(KEY.under("key-1", alg="PS256").token(claims))
        with pytest.raises(BadSignature, match="kid_unknown"):
            await verifier.verify(other)


async def test_the_probe_names_the_algorithms_that_the_provider_never_uses(
    issuer: respx.MockRouter,
) -> None:
    algs = ["RS256", "ES256"]
    issuer["metadata"].respond(**metadata(id_token_signing_alg_values_supported=algs))
    values = provider_values(algs=["RS256", "PS256"])
    async with httpx.AsyncClient(trust_env=False) as http:
        verifier = IdentityVerifier([ProviderSettings.model_validate(values)], http)
        report = await verifier.probe("main")
    assert report.problems == (
        "the provider does not sign with PS256; take it out of algs",
    )


async def test_the_probe_names_a_provider_that_publishes_private_keys(
    issuer: respx.MockRouter, verifier: IdentityVerifier
) -> None:
    issuer["keys"].respond(**jwks(KEY.jwk(d="AQAB")))
    [problem] = (await verifier.probe("main")).problems
    assert "private keys" in problem


@pytest.mark.parametrize("values", [provider_values(issuer=f"{ISSUER}/")], ids=["/"])
async def test_a_slash_too_many_in_the_settings_is_told_from_another_issuer(
    issuer: respx.MockRouter, verifier: IdentityVerifier
) -> None:
    del issuer
    [problem] = (await verifier.probe("main")).problems
    assert "differs from the configured one only by a trailing slash" in problem


async def test_a_set_full_of_traps_still_yields_its_one_good_key(
    issuer: respx.MockRouter, verifier: IdentityVerifier
) -> None:
    """Everything a hostile or careless provider may put before and after it."""
    twice = [SigningKey.rsa("twice", number=number) for number in (1, 2)]
    leaked = SigningKey.rsa("leaked", number=3)
    shared = b64url(b"secret of everybody")
    traps: list[Any] = [
        None,
        [],
        EC_KEY.jwk(kid="key-1", alg=None),
        {"kty": "oct", "kid": "key-1", "alg": "RS256", "k": shared},
        {"kty": "RSA", "kid": "key-1", "n": 7, "e": []},
        SigningKey.rsa("key-1", number=1).jwk(use="enc"),
        SigningKey.rsa("key-1", bits=1024).jwk(),
        *(key.jwk() for key in twice),
        leaked.jwk(d="AQAB"),
    ]
    issuer["keys"].respond(**jwks(*traps, KEY.jwk(), *traps))
    assert (await verifier.verify(good_token())).subject == "00u1ada"
    assert verifier.key_states()["main"].keys == 2
    for key in twice:
        token = UnverifiedToken(key.token(good_claims(Clock()())))
        with pytest.raises(BadSignature, match="kid_unknown"):
            await verifier.verify(token)
    claims = good_claims(Clock()())
    signing_input = f"{b64url(compact_json({'alg': 'HS256', 'kid': 'key-1'}))}"
    signing_input += f".{b64url(compact_json(claims))}"
    mac = hmac.digest(b"secret of everybody", signing_input.encode(), "sha256")
    with pytest.raises(BadSignature, match="alg_not_allowed"):
        await verifier.verify(UnverifiedToken(f"{signing_input}.{b64url(mac)}"))


async def test_reading_stops_at_the_limit(
    issuer: respx.MockRouter, verifier: IdentityVerifier
) -> None:
    body = Chunks(b"x" * 16_384, times=1_000)
    issuer["keys"].mock(return_value=httpx.Response(200, stream=body))
    with pytest.raises(KeysUnavailable):
        await verifier.verify(good_token())
    assert body.read <= MAX_DOCUMENT_BYTES + len(body.chunk)


async def test_a_body_that_never_ends_is_cut_by_the_clock(
    issuer: respx.MockRouter, verifier: IdentityVerifier
) -> None:
    class Endless(Chunks):
        @override
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"{"
            await asyncio.Event().wait()

    answer = httpx.Response(200, stream=Endless(b"", 0))
    issuer["keys"].mock(return_value=answer)
    [problem] = (await verifier.probe("main")).problems
    assert "no complete answer within 0.05 s" in problem


async def test_documents_up_to_the_limit_and_of_any_media_type_are_read(
    issuer: respx.MockRouter, verifier: IdentityVerifier
) -> None:
    body = json.dumps({"keys": [KEY.jwk()]}).encode().ljust(MAX_DOCUMENT_BYTES)
    issuer["keys"].respond(content=body, content_type="text/html")
    assert (await verifier.verify(good_token())).subject == "00u1ada"


async def test_a_server_is_asked_for_plain_json(
    issuer: respx.MockRouter, verifier: IdentityVerifier
) -> None:
    await verifier.verify(good_token())
    sent = issuer["keys"].calls.last.request.headers
    assert (sent["accept"], sent["accept-encoding"]) == ("application/json", "identity")


async def test_redirects_are_not_followed_even_by_a_client_that_would(
    issuer: respx.MockRouter, values: dict[str, Any]
) -> None:
    elsewhere = issuer.get("https://x.example/keys").respond(**jwks(KEY.jwk()))
    issuer["keys"].respond(302, headers={"Location": "https://x.example/keys"})
    async with httpx.AsyncClient(
        follow_redirects=True, trust_env=False, verify=TLS
    ) as http:
        provider = ProviderSettings.model_validate(values)
        verifier = IdentityVerifier([provider], http, clock=Clock())
        with pytest.raises(KeysUnavailable):
            await verifier.verify(good_token())
    assert not elsewhere.called


@pytest.mark.parametrize(
    "values", [provider_values(issuer="http://localhost:9000")], ids=["loopback"]
)
@pytest.mark.parametrize(
    ("jwks_uri", "works"),
    [
        ("http://localhost:9000/keys", True),
        ("http://localhost:9001/keys", True),
        ("https://idp.example/keys", True),
        ("http://idp.example/keys", False),
    ],
)
async def test_keys_in_the_clear_are_only_for_a_loopback_issuer_on_its_host(
    issuer: respx.MockRouter, verifier: IdentityVerifier, jwks_uri: str, *, works: bool
) -> None:
    issuer.get("http://localhost:9000/.well-known/openid-configuration").respond(
        json={"issuer": "http://localhost:9000", "jwks_uri": jwks_uri}
    )
    issuer.get(jwks_uri).respond(**jwks(KEY.jwk()))
    report = await verifier.probe("main")
    assert (report.keys is not None) is works
    assert (not report.problems) is works


@pytest.mark.parametrize(
    ("date", "line"),
    [
        ("Fri, 15 Jan 2027 08:00:00 GMT", "as ours"),
        ("Fri, 15 Jan 2027 07:59:30 -0000", "as ours"),
        ("Fri, 15 Jan 2027 08:01:30 GMT", "it is +90 s from ours"),
        ("Fri, 15 Jan 2027 07:00:00 GMT", "it is -3600 s from ours"),
        ("tomorrow", "does not tell its time"),
        ("", "does not tell its time"),
        ("Fri, 15 Jan 99999 08:00:00 GMT", "does not tell its time"),
        ("Fri, 15 Jan 99999999999999999999 08:00:00 GMT", "does not tell its time"),
    ],
)
async def test_the_probe_says_by_how_much_the_clocks_differ(
    issuer: respx.MockRouter, verifier: IdentityVerifier, date: str, line: str
) -> None:
    issuer["keys"].respond(**jwks(KEY.jwk()), headers={"Date": date})
    report = await verifier.probe("main")
    [clock] = [one for one in report.probed if one.what == "clock"]
    assert line in (clock.problem or clock.note or "")
    assert (clock.problem is not None) is ("from ours" in line)


async def test_the_probe_leaves_the_keys_in_use_alone(
    issuer: respx.MockRouter, verifier: IdentityVerifier
) -> None:
    await verifier.probe("main")
    assert verifier.key_states()["main"].state == "unfetched"
    await verifier.verify(good_token())
    issuer["keys"].respond(500)
    await verifier.probe("main")
    assert verifier.key_states()["main"].state == "fresh"


async def test_the_probe_of_a_provider_that_is_not_configured_is_a_mistake(
    verifier: IdentityVerifier,
) -> None:
    with pytest.raises(KeyError):
        await verifier.probe("other")

"""Which published keys may verify, and which of them a token gets."""

from collections.abc import Callable
from typing import Any

import pytest
from jose.backends.cryptography_backend import CryptographyECKey, CryptographyRSAKey

from sso_box_api.identity.keyset import KeySet, parse_keyset
from tests.support.tokens import SigningKey, b64url

RSA = SigningKey.rsa("a")
OTHER = SigningKey.rsa("a", number=1)
EC = SigningKey.ec("a")
ALGS = ("RS256", "ES256")


def keyset(*jwks: Any, algs: tuple[str, ...] = ALGS) -> KeySet:
    return parse_keyset({"keys": list(jwks)}, algs)


def materials(keys: KeySet, alg: str = "RS256", kid: str | None = "a") -> list[Any]:
    return [key.material for key in keys.candidates(alg, kid)]


RSA_MATERIAL = materials(keyset(RSA.jwk()))
ZEROS = b64url(bytes(32))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"use": None},
        {"alg": None},
        {"key_ops": ["verify"]},
        {"use": None, "key_ops": ["sign", "verify"]},
        {"x5c": ["junk"], "x5t": 1, "unknown": {}},
        {"use": "sig", "key_ops": ["verify"], "alg": "RS256", "ext": True},
    ],
    ids=str,
)
def test_a_key_fit_for_signatures_is_used(changes: dict[str, Any]) -> None:
    assert materials(keyset(RSA.jwk(**changes))) == RSA_MATERIAL


def number(bits: int) -> str:
    """The largest of so many bits, which is odd."""
    return b64url(((1 << bits) - 1).to_bytes((bits + 7) // 8))


SIZES: dict[str, tuple[dict[str, Any], bool]] = {
    "n of 2047 bits": ({"n": number(2047)}, False),
    "n of 2048 bits": ({"n": number(2048)}, True),
    "n of 8192 bits": ({"n": number(8192)}, True),
    "n of 8193 bits": ({"n": number(8193)}, False),
    "e=3": ({"e": "Aw"}, True),
    "e of 32 bits": ({"e": number(32)}, True),
    "e of 33 bits": ({"e": number(33)}, False),
    "kid of 256": ({"kid": "k" * 256}, True),
    "kid of 257": ({"kid": "k" * 257}, False),
    "kid with a space": ({"kid": " ~"}, True),
    "kid with DEL": ({"kid": "\x7f"}, False),
    "kid not ASCII": ({"kid": "é"}, False),
}


@pytest.mark.parametrize(("changes", "fits"), SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize("alg", ["RS256", "PS256"])
def test_sizes_are_bounded_on_both_sides(
    changes: dict[str, Any], *, fits: bool, alg: str
) -> None:
    keys = keyset(RSA.jwk(alg=None, **changes), algs=(alg,))
    assert len(keys) == int(fits)


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512"])
def test_a_curve_fits_its_own_algorithm_only(alg: str) -> None:
    """The signature library would verify ES512 under a key of P-256."""
    keys = [
        SigningKey.ec(own, own).jwk(alg=None) for own in ("ES256", "ES384", "ES512")
    ]
    found = keyset(*keys, algs=(alg,))
    assert [
        materials(found, alg, kid) != [] for kid in ("ES256", "ES384", "ES512")
    ] == [alg == own for own in ("ES256", "ES384", "ES512")]


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("kid", ["a", None])
def test_a_shared_secret_is_never_a_key_and_is_reported(
    alg: str, kid: str | None
) -> None:
    secret = {"kty": "oct", "k": "c2VjcmV0", "kid": kid, "alg": alg}
    keys = keyset({k: v for k, v in secret.items() if v}, algs=(alg,))
    assert (len(keys), keys.leaks_private) == (0, True)


UNFIT: dict[str, Any] = {
    "RSA with use='enc'": RSA.jwk(use="enc"),
    "RSA with use=['sig']": RSA.jwk(use=["sig"]),
    "RSA with alg='RSA-OAEP'": RSA.jwk(alg="RSA-OAEP"),
    "RSA with alg='RS512'": RSA.jwk(alg="RS512"),
    "RSA with alg=['RS256']": RSA.jwk(alg=["RS256"]),
    "RSA with key_ops=['encrypt']": RSA.jwk(key_ops=["encrypt"]),
    "RSA with key_ops='verify'": RSA.jwk(key_ops="verify"),
    "RSA with key_ops=1": RSA.jwk(key_ops=1),
    "RSA with kty='oct', k='c2VjcmV0'": RSA.jwk(kty="oct", k="c2VjcmV0"),
    "RSA with kty=None": RSA.jwk(kty=None),
    "RSA with kty={}": RSA.jwk(kty={}),
    "RSA with n=None": RSA.jwk(n=None),
    "RSA with n=12345": RSA.jwk(n=12345),
    "RSA with n=''": RSA.jwk(n=""),
    "RSA with n='not+base64/url'": RSA.jwk(n="not+base64/url"),
    "RSA with e=None": RSA.jwk(e=None),
    "RSA with e='AA'": RSA.jwk(e="AA"),
    "RSA with e='AQ'": RSA.jwk(e="AQ"),
    "RSA with e='BA'": RSA.jwk(e="BA"),
    "RSA with e=b64url(b'\x01' + bytes(4) + b'\x01')": RSA.jwk(
        e=b64url(b"\x01" + bytes(4) + b"\x01")
    ),
    "RSA with kid=7": RSA.jwk(kid=7),
    "RSA with kid=''": RSA.jwk(kid=""),
    "RSA with kid='aNL'": RSA.jwk(kid="a\n"),
    "RSA with kid='a' * 257": RSA.jwk(kid="a" * 257),
    "RSA of 1024 bits": SigningKey.rsa("a", bits=1024).jwk(),
    "RSA with n=b64url(b'\xff' * 1025)": RSA.jwk(n=b64url(b"\xff" * 1025)),
    "EC with crv='P-384'": EC.jwk(crv="P-384"),
    "EC with crv=None": EC.jwk(crv=None),
    "EC with crv='secp256k1'": EC.jwk(crv="secp256k1"),
    "EC with x=ZEROS": EC.jwk(x=ZEROS),
    "EC with y=None": EC.jwk(y=None),
    "EC with alg='ES384'": EC.jwk(alg="ES384"),
    "Ed25519": {"kty": "OKP", "crv": "Ed25519", "x": ZEROS, "kid": "a"},
    "RSA with issuer=1": RSA.jwk(issuer=1),
    "an empty object": {},
    "null": None,
    "text": "key",
    "a list": [],
}


@pytest.mark.parametrize("jwk", UNFIT.values(), ids=UNFIT.keys())
def test_an_unfit_or_malformed_key_is_passed_over_and_the_next_one_used(
    jwk: Any,
) -> None:
    keys = keyset(jwk, RSA.jwk(kid="b"))
    assert materials(keys) == materials(keys, "ES256") == []
    assert materials(keys, kid="b") == RSA_MATERIAL
    assert len(keys) == 1


@pytest.mark.parametrize("document", [{}, {"keys": None}, {"keys": {}}, {"keys": []}])
def test_a_document_without_keys_is_an_empty_set(document: dict[str, Any]) -> None:
    assert len(parse_keyset(document, ALGS)) == 0


def test_a_curve_key_before_the_right_one_does_no_harm() -> None:
    """PingFederate's order, on which the signature library alone gives up."""
    keys = keyset(EC.jwk(kid="ec"), RSA.jwk(use="enc", kid="enc"), RSA.jwk())
    assert materials(keys) == RSA_MATERIAL


def test_one_kid_may_name_one_key_for_each_algorithm() -> None:
    keys = keyset(RSA.jwk(), EC.jwk(), OTHER.jwk(use="enc"))
    assert materials(keys) == RSA_MATERIAL
    assert [key[0] for key in materials(keys, "ES256")] == ["EC"]


def test_a_kid_that_names_two_keys_names_none() -> None:
    keys = keyset(RSA.jwk(), OTHER.jwk(), EC.jwk(kid="b"))
    assert materials(keys) == materials(keys, kid=None) == []
    assert len(keys) == 1


def test_keys_that_differ_in_the_exponent_alone_are_two_keys() -> None:
    keys = keyset(RSA.jwk(), RSA.jwk(e="Aw"), EC.jwk(kid="b"))
    assert materials(keys) == []


def test_the_same_key_listed_twice_is_one_key() -> None:
    keys = keyset(RSA.jwk(), RSA.jwk(alg=None), RSA.jwk(kid="b"))
    assert len(keys) == 1
    assert materials(keys) == materials(keys, kid="b") == RSA_MATERIAL
    assert materials(keys, kid=None) == RSA_MATERIAL


def test_a_key_without_kid_is_for_tokens_without_kid() -> None:
    keys = keyset(RSA.jwk(kid=None), OTHER.jwk(kid=None))
    assert materials(keys) == []
    assert len(materials(keys, kid=None)) == 2


def test_a_token_without_kid_gets_eight_candidates_at_most() -> None:
    keys = keyset(*(SigningKey.rsa(None, number=n).jwk() for n in range(9)))
    assert len(keys) == 9
    assert len(materials(keys, kid=None)) == 8


def test_only_the_first_hundred_entries_count() -> None:
    assert len(keyset(*[{}] * 100, RSA.jwk())) == 0
    assert len(keyset(*[{}] * 99, RSA.jwk())) == 1


def test_only_the_allowed_algorithms_get_a_key() -> None:
    keys = keyset(RSA.jwk(alg=None), EC.jwk(), algs=("RS512",))
    assert materials(keys) == materials(keys, "ES256") == []
    assert materials(keys, "RS512") == RSA_MATERIAL


@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth"])
def test_a_private_part_is_reported_and_does_not_reach_the_key(member: str) -> None:
    keys = keyset(RSA.jwk(**{member: "AQAB"}))
    assert keys.leaks_private
    (key,) = keys.candidates("RS256", "a")
    assert key.jose_key.to_dict().keys() == {"alg", "kty", "n", "e"}


def test_public_keys_are_not_reported_as_private() -> None:
    assert not keyset(RSA.jwk(), EC.jwk()).leaks_private


@pytest.mark.parametrize(
    ("signing_key", "backend"), [(RSA, CryptographyRSAKey), (EC, CryptographyECKey)]
)
def test_keys_are_of_the_maintained_backend_and_built_once(
    signing_key: SigningKey, backend: Callable[..., Any]
) -> None:
    keys = keyset(signing_key.jwk())
    (first,), (second,) = (keys.candidates(signing_key.alg, "a") for _ in range(2))
    assert type(first.jose_key) is backend
    assert first.jose_key is second.jose_key


ED = SigningKey.ed25519("a")


@pytest.mark.parametrize("published", [None, "EdDSA", "Ed25519"])
@pytest.mark.parametrize(
    "algs", [("EdDSA",), ("Ed25519",), ("EdDSA", "Ed25519")], ids=" ".join
)
def test_an_ed25519_key_of_either_name_is_used_for_the_configured_names(
    published: str | None, algs: tuple[str, ...]
) -> None:
    keys = keyset(RSA.jwk(), ED.jwk(alg=published), algs=algs)
    assert len(keys) == 1
    for alg in ("EdDSA", "Ed25519"):
        found = [key.alg for key in keys.candidates(alg, "a")]
        assert found == ([alg] if alg in algs else [])
        assert all(m[:2] == ("OKP", "Ed25519") for m in materials(keys, alg))


@pytest.mark.parametrize(
    "changes",
    [
        {"crv": "Ed448"},
        {"crv": None},
        {"x": "AAAA"},
        {"x": None},
        {"alg": "ES256"},
        {"alg": "Ed448"},
        {"alg": ["EdDSA"]},
        {"alg": {"Ed25519": 1}},
    ],
    ids=str,
)
@pytest.mark.parametrize("alg", ["EdDSA", "Ed25519"])
def test_an_unfit_ed25519_key_is_passed_over(changes: dict[str, Any], alg: str) -> None:
    assert len(keyset(ED.jwk(**changes), algs=(alg,))) == 0


@pytest.mark.parametrize(
    ("signing_key", "alg"), [(RSA, "EdDSA"), (EC, "Ed25519"), (ED, "RS256")]
)
def test_the_names_of_ed25519_fit_no_other_key(
    signing_key: SigningKey, alg: str
) -> None:
    published = (signing_key.jwk(alg=name) for name in ("EdDSA", "Ed25519", None))
    assert len(keyset(*published, algs=(alg,))) == 0


def test_one_rsa_key_without_alg_serves_both_of_its_schemes() -> None:
    keys = keyset(RSA.jwk(alg=None), algs=("RS256", "PS256"))
    assert materials(keys) == materials(keys, "PS256") == RSA_MATERIAL
    assert len(keys) == 1


@pytest.mark.parametrize("kid", ["a", None])
def test_one_key_published_for_many_issuers_is_tried_eight_times_at_most(
    kid: str | None,
) -> None:
    keys = keyset(*(RSA.jwk(issuer=f"https://{n}") for n in range(9)))
    assert len(keys.candidates("RS256", kid)) == 8


def test_one_key_published_for_two_issuers_is_a_candidate_for_each() -> None:
    keys = keyset(RSA.jwk(issuer="https://a"), RSA.jwk(issuer="https://b"))
    assert len(keys) == 1
    for kid in ("a", None):
        issuers = [key.issuer for key in keys.candidates("RS256", kid)]
        assert issuers == ["https://a", "https://b"]

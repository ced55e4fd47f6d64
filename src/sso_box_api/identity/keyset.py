"""From a published JWK Set to the keys that may verify a token, and the choice of one.

Each usable key is built once, for one algorithm. A set is replaced whole, never
changed (RFC 7517 section 5: entries that are not understood are passed over).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from jose.backends.base import Key
from jose.backends.cryptography_backend import CryptographyECKey, CryptographyRSAKey

from sso_box_api.identity.compact import decode_base64url
from sso_box_api.identity.jose_keys import PSS_ALGS, Ed25519Key, PssKey

# What can be verified at all; each provider allows a part of it.
CURVE_OF_ALG: Final = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
RSA_ALGS: Final = frozenset({"RS256", "RS384", "RS512"}) | PSS_ALGS
# One algorithm under two names: RFC 9864 section 2.2 replaces the one of RFC 8037, which
# providers still write. A published key may bear either; a token, what ``algs`` says.
ED25519_ALGS: Final = ("EdDSA", "Ed25519")
SUPPORTED_ALGS: Final = RSA_ALGS | CURVE_OF_ALG.keys() | set(ED25519_ALGS)

MAX_KEYS = 100
MAX_CANDIDATES = 8
MAX_KID_CHARS = 256

# RFC 7518 section 3.3 sets the lower bound; the upper one bounds the work.
_MIN_MODULUS_BITS = 2048
_MAX_MODULUS_BITS = 8192
_MAX_EXPONENT_BITS = 32
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})

Material = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """One public key, for one algorithm. ``material`` tells keys apart.

    ``issuer`` is Entra's addition to a JWK: the one issuer, or with ``{tenantid}`` in
    it the tenants' issuers, that may sign with this key.
    """

    kid: str | None
    alg: str
    material: Material
    jose_key: Key
    issuer: str | None = None


_Distinct = dict[tuple[Material, str | None], VerificationKey]


class KeySet:
    """The usable keys of one issuer. ``len`` counts them."""

    def __init__(
        self, keys: Sequence[VerificationKey] = (), *, leaks_private: bool = False
    ) -> None:
        self.leaks_private = leaks_private
        self._named: defaultdict[tuple[str, str], _Distinct] = defaultdict(dict)
        self._by_alg: defaultdict[str, _Distinct] = defaultdict(dict)
        for key in _without_ambiguous(keys):
            self._by_alg[key.alg].setdefault((key.material, key.issuer), key)
            if key.kid is not None:
                self._named[key.kid, key.alg][key.material, key.issuer] = key
        # What tells this set's keys from another's.
        self.materials: frozenset[Material] = frozenset(
            material for keys in self._by_alg.values() for material, _ in keys
        )

    def __len__(self) -> int:
        return len(self.materials)

    def candidates(self, alg: str, kid: str | None) -> Sequence[VerificationKey]:
        """The one key that the header's kid names, else the few that fit.

        One key that is published for several issuers comes once for each.
        """
        if kid is None:
            return list(self._by_alg[alg].values())[:MAX_CANDIDATES]
        return list(self._named.get((kid, alg), {}).values())[:MAX_CANDIDATES]


def _without_ambiguous(keys: Sequence[VerificationKey]) -> list[VerificationKey]:
    """A kid that names two different keys for one algorithm names none."""
    materials: defaultdict[tuple[str | None, str], set[Material]] = defaultdict(set)
    for key in keys:
        materials[key.kid, key.alg].add(key.material)
    return [
        key for key in keys if key.kid is None or len(materials[key.kid, key.alg]) == 1
    ]


def parse_keyset(document: Mapping[str, Any], algs: Sequence[str]) -> KeySet:
    """Read a JWK Set; what is malformed, or not for these algorithms, is left out."""
    entries = document.get("keys")
    if not isinstance(entries, list):
        return KeySet()
    jwks = [entry for entry in entries[:MAX_KEYS] if isinstance(entry, dict)]
    keys = [
        key for jwk in jwks for alg in algs if (key := _build(jwk, alg)) is not None
    ]
    leaks = any(not _PRIVATE_MEMBERS.isdisjoint(jwk) for jwk in jwks)
    return KeySet(keys, leaks_private=leaks)


def _build(jwk: dict[str, Any], alg: str) -> VerificationKey | None:
    if not _is_for(jwk, alg):
        return None
    try:
        material, jose_key = _BUILDERS[_kty(alg)](jwk, alg)
    except Exception:  # noqa: BLE001 - jose and cryptography raise anything on odd input
        return None
    return VerificationKey(
        jwk.get("kid"), alg, material, jose_key, issuer=jwk.get("issuer")
    )


def _is_for(jwk: dict[str, Any], alg: str) -> bool:
    kid, use, operations = jwk.get("kid"), jwk.get("use"), jwk.get("key_ops")
    return (
        jwk.get("kty") == _kty(alg)
        and _is_alg_for(jwk.get("alg", alg), alg)
        and (use is None or use == "sig")
        and (operations is None or _allows_verify(operations))
        and (kid is None or is_kid(kid))
        and isinstance(jwk.get("issuer", ""), str)
    )


def _is_alg_for(published: object, alg: str) -> bool:
    return published in (ED25519_ALGS if alg in ED25519_ALGS else (alg,))


def _kty(alg: str) -> str:
    if alg in ED25519_ALGS:
        return "OKP"
    return "RSA" if alg in RSA_ALGS else "EC"


def _allows_verify(operations: object) -> bool:
    return isinstance(operations, list) and "verify" in operations


def is_kid(value: object) -> bool:
    """Printable ASCII, bounded: a kid is a dictionary key and a word in the log."""
    return (
        isinstance(value, str)
        and 1 <= len(value) <= MAX_KID_CHARS
        and value.isascii()
        and value.isprintable()
    )


def _build_rsa(jwk: dict[str, Any], alg: str) -> tuple[Material, Key]:
    modulus = int.from_bytes(decode_base64url(jwk["n"]))
    exponent = int.from_bytes(decode_base64url(jwk["e"]))
    if not _MIN_MODULUS_BITS <= modulus.bit_length() <= _MAX_MODULUS_BITS:
        raise ValueError("modulus out of bounds")
    if exponent.bit_length() > _MAX_EXPONENT_BITS:
        raise ValueError("exponent out of bounds")
    material = ("RSA", f"{modulus:x}", f"{exponent:x}")
    if alg in PSS_ALGS:
        return material, PssKey(RSAPublicNumbers(exponent, modulus), alg)
    # Copied member by member: private parts must not come along.
    public = {"kty": "RSA", "n": jwk["n"], "e": jwk["e"]}
    return material, CryptographyRSAKey(public, alg)


def _build_ec(jwk: dict[str, Any], alg: str) -> tuple[Material, Key]:
    curve = CURVE_OF_ALG[alg]
    if jwk["crv"] != curve:
        raise ValueError("the curve does not fit the algorithm")
    x, y = (int.from_bytes(decode_base64url(jwk[name])) for name in ("x", "y"))
    public = {"kty": "EC", "crv": curve, "x": jwk["x"], "y": jwk["y"]}
    return ("EC", curve, f"{x:x}", f"{y:x}"), CryptographyECKey(public, alg)


def _build_ed25519(jwk: dict[str, Any], alg: str) -> tuple[Material, Key]:
    if jwk["crv"] != "Ed25519":
        raise ValueError("the curve does not fit the algorithm")
    public = decode_base64url(jwk["x"])
    return ("OKP", "Ed25519", public.hex()), Ed25519Key(public, alg)


_BUILDERS = {"RSA": _build_rsa, "EC": _build_ec, "OKP": _build_ed25519}

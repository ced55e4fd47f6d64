"""Build ID tokens, good ones and ones with exactly one thing wrong.

Signed with ``cryptography`` directly: the library that verifies must not sign, or one
fault in it could agree with itself.
"""

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}
_CURVES: dict[str, ec.EllipticCurve] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
}
_CURVE_OF_ALG = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact_json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


@dataclass(frozen=True)
class SigningKey:
    """A key pair of an issuer, with the kid and the algorithm it signs under."""

    kid: str | None
    alg: str
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

    @classmethod
    def rsa(cls, kid: str | None, *, number: int = 0, bits: int = 2048) -> Self:
        """Keys with the same number and size are the same: making one is slow."""
        return cls(kid, "RS256", _rsa_key(number, bits))

    @classmethod
    def ec(cls, kid: str | None, alg: str = "ES256", *, number: int = 0) -> Self:
        return cls(kid, alg, _ec_key(number, _CURVE_OF_ALG[alg]))

    @classmethod
    def ed25519(cls, kid: str | None, *, number: int = 0) -> Self:
        return cls(kid, "EdDSA", _ed25519_key(number))

    def under(self, kid: str | None = None, alg: str | None = None) -> Self:
        """The same key under another name or for another algorithm."""
        return replace(self, kid=kid, alg=alg or self.alg)

    def sign(self, signing_input: bytes) -> bytes:
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return self.private.sign(signing_input)
        digest = _HASHES[self.alg[2:]]
        if isinstance(self.private, rsa.RSAPrivateKey):
            pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
            scheme = pss if self.alg.startswith("PS") else padding.PKCS1v15()
            return self.private.sign(signing_input, scheme, digest)
        der = self.private.sign(signing_input, ec.ECDSA(digest))
        size = (self.private.curve.key_size + 7) // 8
        return b"".join(part.to_bytes(size) for part in decode_dss_signature(der))

    def jwk(self, **changes: Any) -> dict[str, Any]:
        """The public JWK. A change to ``None`` leaves the member out."""
        jwk: dict[str, Any] = {"use": "sig", "alg": self.alg, "kid": self.kid}
        if isinstance(self.private, rsa.RSAPrivateKey):
            numbers = self.private.public_key().public_numbers()
            jwk |= {"kty": "RSA", "n": _uint(numbers.n), "e": _uint(numbers.e)}
        elif isinstance(self.private, ed25519.Ed25519PrivateKey):
            x = b64url(self.private.public_key().public_bytes_raw())
            jwk |= {"kty": "OKP", "crv": "Ed25519", "x": x}
        else:
            point = self.private.public_key().public_numbers()
            size = (self.private.curve.key_size + 7) // 8
            curve = {_CURVES[name].name: name for name in _CURVES}[point.curve.name]
            jwk |= {"kty": "EC", "crv": curve}
            jwk |= {"x": b64url(point.x.to_bytes(size))}
            jwk |= {"y": b64url(point.y.to_bytes(size))}
        return {k: v for k, v in (jwk | changes).items() if v is not None}

    def token(
        self,
        claims: Mapping[str, Any] | bytes,
        header: Mapping[str, Any] | bytes | None = None,
    ) -> str:
        """Sign exactly what is given; ``header`` changes or, as bytes, replaces."""
        if not isinstance(header, bytes):
            whole = {"alg": self.alg, "typ": "JWT", "kid": self.kid} | dict(
                header or {}
            )
            header = compact_json({k: v for k, v in whole.items() if v is not None})
        payload = claims if isinstance(claims, bytes) else compact_json(claims)
        signing_input = f"{b64url(header)}.{b64url(payload)}"
        return f"{signing_input}.{b64url(self.sign(signing_input.encode()))}"


def good_claims(
    now: float, *, without: Iterable[str] = (), **changes: Any
) -> dict[str, Any]:
    """What a provider puts into an ID token just now, with changes."""
    claims: dict[str, Any] = {
        "iss": "https://idp.example",
        "sub": "00u1ada",
        "aud": "spa",
        "iat": int(now) - 10,
        "exp": int(now) + 3590,
        "auth_time": int(now) - 20,
        "nonce": "n-0S6_WzA2Mj",
        "name": "Ada Lovelace",
        "email": "ada@example.com",
        "email_verified": True,
    } | changes
    return {claim: value for claim, value in claims.items() if claim not in without}


def _uint(value: int) -> str:
    return b64url(value.to_bytes((value.bit_length() + 7) // 8))


@cache
def _rsa_key(number: int, bits: int) -> rsa.RSAPrivateKey:
    del number
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@cache
def _ec_key(number: int, curve: str) -> ec.EllipticCurvePrivateKey:
    del number
    return ec.generate_private_key(_CURVES[curve])


@cache
def _ed25519_key(number: int) -> ed25519.Ed25519PrivateKey:
    del number
    return ed25519.Ed25519PrivateKey.generate()

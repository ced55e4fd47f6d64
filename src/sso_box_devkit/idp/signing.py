"""Signing keys, their public form, and JWTs, all on ``cryptography`` alone.

Not the library that the product verifies with: one library's fault cannot then
agree with itself.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

Algorithm = Literal["RS256", "ES256"]

_P256_BYTES = 32


class SigningKey:
    """One key pair; ``kid`` is its RFC 7638 thumbprint."""

    def __init__(self, algorithm: Algorithm = "RS256") -> None:
        self.algorithm: Algorithm = algorithm
        self._private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
        if algorithm == "RS256":
            self._private = rsa.generate_private_key(65537, 2048)
        else:
            self._private = ec.generate_private_key(ec.SECP256R1())
        # RFC 7638 section 3.2: exactly the required members, sorted, no white space.
        self.kid = b64url(hashlib.sha256(_canonical(self._members())).digest())

    def public_jwk(self) -> dict[str, str]:
        return {
            **self._members(),
            "kid": self.kid,
            "use": "sig",
            "alg": self.algorithm,
        }

    def sign(self, header: Mapping[str, object], claims: Mapping[str, object]) -> str:
        """Return the JWS (RFC 7515 section 3.1) of exactly this header and these claims."""
        content = f"{b64url(_canonical(header))}.{b64url(_canonical(claims))}"
        return f"{content}.{b64url(self._signature(content.encode()))}"

    def read(self, token: str) -> dict[str, object] | None:
        """Return the claims of a JWS that this key signed, None for any other."""
        content, _, signature = token.rpartition(".")
        try:
            self._verify(_from_b64url(signature), content.encode("ascii"))
            claims = json.loads(_from_b64url(content.partition(".")[2]))
        except (InvalidSignature, ValueError):
            return None
        return claims if isinstance(claims, dict) else None

    def _members(self) -> dict[str, str]:
        if isinstance(self._private, rsa.RSAPrivateKey):
            rsa_numbers = self._private.public_key().public_numbers()
            return {
                "kty": "RSA",
                "n": b64url(_big_endian(rsa_numbers.n)),
                "e": b64url(_big_endian(rsa_numbers.e)),
            }
        numbers = self._private.public_key().public_numbers()
        return {
            "kty": "EC",
            "crv": "P-256",
            "x": b64url(numbers.x.to_bytes(_P256_BYTES)),
            "y": b64url(numbers.y.to_bytes(_P256_BYTES)),
        }

    def _signature(self, content: bytes) -> bytes:
        if isinstance(self._private, rsa.RSAPrivateKey):
            return self._private.sign(content, padding.PKCS1v15(), hashes.SHA256())
        # RFC 7518 section 3.4: r and s side by side, not the DER that comes out here.
        der = self._private.sign(content, ec.ECDSA(hashes.SHA256()))
        r, s = decode_dss_signature(der)
        return r.to_bytes(_P256_BYTES) + s.to_bytes(_P256_BYTES)

    def _verify(self, signature: bytes, content: bytes) -> None:
        if isinstance(self._private, rsa.RSAPrivateKey):
            public = self._private.public_key()
            public.verify(signature, content, padding.PKCS1v15(), hashes.SHA256())
            return
        r, s = signature[:_P256_BYTES], signature[_P256_BYTES:]
        der = encode_dss_signature(int.from_bytes(r), int.from_bytes(s))
        self._private.public_key().verify(der, content, ec.ECDSA(hashes.SHA256()))


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _from_b64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _canonical(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _big_endian(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8)

"""Keys for the two families of algorithms that the signature library has none for.

Built by ``keyset``, used by ``id_token`` like every other key.
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from jose.backends.base import Key
from typing_extensions import override

_PSS_HASHES: dict[str, hashes.HashAlgorithm] = {
    "PS256": hashes.SHA256(),
    "PS384": hashes.SHA384(),
    "PS512": hashes.SHA512(),
}
PSS_ALGS = frozenset(_PSS_HASHES)


class PssKey(Key):
    """RSASSA-PSS, RFC 7518 section 3.5: one hash throughout, salt as long as it."""

    def __init__(self, numbers: RSAPublicNumbers, alg: str) -> None:
        super().__init__(numbers, alg)
        self._key = numbers.public_key()
        self._hash = _PSS_HASHES[alg]
        self._padding = PSS(MGF1(self._hash), self._hash.digest_size)

    @override
    def verify(self, msg: bytes, sig: bytes) -> bool:
        try:
            self._key.verify(sig, msg, self._padding, self._hash)
        except InvalidSignature:
            return False
        return True


class Ed25519Key(Key):
    """Ed25519, RFC 8037 section 3.1, under either of its names (RFC 9864)."""

    def __init__(self, public: bytes, alg: str) -> None:
        super().__init__(public, alg)
        self._key = Ed25519PublicKey.from_public_bytes(public)

    @override
    def verify(self, msg: bytes, sig: bytes) -> bool:
        try:
            self._key.verify(sig, msg)
        except InvalidSignature:
            return False
        return True

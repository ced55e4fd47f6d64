"""The signed assertion of the JWT grant: good for one attempt, and for thirty seconds.

Signed with ``cryptography`` itself. Source: developer.box.com "JWT without SDKs";
RFC 7523 section 3.
"""

import json
import secrets
from base64 import urlsafe_b64encode
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512

from sso_box_api.box.credentials import BoxCredentials

Subject = Literal["enterprise", "user"]
Algorithm = Literal["RS256", "RS384", "RS512"]

_HASHES: dict[Algorithm, SHA256 | SHA384 | SHA512] = {
    "RS256": SHA256(),
    "RS384": SHA384(),
    "RS512": SHA512(),
}

# A name at Box, not an address: the same whatever SSO_BOX_BOX__API_URL says.
AUDIENCE = "https://api.box.com/oauth2/token"
LIFE_S = 30  # half of the 60 s that Box allows: equal room for skew both ways


def sign_assertion(
    app: BoxCredentials,
    key: RSAPrivateKey,
    kind: Subject,
    subject_id: str,
    *,
    algorithm: Algorithm,
    box_now: float,
) -> str:
    """Sign one attempt. No iat and no nbf: Box holds both against a skewed clock."""
    header = {"alg": algorithm, "typ": "JWT", "kid": app.key_id}
    claims = {
        "iss": app.client_id,
        "sub": subject_id,
        "box_sub_type": kind,
        "aud": AUDIENCE,
        "jti": secrets.token_urlsafe(24),
        "exp": int(box_now) + LIFE_S,
    }
    signed = b".".join(_base64url(json.dumps(x).encode()) for x in (header, claims))
    signature = key.sign(signed, PKCS1v15(), _HASHES[algorithm])
    return b".".join((signed, _base64url(signature))).decode()


def _base64url(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")

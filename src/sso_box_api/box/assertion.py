"""What asks Box for a token: the app's secret and, for an app with a key, an assertion.

An assertion is good for one attempt, and for thirty seconds of Box's clock. Signed with
``cryptography`` itself. Sources: developer.box.com "JWT without SDKs", "Client
Credentials Grant"; RFC 7523 section 3.
"""

import json
import logging
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512

from sso_box_api.box.credentials import BoxCredentials
from sso_box_api.box.failures import Refusal

logger = logging.getLogger(__name__)

Subject = Literal["enterprise", "user"]
Algorithm = Literal["RS256", "RS384", "RS512"]

_HASHES: dict[Algorithm, SHA256 | SHA384 | SHA512] = {
    "RS256": SHA256(),
    "RS384": SHA384(),
    "RS512": SHA512(),
}

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"

# A name at Box, not an address: the same whatever SSO_BOX_BOX__API_URL says.
AUDIENCE = "https://api.box.com/oauth2/token"
LIFE_S = 30  # half of the 60 s that Box allows: equal room for skew both ways


class Grants:
    """The forms of one app, and how far Box's clock is ahead of ours, ``offset_s``."""

    def __init__(
        self,
        credentials: BoxCredentials,
        algorithm: Algorithm,
        clock: Callable[[], float],
    ) -> None:
        self._credentials = credentials
        self._algorithm = algorithm
        self._clock = clock
        self.offset_s = 0.0

    def client(self) -> dict[str, str]:
        """Name the app, as every form does but that of a downscope."""
        return {
            "client_id": self._credentials.client_id,
            "client_secret": self._credentials.client_secret,
        }

    def form(self, kind: Subject, subject_id: str) -> dict[str, str]:
        """Ask for the token of a subject, for one attempt."""
        key = self._credentials.private_key
        if key is None:
            return {
                **self.client(),
                "grant_type": "client_credentials",
                "box_subject_type": kind,
                "box_subject_id": subject_id,
            }
        assertion = sign_assertion(
            self._credentials,
            key,
            kind,
            subject_id,
            algorithm=self._algorithm,
            box_now=self._clock() + self.offset_s,
        )
        return {**self.client(), "grant_type": JWT_BEARER, "assertion": assertion}

    def learn_clock(self, refusal: Refusal) -> bool:
        """Take Box's time where an assertion failed on time or on a used ``jti``.

        False where another assertion would fail as well: a new ``jti`` needs no date.
        """
        if refusal.code != "invalid_grant":
            return False
        named = re.findall(r"\b(exp|jti)\b", refusal.description)
        if not named or refusal.date is None:
            return "jti" in named
        self.offset_s = refusal.date.timestamp() - self._clock()
        logger.warning("Box's clock is %+.0f s from ours", self.offset_s)
        return True


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

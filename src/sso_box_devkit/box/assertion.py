"""The JWT that an app signs to get a token, held to Box's rules (RFC 7523).

Box's rules: "JWT without SDKs" on developer.box.com. The descriptions are the ones
clients match on; for ``iss``, ``aud`` and malformed tokens Box's are not known, and
ours follow the same pattern.
"""

import base64
import json
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import (
    SHA256,
    SHA384,
    SHA512,
    HashAlgorithm,
)

from sso_box_devkit.box.keys import App
from sso_box_devkit.box.responses import OAuthError
from sso_box_devkit.box.state import Enterprise

# Literal: it stays this host even where a client reaches Box under another.
AUDIENCE = "https://api.box.com/oauth2/token"
MAX_LIFE_S = 60
JTI_LENGTHS = range(16, 129)
_HASHES: dict[str, HashAlgorithm] = {
    "RS256": SHA256(),
    "RS384": SHA384(),
    "RS512": SHA512(),
}


@dataclass(frozen=True)
class UnverifiedAssertion:
    """The parts of an assertion as they came: anyone could have written them."""

    header: dict[str, Any]
    claims: dict[str, Any]
    signed: bytes
    signature: bytes


def parse(assertion: str) -> UnverifiedAssertion:
    """Raises ``OAuthError`` unless it has the shape of a signed JWT (RFC 7515)."""
    try:
        header, claims, signature = assertion.split(".")
        return UnverifiedAssertion(
            header=_decoded_object(header),
            claims=_decoded_object(claims),
            signed=f"{header}.{claims}".encode("ascii"),
            signature=_decoded(signature),
        )
    except ValueError as error:
        raise _refused("assertion") from error


def verify(enterprise: Enterprise, app: App, assertion: str) -> dict[str, Any]:
    """The claims, once everything but the right to the subject is proven.

    Spends the ``jti``: the same assertion never passes twice.
    """
    unverified = parse(assertion)
    _check_signature(app, unverified)
    claims = unverified.claims
    if claims.get("iss") != app.client_id:
        raise _refused("iss")
    if claims.get("aud") != AUDIENCE:
        raise _refused("aud")
    if not isinstance(claims.get("sub"), str):
        raise _refused("sub", "The 'sub' specified is invalid.")
    _check_times(claims, enterprise.now())
    _spend_jti(enterprise, app, claims)
    return claims


def _check_signature(app: App, unverified: UnverifiedAssertion) -> None:
    algorithm = unverified.header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in _HASHES:
        raise OAuthError("invalid_grant", "Algorithm not allowed")
    key_id = unverified.header.get("kid")
    if key_id is None and len(app.public_keys) == 1:
        # Box needs no kid while the app has a single key.
        key_id = next(iter(app.public_keys))
    key = app.public_keys.get(key_id) if isinstance(key_id, str) else None
    if key is None:
        raise _bad_signature()
    try:
        key.verify(
            unverified.signature, unverified.signed, PKCS1v15(), _HASHES[algorithm]
        )
    except InvalidSignature as error:
        raise _bad_signature() from error


def _check_times(claims: dict[str, Any], now: float) -> None:
    expires = claims.get("exp")
    if type(expires) is not int or not now < expires <= now + MAX_LIFE_S:
        raise _refused("exp")
    for name in ("iat", "nbf"):
        begins = claims.get(name)
        if begins is not None and (type(begins) is not int or begins > now):
            raise _refused(name)


def _spend_jti(enterprise: Enterprise, app: App, claims: dict[str, Any]) -> None:
    jti = claims.get("jti")
    if (
        not isinstance(jti, str)
        or len(jti) not in JTI_LENGTHS
        or (app.client_id, jti) in enterprise.spent_jtis
    ):
        raise _refused("jti", "A unique 'jti' value is required.")
    enterprise.spent_jtis.add((app.client_id, jti))


def _decoded(part: str) -> bytes:
    padded = part + "=" * (-len(part) % 4)
    return base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True)


def _decoded_object(part: str) -> dict[str, Any]:
    value = json.loads(_decoded(part))
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - parse catches ValueError
    return value


def _bad_signature() -> OAuthError:
    return OAuthError(
        "invalid_grant",
        'Signature verification error. The public key identified by "kid" must '
        "correspond to the private key used for signing.",
    )


def _refused(claim: str, more: str = "") -> OAuthError:
    return OAuthError(
        "invalid_grant", f"Please check the '{claim}' claim. {more}".rstrip()
    )

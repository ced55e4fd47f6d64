"""The header of a token, and whether a key of its issuer made the signature.

On the way of a request after ``issuers``; the claims come next. With ``keyset`` and
``jose_keys`` the only user of the signature library. Sources: RFC 7515 sections 4.1
and 5.2, RFC 8725 sections 3.1 to 3.11.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from jose.backends.base import Key

from sso_box_api.identity.compact import ParsedToken
from sso_box_api.identity.issuers import TrustedIssuer
from sso_box_api.identity.keyset import SUPPORTED_ALGS, KeySet, is_kid
from sso_box_api.identity.rules import Rule

# Header members that change what is signed or how; none of them is understood here.
_EXTENSIONS = frozenset({"crit", "b64", "zip", "enc"})


@dataclass(frozen=True, slots=True)
class SigningHeader:
    """The part of the header that is used.

    jwk, jku, x5u and x5c are not even looked at: a token cannot bring its own key.
    """

    alg: str
    kid: str | None


def read_header(unverified_header: Mapping[str, Any]) -> SigningHeader:
    """Which algorithm and key the token asks for. Raises ``CredentialError``."""
    for check in HEADER_CHECKS.values():
        check(unverified_header)
    return SigningHeader(unverified_header["alg"], unverified_header.get("kid"))


def _check_alg(unverified_header: Mapping[str, Any]) -> None:
    alg = unverified_header.get("alg")
    if not isinstance(alg, str) or alg not in SUPPORTED_ALGS:
        raise Rule.ALG_NOT_ALLOWED.refusal()


def _check_extensions(unverified_header: Mapping[str, Any]) -> None:
    if not _EXTENSIONS.isdisjoint(unverified_header):
        raise Rule.HEADER_EXTENSION.refusal()


def _check_kid(unverified_header: Mapping[str, Any]) -> None:
    if "kid" in unverified_header and not is_kid(unverified_header["kid"]):
        raise Rule.KID_INVALID.refusal()


def _check_typ(unverified_header: Mapping[str, Any]) -> None:
    """Media types compare without case; at+jwt, logout+jwt and the like are not it."""
    typ = unverified_header.get("typ", "JWT")
    if not isinstance(typ, str) or typ.lower().removeprefix("application/") != "jwt":
        raise Rule.TYP_NOT_ACCEPTED.refusal()


HEADER_CHECKS: Final[Mapping[str, Callable[[Mapping[str, Any]], None]]] = {
    "algorithm": _check_alg,
    "extensions": _check_extensions,
    "key id": _check_kid,
    "type": _check_typ,
}


def is_signed_by(
    token: ParsedToken, header: SigningHeader, issuer: TrustedIssuer, keys: KeySet
) -> bool:
    """Whether one of the issuer's keys made the signature.

    False means that the set cannot tell: it lacks the key the header names, or the
    header names none and no candidate fits. Raises ``BadSignature`` where the named
    key is there and did not sign this, or is not for this issuer.
    """
    published = keys.candidates(header.alg, header.kid)
    candidates = [key for key in published if issuer.has_key(key.issuer)]
    if header.kid is not None and published and not candidates:
        raise Rule.KEY_OF_OTHER_ISSUER.refusal()
    if any(_verifies(token, key.jose_key) for key in candidates):
        return True
    if header.kid is not None and candidates:
        raise Rule.SIGNATURE_INVALID.refusal()
    return False


def no_key_fits(header: SigningHeader) -> Rule:
    """Why a token is refused that even a fresh set could not judge."""
    return Rule.KID_UNKNOWN if header.kid is not None else Rule.SIGNATURE_INVALID


def _verifies(token: ParsedToken, key: Key) -> bool:
    """Ask the one key, built for its one algorithm, about the bytes as received.

    The library's own way in would read the token a second time, by looser rules than
    ours, and choose by what it says.
    """
    try:
        return key.verify(token.signing_input, token.signature) is True
    except Exception:  # noqa: BLE001 - its errors have no common base, and none is a yes
        return False

"""The rules of an ID token, in the order in which they are applied.

With ``keyset`` and ``jose_keys`` the only user of the signature library, and for the
signature alone: every rule about the header and the claims of all tokens stands here,
those that a provider's settings add in ``policy``. Sources: OpenID Connect Core
1.0 sections 2 and 3.1.3.7, RFC 7515 section 4.1, RFC 8725.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jose import jws

from sso_box_api.identity.claim_text import display_name, email_hint
from sso_box_api.identity.compact import ParsedToken
from sso_box_api.identity.issuers import TrustedIssuer
from sso_box_api.identity.keyset import SUPPORTED_ALGS, KeySet, VerificationKey, is_kid
from sso_box_api.identity.policy import (
    check_login,
    check_required,
    check_tenant,
    subject_of,
)
from sso_box_api.identity.rules import Rule
from sso_box_api.settings import ProviderSettings

_MAX_NUMERIC_DATE = 2**53

# Header members that change what is signed or how; none of them is understood here.
_EXTENSIONS = frozenset({"crit", "b64", "zip", "enc"})

# Claims by which a provider says which of its tokens this is, and the value that
# means ID token: Keycloak, Cognito, PingAM.
_KIND_CLAIMS = {"typ": "id", "token_use": "id", "tokenName": "id_token"}

# What access tokens carry. Some providers put one of them into ID tokens as well
# (Zitadel: client_id), but then beside a claim that only ID tokens have.
_ACCESS_TOKEN_CLAIMS = frozenset({"scope", "scp", "client_id", "cid", "appid"})
_ID_TOKEN_CLAIMS = frozenset({"nonce", "at_hash", "c_hash", *_KIND_CLAIMS})


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the verified token is about. Times are seconds since the epoch."""

    provider: str
    namespace: str
    issuer: str
    subject: str
    client_id: str
    audience: str
    issued_at: int
    expires_at: int
    auth_time: int | None
    name: str | None
    email: str | None
    email_trusted: bool
    token_sha256: str


@dataclass(frozen=True, slots=True)
class SigningHeader:
    """The part of the header that is used."""

    alg: str
    kid: str | None


def read_header(unverified_header: Mapping[str, Any]) -> SigningHeader:
    """Which algorithm and key the token asks for.

    jwk, jku, x5u and x5c are not even looked at: a token cannot bring its own key.
    """
    alg = unverified_header.get("alg")
    if not isinstance(alg, str) or alg not in SUPPORTED_ALGS:
        raise Rule.ALG_NOT_ALLOWED.refusal()
    if not _EXTENSIONS.isdisjoint(unverified_header):
        raise Rule.HEADER_EXTENSION.refusal()
    kid = unverified_header.get("kid")
    if "kid" in unverified_header and not is_kid(kid):
        raise Rule.KID_INVALID.refusal()
    if not _is_jwt(unverified_header.get("typ", "JWT")):
        raise Rule.TYP_NOT_ACCEPTED.refusal()
    return SigningHeader(alg, kid)


def _is_jwt(typ: object) -> bool:
    """Media types compare without case; at+jwt, logout+jwt and the like are not it."""
    return isinstance(typ, str) and typ.lower().removeprefix("application/") == "jwt"


def check_before_keys(
    provider: ProviderSettings,
    header: SigningHeader,
    unverified_claims: Mapping[str, Any],
    now: float,
) -> None:
    """Refuse what no signature could save, so that it cannot cause a fetch."""
    if header.alg not in provider.algs:
        raise Rule.ALG_NOT_ALLOWED.refusal()
    _our_audience(provider, _audiences(unverified_claims))
    expires_at = _numeric_date(
        unverified_claims, "exp", missing=Rule.EXP_MISSING, wrong=Rule.EXP_TYPE
    )
    _check_not_expired(provider, expires_at, now)


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
    if any(_verifies(token, key) for key in candidates):
        return True
    if header.kid is not None and candidates:
        raise Rule.SIGNATURE_INVALID.refusal()
    return False


def no_key_fits(header: SigningHeader) -> Rule:
    """Why a token is refused that even a fresh set could not judge."""
    return Rule.KID_UNKNOWN if header.kid is not None else Rule.SIGNATURE_INVALID


def _verifies(token: ParsedToken, key: VerificationKey) -> bool:
    try:
        # One built key and its one algorithm: given less, the library picks them
        # from the token or tries whatever it was handed.
        payload = jws.verify(token.unverified_token, key.jose_key, algorithms=[key.alg])
    except Exception:  # noqa: BLE001 - its errors have no common base, and none is a yes
        return False
    # The claims judged are those of our parser: they must be the signed bytes.
    return payload == token.payload


def identify(issuer: TrustedIssuer, token: ParsedToken, now: float) -> Identity:
    """Judge the claims of a token whose signature holds. Raises ``CredentialError``."""
    provider, claims = issuer.provider, token.unverified_claims
    subject = subject_of(provider, claims)
    times = _times(claims)
    audiences = _audiences(claims)
    audience = _our_audience(provider, audiences)
    client_id = _client(provider, claims, audiences) or audience
    _check_times(provider, times, now)
    _check_kind(claims)
    check_tenant(issuer, claims)
    check_required(provider, claims)
    check_login(provider, claims, times.auth_time, now)
    email, email_verified = email_hint(
        claims, provider.email_claim, provider.email_proof
    )
    return Identity(
        provider=provider.id,
        namespace=issuer.namespace,
        issuer=claims["iss"],
        subject=subject,
        client_id=client_id,
        audience=audience,
        issued_at=int(times.issued_at),
        expires_at=int(times.expires_at),
        auth_time=int(times.auth_time) if times.auth_time else None,
        name=display_name(claims),
        email=email,
        email_trusted=email_verified and provider.trust_email,
        token_sha256=hashlib.sha256(token.unverified_token.encode()).hexdigest(),
    )


@dataclass(frozen=True, slots=True)
class _Times:
    issued_at: float
    expires_at: float
    not_before: float | None
    auth_time: float | None


def _times(claims: Mapping[str, Any]) -> _Times:
    return _Times(
        issued_at=_numeric_date(
            claims, "iat", missing=Rule.IAT_MISSING, wrong=Rule.IAT_TYPE
        ),
        expires_at=_numeric_date(
            claims, "exp", missing=Rule.EXP_MISSING, wrong=Rule.EXP_TYPE
        ),
        not_before=_optional_date(claims, "nbf", wrong=Rule.NBF_TYPE),
        auth_time=_auth_time(claims),
    )


def _auth_time(claims: Mapping[str, Any]) -> float | None:
    value = claims.get("auth_time")
    if value == 0 and value is not False:  # seen where the provider does not know
        return None
    return _optional_date(claims, "auth_time", wrong=Rule.AUTH_TIME_TYPE)


def _optional_date(
    claims: Mapping[str, Any], claim: str, *, wrong: Rule
) -> float | None:
    if claim not in claims:
        return None
    return _numeric_date(claims, claim, missing=wrong, wrong=wrong)


def _numeric_date(
    claims: Mapping[str, Any], claim: str, *, missing: Rule, wrong: Rule
) -> float:
    """RFC 7519 section 2: a JSON number, here also positive and exact as a float."""
    if claim not in claims:
        raise missing.refusal()
    value = claims[claim]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong.refusal()
    if not 0 < value < _MAX_NUMERIC_DATE:
        raise wrong.refusal()
    return value


def _audiences(claims: Mapping[str, Any]) -> list[str]:
    if "aud" not in claims:
        raise Rule.AUD_MISSING.refusal()
    audiences = claims["aud"]
    if isinstance(audiences, str):
        return [audiences]
    if (
        isinstance(audiences, list)
        and audiences
        and all(isinstance(member, str) for member in audiences)
    ):
        return audiences
    raise Rule.AUD_TYPE.refusal()


def _our_audience(provider: ProviderSettings, audiences: list[str]) -> str:
    for member in audiences:
        if member in provider.client_ids:
            return member
    raise Rule.AUD_MISMATCH.refusal()


def _client(
    provider: ProviderSettings, claims: Mapping[str, Any], audiences: list[str]
) -> str | None:
    """The party the token was issued to, where the token says so."""
    trusted = {*provider.client_ids, *provider.trusted_extra_audiences}
    if not trusted.issuperset(audiences):
        raise Rule.AUD_UNTRUSTED_EXTRA.refusal()
    if "azp" not in claims:
        if len(audiences) > 1:
            raise Rule.AZP_MISSING.refusal()
        return None
    authorized_party = claims["azp"]
    if not isinstance(authorized_party, str):
        raise Rule.AZP_TYPE.refusal()
    if authorized_party not in {*provider.client_ids, *provider.allowed_azp}:
        raise Rule.AZP_NOT_ALLOWED.refusal()
    return authorized_party


def _check_not_expired(
    provider: ProviderSettings, expires_at: float, now: float
) -> None:
    if expires_at <= now - provider.leeway_s:
        raise Rule.EXP_PAST.refusal()


def _check_times(provider: ProviderSettings, times: _Times, now: float) -> None:
    leeway_s = provider.leeway_s
    _check_not_expired(provider, times.expires_at, now)
    if times.not_before is not None and times.not_before > now + leeway_s:
        raise Rule.NBF_FUTURE.refusal()
    if times.issued_at > now + leeway_s:
        raise Rule.IAT_FUTURE.refusal()
    # Sign-out compares with it: a login of tomorrow would outlive every one.
    if times.auth_time is not None and times.auth_time > now + leeway_s:
        raise Rule.AUTH_TIME_FUTURE.refusal()
    if times.issued_at + provider.max_age_s <= now - leeway_s:
        raise Rule.IAT_TOO_OLD.refusal()
    if times.expires_at <= times.issued_at:
        raise Rule.EXP_NOT_AFTER_IAT.refusal()
    if times.expires_at - times.issued_at > provider.max_lifetime_s:
        raise Rule.LIFETIME_TOO_LONG.refusal()


def _check_kind(claims: Mapping[str, Any]) -> None:
    """Access, logout and event tokens are signed with the same keys as ID tokens."""
    if "events" in claims:
        raise Rule.EVENTS_PRESENT.refusal()
    for claim, id_token in _KIND_CLAIMS.items():
        kind = claims.get(claim, id_token)
        if not isinstance(kind, str) or kind.lower() != id_token:
            raise Rule.TOKEN_KIND.refusal()
    # Entra's and Auth0's tokens of an application that acts for nobody.
    if claims.get("idtyp") == "app" or "gty" in claims:
        raise Rule.TOKEN_KIND.refusal()
    if not _ACCESS_TOKEN_CLAIMS.isdisjoint(claims) and _ID_TOKEN_CLAIMS.isdisjoint(
        claims
    ):
        raise Rule.ACCESS_TOKEN_CLAIMS.refusal()

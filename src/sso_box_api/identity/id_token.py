"""The claims of an ID token: every rule about them, in the order of application.

On the way of a request after ``signature``. The rules of all tokens stand here, those
that a provider's settings add in ``policy``. Sources: OpenID Connect Core 1.0 sections
2 and 3.1.3.7, RFC 7519 sections 2 and 4.1, RFC 8725 section 3.12.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from sso_box_api.errors import TokenPolicy
from sso_box_api.identity.claim_text import (
    ClaimValue,
    display_name,
    email_hint,
    kept_claims,
)
from sso_box_api.identity.compact import ParsedToken
from sso_box_api.identity.issuers import TrustedIssuer
from sso_box_api.identity.policy import (
    check_login,
    check_required,
    check_tenant,
    subject_of,
)
from sso_box_api.identity.rules import Rule
from sso_box_api.identity.signature import SigningHeader
from sso_box_api.settings import ProviderSettings

_MAX_NUMERIC_DATE = 2**53

# Claims by which a provider says which of its tokens this is, and the value that
# means ID token: Keycloak, Cognito, PingAM.
_KIND_CLAIMS = {"typ": "id", "token_use": "id", "tokenName": "id_token"}

# What access tokens carry. Some providers put one of them into ID tokens as well
# (Zitadel: client_id), but then beside a claim that only ID tokens have.
_ACCESS_TOKEN_CLAIMS = frozenset({"scope", "scp", "client_id", "cid", "appid"})
_ID_TOKEN_CLAIMS = frozenset({"nonce", "at_hash", "c_hash", *_KIND_CLAIMS})


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the verified token is about. Times are seconds since the epoch.

    ``claims``: of those that the settings make use of, the ones in the token, cleaned.
    """

    provider: str
    namespace: str
    issuer: str
    subject: str
    client_id: str
    audience: str
    issued_at: int
    expires_at: int
    auth_time: int | None
    nonce: str | None
    name: str | None
    email: str | None
    email_trusted: bool
    token_sha256: str
    claims: Mapping[str, ClaimValue] = field(default_factory=dict)

    @property
    def signed_in_at(self) -> int:
        """When the person logged in, in epoch seconds, as far as the token tells."""
        return self.issued_at if self.auth_time is None else self.auth_time

    def check_client(self, client_id: str | None) -> None:
        """Raise ``TokenPolicy`` where a caller states another client than the token."""
        if client_id not in {None, self.client_id, self.audience}:
            raise TokenPolicy("client_id_mismatch")


def check_before_keys(
    provider: ProviderSettings,
    header: SigningHeader,
    unverified_claims: Mapping[str, Any],
    now: float,
) -> None:
    """Refuse what no signature could save, so that it cannot cause a fetch."""
    check_alg(provider, header)
    _our_audience(provider, _audiences(unverified_claims))
    expires_at = _numeric_date(
        unverified_claims, "exp", missing=Rule.EXP_MISSING, wrong=Rule.EXP_TYPE
    )
    _check_not_expired(provider, expires_at, now)


def check_alg(provider: ProviderSettings, header: SigningHeader) -> None:
    if header.alg not in provider.algs:
        raise Rule.ALG_NOT_ALLOWED.refusal()


def identify(
    issuer: TrustedIssuer,
    token: ParsedToken,
    now: float,
    *,
    keep_claims: Collection[str] = (),
) -> Identity:
    """Judge the claims of a token whose signature holds. Raises ``CredentialError``."""
    provider, claims = issuer.provider, token.unverified_claims
    for check in CLAIM_CHECKS.values():
        check(issuer, claims, now)
    times = _times(claims)
    audience = _our_audience(provider, _audiences(claims))
    email, email_verified = email_hint(
        claims, provider.email_claim, provider.email_proof
    )
    return Identity(
        provider=provider.id,
        namespace=issuer.namespace,
        issuer=claims["iss"],
        subject=subject_of(provider, claims),
        client_id=claims.get("azp", audience),
        audience=audience,
        issued_at=int(times.issued_at),
        expires_at=int(times.expires_at),
        auth_time=int(times.auth_time) if times.auth_time else None,
        nonce=claims.get("nonce"),
        name=display_name(claims),
        email=email,
        email_trusted=email_verified and provider.trust_email,
        token_sha256=hashlib.sha256(token.unverified_token.encode()).hexdigest(),
        claims=kept_claims(claims, keep_claims),
    )


class _Times(NamedTuple):
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


def _check_parties(provider: ProviderSettings, claims: Mapping[str, Any]) -> None:
    """Nobody else is meant, and who the token was issued to is one of ours."""
    audiences = _audiences(claims)
    trusted = {*provider.client_ids, *provider.trusted_extra_audiences}
    if not trusted.issuperset(audiences):
        raise Rule.AUD_UNTRUSTED_EXTRA.refusal()
    if "azp" not in claims:
        if len(audiences) > 1:
            raise Rule.AZP_MISSING.refusal()
        return
    authorized_party = claims["azp"]
    if not isinstance(authorized_party, str):
        raise Rule.AZP_TYPE.refusal()
    if authorized_party not in {*provider.client_ids, *provider.allowed_azp}:
        raise Rule.AZP_NOT_ALLOWED.refusal()


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


def _check_nonce_type(claims: Mapping[str, Any]) -> None:
    if not isinstance(claims.get("nonce", ""), str):
        raise Rule.NONCE_TYPE.refusal()


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


# What a check has to know: whose token it would be, its claims, and the time. None of
# them believes that another one has passed.
ClaimCheck = Callable[[TrustedIssuer, Mapping[str, Any], float], object]

CLAIM_CHECKS: Final[Mapping[str, ClaimCheck]] = {
    "subject": lambda issuer, claims, _: subject_of(issuer.provider, claims),
    "times": lambda _, claims, __: _times(claims),
    "nonce": lambda _, claims, __: _check_nonce_type(claims),
    "audience": lambda issuer, claims, _: _our_audience(
        issuer.provider, _audiences(claims)
    ),
    "parties": lambda issuer, claims, _: _check_parties(issuer.provider, claims),
    "validity": lambda issuer, claims, now: _check_times(
        issuer.provider, _times(claims), now
    ),
    "token kind": lambda _, claims, __: _check_kind(claims),
    "tenant": lambda issuer, claims, _: check_tenant(issuer, claims),
    "required claims": lambda issuer, claims, _: check_required(
        issuer.provider, claims
    ),
    "login": lambda issuer, claims, now: check_login(
        issuer.provider, claims, _auth_time(claims), now
    ),
}

"""What a provider's settings ask of a verified token, beyond the rules of all tokens.

Called by ``id_token`` once the signature holds: who it is about, whose tenant that
is, and whether the login was new and strong enough.
"""

from collections.abc import Mapping
from typing import Any

from sso_box_api.errors import StepUpRequired
from sso_box_api.identity.issuers import TrustedIssuer
from sso_box_api.identity.rules import Rule
from sso_box_api.settings import ProviderSettings

_MAX_SUBJECT_CHARS = 255
_JOINT = "/"


def subject_of(provider: ProviderSettings, claims: Mapping[str, Any]) -> str:
    """``sub``, or the claims that are configured in its place, joined by a slash."""
    if "sub" not in claims:
        raise Rule.SUB_MISSING.refusal()
    if not set(provider.subject_claims) <= claims.keys():
        raise Rule.SUBJECT_CLAIM_MISSING.refusal()
    parts = [claims[claim] for claim in provider.subject_claims]
    # Every ID token has a good sub, whatever is used of it.
    if not all(map(_is_subject, (claims["sub"], *parts))):
        raise Rule.SUB_INVALID.refusal()
    subject = _JOINT.join(parts)
    # A slash of its own would let two people's parts join to one subject.
    own_joints = subject.count(_JOINT) - (len(parts) - 1)
    if len(subject) > _MAX_SUBJECT_CHARS or (len(parts) > 1 and own_joints):
        raise Rule.SUB_INVALID.refusal()
    return subject


def _is_subject(value: object) -> bool:
    """OpenID Connect Core 1.0 section 2: ASCII, 255 characters at most."""
    return (
        isinstance(value, str)
        and 1 <= len(value) <= _MAX_SUBJECT_CHARS
        and value.isascii()
        and value.isprintable()
    )


def check_tenant(trusted: TrustedIssuer, claims: Mapping[str, Any]) -> None:
    """The tenant in the issuer and in ``tid`` are the same one."""
    if trusted.tenant is not None and claims.get("tid") != trusted.tenant:
        raise Rule.TENANT_MISMATCH.refusal()


def check_required(provider: ProviderSettings, claims: Mapping[str, Any]) -> None:
    """Each required claim is there and has one of the allowed values, type and all."""
    for claim, allowed in provider.required_claims.items():
        value = claims.get(claim)
        if not any(type(value) is type(one) and value == one for one in allowed):
            raise Rule.REQUIRED_CLAIM.refusal()


def check_login(
    provider: ProviderSettings,
    claims: Mapping[str, Any],
    auth_time: float | None,
    now: float,
) -> None:
    """Raise ``StepUpRequired`` where the person has to log in again or otherwise."""
    broken = _broken_by_login(provider, claims, auth_time, now)
    if broken is not None:
        # All that is asked for, so that one more login is enough.
        raise StepUpRequired(
            broken.reason,
            max_age_s=provider.max_auth_age_s,
            acr_values=provider.allowed_acr,
        )


def _broken_by_login(
    provider: ProviderSettings,
    claims: Mapping[str, Any],
    auth_time: float | None,
    now: float,
) -> Rule | None:
    if provider.max_auth_age_s is not None:
        if auth_time is None:
            return Rule.AUTH_TIME_MISSING
        if auth_time + provider.max_auth_age_s <= now - provider.leeway_s:
            return Rule.AUTH_TIME_TOO_OLD
    if provider.allowed_acr and claims.get("acr") not in provider.allowed_acr:
        return Rule.ACR_NOT_ALLOWED
    return None

"""Why a token passes or not: the checks of a request, each made by itself.

For an administrator with a person's token in hand, never on the way of a request. The
checks are the ones that requests go through, from the same tables. What is said of the
token is safe to pass on: never a part of its text, only header members, issuer,
audience, subject, times and what the provider's settings ask for.
"""

import json
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, TypeVar

from sso_box_api.errors import CredentialError, SsoBoxError
from sso_box_api.identity.compact import ParsedToken, UnverifiedToken, parse
from sso_box_api.identity.id_token import (
    CLAIM_CHECKS,
    Identity,
    check_alg,
    check_before_keys,
    identify,
)
from sso_box_api.identity.issuers import IssuerRegistry, TrustedIssuer
from sso_box_api.identity.keyset import KeySet
from sso_box_api.identity.probe import ProbeReport
from sso_box_api.identity.rules import Rule
from sso_box_api.identity.signature import (
    HEADER_CHECKS,
    SigningHeader,
    is_signed_by,
    no_key_fits,
    read_header,
)
from sso_box_api.settings import ProviderSettings

T = TypeVar("T")

_MAX_SHOWN_CHARS = 120

# Which header members and claims tell why a check came out as it did.
_HEADER_FACTS = {
    "algorithm": ("alg",),
    "extensions": ("crit", "b64", "zip", "enc"),
    "key id": ("kid",),
    "type": ("typ",),
}
_CLAIM_FACTS = {
    "times": ("iat", "exp", "nbf", "auth_time"),
    "audience": ("aud",),
    "parties": ("aud", "azp"),
    "validity": ("iat", "exp", "nbf", "auth_time"),
    "token kind": ("typ", "token_use", "tokenName", "idtyp", "gty"),
    "tenant": ("tid",),
    "login": ("auth_time", "acr"),
}
_TIMES = frozenset({"iat", "exp", "nbf", "auth_time"})

# What an administrator can do about the rules that a genuine token breaks.
_ADVICE = {
    Rule.TOKEN_ENCRYPTED: "turn encryption of ID tokens off for this client",
    Rule.SEGMENT_COUNT: "is it the whole ID token, and not an opaque access token?",
    Rule.SIGNATURE_MISSING: "is it the whole ID token? Unsigned ones are never taken",
    Rule.BASE64URL_NOT_CANONICAL: "copy it again, without line breaks or quotes",
    Rule.TYP_NOT_ACCEPTED: "send the ID token, not the provider's other tokens",
    Rule.ISS_UNKNOWN: "configure this issuer, exactly as it stands here",
    Rule.ALG_NOT_ALLOWED: "add it to the provider's algs, if that is what it signs with",
    Rule.KID_UNKNOWN: "the provider publishes no such key: is it the right issuer?",
    Rule.SIGNATURE_INVALID: "changed on the way, or signed by somebody else",
    Rule.KEY_OF_OTHER_ISSUER: "the key is published for another tenant",
    Rule.AUD_MISMATCH: "add the client to client_ids, if it is one of yours",
    Rule.AUD_UNTRUSTED_EXTRA: "add it to trusted_extra_audiences, if it may hold it",
    Rule.AZP_NOT_ALLOWED: "add it to allowed_azp, if it is one of your apps",
    Rule.EXP_PAST: "get a fresh one",
    Rule.IAT_TOO_OLD: "get a fresh one, or raise max_age_s",
    Rule.LIFETIME_TOO_LONG: "shorten it at the provider, or raise max_lifetime_s",
    Rule.NBF_FUTURE: "compare the clocks: sso-box-api doctor",
    Rule.IAT_FUTURE: "compare the clocks: sso-box-api doctor",
    Rule.AUTH_TIME_FUTURE: "compare the clocks: sso-box-api doctor",
    Rule.SUBJECT_CLAIM_MISSING: "have the provider send it; Entra's oid comes with the"
    " scope profile",
    Rule.TENANT_MISMATCH: "the issuer and tid must name the same tenant",
    Rule.REQUIRED_CLAIM: "see required_claims of the provider and of its kind",
    Rule.AUTH_TIME_MISSING: "have the client ask for it, with max_age at the login",
    Rule.AUTH_TIME_TOO_OLD: "the person has to log in again",
    Rule.ACR_NOT_ALLOWED: "the person has to log in with one of acr_values",
    Rule.EVENTS_PRESENT: "send the ID token, not the provider's other tokens",
    Rule.TOKEN_KIND: "send the ID token, not the provider's other tokens",
    Rule.ACCESS_TOKEN_CLAIMS: "send the ID token, not the provider's other tokens",
}
_ADVICE_BY_REASON = {rule.reason: advice for rule, advice in _ADVICE.items()}


@dataclass(frozen=True, slots=True)
class Check:
    """One check; ``unknown`` where it could not be made."""

    name: str
    outcome: Literal["passed", "failed", "unknown"]
    text: str


@dataclass
class Explanation:
    """What came of the checks so far.

    ``identity``: whom the claims name, if nothing is wrong with them; without a passed
    signature that is anybody's word.
    """

    checks: list[Check] = field(default_factory=list)
    provider: ProviderSettings | None = None
    identity: Identity | None = None
    # In the order of a request, which is not everywhere that of the checks.
    refusals: list[SsoBoxError] = field(default_factory=list)

    @property
    def verdict(self) -> Literal["granted", "refused", "undecided"]:
        """``undecided``: nothing refuses it, but not everything could be checked."""
        if self.refusals:
            return "refused"
        unknown = any(check.outcome == "unknown" for check in self.checks)
        return "undecided" if unknown else "granted"

    @property
    def code(self) -> str | None:
        """What a caller would be refused with."""
        return self.refusals[0].code if self.refusals else None

    def passed(self, name: str, text: str) -> None:
        self.checks.append(Check(name, "passed", text))

    def unknown(self, name: str, text: str) -> None:
        self.checks.append(Check(name, "unknown", text))

    def failed(self, name: str, error: SsoBoxError, text: str) -> None:
        self.refusals.append(error)
        advice = _ADVICE_BY_REASON.get(error.reason)
        said = [error.reason or error.code, text, advice and f"-> {advice}"]
        self.checks.append(Check(name, "failed", "; ".join(filter(None, said))))

    def make(self, name: str, check: Callable[[], T], facts: str) -> T | None:
        """Make a check and note what came of it; None where it failed."""
        try:
            result = check()
        except SsoBoxError as error:
            self.failed(name, error, facts)
            return None
        self.passed(name, facts)
        return result


async def explain(
    unverified_token: UnverifiedToken,
    issuers: IssuerRegistry,
    now: float,
    keys_of: Callable[[ProviderSettings], Awaitable[ProbeReport | None]],
    *,
    keep_claims: Collection[str] = (),
) -> Explanation:
    """``keys_of`` returns None for a provider that must not be asked now."""
    found = Explanation()
    length = f"{len(unverified_token)} characters"
    token = found.make("form", partial(parse, unverified_token), length)
    if token is None:
        return found
    header = _explain_header(found, token.unverified_header)
    issuer = found.make(
        "issuer",
        partial(issuers.find_for, token.unverified_claims),
        _shown(token.unverified_claims, ("iss",)),
    )
    if issuer is None:
        return found
    found.provider = issuer.provider
    if header is None:
        found.unknown("signature", "not checked: the header is not acceptable")
    else:
        _explain_before_keys(found, token, header, issuer.provider, now)
        report = await keys_of(issuer.provider)
        _explain_signature(found, token, header, issuer, report)
    if _explain_claims(found, token, issuer, now):
        found.identity = identify(issuer, token, now, keep_claims=keep_claims)
    return found


def _explain_header(
    found: Explanation, unverified_header: Mapping[str, Any]
) -> SigningHeader | None:
    for name, check in HEADER_CHECKS.items():
        facts = _shown(unverified_header, _HEADER_FACTS[name])
        found.make(name, partial(check, unverified_header), facts)
    return None if found.refusals else read_header(unverified_header)


def _explain_before_keys(
    found: Explanation,
    token: ParsedToken,
    header: SigningHeader,
    provider: ProviderSettings,
    now: float,
) -> None:
    algs = f"{header.alg} of {', '.join(provider.algs)}"
    found.make("allowed algorithm", partial(check_alg, provider, header), algs)
    try:
        check_before_keys(provider, header, token.unverified_claims, now)
    except CredentialError as error:
        # Shown with the claims; but a request is refused by it before the signature.
        found.refusals.append(error)


def _explain_signature(
    found: Explanation,
    token: ParsedToken,
    header: SigningHeader,
    issuer: TrustedIssuer,
    report: ProbeReport | None,
) -> None:
    if report is None:
        found.unknown("signature", "not checked; --online asks the provider for keys")
    elif report.keys is None:
        found.unknown("signature", f"no keys: {'; '.join(report.problems)}")
    else:
        keys = report.keys
        fitting = len(keys.candidates(header.alg, header.kid))
        signed = partial(_check_signed, token, header, issuer, keys)
        found.make("signature", signed, f"{fitting} of {len(keys)} keys may be the one")


def _check_signed(
    token: ParsedToken, header: SigningHeader, issuer: TrustedIssuer, keys: KeySet
) -> None:
    if not is_signed_by(token, header, issuer, keys):
        raise no_key_fits(header).refusal()


def _explain_claims(
    found: Explanation, token: ParsedToken, issuer: TrustedIssuer, now: float
) -> bool:
    provider, claims = issuer.provider, token.unverified_claims
    before = len(found.checks)
    for name, check in CLAIM_CHECKS.items():
        facts = _facts(name, provider, claims, now)
        found.make(name, partial(check, issuer, claims, now), facts)
    return all(check.outcome == "passed" for check in found.checks[before:])


def _facts(
    name: str, provider: ProviderSettings, claims: Mapping[str, Any], now: float
) -> str:
    if name == "subject":
        return _shown(claims, provider.subject_claims)
    if name == "required claims":
        return _shown(claims, provider.required_claims)
    if name == "validity":
        return _shown(claims, _CLAIM_FACTS[name], now)
    return _shown(claims, _CLAIM_FACTS.get(name, ()))


def _shown(
    members: Mapping[str, Any], names: Iterable[str], now: float | None = None
) -> str:
    """The members that are there, as printable ASCII; times relative to ``now``."""
    return ", ".join(
        f"{name} {_moment(members[name], now) if now else _value(members[name])}"
        for name in names
        if name in members
    )


def _value(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= _MAX_SHOWN_CHARS else f"{text[:_MAX_SHOWN_CHARS]}..."


def _moment(value: object, now: float) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _value(value)
    try:
        at = datetime.fromtimestamp(value, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return _value(value)
    away_s = round(value - now)
    span = _span(abs(away_s))
    return f"{at} (in {span})" if away_s > 0 else f"{at} ({span} ago)"


def _span(seconds: int) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"

"""Every rule a token can break: its stable name for the log, and what the caller sees.

The caller learns only the coarse code of the error; the name goes to the log and the
audit event. Names are never changed or used again for something else.
"""

from enum import Enum

from sso_box_api.errors import (
    BadSignature,
    CredentialError,
    NonceProofFailed,
    StepUpRequired,
    TokenExpired,
    TokenMalformed,
    TokenPolicy,
    UntrustedIssuer,
    WrongAudience,
)


class Rule(Enum):
    """``raise Rule.EXP_PAST.refusal()``"""

    def __init__(self, reason: str, error: type[CredentialError]) -> None:
        self.reason = reason
        self.error = error

    def refusal(self) -> CredentialError:
        return self.error(self.reason)

    # The compact form (RFC 7515 sections 2, 4 and 7.1; RFC 8725 section 3)
    TOKEN_TOO_LONG = ("token_too_long", TokenMalformed)
    TOKEN_NOT_ASCII = ("token_not_ascii", TokenMalformed)
    TOKEN_ENCRYPTED = ("token_encrypted", TokenMalformed)
    SEGMENT_COUNT = ("segment_count", TokenMalformed)
    SEGMENT_EMPTY = ("segment_empty", TokenMalformed)
    SIGNATURE_MISSING = ("signature_missing", TokenMalformed)
    HEADER_TOO_LONG = ("header_too_long", TokenMalformed)
    SIGNATURE_TOO_LONG = ("signature_too_long", TokenMalformed)
    BASE64URL_NOT_CANONICAL = ("base64url_not_canonical", TokenMalformed)
    JSON_INVALID = ("json_invalid", TokenMalformed)
    JSON_NOT_OBJECT = ("json_not_object", TokenMalformed)
    JSON_DUPLICATE_MEMBER = ("json_duplicate_member", TokenMalformed)
    JSON_NUMBER = ("json_number", TokenMalformed)
    JSON_TOO_DEEP = ("json_too_deep", TokenMalformed)

    # The header (RFC 7515 section 4.1; RFC 8725 sections 3.1, 3.6 and 3.11)
    ALG_NOT_ALLOWED = ("alg_not_allowed", BadSignature)
    HEADER_EXTENSION = ("header_extension", TokenPolicy)
    KID_INVALID = ("kid_invalid", TokenMalformed)
    TYP_NOT_ACCEPTED = ("typ_not_accepted", TokenPolicy)

    # The issuer and its signature
    ISS_MISSING = ("iss_missing", TokenMalformed)
    ISS_TYPE = ("iss_type", TokenMalformed)
    ISS_UNKNOWN = ("iss_unknown", UntrustedIssuer)
    KEY_OF_OTHER_ISSUER = ("key_of_other_issuer", BadSignature)
    KID_UNKNOWN = ("kid_unknown", BadSignature)
    SIGNATURE_INVALID = ("signature_invalid", BadSignature)

    # The claims (OpenID Connect Core 1.0 sections 2 and 3.1.3.7)
    SUB_MISSING = ("sub_missing", TokenMalformed)
    SUB_INVALID = ("sub_invalid", TokenMalformed)
    EXP_MISSING = ("exp_missing", TokenMalformed)
    EXP_TYPE = ("exp_type", TokenMalformed)
    IAT_MISSING = ("iat_missing", TokenMalformed)
    IAT_TYPE = ("iat_type", TokenMalformed)
    NBF_TYPE = ("nbf_type", TokenMalformed)
    AUTH_TIME_TYPE = ("auth_time_type", TokenMalformed)
    NONCE_TYPE = ("nonce_type", TokenMalformed)
    AUD_MISSING = ("aud_missing", WrongAudience)
    AUD_TYPE = ("aud_type", TokenMalformed)
    AUD_MISMATCH = ("aud_mismatch", WrongAudience)
    AUD_UNTRUSTED_EXTRA = ("aud_untrusted_extra", WrongAudience)
    AZP_MISSING = ("azp_missing", WrongAudience)
    AZP_TYPE = ("azp_type", TokenMalformed)
    AZP_NOT_ALLOWED = ("azp_not_allowed", WrongAudience)
    EXP_PAST = ("exp_past", TokenExpired)
    NBF_FUTURE = ("nbf_future", TokenExpired)
    IAT_FUTURE = ("iat_future", TokenExpired)
    AUTH_TIME_FUTURE = ("auth_time_future", TokenExpired)
    IAT_TOO_OLD = ("iat_too_old", TokenExpired)
    EXP_NOT_AFTER_IAT = ("exp_not_after_iat", TokenPolicy)
    LIFETIME_TOO_LONG = ("lifetime_too_long", TokenPolicy)

    # What the provider's settings ask for (RFC 9470 for the login itself)
    SUBJECT_CLAIM_MISSING = ("subject_claim_missing", TokenPolicy)
    TENANT_MISMATCH = ("tenant_mismatch", UntrustedIssuer)
    REQUIRED_CLAIM = ("required_claim", TokenPolicy)
    AUTH_TIME_MISSING = ("auth_time_missing", StepUpRequired)
    AUTH_TIME_TOO_OLD = ("auth_time_too_old", StepUpRequired)
    ACR_NOT_ALLOWED = ("acr_not_allowed", StepUpRequired)

    # The proof of the page that logged in (OpenID Connect Core 1.0 section 15.5.2)
    NONCE_VERIFIER_MISSING = ("nonce_verifier_missing", NonceProofFailed)
    NONCE_MISMATCH = ("nonce_mismatch", NonceProofFailed)

    # Another kind of token under the same keys (RFC 8725 section 3.12)
    EVENTS_PRESENT = ("events_present", TokenPolicy)
    TOKEN_KIND = ("token_kind", TokenPolicy)
    ACCESS_TOKEN_CLAIMS = ("access_token_claims", TokenPolicy)

"""Everything that can go wrong, with the stable code a caller sees.

::

    SsoBoxError                     code · status · title · public detail
    ├── CredentialError             401, with a Bearer challenge (RFC 6750 section 3)
    │   ├── TokenMissing              token_missing
    │   ├── TokenMalformed            token_malformed
    │   ├── UntrustedIssuer           token_untrusted_issuer
    │   ├── BadSignature              token_signature
    │   ├── TokenExpired              token_expired
    │   ├── WrongAudience             token_audience
    │   ├── TokenPolicy               token_policy
    │   ├── StepUpRequired            step_up_required (RFC 9470)
    │   ├── NonceProofFailed          nonce_proof_failed
    │   ├── SignedOut                 signed_out (RFC 9470: log in again)
    │   └── MetricsTokenWrong         metrics_token_wrong (/metrics only)
    ├── RequestError                what was sent is at fault
    │   ├── InvalidForm               400 invalid_form (the OAuth routes only)
    │   ├── AmbiguousCredentials      400 ambiguous_credentials
    │   ├── RequestTimeout            408 request_timeout
    │   ├── BodyTooLarge              413 body_too_large
    │   ├── UnsupportedMediaType      415 unsupported_media_type
    │   ├── InvalidBody               422 invalid_body
    │   ├── UnknownProfile            422 unknown_profile
    │   ├── BadResource               422 bad_resource
    │   ├── TooManyBadTokens          429 too_many_bad_tokens
    │   └── TooManyMints              429 too_many_mints
    ├── Refused                     403: who you are is known, and the answer is no
    │   ├── ProfileNotAllowed         profile_not_allowed
    │   ├── ScopeNotInProfile         scope_not_in_profile
    │   ├── ResourceNotAccessible     resource_not_accessible
    │   ├── FolderNotProvisioned      folder_not_provisioned
    │   ├── AccessSuspended           access_suspended
    │   ├── AccountLocked             account_locked
    │   ├── AccountRemoved            account_removed
    │   ├── EmailNotAllowed           email_not_allowed
    │   ├── NoBoxUser                 no_box_user
    │   ├── BoxLoginTaken             box_login_taken
    │   ├── BoxUserMissing            box_user_missing
    │   ├── BoxUserInactive           box_user_inactive
    │   └── BoxUserConflict           box_user_conflict
    ├── UpstreamRefused             502: Box answered, and the answer cannot be used
    │   ├── BoxRefused                box_refused
    │   └── BoxGrantedWrongScope      box_granted_wrong_scope
    └── Unavailable                 503, always with Retry-After
        ├── ProvisioningInProgress    provisioning_in_progress
        ├── KeysUnavailable           keys_unavailable
        │   └── KeyFetchesLimited       the same, and counted as a bad token
        ├── BoxUnavailable            box_unavailable
        ├── BoxRefusesToken           box_refuses_token
        └── DatabaseUnavailable       database_unavailable
    ConfigurationError              never over HTTP: the process does not start
    CommandRefused                  never over HTTP: an administrator's command

``detail`` is public and fixed by us; ``reason`` goes to the log only, and neither
may ever hold a token, a key or text from an upstream body.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar


class SsoBoxError(Exception):
    """A failure with a stable public code.

    ``reason``: the exact rule that failed, for the log and the audit event.
    ``retry_after``: whole seconds after which trying again makes sense.
    ``members``: further members of the problem document (RFC 9457 section 3.2).
    ``oauth_error``: the code of RFC 6749 section 5.2 or RFC 8693 section 2.2.2.
    """

    code: ClassVar[str]
    status: ClassVar[int]
    title: ClassVar[str]
    detail: ClassVar[str]
    oauth_error: str = "invalid_request"

    def __init__(
        self,
        reason: str = "",
        *,
        retry_after: int | None = None,
        members: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(f"{self.code}: {reason}" if reason else self.code)
        self.reason = reason
        self.retry_after = retry_after
        self.members = dict(members or {})


class CredentialError(SsoBoxError):
    """The presented credential does not identify anybody."""

    status = 401


class TokenMissing(CredentialError):
    """No credential was presented: the one challenge without an error attribute."""

    code = "token_missing"
    title = "No ID token"
    detail = "Send the ID token as a Bearer token or as id_token in the body."


class TokenMalformed(CredentialError):
    """Not a signed JWT in compact form, or a claim of the wrong type."""

    code = "token_malformed"
    title = "Malformed ID token"
    detail = "The credential is not a well-formed signed ID token."


class UntrustedIssuer(CredentialError):
    """The issuer is not configured."""

    code = "token_untrusted_issuer"
    title = "Issuer not trusted"
    detail = "The token's issuer is not one this service accepts."


class BadSignature(CredentialError):
    """The signature does not verify under a key of the issuer."""

    code = "token_signature"
    title = "Signature not valid"
    detail = "The token's signature does not verify with the issuer's keys."


class TokenExpired(CredentialError):
    """Outside its validity: expired, too old, or not valid yet."""

    code = "token_expired"
    title = "ID token not valid now"
    detail = "The token has expired or is not valid yet; obtain a fresh one."


class WrongAudience(CredentialError):
    """Issued for a client this service does not serve."""

    code = "token_audience"
    title = "Wrong audience"
    detail = "The token was not issued for an application this service accepts."


class TokenPolicy(CredentialError):
    """Well-formed and signed, but not an ID token this service accepts."""

    code = "token_policy"
    title = "ID token not acceptable"
    detail = "The token is not an ID token that this service's rules accept."


class StepUpRequired(CredentialError):
    """The login is too old or too weak for this provider's rules (RFC 9470).

    ``max_age_s`` and ``acr_values`` say what login would do, for the challenge.
    """

    code = "step_up_required"
    title = "Newer or stronger login needed"
    detail = "This login is too old or too weak; sign in again as the challenge says."

    def __init__(
        self,
        reason: str = "",
        *,
        max_age_s: int | None = None,
        acr_values: Sequence[str] = (),
    ) -> None:
        super().__init__(reason)
        self.max_age_s = max_age_s
        self.acr_values = tuple(acr_values)


class NonceProofFailed(CredentialError):
    """Whoever sent the token did not show that the login was its own."""

    code = "nonce_proof_failed"
    title = "Not the page that logged in"
    detail = "Log in with a nonce of your own and send its nonce_verifier."


class SignedOut(CredentialError):
    """Issued before the person signed out everywhere; a new login is needed."""

    code = "signed_out"
    title = "Signed out"
    detail = "This login was ended; sign in again."


class MetricsTokenWrong(CredentialError):
    """Whoever wants the metrics has not sent the configured token."""

    code = "metrics_token_wrong"
    title = "Metrics token wrong"
    detail = "Send the token that is configured for metrics as a Bearer token."


class RequestError(SsoBoxError):
    """The request itself is at fault, whoever sent it."""


class InvalidForm(RequestError):
    """A form that RFC 6749, 7009 or 8693 refuses, with the error code they ask for."""

    code = "invalid_form"
    status = 400
    title = "Invalid token request"
    detail = "The form is not one as RFC 8693 or, to revoke, RFC 7009 describes it."

    def __init__(self, reason: str, oauth_error: str = "invalid_request") -> None:
        super().__init__(reason)
        self.oauth_error = oauth_error


class AmbiguousCredentials(RequestError):
    """More than one credential, or one in a place where it would be logged."""

    code = "ambiguous_credentials"
    status = 400
    title = "Ambiguous credentials"
    detail = "Send exactly one credential, in the Authorization header or the body."


class RequestTimeout(RequestError):
    """The body did not arrive in time."""

    code = "request_timeout"
    status = 408
    title = "Request timeout"
    detail = "The request body has to arrive within 10 seconds."


class BodyTooLarge(RequestError):
    """The body passes the stated limit."""

    code = "body_too_large"
    status = 413
    title = "Request body too large"
    detail = "The request body may have at most 65536 bytes."


class UnsupportedMediaType(RequestError):
    """The body is not of the type this route takes."""

    code = "unsupported_media_type"
    status = 415
    title = "Unsupported media type"
    detail = "Send the body with the content type this route documents."


class InvalidBody(RequestError):
    """The body does not have the documented shape."""

    code = "invalid_body"
    status = 422
    title = "Invalid request body"
    detail = "The request body does not have the documented shape."


class UnknownProfile(RequestError):
    """No profile of that name is configured."""

    code = "unknown_profile"
    status = 422
    title = "Unknown profile"
    detail = "No such profile; GET /v1/config lists the ones there are."


class BadResource(RequestError):
    """Not a file or folder reference in one of the documented forms."""

    code = "bad_resource"
    oauth_error = "invalid_target"
    status = 422
    title = "Bad resource"
    detail = "Give the resource as file:ID or folder:ID."


class TooManyBadTokens(RequestError):
    """This address sent too many tokens that did not verify."""

    code = "too_many_bad_tokens"
    status = 429
    title = "Too many bad tokens"
    detail = "Too many tokens from this address did not verify; try again later."


class TooManyMints(RequestError):
    """This account had too many Box tokens minted within the last minute."""

    code = "too_many_mints"
    status = 429
    title = "Too many new tokens"
    detail = "Too many new Box tokens for this person; use those that are live."


class Refused(SsoBoxError):
    """The identity is established and may not have what it asked for."""

    status = 403
    oauth_error = "access_denied"


class ProfileNotAllowed(Refused):
    """The profile exists but not for this client, provider or person."""

    code = "profile_not_allowed"
    oauth_error = "unauthorized_client"
    title = "Profile not allowed"
    detail = "This profile is not open to this application or this person."


class ScopeNotInProfile(Refused):
    """The request asked for more than the profile holds; nothing is narrowed silently."""

    code = "scope_not_in_profile"
    oauth_error = "invalid_scope"
    title = "Scope outside the profile"
    detail = "The request asks for scopes that the profile does not hold."


class ResourceNotAccessible(Refused):
    """Box says that this person cannot reach the resource, or it does not exist."""

    code = "resource_not_accessible"
    oauth_error = "invalid_target"
    title = "Resource not accessible"
    detail = "The resource does not exist or is not open to this person."


class FolderNotProvisioned(Refused):
    """The profile is for a folder of the template that this person does not get."""

    code = "folder_not_provisioned"
    title = "Folder not provisioned"
    detail = "The folder of this profile could not be made; ask an administrator."


class AccessSuspended(Refused):
    """An administrator locked a whole provider or client, as in an incident."""

    code = "access_suspended"
    title = "Access suspended"
    detail = "Access by this login or application is suspended; ask an administrator."


class AccountLocked(Refused):
    """An administrator locked the account."""

    code = "account_locked"
    title = "Account locked"
    detail = "This account is locked; ask an administrator."


class AccountRemoved(Refused):
    """The account was removed and is never made again by a login."""

    code = "account_removed"
    title = "Account removed"
    detail = "This account was removed; ask an administrator."


class EmailNotAllowed(Refused):
    """Users of this provider log in to Box by e-mail, and this address is none."""

    code = "email_not_allowed"
    title = "E-mail address not allowed"
    detail = "A Box user needs a verified e-mail address of an allowed domain."


class NoBoxUser(Refused):
    """No Box user is there for the person, and a login makes none."""

    code = "no_box_user"
    title = "No Box user"
    detail = "There is no Box user for this person; ask an administrator."


class BoxLoginTaken(Refused):
    """The person's login at Box belongs to a user who may not be bound by a login."""

    code = "box_login_taken"
    title = "Box login taken"
    detail = "Box already has a user of this e-mail address; ask an administrator."


class BoxUserMissing(Refused):
    """The bound Box user no longer exists."""

    code = "box_user_missing"
    title = "Box user missing"
    detail = "The Box user of this account no longer exists; ask an administrator."


class BoxUserInactive(Refused):
    """The bound Box user is not active at Box."""

    code = "box_user_inactive"
    title = "Box user inactive"
    detail = "The Box user of this account is not active; ask an administrator."


class BoxUserConflict(Refused):
    """Box holds a user under this identity's external id that may not be adopted."""

    code = "box_user_conflict"
    title = "Box user conflict"
    detail = "Box already holds a user that cannot be bound; ask an administrator."


class UpstreamRefused(SsoBoxError):
    """An upstream answered definitely, and the answer cannot be used."""

    status = 502
    oauth_error = "temporarily_unavailable"


class BoxRefused(UpstreamRefused):
    """Box refused for a reason that trying again will not change."""

    code = "box_refused"
    title = "Box refused"
    detail = "Box refused the request; an administrator should run the doctor."


class BoxGrantedWrongScope(UpstreamRefused):
    """Box granted something other than what was asked; nothing was handed out."""

    code = "box_granted_wrong_scope"
    title = "Box granted the wrong scope"
    detail = "Box's answer did not match the request, so nothing was handed out."


class Unavailable(SsoBoxError):
    """Something needed is not there now; ``retry_after`` says when to come back."""

    status = 503
    oauth_error = "temporarily_unavailable"

    def __init__(
        self,
        reason: str = "",
        *,
        retry_after: int | None = None,
        members: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(reason, retry_after=retry_after or 5, members=members)


class ProvisioningInProgress(Unavailable):
    """A first login is under way, here or in another process."""

    code = "provisioning_in_progress"
    title = "First login in progress"
    detail = "The Box user is still being set up; try again shortly."


class KeysUnavailable(Unavailable):
    """The issuer's keys cannot be had now, so the token cannot be judged."""

    code = "keys_unavailable"
    title = "Issuer keys unavailable"
    detail = "The identity provider's keys cannot be reached; try again shortly."


class KeyFetchesLimited(KeysUnavailable):
    """The token names an unknown key, and none is asked for on its account now."""


class BoxUnavailable(Unavailable):
    """Box cannot be reached, is throttling, or failed."""

    code = "box_unavailable"
    title = "Box unavailable"
    detail = "Box cannot be reached right now; try again shortly."


class BoxRefusesToken(Unavailable):
    """The caller says again and again that Box refuses what it is handed out."""

    code = "box_refuses_token"
    title = "Box refuses the token"
    detail = "Box was asked often enough whether it takes this token; try again later."


class DatabaseUnavailable(Unavailable):
    """PostgreSQL did not answer, or takes no writes."""

    code = "database_unavailable"
    title = "Database unavailable"
    detail = "The service's database cannot be reached; try again shortly."


class ConfigurationError(Exception):
    """The configuration cannot work. Each problem names the setting and what to put.

    Never carries a value of a setting: values may be secrets.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class CommandRefused(Exception):
    """What an administrator asked for is not done; the text says what to do instead."""

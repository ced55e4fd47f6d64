"""The sections of the configuration, one model for each concern."""

import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StrictBool,
    StrictInt,
    StrictStr,
    StringConstraints,
    field_validator,
    model_validator,
)

from sso_box_api.settings.contradictions import contradictions
from sso_box_api.settings.presets import TENANT, Kind, tenant_in, with_preset

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
PrintableAscii = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,255}$")]
# Never HS*: the verifier's key would be the signer's.
SignatureAlgorithm = Literal[
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
]


GUID = r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"
TenantId = Annotated[str, StringConstraints(pattern=GUID, to_lower=True)]
# It is quoted in a challenge, so no quote and no backslash.
AcrValue = Annotated[
    str, StringConstraints(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]{1,255}$")
]
ClaimValues = Annotated[
    tuple[StrictStr | StrictBool | StrictInt, ...],
    BeforeValidator(lambda x: x if isinstance(x, list | tuple) else (x,)),
    Field(min_length=1),
]


class Section(BaseModel):
    """Strict, frozen, and silent about its values in errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ProviderSettings(Section):
    """One OpenID Connect provider.

    Identities are stored under ``namespace`` and the subject, so the namespace must
    outlive changes of the issuer's spelling; it defaults to the canonical issuer.
    """

    id: Slug = Field(description="a short name of your own, such as main")
    kind: Kind = Field(
        default="generic", description="what the provider is: generic, okta, entra …"
    )
    issuer: str = Field(
        description="the issuer exactly as in the provider's discovery document"
    )
    other_issuers: tuple[str, ...] = Field(
        default=(), description="further spellings of iss that mean the same provider"
    )
    issuer_template: str | None = Field(
        default=None, description="the issuer, with {tenantid} for a tenant's id"
    )
    tenants: tuple[TenantId, ...] = Field(
        default=(), description="the ids of the tenants whose people may come, GUIDs"
    )
    dangerously_accept_anyone: bool = Field(
        default=False,
        description="true lets in every account the provider has, of any company",
    )
    namespace: PrintableAscii | None = None
    subject_claims: tuple[PrintableAscii, ...] = Field(
        default=("sub",), min_length=1, description="claims that never change hands"
    )
    required_claims: dict[PrintableAscii, ClaimValues] = Field(
        default={}, description='allowed values by claim: {"org_id": ["org_a"]}'
    )
    max_auth_age_s: int | None = Field(default=None, ge=60)
    allowed_acr: tuple[AcrValue, ...] = ()
    email_claim: PrintableAscii = "email"
    email_proof: Literal["email_verified", "xms_edov", "hosted_domain"] = Field(
        default="email_verified",
        description="how the provider says that an address is verified",
    )
    discovery_url: str | None = Field(
        default=None, description="the discovery document, where it is not under issuer"
    )
    jwks_uri: str | None = Field(
        default=None, description="the key set, to do without a discovery document"
    )
    client_ids: tuple[PrintableAscii, ...] = Field(
        min_length=1,
        description="the client ids of your pages and apps at this provider",
    )
    trusted_extra_audiences: tuple[PrintableAscii, ...] = ()
    allowed_azp: tuple[PrintableAscii, ...] = Field(
        default=(), description="authorized parties besides the client ids"
    )
    algs: tuple[SignatureAlgorithm, ...] = Field(default=("RS256",), min_length=1)
    login_scopes: tuple[PrintableAscii, ...] = ("openid", "profile", "email")
    trust_email: bool = False
    leeway_s: int = Field(default=60, ge=0, le=300)
    max_age_s: int = Field(default=86_400, ge=60)
    max_lifetime_s: int = Field(default=86_400, ge=60)
    keys_default_ttl_s: int = Field(default=3_600, ge=300, le=86_400)
    keys_max_stale_s: int = Field(default=86_400, ge=0)
    fetch_timeout_s: float = Field(default=5.0, gt=0, le=30)
    jwks_inline: dict[str, Any] | None = Field(
        default=None, description="the key set itself: nothing is fetched"
    )
    ca_bundle: Path | None = Field(
        default=None, description="the path of a PEM file of certificates to trust"
    )
    allow_private_network: bool = False

    @property
    def written_issuers(self) -> tuple[str, ...]:
        """Every spelling as configured, some perhaps with ``{tenantid}`` in it."""
        return (self.issuer_template or self.issuer, *self.other_issuers)

    @property
    def issuers(self) -> Mapping[str, str | None]:
        """Each ``iss`` that is accepted, with the tenant it stands for.

        Empty where any tenant is; there ``tenant_of`` tells.
        """
        if self.issuer_template is None:
            return dict.fromkeys(self.written_issuers)
        return {
            written.replace(TENANT, tenant): tenant
            for written in self.written_issuers
            for tenant in self.tenants
        }

    def tenant_of(self, issuer: str) -> str | None:
        """The tenant of an issuer where any tenant is accepted."""
        if not self.dangerously_accept_anyone:
            return None
        found = (tenant_in(written, issuer) for written in self.written_issuers)
        return next(filter(None, found), None)

    @property
    def authority(self) -> str:
        """What an OpenID Connect client is given: for many tenants what they share."""
        return self.issuer.replace(TENANT, "common")

    def expand(self, written: str) -> str:
        """Put the one tenant in its place; leave it open where there are several."""
        if len(self.tenants) != 1:
            return written
        return written.replace(TENANT, self.tenants[0])

    @property
    def frozen_namespace(self) -> str:
        """With ``{tenantid}`` in it where each of several tenants has its own."""
        return self.expand(self.namespace or self.issuer)

    def namespace_of(self, tenant: str | None) -> str:
        return self.frozen_namespace.replace(TENANT, tenant or TENANT)

    def owns_namespace(self, stored: str) -> bool:
        """Whether people stored under this namespace are found there today.

        Those of a tenant that was taken off the list are not lost: they may not come.
        """
        written = self.namespace or self.issuer
        return stored == written or tenant_in(written, stored) is not None

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, value: Any) -> Any:
        return with_preset(value) if isinstance(value, Mapping) else value

    @model_validator(mode="after")
    def _no_contradiction(self) -> Self:
        for contradiction in contradictions(self):
            raise ValueError(contradiction)
        return self

    @field_validator("issuer", "issuer_template", "other_issuers")
    @classmethod
    def _issuer_form(
        cls, value: str | tuple[str, ...] | None
    ) -> str | tuple[str, ...] | None:
        for issuer in [value] if isinstance(value, str) else value or ():
            parts = urlsplit(issuer)
            if parts.query or parts.fragment or "@" in parts.netloc:
                message = "must have no query, fragment or user information"
                raise ValueError(message)
            if not re.fullmatch(r"[\x21-\x7e]{1,255}", issuer):
                message = "must be printable ASCII, 255 characters at most"
                raise ValueError(message)
        return value

    @field_validator("ca_bundle")
    @classmethod
    def _readable_certificates(cls, value: Path | None) -> Path | None:
        try:
            if value is not None:
                ssl.create_default_context(cafile=value)
        except OSError:  # SSLError is one: no certificate in it
            message = "must be a readable PEM file with at least one certificate"
            raise ValueError(message) from None
        return value

    @model_validator(mode="after")
    def _one_source_of_keys(self) -> Self:
        if self.jwks_inline is not None and (self.jwks_uri or self.discovery_url):
            message = "jwks_inline excludes jwks_uri and discovery_url"
            raise ValueError(message)
        return self


class BoxSettings(Section):
    """How to reach Box and who we are there: a key file, or client credentials."""

    config_file: Path | None = Field(
        default=None, description="the path of the config.json of your Box app"
    )
    config: SecretStr | None = Field(
        default=None, description="the text of the config.json, instead of its path"
    )
    client_id: str | None = Field(
        default=None, description="the client id of a client-credentials app"
    )
    client_secret: SecretStr | None = Field(
        default=None, description="the client secret of a client-credentials app"
    )
    enterprise_id: Annotated[str, StringConstraints(pattern=r"^[0-9]+$")] | None = (
        Field(default=None, description="the enterprise id, digits only")
    )
    api_url: str = "https://api.box.com"
    upload_url: str = "https://upload.box.com/api"
    call_timeout_s: float = Field(default=10.0, gt=0)
    deadline_s: float = Field(
        default=20.0, gt=0, description="all attempts of one call together"
    )
    max_attempts: int = Field(default=4, ge=1, le=10)
    max_connections: int = Field(default=64, ge=1)
    user_quota_bytes: int = Field(
        default=10 * 1024**3,
        ge=-1,
        description="space of a new app user in bytes, -1 for unlimited",
    )

    @field_validator("api_url", "upload_url")
    @classmethod
    def _no_trailing_slash(cls, value: str) -> str:
        return value.rstrip("/")

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        by_key = [self.config_file, self.config]
        by_secret = [self.client_id, self.client_secret, self.enterprise_id]
        ways = sum(x is not None for x in by_key) + any(by_secret)
        if ways != 1:
            message = (
                "needs exactly one of CONFIG_FILE, CONFIG, or CLIENT_ID with"
                " CLIENT_SECRET and ENTERPRISE_ID"
            )
            raise ValueError(message)
        if any(by_secret) and not all(by_secret):
            message = "CLIENT_ID, CLIENT_SECRET and ENTERPRISE_ID go together"
            raise ValueError(message)
        return self


class ProfileSettings(Section):
    """A named set of Box content scopes that a page may ask for."""

    scopes: tuple[str, ...] = Field(min_length=1)
    resource: Literal["none", "optional", "required"] = Field(
        default="optional",
        description="whether the token may or must be bound to one file or folder",
    )
    client_ids: tuple[PrintableAscii, ...] = Field(
        default=(), description="only these clients may ask; empty means all"
    )
    providers: tuple[Slug, ...] = Field(
        default=(), description="only these providers' people; empty means all"
    )


# What each Box UI Element needs to be useful. item_share is left out on purpose: a
# shared link that a page makes outlives the token, its revocation and the lock.
DEFAULT_PROFILES: dict[str, ProfileSettings] = {
    "explorer": ProfileSettings(
        scopes=(
            "base_explorer",
            "item_preview",
            "item_download",
            "item_upload",
            "item_rename",
            "item_delete",
        )
    ),
    "picker": ProfileSettings(scopes=("base_picker",)),
    "uploader": ProfileSettings(scopes=("base_upload",)),
    "preview": ProfileSettings(scopes=("base_preview",)),
    "preview-download": ProfileSettings(scopes=("base_preview", "item_download")),
}


class VendingSettings(Section):
    """What is handed out, and when a live token is handed out again."""

    default_profile: Slug = "explorer"
    # Box does not document restricted_to for every case; `log` accepts its absence,
    # never an answer that is wider than what was asked.
    scope_answer: Literal["strict", "log"] = "strict"
    renew_below_s: int = Field(default=600, ge=0)


class ClaimSettings(Section):
    """The times of the claim protocol, all measured by PostgreSQL's clock."""

    lease_s: float = Field(default=30.0, gt=0)
    post_timeout_s: float = Field(default=10.0, gt=0)
    lookup_settle_s: float = Field(default=30.0, ge=0)
    lookup_interval_s: float = Field(default=1.0, gt=0)
    flight_deadline_s: float = Field(default=20.0, gt=0)
    caller_wait_s: float = Field(default=8.0, gt=0)
    refusal_memory_s: float = Field(default=30.0, ge=0)

    @model_validator(mode="after")
    def _times_fit(self) -> Self:
        if self.lease_s <= self.post_timeout_s:
            message = "LEASE_S must be longer than POST_TIMEOUT_S"
            raise ValueError(message)
        if self.flight_deadline_s <= self.post_timeout_s:
            message = "FLIGHT_DEADLINE_S must be longer than POST_TIMEOUT_S"
            raise ValueError(message)
        return self


class LimitSettings(Section):
    """What one caller may cost."""

    bad_tokens_per_minute: int = Field(
        default=60, ge=0, description="per client address; 0 turns the limit off"
    )

"""One OpenID Connect provider, and what in its settings cannot be meant together.

Each contradiction refuses the start and begins with the name of the setting to change.
"""

import re
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from sso_box_api.settings.base import (
    AcrValue,
    ClaimValues,
    PrintableAscii,
    Section,
    SignatureAlgorithm,
    Slug,
    TenantId,
)
from sso_box_api.settings.box_user import BoxUserSettings, contradictions
from sso_box_api.settings.presets import (
    PRESETS,
    TENANT,
    Kind,
    Preset,
    tenant_in,
    with_preset,
)

# Each can come to be somebody else's: given by an administrator, or chosen by people.
_REASSIGNED_CLAIMS = frozenset(
    {"email", "emails", "preferred_username", "unique_name", "upn", "phone_number"}
    | {"name", "given_name", "middle_name", "family_name", "nickname", "nonce"}
)
# What all of a provider's people have in common.
_SHARED_CLAIMS = frozenset({"iss", "aud", "azp", "tid", "hd"})

# Where anybody in the world can have an account.
_GOOGLE = "https://accounts.google.com"
_PERSONAL_MICROSOFT_ACCOUNTS = "9188040d-6c67-4c5b-b112-36a304b66dad"


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
    require_nonce_proof: bool = False
    nonce_session_s: int = Field(default=43_200, ge=0, le=2_592_000)
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
    box_user: BoxUserSettings = Field(
        default=BoxUserSettings(),
        description="what a first login makes at Box, see Box users",
    )
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
        for contradiction in _contradictions(self):
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


def _contradictions(provider: ProviderSettings) -> Iterator[str]:
    """Name every contradiction, the clearest first."""
    preset = PRESETS[provider.kind]
    if provider.issuer_template is None:
        yield from _without_template(provider)
    else:
        yield from _with_template(provider, provider.issuer_template)
    yield from _open_to_anyone(provider, preset)
    yield from _of_the_kind(provider, preset)
    yield from contradictions(provider.box_user, trust_email=provider.trust_email)
    for claim in provider.subject_claims:
        if claim in _REASSIGNED_CLAIMS:
            yield f"subject_claims: {claim} can pass to another person; put an id"
    if _SHARED_CLAIMS.issuperset(provider.subject_claims):
        yield "subject_claims: they tell nobody apart; put an id"


def _without_template(provider: ProviderSettings) -> Iterator[str]:
    if provider.tenants:
        yield "tenants: there is no issuer_template that they could stand in"
    for name, value in (
        ("issuer", provider.issuer),
        ("namespace", provider.namespace or ""),
        ("other_issuers", " ".join(provider.other_issuers)),
    ):
        if TENANT in value:
            yield f"{name}: {TENANT} needs issuer_template and tenants"


def _with_template(provider: ProviderSettings, template: str) -> Iterator[str]:
    if TENANT not in template:
        yield f"issuer_template: must contain {TENANT}; or use issuer alone"
    if not provider.tenants and not provider.dangerously_accept_anyone:
        yield "tenants: is missing; put the ids of the tenants whose people may come"
    if provider.issuer not in {template, provider.expand(template)}:
        yield "issuer: is not that of issuer_template; leave it out"
    if len(provider.tenants) != 1:
        for name, values in (
            ("other_issuers", provider.other_issuers),
            ("namespace", [provider.namespace] if provider.namespace else []),
        ):
            if any(TENANT not in value for value in values):
                yield f"{name}: must contain {TENANT}, as there are several tenants"


def _open_to_anyone(provider: ProviderSettings, preset: Preset) -> Iterator[str]:
    hosted = provider.required_claims.get("hd", ())
    limited = bool(provider.tenants) or (preset.needs_hd and bool(hosted))
    if provider.dangerously_accept_anyone:
        if limited:
            yield "dangerously_accept_anyone: contradicts the limit that is set"
        if not preset.needs_hd and provider.issuer_template is None:
            yield "dangerously_accept_anyone: means nothing for this provider"
    else:
        yield from _unlimited(provider, preset, limited=limited)
    if preset.needs_hd and "gmail.com" in hosted:
        yield "required_claims: consumer accounts have no hd, so gmail.com never fits"


def _unlimited(
    provider: ProviderSettings, preset: Preset, *, limited: bool
) -> Iterator[str]:
    if preset.needs_hd and not limited:
        yield (
            "required_claims: without hd, anybody with an account at the provider is"
            ' let in; put {"hd": ["your-domain.example"]}'
        )
    if _GOOGLE in provider.written_issuers and not preset.needs_hd:
        yield "kind: this issuer is Google's; put google, which limits whose people come"
    if any(_PERSONAL_MICROSOFT_ACCOUNTS in issuer for issuer in provider.issuers):
        yield (
            "tenants: this one is that of personal Microsoft accounts, which anybody can"
            " have; leave it out"
        )


def _of_the_kind(provider: ProviderSettings, preset: Preset) -> Iterator[str]:
    slash = preset.issuer_ends_with_slash
    if slash is not None and provider.issuer.endswith("/") != slash:
        yield f"issuer: {'must' if slash else 'must not'} end with a slash"
    needed = preset.needs_one_of
    if needed and not any(getattr(provider, name) for name in needed):
        yield f"{needed[0]}: is missing; kind {provider.kind} cannot do without"

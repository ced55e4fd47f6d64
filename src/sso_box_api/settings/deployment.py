"""The whole configuration of one deployment, and what must hold across sections."""

import ipaddress
import os
import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Self
from urllib.parse import parse_qs, urlsplit

from cryptography.fernet import Fernet
from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    StringConstraints,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from typing_extensions import override

from sso_box_api.settings.base import Slug
from sso_box_api.settings.presets import GOOGLE_ALIAS
from sso_box_api.settings.provider import ProviderSettings
from sso_box_api.settings.sections import (
    DEFAULT_PROFILES,
    BoxSettings,
    ClaimSettings,
    LimitSettings,
    ProfileSettings,
    ProvisioningSettings,
    VendingSettings,
)

PREFIX = "SSO_BOX_"
CONFIG_VARIABLE = "SSO_BOX_CONFIG"
_URL_PARAMETERS = {"host", "sslmode", "target_session_attrs"}


def _split_commas(value: object) -> object:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


class DatabaseSettings(BaseSettings):
    """What the database commands need: a migration job holds no other secret."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        nested_model_default_partial_update=True,
    )

    database_url: SecretStr = Field(
        description="postgresql://user:password@host:5432/database"
    )
    database_transaction_pooler: bool = Field(
        default=False,
        description="true where the URL is a pooler in transaction mode",
    )
    database_listen_url: SecretStr | None = Field(
        default=None,
        description="a direct postgresql:// URL, where the database URL is a pooler",
    )
    database_pool_size: int = Field(default=10, ge=1)
    database_timeout_s: float = Field(default=5.0, gt=0)

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del dotenv_settings, file_secret_settings
        toml = TomlConfigSettingsSource(settings_cls, os.environ.get(CONFIG_VARIABLE))
        return init_settings, env_settings, toml

    @field_validator("database_url", "database_listen_url")
    @classmethod
    def _postgres_url(cls, value: SecretStr | None) -> SecretStr | None:
        schemes = ("postgresql://", "postgres://")
        if value is not None and not value.get_secret_value().startswith(schemes):
            message = "must start with postgresql://"
            raise ValueError(message)
        query = urlsplit(value.get_secret_value()).query if value else ""
        if not set(parse_qs(query, keep_blank_values=True)) <= _URL_PARAMETERS:
            message = f"may have {', '.join(sorted(_URL_PARAMETERS))} after its ?"
            raise ValueError(message)
        return value


class Settings(DatabaseSettings):
    """The whole configuration of one deployment."""

    model_config = SettingsConfigDict(extra="forbid")

    secret_keys: Annotated[
        tuple[SecretStr, ...], NoDecode, BeforeValidator(_split_commas)
    ] = Field(
        min_length=1,
        description="comma-separated keys as `sso-box-api keys generate` prints them",
    )
    box: BoxSettings = Field(
        description="for instance SSO_BOX_BOX__CONFIG_FILE=/path/to/config.json"
    )
    providers: tuple[ProviderSettings, ...] = Field(
        min_length=1,
        description=(
            'a JSON list such as [{"id":"main","kind":"generic",'
            '"issuer":"https://login.example.com","client_ids":["spa"]}]'
        ),
    )
    profiles: dict[Slug, ProfileSettings] = Field(
        default=DEFAULT_PROFILES, min_length=1
    )
    vending: VendingSettings = VendingSettings()
    claim: ClaimSettings = ClaimSettings()
    provisioning: ProvisioningSettings = ProvisioningSettings()
    limits: LimitSettings = LimitSettings()
    cors_origins: tuple[str, ...] = Field(
        default=(), description='a JSON list of exact origins: ["https://app.example"]'
    )
    allow_loopback_http: bool = Field(
        default=False, description="plain http for loopback hosts, for tests and demo"
    )
    trusted_proxies: tuple[str, ...] = Field(
        default=(),
        description="addresses of proxies whose X-Forwarded-For is believed",
    )
    keep_alive_s: int = Field(
        default=75,
        gt=0,
        description="seconds; longer than the proxy in front keeps an idle connection",
    )
    metrics_token: SecretStr | None = Field(
        default=None,
        description=(
            "16 to 255 characters of A-Z a-z 0-9 - . _ ~ + /,"
            " such as `openssl rand -hex 32` prints"
        ),
    )
    realm: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{0,64}$")] = ""

    @property
    def claims_in_use(self) -> frozenset[str]:
        """Every claim that settings take something from for the person it is about.

        Of each token these are kept; each provider's settings read their own people's.
        """
        template = self.provisioning.template
        of_users = (claim for p in self.providers for claim in p.box_user.claims)
        of_profiles = (c for p in self.profiles.values() for c in p.required_claims)
        of_people = frozenset(of_users) | frozenset(of_profiles)
        return of_people | (template.claims if template else frozenset())

    @field_validator("secret_keys")
    @classmethod
    def _fernet_keys(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for number, key in enumerate(value, start=1):
            try:
                Fernet(key.get_secret_value())
            except ValueError:
                message = f"key {number} is not a Fernet key"
                raise ValueError(message) from None
        return value

    @field_validator("metrics_token")
    @classmethod
    def _bearer_token(cls, value: SecretStr | None) -> SecretStr | None:
        # What can be sent as one: RFC 6750 section 2.1.
        if value is not None and not re.fullmatch(
            r"[\w.~+/-]{16,255}=*", value.get_secret_value(), re.ASCII
        ):
            raise ValueError("is no such token")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _exact_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            parts = urlsplit(origin)
            exact = f"{parts.scheme}://{parts.netloc}".lower()
            known = parts.scheme in {"http", "https"} and parts.hostname
            if not known or "*" in origin or origin != exact:
                message = (
                    "each origin is scheme://host[:port] in small letters, with no"
                    " path or *"
                )
                raise ValueError(message)
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _named_proxies(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in value:
            try:
                ipaddress.ip_network(proxy)
            except ValueError:
                message = "each proxy is an IP address or a network such as 10.0.0.0/8"
                raise ValueError(message) from None
        return value

    @field_validator("providers")
    @classmethod
    def _providers_apart(
        cls, value: tuple[ProviderSettings, ...]
    ) -> tuple[ProviderSettings, ...]:
        for what, names in (
            ("id", [p.id for p in value]),
            ("issuer", _issuers(value)),
            ("namespace", _namespaces(value)),
        ):
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                message = f"two providers share the {what} {min(twice)}"
                raise ValueError(message)
        return value

    @model_validator(mode="after")
    def _only_loopback_in_the_clear(self) -> Self:
        for name, url in self._urls():
            parts = urlsplit(url)
            if parts.scheme == "https" and parts.hostname:
                continue
            if parts.scheme == "http" and _is_loopback(parts.hostname):
                if self.allow_loopback_http:
                    continue
                message = (
                    f"{name} is plain http; that needs SSO_BOX_ALLOW_LOOPBACK_HTTP=true"
                )
                raise ValueError(message)
            message = f"{name} must be an https URL"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _profiles_fit(self) -> Self:
        if self.vending.default_profile not in self.profiles:
            message = "SSO_BOX_VENDING__DEFAULT_PROFILE names no configured profile"
            raise ValueError(message)
        ids = {provider.id for provider in self.providers}
        for name, profile in self.profiles.items():
            if unknown := set(profile.providers) - ids:
                message = (
                    f"SSO_BOX_PROFILES.{name}.providers names the provider"
                    f" {min(unknown)}, which is not configured"
                )
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _template_fits(self) -> Self:
        template = self.provisioning.template
        ids = {provider.id for provider in self.providers}
        if template and (unknown := template.providers - ids):
            message = (
                "SSO_BOX_PROVISIONING__TEMPLATE: providers names the provider"
                f" {min(unknown)}, which is not configured"
            )
            raise ValueError(message)
        made = template.folder_keys if template else frozenset[str]()
        for name, profile in self.profiles.items():
            folder = profile.template_folder
            if folder is not None and folder.keys[-1] not in made:
                message = (
                    f"SSO_BOX_PROFILES.{name}.template_folder: is no folder of"
                    " SSO_BOX_PROVISIONING__TEMPLATE; put its path as it stands there"
                )
                raise ValueError(message)
        return self

    def _urls(self) -> Iterable[tuple[str, str]]:
        yield "SSO_BOX_BOX__API_URL", self.box.api_url
        yield "SSO_BOX_BOX__UPLOAD_URL", self.box.upload_url
        for index, provider in enumerate(self.providers):
            where = f"SSO_BOX_PROVIDERS[{index}]"
            for issuer in (provider.issuer, *provider.written_issuers):
                if not (provider.kind == "google" and issuer == GOOGLE_ALIAS):
                    yield f"{where}.issuer", issuer
            if provider.discovery_url:
                yield f"{where}.discovery_url", provider.discovery_url
            if provider.jwks_uri:
                yield f"{where}.jwks_uri", provider.jwks_uri


def _issuers(providers: Sequence[ProviderSettings]) -> list[str]:
    """Every accepted issuer, once for each way it is accepted."""
    exact = [issuer for p in providers for issuer in p.issuers]
    of_any_tenant = [
        issuer for p in providers for issuer in exact if p.tenant_of(issuer)
    ]
    open_templates = [
        written
        for p in providers
        if p.issuer_template and not p.tenants
        for written in p.written_issuers
    ]
    return exact + of_any_tenant + open_templates


def _namespaces(providers: Sequence[ProviderSettings]) -> list[str]:
    """Every namespace, once for each provider that may store people under it."""
    exact = [p.namespace_of(t) for p in providers for t in p.tenants or [None]]
    of_any_tenant = [
        namespace
        for p in providers
        if p.issuer_template and not p.tenants
        for namespace in exact
        if namespace != p.frozen_namespace and p.owns_namespace(namespace)
    ]
    return exact + of_any_tenant


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False

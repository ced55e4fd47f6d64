"""Configuration: one frozen ``Settings``, built once in the CLI and passed down.

Every setting is an environment variable with the prefix ``SSO_BOX_`` (``__``
between levels), or the same name in the TOML file named by ``SSO_BOX_CONFIG``;
the environment wins. Names that do not exist are refused, so that a misspelt
safety setting cannot pass unnoticed. Units stand in the names: ``_s`` is seconds.
"""

import ipaddress
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self, overload
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)
from typing_extensions import override

from sso_box_api.errors import ConfigurationError

PREFIX = "SSO_BOX_"
CONFIG_VARIABLE = "SSO_BOX_CONFIG"

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
PrintableAscii = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,255}$")]
SignatureAlgorithm = Literal["RS256", "RS384", "RS512", "ES256", "ES384", "ES512"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ProviderSettings(_Section):
    """One OpenID Connect provider.

    Identities are stored under ``namespace`` and the subject, so the namespace must
    outlive changes of the issuer's spelling; it defaults to the canonical issuer.
    """

    id: Slug = Field(description="a short name of your own, such as main")
    kind: Literal["generic"] = "generic"
    issuer: str = Field(
        description="the issuer exactly as in the provider's discovery document"
    )
    other_issuers: tuple[str, ...] = Field(
        default=(), description="further spellings of iss that mean the same provider"
    )
    namespace: PrintableAscii | None = None
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

    @property
    def issuers(self) -> tuple[str, ...]:
        return (self.issuer, *self.other_issuers)

    @property
    def frozen_namespace(self) -> str:
        return self.namespace or self.issuer

    @field_validator("issuer", "other_issuers")
    @classmethod
    def _issuer_form(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for issuer in [value] if isinstance(value, str) else value:
            parts = urlsplit(issuer)
            if parts.query or parts.fragment or "@" in parts.netloc:
                message = "must have no query, fragment or user information"
                raise ValueError(message)
            if not re.fullmatch(r"[\x21-\x7e]{1,255}", issuer):
                message = "must be printable ASCII, 255 characters at most"
                raise ValueError(message)
        return value


class BoxSettings(_Section):
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


class ProfileSettings(_Section):
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


class VendingSettings(_Section):
    """What is handed out, and when a live token is handed out again."""

    default_profile: Slug = "explorer"
    # Box does not document restricted_to for every case; `log` accepts its absence,
    # never an answer that is wider than what was asked.
    scope_answer: Literal["strict", "log"] = "strict"
    renew_below_s: int = Field(default=600, ge=0)


class ClaimSettings(_Section):
    """The times of the claim protocol, all measured by PostgreSQL's clock."""

    lease_s: float = Field(default=30.0, gt=0)
    post_timeout_s: float = Field(default=10.0, gt=0)
    lookup_settle_s: float = Field(default=30.0, ge=0)
    lookup_interval_s: float = Field(default=1.0, gt=0)
    flight_deadline_s: float = Field(default=20.0, gt=0)
    caller_wait_s: float = Field(default=8.0, gt=0)
    refusal_memory_s: float = Field(default=30.0, ge=0)

    @model_validator(mode="after")
    def _lease_covers_the_post(self) -> Self:
        if self.lease_s <= self.post_timeout_s:
            message = "LEASE_S must be longer than POST_TIMEOUT_S"
            raise ValueError(message)
        return self


class LimitSettings(_Section):
    """What one caller may cost."""

    bad_tokens_per_minute: int = Field(
        default=60, ge=0, description="per client address; 0 turns the limit off"
    )


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

    @field_validator("database_url")
    @classmethod
    def _postgres_url(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        if not url.startswith(("postgresql://", "postgres://")):
            message = "must start with postgresql://"
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
    realm: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{0,64}$")] = ""

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

    @field_validator("cors_origins")
    @classmethod
    def _exact_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            parts = urlsplit(origin)
            exact = f"{parts.scheme}://{parts.netloc}"
            if parts.scheme not in {"http", "https"} or origin != exact:
                message = "each origin is scheme://host[:port], with no path or *"
                raise ValueError(message)
        return value

    @field_validator("providers")
    @classmethod
    def _providers_apart(
        cls, value: tuple[ProviderSettings, ...], info: ValidationInfo
    ) -> tuple[ProviderSettings, ...]:
        del info
        for what, names in (
            ("id", [p.id for p in value]),
            ("issuer", [issuer for p in value for issuer in p.issuers]),
            ("namespace", [p.frozen_namespace for p in value]),
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
    def _default_profile_exists(self) -> Self:
        if self.vending.default_profile not in self.profiles:
            message = "SSO_BOX_VENDING__DEFAULT_PROFILE names no configured profile"
            raise ValueError(message)
        return self

    def _urls(self) -> Iterable[tuple[str, str]]:
        yield "SSO_BOX_BOX__API_URL", self.box.api_url
        yield "SSO_BOX_BOX__UPLOAD_URL", self.box.upload_url
        for index, provider in enumerate(self.providers):
            where = f"SSO_BOX_PROVIDERS[{index}]"
            for issuer in provider.issuers:
                yield f"{where}.issuer", issuer
            if provider.discovery_url:
                yield f"{where}.discovery_url", provider.discovery_url
            if provider.jwks_uri:
                yield f"{where}.jwks_uri", provider.jwks_uri


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


@overload
def load_settings() -> Settings: ...
@overload
def load_settings(kind: type[DatabaseSettings]) -> DatabaseSettings: ...
def load_settings(kind: type[DatabaseSettings] = Settings) -> DatabaseSettings:
    """Read the configuration from the environment and the TOML file.

    Raises ``ConfigurationError`` naming each wrong setting and what to put there.
    """
    problems = _unknown_variables()
    config_file = os.environ.get(CONFIG_VARIABLE)
    if config_file and not Path(config_file).is_file():
        problems.append(f"{CONFIG_VARIABLE}: no such file; name a TOML file")
    if problems:
        raise ConfigurationError(problems)
    try:
        return kind()
    except SettingsError as error:
        raise ConfigurationError([_unparsable(error)]) from None
    except ValidationError as error:
        raise ConfigurationError(_explain(error)) from None
    except ValueError:  # tomllib.TOMLDecodeError quotes the file, which holds secrets
        problem = f"{CONFIG_VARIABLE}: the file is not valid TOML"
        raise ConfigurationError([problem]) from None


def _unknown_variables() -> list[str]:
    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
    unknown = [
        name
        for name in os.environ
        if name.upper().startswith(PREFIX)
        and name != CONFIG_VARIABLE
        and name.upper().split("__")[0] not in known
    ]
    return [f"{name}: no such setting; see the README" for name in sorted(unknown)]


def _unparsable(error: SettingsError) -> str:
    field = re.search(r'field "(\w+)"', str(error))
    name = field.group(1) if field else ""
    return f"{PREFIX}{name.upper()}: not valid JSON; put {_hint((name,))}"


def _explain(error: ValidationError) -> list[str]:
    problems = []
    for item in error.errors(include_input=False, include_url=False):
        loc = item["loc"]
        message = "is missing" if item["type"] == "missing" else item["msg"]
        message = message.removeprefix("Value error, ")
        hint = _hint(loc)
        name = _variable(loc)
        problem = f"{name}: {message}" if name else message
        problems.append(f"{problem}; put {hint}" if hint else problem)
    return problems


def _variable(loc: tuple[int | str, ...]) -> str:
    """Name a location as it is set: levels by ``__``, list items by index."""
    if not loc:
        return ""
    name = PREFIX + str(loc[0]).upper()
    in_json = loc[0] in {"providers", "profiles"}
    for part in loc[1:]:
        if isinstance(part, int):
            name += f"[{part}]"
        else:
            name += f".{part}" if in_json else f"__{part.upper()}"
    return name


def _hint(loc: tuple[int | str, ...]) -> str:
    model: Any = Settings
    hint = ""
    for part in loc:
        fields = getattr(model, "model_fields", {})
        if isinstance(part, str) and part in fields:
            field = fields[part]
            hint = field.description or hint
            model = {"providers": ProviderSettings, "profiles": ProfileSettings}.get(
                part, field.annotation
            )
    return hint

"""The other sections of the configuration, one model for each concern."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    SecretStr,
    StringConstraints,
    field_validator,
    model_validator,
)

from sso_box_api.settings.base import ClaimValues, PrintableAscii, Section, Slug
from sso_box_api.settings.patterns import Path as FolderPath
from sso_box_api.settings.template import TemplateFile


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
    jwt_algorithm: Literal["RS256", "RS384", "RS512"] = "RS256"
    call_timeout_s: float = Field(default=10.0, gt=0)
    deadline_s: float = Field(
        default=20.0,
        gt=0,
        description="all calls to Box for one request, with their retries",
    )
    max_attempts: int = Field(default=4, ge=1, le=10)
    max_connections: int = Field(default=64, ge=1)
    # Half of the connections: a rush of mints leaves the others to the other calls.
    max_token_calls: int = Field(default=32, ge=1)
    # Slow ones hold a connection for seconds: so few that most stay free.
    max_uploads: int = Field(default=8, ge=1)
    # Box's own limits; they hold for all processes together, so divide by them.
    calls_per_minute: int = Field(default=1000, ge=1)
    uploads_per_minute: int = Field(default=240, ge=1)
    breaker_failures: int = Field(default=8, ge=1)
    breaker_rest_s: float = Field(default=5.0, gt=0)
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
    resource: Literal["none", "optional", "required", "fixed", "template"] = Field(
        default="optional",
        description="whether the token may or must be bound to one file or folder",
    )
    fixed_resource: (
        Annotated[str, StringConstraints(pattern=r"^(file|folder):[1-9][0-9]{0,19}$")]
        | None
    ) = Field(default=None, description="file:ID or folder:ID, for resource = fixed")
    template_folder: FolderPath | None = Field(
        default=None,
        description='the path of a folder of the template: "{name}/Statements"',
    )
    max_life_s: int | None = Field(
        default=None, ge=60, description="when a token is revoked that lives longer"
    )
    required_claims: dict[PrintableAscii, ClaimValues] = Field(
        default={}, description='allowed values by claim: {"groups": ["sales"]}'
    )
    client_ids: tuple[PrintableAscii, ...] = Field(
        default=(), description="only these clients may ask; empty means all"
    )
    providers: tuple[Slug, ...] = Field(
        default=(), description="only these providers' people; empty means all"
    )

    @model_validator(mode="after")
    def _fixed_on_something(self) -> Self:
        if (self.resource == "fixed") != (self.fixed_resource is not None):
            message = "resource = fixed and fixed_resource go together"
            raise ValueError(message)
        if (self.resource == "template") != (self.template_folder is not None):
            message = "resource = template and template_folder go together"
            raise ValueError(message)
        return self


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
    sweep_interval_s: float = Field(default=5.0, gt=0)
    # In each worker; 0 has every exchange ask the database.
    remembered_logins: int = Field(default=16_384, ge=0, le=1_000_000)
    # For how long people who were served a moment ago are served while PostgreSQL does
    # not answer at all.
    grace_s: float = Field(default=30.0, ge=0, le=300)


class ClaimSettings(Section):
    """The times of the claim protocol, all measured by PostgreSQL's clock."""

    lease_s: float = Field(default=30.0, gt=0)
    post_timeout_s: float = Field(default=10.0, gt=0)
    lookup_settle_s: float = Field(default=30.0, ge=0)
    lookup_interval_s: float = Field(default=1.0, gt=0)
    flight_deadline_s: float = Field(default=20.0, gt=0)
    caller_wait_s: float = Field(default=8.0, gt=0)
    refusal_memory_s: float = Field(default=30.0, ge=0)

    @property
    def settled_after_s(self) -> float:
        """After this long, what a POST made is findable at Box, or nothing was made."""
        return self.post_timeout_s + self.lookup_settle_s

    @model_validator(mode="after")
    def _times_fit(self) -> Self:
        if self.lease_s <= self.post_timeout_s:
            message = "LEASE_S must be longer than POST_TIMEOUT_S"
            raise ValueError(message)
        if self.flight_deadline_s <= self.post_timeout_s:
            message = "FLIGHT_DEADLINE_S must be longer than POST_TIMEOUT_S"
            raise ValueError(message)
        return self


class ProvisioningSettings(Section):
    """What is done for a person at Box beside the login, and how patiently."""

    template: TemplateFile = Field(
        default=None, description="the path of a TOML file; see docs/provisioning.md"
    )
    update_name: bool = Field(
        default=True, description="false leaves the names of Box users as they are"
    )
    wait_s: float = Field(
        default=3.0, ge=0, description="how long a first login waits for its folders"
    )
    deadline_s: float = Field(default=20.0, gt=0)
    retry_s: float = Field(default=10.0, gt=0)
    refused_retry_s: float = Field(default=900.0, gt=0)
    retry_at_most_s: float = Field(default=21600.0, gt=0)


class LimitSettings(Section):
    """What one caller or one person may cost."""

    bad_tokens_per_minute: int = Field(
        default=60,
        ge=0,
        description="how many per client address; 0 turns the limit off",
    )
    mints_per_minute: int = Field(
        default=30, ge=0, description="how many per account; 0 turns the limit off"
    )
    resource_tokens_per_account: int = Field(
        default=50, ge=1, description="live tokens that are bound to a file or folder"
    )
    resource_refusal_memory_s: float = Field(
        default=60.0, ge=0, description="how long a refused file or folder is not tried"
    )

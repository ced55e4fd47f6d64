"""What a first login of one provider's people makes or takes at Box."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import Field, StrictBool, StrictInt, StringConstraints, model_validator

from sso_box_api.settings.base import PrintableAscii, Section

# Forms only: which of them Box knows, Box alone can say. Its codes of languages are
# ISO 639-1 and some of its own, such as e2.
LANGUAGE = r"^[a-z][a-z0-9]$"
TIMEZONE = r"^[A-Za-z][A-Za-z0-9_+-]{0,31}(/[A-Za-z0-9][A-Za-z0-9_+-]{0,31}){0,2}$"
MAX_SPACE = 2**63 - 1  # Box counts in int64; -1 is unlimited

_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
Domain = Annotated[
    str,
    StringConstraints(
        pattern=rf"^{_LABEL}(\.{_LABEL})+$", max_length=253, to_lower=True
    ),
]
_TEXT = r"^[^\x00-\x1f\x7f-\x9f]+$"
Name = Annotated[str, StringConstraints(pattern=_TEXT, max_length=50)]
JobTitle = Annotated[str, StringConstraints(pattern=_TEXT, max_length=100)]
Language = Annotated[str, StringConstraints(pattern=LANGUAGE)]
Timezone = Annotated[str, StringConstraints(pattern=TIMEZONE)]
Space = Annotated[StrictInt, Field(ge=-1, le=MAX_SPACE)]

T = TypeVar("T")


class Source(Section, Generic[T]):
    """A value as it is written, or from a claim.

    ``default`` holds for everybody without ``claim``, else for those whose token has
    no claim of a usable form.
    """

    claim: PrintableAscii | None = None
    default: T | None = None

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, value: Any) -> Any:
        return value if isinstance(value, Mapping | Source) else {"default": value}

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.claim is None and self.default is None:
            message = "needs a value, or the claim to take it from"
            raise ValueError(message)
        return self


class BoxUserSettings(Section):
    """Kind, policy and attributes of the Box users of one provider's people.

    They hold for first logins; who has a Box user keeps it as it is.
    """

    kind: Literal["app", "managed"] = Field(
        default="app", description="app, or managed for users with an e-mail login"
    )
    create: bool = Field(
        default=True, description="false where a login takes what is there at most"
    )
    email_domains: tuple[Domain, ...] = Field(
        default=(), description="the domains of managed logins: ['your-domain.example']"
    )
    link_existing: bool = Field(
        default=False,
        description="true binds a managed user that is there to whoever has its login",
    )
    name: Source[Name] | None = Field(
        default=None, description="1 to 50 characters, or {claim, default}"
    )
    space_amount: Source[Space] | None = Field(
        default=None, description="bytes, -1 for unlimited, or {claim, default}"
    )
    language: Source[Language] | None = Field(
        default=None, description="Box's code of two characters, or {claim, default}"
    )
    timezone: Source[Timezone] | None = Field(
        default=None, description="a name such as Europe/Berlin, or {claim, default}"
    )
    job_title: Source[JobTitle] | None = Field(
        default=None, description="1 to 100 characters, or {claim, default}"
    )
    is_external_collab_restricted: Source[StrictBool] | None = Field(
        default=None, description="true, false, or {claim, default}"
    )

    @property
    def attributes(self) -> Mapping[str, Source[Any]]:
        """Those that are set, by Box's name of them."""
        sources: Mapping[str, Source[Any] | None] = {
            "name": self.name,
            "space_amount": self.space_amount,
            "language": self.language,
            "timezone": self.timezone,
            "job_title": self.job_title,
            "is_external_collab_restricted": self.is_external_collab_restricted,
        }
        return {name: source for name, source in sources.items() if source is not None}

    @property
    def claims(self) -> frozenset[str]:
        """The claims that attributes are taken from."""
        return frozenset(x.claim for x in self.attributes.values() if x.claim)


def contradictions(box_user: BoxUserSettings, *, trust_email: bool) -> Iterator[str]:
    """Name what cannot be meant together, each with the setting to change first."""
    if box_user.kind == "managed":
        if not trust_email:
            yield "trust_email: must be true, as managed users log in by e-mail address"
        if not box_user.email_domains:
            yield "box_user.email_domains: is missing; put those of managed logins"
    else:
        for name in ("email_domains", "link_existing"):
            if getattr(box_user, name):
                yield f"box_user.{name}: means nothing for app users; leave it out"
    if not box_user.create:
        for name in box_user.attributes:
            yield f"box_user.{name}: is never used, as create is false; leave it out"
    restricted = box_user.is_external_collab_restricted
    if restricted is not None and restricted.default is None:
        # A claim that is missing must not lift a restriction.
        yield "box_user.is_external_collab_restricted: needs a default beside its claim"

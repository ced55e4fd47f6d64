"""What sections of the configuration are made of: their base, and forms of values."""

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    StringConstraints,
)

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
    "Ed25519",
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

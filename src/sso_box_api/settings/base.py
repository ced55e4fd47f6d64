"""What every section of the configuration shares."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
PrintableAscii = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,255}$")]


class Section(BaseModel):
    """Strict, frozen, and silent about its values in errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

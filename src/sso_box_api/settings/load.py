"""Read the configuration, or say what is wrong with each setting and what to put.

Values never appear in a message: any of them may be a secret.
"""

import os
import re
from pathlib import Path
from typing import Any, overload

from pydantic import ValidationError
from pydantic_settings import SettingsError

from sso_box_api.errors import ConfigurationError
from sso_box_api.settings.deployment import (
    CONFIG_VARIABLE,
    PREFIX,
    DatabaseSettings,
    Settings,
)
from sso_box_api.settings.provider import ProviderSettings
from sso_box_api.settings.sections import ProfileSettings


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
    return [
        f"{name}: no such setting; see docs/configuration.md"
        for name in sorted(unknown)
    ]


def _unparsable(error: SettingsError) -> str:
    field = re.search(r'field "(\w+)"', str(error))
    name = field.group(1) if field else ""
    return f"{PREFIX}{name.upper()}: not valid JSON; put {_hint((name,))}"


_MESSAGES = {
    "missing": "is missing",
    "extra_forbidden": "no such setting; see docs/configuration.md",
}


def _explain(error: ValidationError) -> list[str]:
    problems = []
    for item in error.errors(include_input=False, include_url=False):
        loc = item["loc"]
        message = _MESSAGES.get(item["type"], item["msg"])
        message = message.removeprefix("Value error, ")
        # A rule about a whole provider says itself which member to change.
        whole = item["type"] == "value_error" and isinstance(
            loc[-1] if loc else "", int
        )
        bare = whole or _in_template(loc) or item["type"] == "extra_forbidden"
        hint = "" if bare else _hint(loc, of_the_whole=item["type"] == "missing")
        name = _variable(loc)
        problem = f"{name}: {message}" if name else message
        problems.append(f"{problem}; put {hint}" if hint else problem)
    return problems


def _variable(loc: tuple[int | str, ...]) -> str:
    """Name a location as it is set: levels by ``__``, list items by index."""
    if not loc:
        return ""
    name = PREFIX + str(loc[0]).upper()
    if loc[0] in {"providers", "profiles"}:
        return name + _place(loc[1:])
    if _in_template(loc):
        return f"{name}__TEMPLATE: {_place(loc[2:]).lstrip('.')}"
    return "__".join([name, *(str(part).upper() for part in loc[1:])])


def _place(loc: tuple[int | str, ...]) -> str:
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in loc)


def _in_template(loc: tuple[int | str, ...]) -> bool:
    return loc[:2] == ("provisioning", "template") and loc[2:] != ()


def _hint(loc: tuple[int | str, ...], *, of_the_whole: bool = False) -> str:
    """Say what to put there, or else, if asked, what ``of_the_whole`` setting."""
    model: Any = Settings
    hint = ""
    for part in loc:
        fields = getattr(model, "model_fields", {})
        if isinstance(part, str) and part in fields:
            field = fields[part]
            hint = field.description or (hint if of_the_whole else "")
            model = {"providers": ProviderSettings, "profiles": ProfileSettings}.get(
                part, field.annotation
            )
    return hint

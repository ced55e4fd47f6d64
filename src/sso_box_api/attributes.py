"""What a new Box user is given, from constants and claims as its provider's settings say.

A claim of a form that Box would not take counts as absent: one odd value at the
provider must not keep a person out.
"""

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from sso_box_api.accounts import Person
from sso_box_api.box import UserAttributes
from sso_box_api.settings import (
    LANGUAGE,
    MAX_SPACE,
    TIMEZONE,
    BoxUserSettings,
    Source,
)

T = TypeVar("T")
Claims = Mapping[str, str | int | bool | tuple[str, ...]]


def name_of(rules: BoxUserSettings, person: Person) -> str:
    """What the user is to be called; ``box`` cuts it to what Box takes."""
    name = _read(rules.name, person.claims, _text)
    return name or person.name or person.email or person.subject


def attributes_of(rules: BoxUserSettings, person: Person) -> UserAttributes:
    """Everything else that the settings have a source for."""
    claims = person.claims
    return UserAttributes(
        space_amount=_read(rules.space_amount, claims, _space),
        language=_read(rules.language, claims, _language),
        timezone=_read(rules.timezone, claims, _timezone),
        job_title=_read(rules.job_title, claims, _text),
        is_external_collab_restricted=_read(
            rules.is_external_collab_restricted, claims, _flag
        ),
    )


def _read(
    source: Source[T] | None, claims: Claims, form: Callable[[object], T | None]
) -> T | None:
    if source is None:
        return None
    value = None if source.claim is None else form(claims.get(source.claim))
    return source.default if value is None else value


def _text(value: object) -> str | None:
    # Text of which nothing shows is no name.
    if isinstance(value, str) and any(c.isprintable() and c != " " for c in value):
        return value
    return None


def _space(value: object) -> int | None:
    """Bytes; some providers write every number as text."""
    if isinstance(value, str) and re.fullmatch(r"-1|[0-9]{1,19}", value, re.ASCII):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if -1 <= value <= MAX_SPACE else None


def _language(value: object) -> str | None:
    """Box's code, or the language of a tag such as de-AT (BCP 47), without the rest."""
    if not isinstance(value, str):
        return None
    language = re.split("[-_]", value)[0].lower()
    return language if re.fullmatch(LANGUAGE, language) else None


def _timezone(value: object) -> str | None:
    fits = isinstance(value, str) and re.fullmatch(TIMEZONE, value)
    return str(value) if fits else None


def _flag(value: object) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower())
    return value if isinstance(value, bool) else None

"""Names in the provisioning template that a person's claims fill in.

``{name}``, ``{email}`` and ``{claim:department}`` stand for what the token says,
``{claim:department|General}`` says what to take where it says nothing. Nothing else
means anything: no formats, no attributes, no expressions. A slash outside of braces
parts the folders of a path; ``{{`` and ``}}`` are braces.
"""

from dataclasses import dataclass
from string import Formatter
from typing import Annotated

from pydantic import BeforeValidator

_FIELDS = "{name}, {email} or {claim:NAME}, each with |FALLBACK if you like"


@dataclass(frozen=True, slots=True)
class Placeholder:
    """``source`` is ``name``, ``email`` or ``claim:`` with a claim's name."""

    source: str
    fallback: str | None = None

    @property
    def claim(self) -> str | None:
        """The claim to keep of a token, None for what is kept in any case."""
        return self.source.removeprefix("claim:") if ":" in self.source else None


Segment = tuple[str | Placeholder, ...]


@dataclass(frozen=True, slots=True)
class PathPattern:
    """A path below the person's root folder, one segment for each level."""

    text: str
    segments: tuple[Segment, ...]

    @property
    def claims(self) -> set[str]:
        parts = (part for segment in self.segments for part in segment)
        return {p.claim for p in parts if isinstance(p, Placeholder) and p.claim}

    @property
    def keys(self) -> tuple[str, ...]:
        """What names each level on the way: the pattern itself, as far as there."""
        written = ["".join(map(_written, segment)) for segment in self.segments]
        return tuple("/".join(written[: n + 1]) for n in range(len(written)))


def parse_path(text: object) -> PathPattern:
    """Parse a pattern; raises ``ValueError`` with what is wrong in it."""
    if not isinstance(text, str):
        raise ValueError("is no text")  # noqa: TRY004 - pydantic reports ValueErrors
    segments: list[list[str | Placeholder]] = [[]]
    try:
        parsed = list(Formatter().parse(text))
    except ValueError:
        message = f"braces hold {_FIELDS}; {{{{ and }}}} are braces themselves"
        raise ValueError(message) from None
    for literal, field, spec, conversion in parsed:
        first, *others = literal.split("/")
        segments[-1].append(first)
        segments += [[other] for other in others]
        if field is not None:
            segments[-1].append(_placeholder(field, spec or "", conversion))
    found = tuple(tuple(part for part in s if part != "") for s in segments)
    if not all(found):
        raise ValueError("a folder without a name; write no slash at the ends")
    for segment in found:
        if all(isinstance(part, str) for part in segment):
            _check_literal("".join(map(str, segment)))
    return PathPattern(text, found)


Path = Annotated[PathPattern, BeforeValidator(parse_path)]


def _placeholder(field: str, spec: str, conversion: str | None) -> Placeholder:
    whole = f"{field}:{spec}" if spec else field
    source, bar, fallback = whole.partition("|")
    claim = source.removeprefix("claim:") if source.startswith("claim:") else None
    known = source in {"name", "email"} or claim
    if conversion or not known or "{" in whole or (bar and not fallback.strip()):
        raise ValueError(f"braces hold {_FIELDS}")
    return Placeholder(source, fallback if bar else None)


def _check_literal(name: str) -> None:
    """A name without placeholders is wrong now or never (developer.box.com "Folders")."""
    printable = name.isprintable() and "\\" not in name
    if not printable or name != name.strip() or name in {".", ".."} or len(name) > 255:  # noqa: PLR2004 - Box's limit
        raise ValueError(
            "Box takes names of 1 to 255 printable characters, without a backslash,"
            " without a space at the ends, and not . or .."
        )


def _written(part: str | Placeholder) -> str:
    return part if isinstance(part, str) else f"{{{part.source}}}"

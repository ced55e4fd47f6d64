"""The provisioning template: what a person finds at Box on the first day.

A TOML file of its own, read once at start with the welcome files it names, and refused
as a whole if anything in it is wrong. docs/provisioning.md is its reference.
"""

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    model_validator,
)

from sso_box_api.settings.base import PrintableAscii, Section, Slug
from sso_box_api.settings.patterns import Path, PathPattern

MAX_WELCOME_FILE_BYTES = 50 * 1024 * 1024  # what Box takes in one upload

BoxId = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,19}$")]


def _group(name: str) -> str:
    if not name.isprintable():
        raise ValueError("Box takes names of printable characters")
    if name.startswith("id:") and not re.fullmatch(r"id:[1-9][0-9]{0,19}", name):
        raise ValueError("after id: stands the id of a group, which is digits")
    return name


# A name, or `id:` and the id of a group.
BoxGroup = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=255),
    AfterValidator(_group),
]
ClaimText = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Space = Annotated[int, Field(ge=-1)]  # bytes; -1 is unlimited


class _Entry(Section):
    """``providers``: only these providers' people; empty means everybody."""

    providers: tuple[Slug, ...] = ()


class FolderEntry(_Entry):
    """A folder of the person's own, with every folder on the way to it."""

    path: Path


class FileEntry(_Entry):
    """A welcome file. ``source`` is its path, relative to the template's folder."""

    source: str
    path: Path


class CollaborationEntry(_Entry):
    """A place on a folder of the service account: of the person, or of a group."""

    folder: BoxId
    role: Literal[
        "editor",
        "viewer",
        "previewer",
        "uploader",
        "previewer uploader",
        "viewer uploader",
        "co-owner",
    ]
    group: BoxGroup | None = None


class GroupsEntry(_Entry):
    """Which values of a claim make a person a member of which Box groups."""

    claim: PrintableAscii
    members: dict[ClaimText, BoxGroup] = Field(min_length=1)


class QuotaEntry(_Entry):
    """Space by the value of a claim; ``default`` for values that are not named."""

    claim: PrintableAscii
    bytes: dict[ClaimText, Space] = Field(min_length=1)
    default: Space | None = None


class Template(Section):
    """Everything that is declared, and the contents of the welcome files.

    ``contents`` by what ``source`` says; set by ``read_template``, never by the file.
    """

    folders: tuple[FolderEntry, ...] = ()
    files: tuple[FileEntry, ...] = ()
    collaborations: tuple[CollaborationEntry, ...] = ()
    groups: tuple[GroupsEntry, ...] = ()
    quota: QuotaEntry | None = None
    contents: Mapping[str, bytes] = Field(default={}, repr=False, exclude=True)

    @property
    def claims(self) -> frozenset[str]:
        """The claims that this template looks at, besides name and e-mail address."""
        asked = {claim for path in self.paths for claim in path.claims}
        quota = {self.quota.claim} if self.quota else set[str]()
        return frozenset(asked | {entry.claim for entry in self.groups} | quota)

    @property
    def paths(self) -> list[PathPattern]:
        return [entry.path for entry in self.folders] + [f.path for f in self.files]

    @property
    def folder_keys(self) -> frozenset[str]:
        """Every folder that is made, also on the way to another one or to a file."""
        of_folders = {key for entry in self.folders for key in entry.path.keys}
        return frozenset(of_folders).union(*(f.path.keys[:-1] for f in self.files))

    @property
    def providers(self) -> frozenset[str]:
        return frozenset(p for entry in self._entries() for p in entry.providers)

    @cached_property
    def digest(self) -> str:
        """Changes with what is declared, not with how the file is written."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @model_validator(mode="after")
    def _each_place_once(self) -> Self:
        for names in (
            [entry.path.text for entry in self.files],
            [f"{c.folder} {c.group}" for c in self.collaborations],
        ):
            if len(set(names)) < len(names):
                raise ValueError("two entries say what stands in one place")
        folder_keys = self.folder_keys
        if any(entry.path.keys[-1] in folder_keys for entry in self.files):
            raise ValueError("a file has the path of a folder")
        return self

    def _entries(self) -> Iterator[_Entry]:
        yield from (*self.folders, *self.files, *self.collaborations, *self.groups)
        if self.quota:
            yield self.quota


def read_template(value: object) -> object:
    """Read the file at a path, and what it names; raises ``ValueError``."""
    if not isinstance(value, str | FilePath):
        return value
    path = FilePath(value)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise ValueError("cannot be read; name a TOML file") from None
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        # Its text names the line, and quotes at most one character.
        raise ValueError(f"is not valid TOML: {error}") from None
    if "contents" in data:
        raise ValueError("contents: no such setting")
    return {**data, "contents": _contents(path.parent, data.get("files"))}


TemplateFile = Annotated[Template | None, BeforeValidator(read_template)]


def _contents(folder: FilePath, files: object) -> dict[str, bytes]:
    entries: Sequence[Any] = files if isinstance(files, list) else []
    sources = [entry.get("source") for entry in entries if isinstance(entry, dict)]
    contents = {}
    for number, source in enumerate(sources):
        if not isinstance(source, str):
            continue  # its own model says so
        file = folder / source
        try:
            # A device or a pipe has no size to go by, and perhaps no end.
            if not file.is_file():
                raise FileNotFoundError
            if file.stat().st_size > MAX_WELCOME_FILE_BYTES:
                raise ValueError(f"files[{number}].source: more than 50 MB")
            contents[source] = file.read_bytes()
        except OSError:
            raise ValueError(f"files[{number}].source: cannot be read") from None
    return contents

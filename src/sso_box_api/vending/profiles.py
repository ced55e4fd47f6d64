"""Profiles: what may be asked, and whether Box's answer is what was asked.

A request names a profile and can only narrow it. Whatever is outside is refused by
name, never dropped silently: a page must not believe it holds what it does not.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from typing_extensions import override

from sso_box_api.errors import (
    BadResource,
    BoxGrantedWrongScope,
    ConfigurationError,
    ProfileNotAllowed,
    ScopeNotInProfile,
    UnknownProfile,
)
from sso_box_api.settings import ProfileSettings, Settings

# Scopes that reach content only (developer.box.com, guides/api-calls/permissions-and-
# errors/scopes, "Scopes for downscoping"). No manage_* and no root_*: a token in a
# page must not administer anything.
CONTENT_SCOPES = frozenset(
    {
        "annotation_edit",
        "annotation_view_all",
        "annotation_view_self",
        "base_explorer",
        "base_picker",
        "base_preview",
        "base_sidebar",
        "base_upload",
        "item_comment",
        "item_delete",
        "item_download",
        "item_preview",
        "item_read",
        "item_rename",
        "item_share",
        "item_task",
        "item_upload",
    }
)

_SHORT_FORM = re.compile(r"(file|folder)[:_](0|[1-9][0-9]{0,19})", re.ASCII)
_URL_FORM = re.compile(
    r"https://api\.box\.com/2\.0/(files|folders)/([1-9][0-9]{0,19})", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Resource:
    """One file or folder at Box; ``str()`` gives the canonical ``folder:123``."""

    kind: Literal["file", "folder"]
    id: str

    @override
    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"


@dataclass(frozen=True, slots=True)
class TemplateFolder:
    """A folder that everybody has one of: ``path`` is what the template calls it.

    Which one it is depends on the account. Until then it is in the place of the
    resource, so that nothing can take such a grant for one without a resource: Box
    knows no resource of this form.
    """

    path: str

    @override
    def __str__(self) -> str:
        return f"template:{self.path}"


def parse_resource(text: str | None) -> Resource | None:
    """Read a resource in one of the documented forms; ``folder:0`` means none.

    Raises ``BadResource`` for everything else, shared links included.
    """
    if text is None:
        return None
    if match := _SHORT_FORM.fullmatch(text):
        kind, id_ = match.groups()
        if id_ == "0":
            if kind == "folder":
                return None
            raise BadResource("file_zero")
    elif match := _URL_FORM.fullmatch(text):
        kind, id_ = match.group(1).removesuffix("s"), match.group(2)
    else:
        raise BadResource("form")
    return Resource("file" if kind == "file" else "folder", id_)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a request may have: sorted scopes of one profile, on one resource or all.

    A ``TemplateFolder`` is to be resolved before anything is asked of Box.
    ``max_life_s``: after which this service ends the token, None for Box's own time.
    """

    profile: str
    scopes: tuple[str, ...]
    resource: Resource | TemplateFolder | None
    max_life_s: int | None = None


@dataclass(frozen=True, slots=True)
class Asking:
    """For whom a profile is asked: the client, and the person by a verified token."""

    provider: str
    client_id: str
    claims: Mapping[str, str | int | bool | tuple[str, ...]]


class Profiles:
    """The configured profiles; every request is authorised here, before any look-up."""

    def __init__(self, profiles: Mapping[str, ProfileSettings], default: str) -> None:
        problems = [
            f"SSO_BOX_PROFILES.{name}.scopes: {scope} is not a Box content scope;"
            f" put some of {', '.join(sorted(CONTENT_SCOPES))}"
            for name, profile in profiles.items()
            for scope in profile.scopes
            if scope not in CONTENT_SCOPES
        ]
        if problems:
            raise ConfigurationError(problems)
        self._profiles = dict(profiles)
        self._default = default

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        return cls(settings.profiles, settings.vending.default_profile)

    def authorise(
        self,
        *,
        profile: str | None,
        scopes: Sequence[str] | None,
        resource: str | None,
        asking: Asking,
    ) -> Grant:
        """Decide what this caller may ask Box for.

        Raises ``UnknownProfile``, ``ProfileNotAllowed``, ``BadResource`` or
        ``ScopeNotInProfile`` naming the excess.
        """
        name = self._default if profile is None else profile
        rules = self._profiles.get(name)
        if rules is None:
            raise UnknownProfile
        if (reason := _closed_by(rules, asking)) is not None:
            raise ProfileNotAllowed(reason)
        asked = set(rules.scopes if scopes is None else scopes)
        if excess := asked.difference(rules.scopes):
            # Only names of Box's own are repeated: the rest may be anything.
            known = sorted(excess & CONTENT_SCOPES)
            members = {"excess": known, "unknown_scopes": len(excess) - len(known)}
            raise ScopeNotInProfile("excess", members=members)
        where = _on(rules, parse_resource(resource))
        return Grant(name, tuple(sorted(asked)), where, rules.max_life_s)

    def limits_of(self, grant: Grant) -> list[str]:
        """Say for an administrator what makes a grant less than one might expect."""
        rules = self._profiles[grant.profile]
        told = []
        if left := sorted(set(rules.scopes).difference(grant.scopes)):
            told.append(f"not asked for: {' '.join(left)}")
        if rules.resource == "fixed":
            told.append("the profile fixes the resource")
        if rules.resource == "template":
            told.append("the profile is for each person's own folder of the template")
        if rules.max_life_s is not None:
            told.append(f"the profile ends it after {rules.max_life_s} s")
        return told

    def others(self, profile: str | None, asking: Asking) -> list[str]:
        """Say of every other profile whether it is open to the same caller."""
        asked = self._default if profile is None else profile
        closed = {
            name: _closed_by(rules, asking)
            for name, rules in self._profiles.items()
            if name != asked
        }
        return [
            f"{name} is {f'closed by {why}' if why else 'open'}"
            for name, why in closed.items()
        ]

    def public(self) -> list[dict[str, object]]:
        """Describe the profiles for a page in the logged-out state."""
        return [
            {"name": name, "scopes": sorted(p.scopes), "resource": p.resource}
            for name, p in self._profiles.items()
        ]


def _closed_by(rules: ProfileSettings, asking: Asking) -> str | None:
    """The rule that closes a profile to this caller; None if it is open."""
    if rules.client_ids and asking.client_id not in rules.client_ids:
        return "client_id"
    if rules.providers and asking.provider not in rules.providers:
        return "provider"
    for claim, allowed in rules.required_claims.items():
        value = asking.claims.get(claim)
        # Of a list, such as groups, one that is allowed is enough.
        said = value if isinstance(value, tuple) else (value,)
        # By type as well: in Python 1 equals True.
        if not any(type(a) is type(b) and a == b for a in said for b in allowed):
            return f"required_claims.{claim}"
    return None


def _on(
    rules: ProfileSettings, asked: Resource | None
) -> Resource | TemplateFolder | None:
    """What the token is bound to by the profile's rule. Raises ``BadResource``."""
    if rules.template_folder is not None:
        if asked is not None:
            raise BadResource("template")
        return TemplateFolder(rules.template_folder.keys[-1])
    if rules.resource == "fixed":
        fixed = parse_resource(rules.fixed_resource)
        if asked not in {None, fixed}:
            raise BadResource("fixed")
        return fixed
    if asked is None and rules.resource == "required":
        raise BadResource("required")
    if asked is not None and rules.resource == "none":
        raise BadResource("not_taken")
    return asked


def check_answer(
    grant: Grant,
    restricted_to: Sequence[tuple[str, str | None, str | None]],
    *,
    strict: bool,
) -> None:
    """Accept Box's ``restricted_to`` only if it is no wider than what was asked.

    Each entry is (scope, object type, object id). Box does not document when the list
    may be missing or empty; ``strict=False`` accepts that, and nothing else.
    Raises ``BoxGrantedWrongScope``.
    """
    if not restricted_to:
        if strict:
            raise BoxGrantedWrongScope("restricted_to_empty")
        return
    for scope, kind, id_ in restricted_to:
        if not set(scope.split()) <= set(grant.scopes) or not scope:
            raise BoxGrantedWrongScope("scope")
        asked = grant.resource
        if isinstance(asked, TemplateFolder):
            raise BoxGrantedWrongScope("resource_unresolved")
        if asked is not None and (kind, id_) != (asked.kind, asked.id):
            raise BoxGrantedWrongScope("resource")

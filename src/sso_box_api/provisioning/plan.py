"""From the template and a person's claims to the steps that are wanted. No I/O here.

A claim that is missing is not one that is empty: without it nothing is taken away and
nothing is guessed. Providers leave groups out where there are too many of them.
"""

import hashlib
import json
from collections.abc import Collection, Iterator

from sso_box_api.accounts import Person
from sso_box_api.box import item_name
from sso_box_api.furnishing import Wanted
from sso_box_api.settings import PathPattern, Placeholder, Segment, Template


def claims_digest(template: Template | None, box_user_id: str, person: Person) -> str:
    """Sum up everything that the steps depend on.

    They do not depend on the order of a list, which providers change at will.
    """
    claims = {
        name: _in_order(person.claims.get(name))
        for name in (template.claims if template else ())
    }
    parts = [
        template.digest if template else "",
        box_user_id,
        person.provider,
        person.name,
        person.email,
        sorted(claims.items()),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _in_order(value: object) -> object:
    return sorted(value) if isinstance(value, tuple) else value


def wanted_steps(template: Template, person: Person) -> list[Wanted]:
    """Return what the template wants for this person, parents before children."""
    steps: dict[str, Wanted] = {}
    for step in (
        *_tree(template, person),
        *_collaborations(template, person),
        *_memberships(template, person),
        *_quota(template, person),
    ):
        steps.setdefault(step.key, step)
    return list(steps.values())


def known_keys(template: Template) -> set[str]:
    """Return the key of every step that the template could want for anybody."""
    groups = (g for entry in template.groups for g in entry.members.values())
    return {
        *(f"folder:{key}" for path in template.paths for key in path.keys),
        *(f"file:{entry.path.keys[-1]}" for entry in template.files),
        *(_shared_key(c.folder, c.group) for c in template.collaborations),
        *map(_membership_key, groups),
        "quota",
    }


def _tree(template: Template, person: Person) -> Iterator[Wanted]:
    for folder in template.folders:
        if _applies(folder.providers, person):
            yield from _folders(folder.path, len(folder.path.keys), person)
    for file in template.files:
        if _applies(file.providers, person):
            keys, names = file.path.keys, _names(file.path, person)
            yield from _folders(file.path, len(keys) - 1, person)
            yield Wanted(
                f"file:{keys[-1]}",
                "file",
                {"name": names[-1], "source": file.source} if all(names) else None,
                parent_key=f"folder:{keys[-2]}" if len(keys) > 1 else None,
            )


def _folders(path: PathPattern, depth: int, person: Person) -> Iterator[Wanted]:
    names = _names(path, person)
    for level in range(depth):
        yield Wanted(
            f"folder:{path.keys[level]}",
            "folder",
            {"name": names[level]} if all(names[: level + 1]) else None,
            parent_key=f"folder:{path.keys[level - 1]}" if level else None,
        )


def _names(path: PathPattern, person: Person) -> list[str | None]:
    return [_name(segment, person) for segment in path.segments]


def _name(segment: Segment, person: Person) -> str | None:
    """Fill a name in; None where a claim is missing and no fallback is declared."""
    parts = [
        part if isinstance(part, str) else _filled(part, person) for part in segment
    ]
    known = [part for part in parts if part is not None]
    return item_name("".join(known)) if len(known) == len(parts) else None


def _filled(placeholder: Placeholder, person: Person) -> str | None:
    if placeholder.claim is None:
        value = {"name": person.name, "email": person.email}[placeholder.source]
    else:
        texts = _texts(person, placeholder.claim) or ()
        # Of several values none is the name.
        value = texts[0] if len(texts) == 1 else None
    return value or placeholder.fallback


def _texts(person: Person, claim: str) -> tuple[str, ...] | None:
    """Return a claim's values as texts, None where there is no such claim."""
    value = person.claims.get(claim)
    match value:
        case None:
            return None
        case tuple():
            return value
        case bool():
            return ("true" if value else "false",)
        case _:
            return (str(value),)


def _collaborations(template: Template, person: Person) -> Iterator[Wanted]:
    for entry in template.collaborations:
        if _applies(entry.providers, person):
            params = {"folder": entry.folder, "role": entry.role, "group": entry.group}
            key = _shared_key(entry.folder, entry.group)
            yield Wanted(key, "collaboration", params)


def _memberships(template: Template, person: Person) -> Iterator[Wanted]:
    """Say of each mapped group whether the person belongs in it, as far as is known."""
    asked: dict[str, tuple[str, bool | None]] = {}
    for entry in template.groups:
        if not _applies(entry.providers, person):
            continue
        texts = _texts(person, entry.claim)
        for value, group in entry.members.items():
            key = _membership_key(group)
            belongs = None if texts is None else value in texts
            _, before = asked.get(key, (group, False))
            asked[key] = (group, _either(before, belongs))
    for key, (group, belongs) in asked.items():
        if belongs is not None:
            params = {"group": group, "member": belongs}
            yield Wanted(key, "membership", params, over=not belongs)


def _either(one: bool | None, other: bool | None) -> bool | None:  # noqa: FBT001 - three-valued or
    if one or other:
        return True
    return None if None in {one, other} else False


def _quota(template: Template, person: Person) -> Iterator[Wanted]:
    entry = template.quota
    if entry is None or not _applies(entry.providers, person):
        return
    texts = _texts(person, entry.claim)
    if texts is None:
        return
    sizes = [entry.bytes[text] for text in texts if text in entry.bytes]
    size = _largest(sizes) if sizes else entry.default
    if size is not None:
        yield Wanted("quota", "quota", {"bytes": size})


def _largest(sizes: list[int]) -> int:
    return -1 if -1 in sizes else max(sizes)


def _applies(providers: Collection[str], person: Person) -> bool:
    return not providers or person.provider in providers


def _shared_key(folder: str, group: str | None) -> str:
    return f"collaboration:{folder}" + (f":{group}" if group else "")


def _membership_key(group: str) -> str:
    # Box compares the names of groups without regard to case.
    return f"membership:{group.casefold()}"

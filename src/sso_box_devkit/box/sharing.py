"""Who is in which group, and who else than the owner may do what with an item."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sso_box_devkit.box.tree import Item


@dataclass
class Group:
    """``attributes`` are what a caller may set and the emulator only keeps."""

    id: str
    name: str
    created_at: float
    modified_at: float
    # The app whose service account made it.
    client_id: str
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass
class Membership:
    """One user in one group."""

    id: str
    user_id: str
    group: Group
    role: str
    created_at: float
    modified_at: float


@dataclass
class Collaboration:
    """An invitation to an item, of a user, a group, or an address nobody has.

    Exactly one of ``user_id``, ``group`` and ``invite_email`` is set.
    """

    id: str
    item: Item
    role: str
    status: str
    created_by_id: str
    created_at: float
    modified_at: float
    user_id: str | None = None
    group: Group | None = None
    invite_email: str | None = None
    expires_at: float | None = None
    is_access_only: bool = False


class Sharing:
    """The groups, memberships and collaborations of one enterprise."""

    def __init__(self) -> None:
        # Not reset: an id is never given twice.
        self._ids = itertools.count(500_000_001)
        self.groups: dict[str, Group] = {}
        self.memberships: dict[str, Membership] = {}
        self.collaborations: dict[str, Collaboration] = {}

    def new_id(self) -> str:
        return str(next(self._ids))

    def membership(self, user_id: str, group: Group) -> Membership | None:
        of_user = (m for m in self.memberships.values() if m.user_id == user_id)
        return next((m for m in of_user if m.group is group), None)

    def on(self, item: Item) -> list[Collaboration]:
        return [c for c in self.collaborations.values() if c.item is item]

    def reaching(self, user_id: str, now: float) -> Iterator[Collaboration]:
        """What lets the user in at this moment, by name or by a group."""
        for each in self.collaborations.values():
            if each.status != "accepted" or (each.expires_at or now) < now:
                continue
            if each.user_id == user_id or (
                each.group is not None and self.membership(user_id, each.group)
            ):
                yield each

    def remove_group(self, group: Group) -> None:
        del self.groups[group.id]
        self._keep_memberships(lambda m: m.group is not group)
        self._keep_collaborations(lambda c: c.group is not group)

    def forget_user(self, user_id: str) -> None:
        self._keep_memberships(lambda m: m.user_id != user_id)
        self._keep_collaborations(lambda c: c.user_id != user_id)

    def forget_items(self, items: Iterable[Item]) -> None:
        gone = {(item.type, item.id) for item in items}
        self._keep_collaborations(lambda c: (c.item.type, c.item.id) not in gone)

    def clear(self) -> None:
        self.groups.clear()
        self.memberships.clear()
        self.collaborations.clear()

    def _keep_memberships(self, wanted: Callable[[Membership], bool]) -> None:
        self.memberships = {k: m for k, m in self.memberships.items() if wanted(m)}

    def _keep_collaborations(self, wanted: Callable[[Collaboration], bool]) -> None:
        kept = {k: c for k, c in self.collaborations.items() if wanted(c)}
        self.collaborations = kept

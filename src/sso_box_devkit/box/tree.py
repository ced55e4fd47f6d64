"""Files and folders: one tree per user, with Box's root "0" on top of each.

Items belong to the owner of the tree, whoever made them. Who else may see them is
``sharing``'s business.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

ROOT_ID = "0"
ItemType = Literal["folder", "file"]


@dataclass(frozen=True)
class Version:
    """One stored content of a file. Box calls its SHA-1 `sha1`."""

    id: str
    content: bytes = field(repr=False)
    sha1: str


@dataclass(frozen=True)
class SharedLink:
    """Kept and shown; that it lets anybody in is not emulated."""

    token: str
    access: str
    unshared_at: str | None
    is_password_enabled: bool
    can_download: bool


@dataclass
class Item:
    """A file or folder. A root has no parent; a file has at least one version."""

    id: str
    type: ItemType
    name: str
    owner_id: str
    parent_id: str | None
    created_at: float
    modified_at: float
    description: str = ""
    etag: int = 0
    # Collaborators work in the trees of others.
    created_by_id: str = ""
    modified_by_id: str = ""
    shared_link: SharedLink | None = None
    versions: list[Version] = field(default_factory=list)

    @property
    def is_root(self) -> bool:
        return self.parent_id is None

    @property
    def version(self) -> Version:
        return self.versions[-1]

    def changed(self, now: float, user_id: str) -> None:
        self.etag += 1
        self.modified_at = now
        self.modified_by_id = user_id


class Tree:
    """All items of one enterprise. Roots are never stored: every user has one."""

    def __init__(self, ids: Iterator[int]) -> None:
        self._ids = ids
        self._items: dict[tuple[ItemType, str], Item] = {}
        self._children: defaultdict[tuple[str, str], dict[str, Item]] = defaultdict(
            dict
        )

    def root(self, owner_id: str) -> Item:
        return Item(ROOT_ID, "folder", "All Files", owner_id, None, 0, 0)

    def get(self, kind: ItemType, item_id: str) -> Item | None:
        return self._items.get((kind, item_id))

    def parent(self, item: Item) -> Item | None:
        if item.parent_id is None:
            return None
        if item.parent_id == ROOT_ID:
            return self.root(item.owner_id)
        return self._items["folder", item.parent_id]

    def ancestors(self, item: Item) -> list[Item]:
        """From the root down to the parent."""
        path: list[Item] = []
        above = self.parent(item)
        while above is not None:
            path.append(above)
            above = self.parent(above)
        return path[::-1]

    def children(self, folder: Item) -> list[Item]:
        return list(self._children[_key(folder)].values())

    def below(self, item: Item) -> Iterator[Item]:
        """The item and everything in it."""
        yield item
        for child in self.children(item) if item.type == "folder" else []:
            yield from self.below(child)

    def named(self, folder: Item, name: str) -> Item | None:
        """The child of that name: names are unique in a folder, ignoring case."""
        wanted = name.casefold()
        return next(
            (c for c in self.children(folder) if c.name.casefold() == wanted), None
        )

    def add(
        self, kind: ItemType, folder: Item, name: str, now: float, by: str = ""
    ) -> Item:
        """``by`` is the id of the maker, the folder's owner unless named."""
        maker = by or folder.owner_id
        item = Item(
            id=str(next(self._ids)),
            type=kind,
            name=name,
            owner_id=folder.owner_id,
            parent_id=folder.id,
            created_at=now,
            modified_at=now,
            created_by_id=maker,
            modified_by_id=maker,
        )
        self._items[kind, item.id] = item
        self._children[_key(folder)][item.id] = item
        return item

    def add_version(self, file: Item, content: bytes) -> None:
        # Box identifies content by SHA-1; nothing is secured with it here.
        sha1 = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        file.versions.append(Version(str(next(self._ids)), content, sha1))

    def copy(self, item: Item, folder: Item, name: str, now: float, by: str) -> Item:
        """The item with all below it, as new items; of files the latest version.

        The folder is not inside the item: that would never end.
        """
        made = self.add(item.type, folder, name, now, by)
        made.description = item.description
        if item.type == "file":
            self.add_version(made, item.version.content)
            return made
        for child in self.children(item):
            self.copy(child, made, child.name, now, by)
        return made

    def move(self, item: Item, folder: Item) -> None:
        """Whoever owns the folder then owns the item."""
        here = self.parent(item)
        assert here is not None  # noqa: S101 - a root is refused before
        del self._children[_key(here)][item.id]
        item.parent_id = folder.id
        for moved in self.below(item):
            moved.owner_id = folder.owner_id
        self._children[_key(folder)][item.id] = item

    def remove(self, item: Item) -> list[Item]:
        """With everything below it, and that is returned. There is no emulated trash."""
        gone = list(self.below(item))
        here = self.parent(item)
        if here is not None:
            del self._children[_key(here)][item.id]
        for each in gone:
            self._children.pop(_key(each), None)
            self._items.pop((each.type, each.id), None)
        return gone

    def size(self, item: Item) -> int:
        return sum(len(i.version.content) for i in self.below(item) if i.versions)

    def stored(self, owner_id: str) -> int:
        """What counts against the quota of a user: every version kept (ours)."""
        items = self.below(self.root(owner_id))
        return sum(len(version.content) for i in items for version in i.versions)

    def is_empty(self, folder: Item) -> bool:
        return not self._children[_key(folder)]


def _key(folder: Item) -> tuple[str, str]:
    """Every user has a root "0"; all other ids are unique."""
    return (folder.owner_id if folder.is_root else "", folder.id)

"""Files and folders: one tree per user, with Box's root "0" on top of each.

Items belong to the owner of the tree. Collaborations are not emulated yet, so an
item is visible to its owner alone.
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
    versions: list[Version] = field(default_factory=list)

    @property
    def is_root(self) -> bool:
        return self.parent_id is None

    @property
    def version(self) -> Version:
        return self.versions[-1]

    def changed(self, now: float) -> None:
        self.etag += 1
        self.modified_at = now


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
        return list(self._children[folder.owner_id, folder.id].values())

    def named(self, folder: Item, name: str) -> Item | None:
        """The child of that name: names are unique in a folder, ignoring case."""
        wanted = name.casefold()
        return next(
            (c for c in self.children(folder) if c.name.casefold() == wanted), None
        )

    def add(self, kind: ItemType, folder: Item, name: str, now: float) -> Item:
        item = Item(
            str(next(self._ids)), kind, name, folder.owner_id, folder.id, now, now
        )
        self._items[kind, item.id] = item
        self._children[item.owner_id, folder.id][item.id] = item
        return item

    def add_version(self, file: Item, content: bytes) -> None:
        # Box identifies content by SHA-1; nothing is secured with it here.
        sha1 = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        file.versions.append(Version(str(next(self._ids)), content, sha1))

    def move(self, item: Item, folder: Item) -> None:
        assert item.parent_id is not None  # noqa: S101 - a root is refused before
        del self._children[item.owner_id, item.parent_id][item.id]
        item.parent_id = folder.id
        self._children[item.owner_id, folder.id][item.id] = item

    def remove(self, item: Item) -> None:
        """With everything below it. There is no emulated trash."""
        for child in self.children(item) if item.type == "folder" else []:
            self.remove(child)
        self._children.pop((item.owner_id, item.id), None)
        if item.parent_id is not None:
            del self._items[item.type, item.id]
            del self._children[item.owner_id, item.parent_id][item.id]

    def size(self, item: Item) -> int:
        if item.type == "file":
            return len(item.version.content)
        return sum(self.size(child) for child in self.children(item))

    def is_empty(self, folder: Item) -> bool:
        return not self._children[folder.owner_id, folder.id]

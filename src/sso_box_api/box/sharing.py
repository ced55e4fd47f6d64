"""Who may reach what at Box: collaborations, groups and who is in them.

All of it is done by the service account. What is there already is no error: each step
can be taken again after a crash. Source: developer.box.com "Create collaboration",
"Create group", "Add user to group"; Box does not say how it refuses a second
membership, so 400 and 409 are both looked into.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from sso_box_api.box.answers import Unreadable
from sso_box_api.box.api import Api, Ensured
from sso_box_api.box.auth import nothing
from sso_box_api.box.failures import NotFoundAtBox
from sso_box_api.box.lists import checked_id, id_of, text, whole

PAGE_SIZE = 1000
_COLLABORATION = "id,role,status,accessible_by,item"

Role = Literal[
    "editor",
    "viewer",
    "previewer",
    "uploader",
    "previewer uploader",
    "viewer uploader",
    "co-owner",
]
GranteeType = Literal["user", "group"]


@dataclass(frozen=True)
class Collaboration:
    """Somebody's role on a folder; ``grantee_id`` None for who has not joined Box."""

    id: str
    role: str
    status: str
    grantee_type: str | None
    grantee_id: str | None


@dataclass(frozen=True)
class Group:
    """A group of the enterprise, as far as this app sees it."""

    id: str
    name: str


@dataclass(frozen=True)
class Membership:
    """A user's place in a group."""

    id: str
    user_id: str
    group_id: str


class Sharing(Api):
    """The collaborations and groups of Box's API."""

    async def ensure_collaboration(
        self, folder_id: str, grantee: GranteeType, grantee_id: str, role: Role
    ) -> Ensured[Collaboration]:
        """Let a user or group into a folder, silently (POST /2.0/collaborations).

        Who is in already keeps the role there is: see ``set_role``.
        """
        body = {
            "item": {"type": "folder", "id": checked_id(folder_id)},
            "accessible_by": {"type": grantee, "id": checked_id(grantee_id)},
            "role": role,
        }
        path = f"/2.0/collaborations?notify=false&fields={_COLLABORATION}"
        make = self._write("POST", path, whole(_collaboration), body)
        look = partial(self._find_collaboration, folder_id, grantee, grantee_id)
        return await self._ensure(make, look, 400, 409)

    async def list_collaborations(self, folder_id: str) -> list[Collaboration]:
        """List who is in (GET /2.0/folders/ID/collaborations)."""
        path = f"/2.0/folders/{checked_id(folder_id)}/collaborations"
        query = {"fields": _COLLABORATION}
        return await self._list_by_marker(path, query, _collaboration)

    async def set_role(self, collaboration_id: str, role: Role) -> Collaboration:
        """Change a role (PUT /2.0/collaborations/ID). Raises ``NotFoundAtBox``."""
        path = f"/2.0/collaborations/{checked_id(collaboration_id)}"
        return await self._api(
            "PUT",
            f"{path}?fields={_COLLABORATION}",
            whole(_collaboration),
            body={"role": role},
        )

    async def remove_collaboration(self, collaboration_id: str) -> None:
        """End a collaboration; one that is gone counts as done (DELETE)."""
        await self._remove(f"/2.0/collaborations/{checked_id(collaboration_id)}")

    async def ensure_group(self, name: str) -> Ensured[Group]:
        """Create a group or find the one of that name (POST /2.0/groups)."""
        make = self._write("POST", "/2.0/groups", whole(_group), {"name": name})
        return await self._ensure(make, partial(self.find_group, name), 409)

    async def find_group(self, name: str) -> Group | None:
        """Find a group by its whole name (GET /2.0/groups, which filters by a part)."""
        query = {"filter_term": name}
        found = await self._list_by_offset(
            "/2.0/groups", query, _group, page_size=PAGE_SIZE
        )
        wanted = name.casefold()
        return next((group for group in found if group.name.casefold() == wanted), None)

    async def ensure_membership(
        self, box_user_id: str, group_id: str
    ) -> Ensured[Membership]:
        """Put a user into a group, if not there yet (POST /2.0/group_memberships)."""
        body = {
            "user": {"id": checked_id(box_user_id)},
            "group": {"id": checked_id(group_id)},
        }
        make = self._write("POST", "/2.0/group_memberships", whole(_membership), body)
        look = partial(self._find_membership, box_user_id, group_id)
        return await self._ensure(make, look, 400, 409)

    async def list_memberships(self, box_user_id: str) -> list[Membership]:
        """List the groups of a user (GET /2.0/users/ID/memberships)."""
        path = f"/2.0/users/{checked_id(box_user_id)}/memberships"
        return await self._list_by_offset(path, {}, _membership, page_size=PAGE_SIZE)

    async def remove_membership(self, membership_id: str) -> None:
        """Take a user out of a group; who is out counts as done (DELETE)."""
        await self._remove(f"/2.0/group_memberships/{checked_id(membership_id)}")

    async def _find_collaboration(
        self, folder_id: str, grantee: GranteeType, grantee_id: str
    ) -> Collaboration | None:
        wanted = (grantee, grantee_id)
        there = await self.list_collaborations(folder_id)
        same = (c for c in there if (c.grantee_type, c.grantee_id) == wanted)
        return next(same, None)

    async def _find_membership(
        self, box_user_id: str, group_id: str
    ) -> Membership | None:
        there = await self.list_memberships(box_user_id)
        return next((m for m in there if m.group_id == group_id), None)

    async def _remove(self, path: str) -> None:
        try:
            await self._api("DELETE", path, nothing)
        except NotFoundAtBox:
            return


def _collaboration(data: Any) -> Collaboration:
    collaboration_id = id_of(data)
    role, status = text(data, "role"), text(data, "status")
    grantee = data.get("accessible_by")
    if role is None or status is None or not isinstance(grantee, dict | None):
        raise Unreadable
    grantee = grantee or {}
    return Collaboration(
        collaboration_id, role, status, text(grantee, "type"), text(grantee, "id")
    )


def _group(data: Any) -> Group:
    group_id, name = id_of(data), text(data, "name")
    if name is None:
        raise Unreadable
    return Group(group_id, name)


def _membership(data: Any) -> Membership:
    membership_id = id_of(data)
    return Membership(membership_id, id_of(data.get("user")), id_of(data.get("group")))

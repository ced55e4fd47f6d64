"""One step at Box. Each can be taken again: what is there already is found, not doubled.

In the person's own tree the person acts; on shared folders, groups and users the
service account does.
"""

from collections.abc import Mapping
from typing import Any, cast

from sso_box_api import furnishing
from sso_box_api.box import Box, Role
from sso_box_api.db import Database
from sso_box_api.furnishing import Step

ROOT = "0"


class StepFailed(Exception):
    """A step that cannot be taken for a reason of ours; ``code`` is stable."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Steps:
    """``contents``: the welcome files by the source that the template names."""

    def __init__(
        self, database: Database, box: Box, contents: Mapping[str, bytes]
    ) -> None:
        self._database = database
        self._box = box
        self._contents = contents

    async def take(
        self, step: Step, box_user_id: str, parent_id: str | None
    ) -> str | None:
        """Do it, and return the id of what is there now at Box, if it has one.

        Raises ``StepFailed``, ``BoxRefused``, ``BoxUnavailable``.
        """
        params = step.params or {}
        match step.kind:
            case "folder":
                return await self._folder(params["name"], box_user_id, parent_id)
            case "file":
                return await self._upload(params, box_user_id, parent_id or ROOT)
            case "collaboration":
                return await self._share(params, box_user_id)
            case "membership" if params["member"]:
                return await self._join(step, params["group"], box_user_id)
            case "membership":
                await self._leave(step, params["group"], box_user_id)
            case "quota":
                space = params["bytes"]
                await self._box.update_user(box_user_id, space_amount=space)
            case "name":
                await self._box.update_user(box_user_id, name=params["name"])
        return None

    async def _folder(self, name: str, box_user_id: str, parent_id: str | None) -> str:
        """Make a folder of the person's own, or find it.

        Somebody else who invited them into one of that name would get what is put there.
        """
        folder = await self._box.ensure_folder(
            parent_id or ROOT, name, as_user=box_user_id
        )
        if not folder.created and folder.thing.owner_id != box_user_id:
            raise StepFailed("folder_of_somebody_else")
        return folder.thing.id

    async def _upload(
        self, params: Mapping[str, Any], box_user_id: str, parent_id: str
    ) -> str:
        """Upload a welcome file; one of that name is the person's, whatever is in it."""
        content = self._contents.get(params["source"])
        if content is None:
            raise StepFailed("not_in_template")
        file = await self._box.upload_file(
            parent_id, params["name"], content, as_user=box_user_id
        )
        return file.thing.id

    async def _share(self, params: Mapping[str, Any], box_user_id: str) -> str:
        folder, role = params["folder"], cast("Role", params["role"])
        if params["group"] is None:
            made = await self._box.ensure_collaboration(
                folder, "user", box_user_id, role
            )
        else:
            group_id = await self._group_id(params["group"])
            made = await self._box.ensure_collaboration(folder, "group", group_id, role)
        return made.thing.id

    async def _join(self, step: Step, group: str, box_user_id: str) -> str | None:
        """Add the membership, once it is written down that it was not there before.

        So a membership that somebody made by hand is told from one that a crashed
        process of ours made, and is never taken away.
        """
        group_id = await self._group_id(group)
        if step.ours is None:
            there = await self._find_membership(group_id, box_user_id)
            async with self._database.transaction() as session:
                ours = there is None
                if not await furnishing.mark_ours(session, step, ours=ours):
                    return None
            if there is not None:
                return there
        made = await self._box.ensure_membership(box_user_id, group_id)
        return made.thing.id

    async def _leave(self, step: Step, group: str, box_user_id: str) -> None:
        membership_id = step.box_id
        if membership_id is None:
            group_id = await self._find_group(group)
            if group_id is not None:
                membership_id = await self._find_membership(group_id, box_user_id)
        if membership_id is not None:
            await self._box.remove_membership(membership_id)

    async def _group_id(self, group: str) -> str:
        found = await self._find_group(group)
        return found or (await self._box.ensure_group(group)).thing.id

    async def _find_group(self, group: str) -> str | None:
        if group.startswith("id:"):
            return group.removeprefix("id:")
        found = await self._box.find_group(group)
        return found.id if found else None

    async def _find_membership(self, group_id: str, box_user_id: str) -> str | None:
        there = await self._box.list_memberships(box_user_id)
        return next((m.id for m in there if m.group_id == group_id), None)

"""Which folder at Box a profile means that names one of the template.

Between the account and its token: everybody has a folder of their own, and only once it
is made. Where the account gets another Box user, the template makes that one's folders.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import ceil

from sso_box_api import furnishing
from sso_box_api.accounts import Account, Person
from sso_box_api.db import AsyncSession, Database
from sso_box_api.errors import FolderNotProvisioned, ProvisioningInProgress
from sso_box_api.furnishing import Step
from sso_box_api.provisioning.plan import wanted_steps
from sso_box_api.settings import Template
from sso_box_api.vending import Grant, Resource, TemplateFolder


class Folders:
    """The folders that this template has for people, by what was done of it."""

    def __init__(self, database: Database, template: Template | None) -> None:
        self._database = database
        self._template = template

    async def resolve(self, account: Account, person: Person, grant: Grant) -> Grant:
        """Bind a grant on a folder of the template to the one of this account.

        Any other grant is returned as it is. Raises ``ProvisioningInProgress`` while
        the folder is still to be made, ``FolderNotProvisioned`` where it is not going
        to be, ``DatabaseUnavailable``.
        """
        if not isinstance(grant.resource, TemplateFolder):
            return grant
        async with self._database.transaction() as session:
            bound = await find_folder(session, account, grant, grant.resource)
        if bound is not None:
            return bound
        wanted = wanted_steps(self._template, person) if self._template else []
        if _key(grant.resource) not in {step.key for step in wanted}:
            raise FolderNotProvisioned("the template has none for this person")
        raise ProvisioningInProgress("the folder is not planned yet")


async def find_folder(
    session: AsyncSession, account: Account, grant: Grant, folder: TemplateFolder
) -> Grant | None:
    """Bind a grant to the folder of this account; None where nothing is planned.

    Raises ``ProvisioningInProgress``, ``FolderNotProvisioned``.
    """
    found = await furnishing.steps_of(session, account.id)
    steps = {s.key: s for s in found if s.box_user_id == account.box_user_id}
    step = steps.get(_key(folder))
    if step is None:
        return None
    if step.state != "done":
        _explain_unfinished(_first_unfinished(step, steps))
    assert step.box_id is not None  # noqa: S101 - of a folder that is done
    return replace(grant, resource=Resource("folder", step.box_id))


def _key(folder: TemplateFolder) -> str:
    return f"folder:{folder.path}"


def _first_unfinished(step: Step, steps: Mapping[str, Step]) -> Step:
    """Return what keeps a step waiting: one above it, or the step itself."""
    above = steps.get(step.parent_key or "")
    if above is None or above.state == "done":
        return step
    return _first_unfinished(above, steps)


def _explain_unfinished(step: Step) -> None:
    reason = f"{step.key} is {step.state}"
    if step.state == "pending":
        raise ProvisioningInProgress(reason, retry_after=max(1, ceil(step.due_in_s)))
    raise FolderNotProvisioned(f"{reason}: {step.error or 'a claim is missing'}")

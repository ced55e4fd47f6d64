"""Having the steps done: begun by the login that planned them, finished by anybody.

A login waits for its first furnishing a little and never fails by it. What is left is
taken up by the background of every serve process, with growing pauses, across restarts.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from uuid import UUID

from sso_box_api import accounts, furnishing
from sso_box_api.accounts import Account, Noted, Person
from sso_box_api.box import Box, NotFoundAtBox, within
from sso_box_api.db import AsyncSession, Database
from sso_box_api.errors import (
    BoxRefused,
    BoxUnavailable,
    DatabaseUnavailable,
    ProvisioningInProgress,
    SsoBoxError,
)
from sso_box_api.furnishing import Step, Taken, Wanted
from sso_box_api.provisioning import outcomes
from sso_box_api.provisioning.outcomes import Note
from sso_box_api.provisioning.plan import claims_digest, known_keys, wanted_steps
from sso_box_api.provisioning.steps import StepFailed, Steps
from sso_box_api.settings import ProvisioningSettings

_log = logging.getLogger(__name__)

_AT_ONCE = 4
# What the database may take before and after the calls to Box.
_LEASE_BEYOND_DEADLINE_S = 10.0


class Provisioner:
    """The furnishing that this process has begun, and what it takes up of others."""

    def __init__(
        self, database: Database, box: Box, settings: ProvisioningSettings
    ) -> None:
        self._database = database
        self._settings = settings
        self._template = settings.template
        contents = self._template.contents if self._template else {}
        self._steps = Steps(database, box, contents)
        self._flights: set[asyncio.Task[bool]] = set()
        self._closing = False

    async def furnish(
        self, account: Account, person: Person, issued_at: int
    ) -> Account | None:
        """Begin with what new claims ask for; wait for a first furnishing a little.

        ``issued_at`` of the token, in epoch seconds: only a newer one changes anything.
        It goes on without its caller, and never fails a login but by
        ``DatabaseUnavailable``, after which there is no telling. Returns the account with
        the digest of the claims that it follows now; None where only its row tells.
        """
        if not self._is_news(account, person):
            return account
        try:
            noted, flight = await self.begin(account, person, issued_at)
        except Exception as error:
            unexpected = None if isinstance(error, SsoBoxError) else error
            message = "nothing could be planned for account %s: %s"
            _log.warning(
                message, account.id, outcomes.code_of(error), exc_info=unexpected
            )
            if isinstance(error, DatabaseUnavailable):
                raise
            return None
        if flight is not None:
            await asyncio.wait({flight}, timeout=self._settings.wait_s)
        if not noted:
            return None
        return replace(account, claims_digest=self._digest(account, person))

    async def begin(
        self, account: Account, person: Person, issued_at: int
    ) -> tuple[bool, asyncio.Task[bool] | None]:
        """Plan what new claims ask for and begin with it.

        Returns whether they were newer than those noted, and the work that a first
        login waits for. Raises ``DatabaseUnavailable``, ``ProvisioningInProgress``.
        """
        if await self._is_noted(account, person, issued_at):
            return True, None
        async with self._database.transaction() as session:
            noted, taken = await self._plan(session, account, person, issued_at)
        if not taken:
            return noted is not None, None
        flight = asyncio.create_task(self._work_on(taken[0]))
        self._flights.add(flight)
        flight.add_done_callback(self._landed)
        return noted is not None, flight if noted and noted.first else None

    async def work(self) -> bool:
        """Take up what is due of a few accounts; True if it is worth going on.

        It is not when nothing is free, or while Box is unavailable. Raises
        ``DatabaseUnavailable``.
        """
        async with self._database.transaction() as session:
            taken = await furnishing.take_due(
                session, limit=_AT_ONCE, lease_s=self._lease_s
            )
        return await self._work_on_all(taken) and bool(taken)

    async def apply(
        self, account: Account, person: Person | None = None, issued_at: int = 0
    ) -> None:
        """Do now what is left of an account, whatever pause it is in.

        With a ``person`` for those claims. Raises ``DatabaseUnavailable``. Does nothing
        while another process is at it.
        """
        taken: list[Taken] = []
        async with self._database.transaction() as session:
            if person is not None and account.box_user_id is not None:
                _, taken = await self._plan(session, account, person, issued_at)
            await furnishing.hurry(session, account.id)
            taken = taken or await self._take(session, account.id)
        await self._work_on_all(taken)

    async def steps(self, account: Account) -> list[Step]:
        """Return what is written down for an account. Raises ``DatabaseUnavailable``."""
        async with self._database.transaction() as session:
            return await furnishing.steps_of(session, account.id)

    async def preview(
        self, account: Account, person: Person, issued_at: int
    ) -> list[Step]:
        """Return the steps as these claims would leave them, and change nothing."""
        async with (
            self._database.transaction() as session,
            session.begin_nested() as savepoint,
        ):
            await self._plan(session, account, person, issued_at)
            steps = await furnishing.steps_of(session, account.id)
            await savepoint.rollback()
        return steps

    async def close(self) -> None:
        """Stop after the steps that are under way; the others are left to whoever is."""
        self._closing = True
        if self._flights:
            await asyncio.wait(self._flights)

    @property
    def _lease_s(self) -> float:
        return self._settings.deadline_s + _LEASE_BEYOND_DEADLINE_S

    def _is_news(self, account: Account, person: Person) -> bool:
        nothing_to_do = self._template is None and not self._settings.update_name
        if nothing_to_do or account.box_user_id is None:
            return False
        return account.claims_digest != self._digest(account, person)

    async def _is_noted(self, account: Account, person: Person, issued_at: int) -> bool:
        """Note what asks for nothing, as most first logins do without a template."""
        if self._template is not None:
            return False
        digest = self._digest(account, person)
        return await accounts.note_digest(
            self._database, account, person, digest=digest, issued_at=issued_at
        )

    def _digest(self, account: Account, person: Person) -> str:
        return claims_digest(self._template, account.box_user_id or "", person)

    async def _plan(
        self, session: AsyncSession, account: Account, person: Person, issued_at: int
    ) -> tuple[Noted | None, list[Taken]]:
        """Write the steps down and take them, so that nobody comes in between."""
        assert account.box_user_id is not None  # noqa: S101 - see _is_news
        noted = await accounts.note_claims(
            session,
            account.identity_id,
            person,
            digest=self._digest(account, person),
            issued_at=issued_at,
        )
        if noted is None:
            return None, []
        # With the identity held: who read the account before a relink must not undo
        # what was planned for the Box user that it has now.
        now = await accounts.find(session, person.namespace, person.subject)
        bound = (account.id, account.box_user_id)
        if now is None or (now.id, now.box_user_id) != bound:
            raise ProvisioningInProgress("relinked meanwhile")
        wanted = wanted_steps(self._template, person) if self._template else []
        wanted += self._name(account, person, noted)
        if not wanted and not self._template:
            return noted, []
        await furnishing.forget_former(session, account.id, account.box_user_id)
        known = known_keys(self._template) if self._template else ()
        await furnishing.plan(
            session, account.id, account.identity_id, wanted, known_keys=known
        )
        await furnishing.set_due(session, account.id)
        return noted, await self._take(session, account.id)

    def _name(self, account: Account, person: Person, noted: Noted) -> list[Wanted]:
        """Want another name where it changed; a user is made with the present one."""
        is_made_with_it = noted.first and noted.former_name is None
        is_new = person.name is not None and person.name != noted.former_name
        ours_to_change = self._settings.update_name and account.kind == "app"
        if is_made_with_it or not is_new or not ours_to_change:
            return []
        return [Wanted("name", "name", {"name": person.name})]

    async def _take(self, session: AsyncSession, account_id: UUID) -> list[Taken]:
        return await furnishing.take_due(
            session, limit=1, lease_s=self._lease_s, account_id=account_id
        )

    def _landed(self, flight: asyncio.Task[bool]) -> None:
        self._flights.discard(flight)
        error = None if flight.cancelled() else flight.exception()
        if error is not None:
            unexpected = None if isinstance(error, SsoBoxError) else error
            message = "a furnishing stopped, and is taken up again: %s"
            _log.warning(message, outcomes.code_of(error), exc_info=unexpected)

    async def _work_on_all(self, taken: Sequence[Taken]) -> bool:
        tasks = [asyncio.create_task(self._work_on(each)) for each in taken]
        try:
            return all(await asyncio.gather(*tasks))
        finally:
            # Where one failed or this was stopped, nothing goes on unseen.
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _work_on(self, taken: Taken) -> bool:
        """Do the steps of one account in order; False if Box is unavailable."""
        ends = asyncio.get_running_loop().time() + self._settings.deadline_s
        with within(self._settings.deadline_s, background=True):
            round_ = await self._round(taken)
            for step in round_.steps:
                late = asyncio.get_running_loop().time() >= ends
                if late or self._closing or not round_.open:
                    break
                if round_.is_ready(step):
                    await self._step(round_, step)
        # Of somebody locked nothing is done; whether that is over is looked at again.
        wait_s = None if round_.open else self._settings.refused_retry_s
        async with self._database.transaction() as session:
            await furnishing.give_back(session, taken, not_before_s=wait_s)
        return round_.box_answers

    async def _round(self, taken: Taken) -> "_Round":
        async with self._database.transaction() as session:
            steps = await furnishing.steps_of(session, taken.account_id)
            is_open = await accounts.is_open(
                session, taken.account_id, taken.box_user_id
            )
        return _Round(taken.box_user_id, steps, open=is_open)

    async def _step(self, round_: "_Round", step: Step) -> None:
        """Take one step and write down what came of it, by itself."""
        parent_id = round_.made.get(step.parent_key or "")
        try:
            box_id = await self._steps.take(step, round_.box_user_id, parent_id)
        except DatabaseUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - no step may keep the others waiting
            note = self._failure(round_, step, error)
        else:
            round_.made[step.key] = box_id
            note = partial(outcomes.success, step, box_id)
        async with self._database.transaction() as session:
            await note(session)
            round_.open = await accounts.is_open(
                session, step.account_id, round_.box_user_id
            )

    def _failure(self, round_: "_Round", step: Step, error: Exception) -> Note:
        """Sort a failure: Box is away, Box said no, or nothing is left to be done."""
        code = outcomes.code_of(error)
        _log.warning("step %s of account %s: %s", step.key, step.account_id, code)
        lost = isinstance(error, NotFoundAtBox) and step.parent_key is not None
        if lost and step.error == code:
            # Seen twice, with a pause between: whoever deleted the folder wants
            # nothing in it either.
            return partial(outcomes.skipped, step)
        if isinstance(error, BoxUnavailable):
            round_.box_answers = False
            return partial(outcomes.pending, step, code, self._pause(step, soon=True))
        if not isinstance(error, BoxRefused | StepFailed):
            _log.error("unexpected error in a step", exc_info=error)
        return partial(outcomes.failed, step, code, self._pause(step, soon=False))

    def _pause(self, step: Step, *, soon: bool) -> float:
        """Twice as long after each try."""
        settings = self._settings
        base_s = settings.retry_s if soon else settings.refused_retry_s
        # The exponent is bounded, for a float is.
        return min(settings.retry_at_most_s, base_s * 2.0 ** min(step.tries, 20))


@dataclass(slots=True)
class _Round:
    """One turn at an account. ``made`` are the Box ids of the steps that are done."""

    box_user_id: str
    steps: list[Step]
    open: bool
    box_answers: bool = True
    made: dict[str, str | None] = field(init=False)

    def __post_init__(self) -> None:
        self.made = {s.key: s.box_id for s in self.steps if s.state == "done"}

    def is_ready(self, step: Step) -> bool:
        return step.due and (step.parent_key is None or step.parent_key in self.made)

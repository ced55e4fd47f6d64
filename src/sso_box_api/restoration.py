"""Make a restored database safe again, for ``db after-restore``.

A backup does not know what came after it: tokens that were handed out since are on no
list, a lock or a sign-out that was set since is undone. So every listed token is
revoked, every login from before now is refused, Box is asked to end the sessions of
every user that an account has. Nor does it know who got a Box user that was made in
vain, so none is deleted any more.
"""

import logging
from functools import partial
from uuid import UUID

from sso_box_api import accounts, vending
from sso_box_api.audit import AdministrationEvent, administration
from sso_box_api.box import Box, RefusedByBox, patiently
from sso_box_api.db import Database
from sso_box_api.errors import BoxUnavailable

_log = logging.getLogger(__name__)

_ROWS = 500
# Box publishes no limit for one request to end sessions.
_USERS_AT_ONCE = 100
_ABOUT_ONE = (400, 404)


class Restoration:
    """What is done once, after a restore and before the service is started."""

    def __init__(self, database: Database, box: Box) -> None:
        self._database = database
        self._box = box

    async def preview(self) -> dict[str, int]:
        """Count what would be done."""
        async with self._database.transaction() as session:
            everybody, bound = await accounts.count(session)
            live = await vending.count_live(session)
        return {"accounts": everybody, "bound": bound, "live_tokens": live}

    async def run(self) -> dict[str, int]:
        """Do it, a page of accounts at a time; after an end by force, run it again.

        ``sessions_not_ended``: Box users of whom Box did not take the order; their
        tokens from after the backup live to their own expiry.
        """
        counts = dict.fromkeys(
            ("accounts", "closed_tokens", "sessions_ended", "sessions_not_ended"), 0
        )
        with administration(AdministrationEvent("after-restore")) as event:
            event.counts = counts
            async with self._database.transaction() as session:
                await accounts.keep_spares(session)
            after: UUID | None = None
            while True:
                async with self._database.transaction() as session:
                    rows = await accounts.sign_out_page(session, after, limit=_ROWS)
                    ids = [account_id for account_id, _ in rows]
                    closed = await vending.close_accounts(session, ids)
                counts["accounts"] += len(rows)
                counts["closed_tokens"] += closed
                users = [user_id for _, user_id in rows if user_id is not None]
                for start in range(0, len(users), _USERS_AT_ONCE):
                    await self._end(users[start : start + _USERS_AT_ONCE], counts)
                if len(rows) < _ROWS:
                    return counts
                after = ids[-1]

    async def _end(self, box_user_ids: list[str], counts: dict[str, int]) -> None:
        """Order the end of sessions; a refusal must not keep the others signed in."""
        try:
            await patiently(partial(self._box.terminate_sessions, box_user_ids))
        except (RefusedByBox, BoxUnavailable) as error:
            about_one = (
                isinstance(error, RefusedByBox) and error.box_status in _ABOUT_ONE
            )
            if about_one and len(box_user_ids) > 1:
                # Perhaps for one who is gone; Box does not say what it did for the rest.
                middle = len(box_user_ids) // 2
                await self._end(box_user_ids[:middle], counts)
                await self._end(box_user_ids[middle:], counts)
                return
            _log.warning("sessions are not ended: %s", error.reason)
            counts["sessions_not_ended"] += len(box_user_ids)
        else:
            counts["sessions_ended"] += len(box_user_ids)

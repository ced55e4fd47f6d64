"""Which Box user a first login may find or make: what differs between the kinds.

``binding`` runs the claim protocol, and asks here how to look, what may be taken, and
how to create. Each provider's own settings decide for its own people.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Final, Literal

from sso_box_api.accounts import Account, Person
from sso_box_api.attributes import attributes_of, name_of
from sso_box_api.box import Box, BoxUser, ConflictAtBox
from sso_box_api.errors import (
    BoxLoginTaken,
    BoxUserConflict,
    EmailNotAllowed,
    Refused,
)
from sso_box_api.settings import BoxUserSettings, ProviderSettings

# The dot-atom of RFC 5322 section 3.4.1: no quoting, and nothing that Unicode could
# take for another letter.
_LOCAL_PART = re.compile(
    r"(?=.{1,64}\Z)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
)
# Box's clock against ours, beyond what Box has made us notice.
_CLOCKS_DIFFER: Final = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Sent:
    """A POST for this very account whose outcome nobody knows; ``at`` by our clock."""

    at: datetime
    timeout_s: float

    @classmethod
    def ago(cls, seconds: float, *, timeout_s: float) -> "Sent":
        return cls(datetime.now(UTC) - timedelta(seconds=seconds), timeout_s)

    def made(self, user: BoxUser, *, box_ahead_s: float) -> bool:
        """Whether a user that was not there before the POST came to be with it.

        One who came later is somebody else's work, for example an administrator's who
        helped a person whose first login had failed.
        """
        try:
            created = datetime.fromisoformat(user.created_at or "")
        except ValueError:
            return False
        if created.tzinfo is None:
            return False
        begun = self.at + timedelta(seconds=box_ahead_s)
        over = begun + timedelta(seconds=self.timeout_s)
        return begun - _CLOCKS_DIFFER <= created <= over + _CLOCKS_DIFFER


@dataclass(frozen=True, slots=True)
class AppUsers:
    """People whose Box users are app users, known there by our external id."""

    name: ClassVar[Literal["app"]] = "app"
    conflict: ClassVar[type[Refused]] = BoxUserConflict

    box: Box
    rules: BoxUserSettings

    def check(self, person: Person) -> None:
        """Everybody may have one."""

    async def find(
        self, person: Person, account: Account, sent: Sent | None
    ) -> list[BoxUser]:
        """Return the users that may be bound, the one to bind first.

        Raises ``BoxUserConflict``.
        """
        del person, sent
        found = await self.box.find_app_users(account.external_app_user_id)
        if found and not found[0].is_platform_access_only:
            raise BoxUserConflict("adoption: not an app user")
        return found

    async def create(
        self, person: Person, account: Account, *, timeout_s: float
    ) -> BoxUser:
        """Create by one POST; raises what ``Box.create_app_user`` raises."""
        return await self.box.create_app_user(
            name_of(self.rules, person),
            account.external_app_user_id,
            timeout_s=timeout_s,
            attributes=attributes_of(self.rules, person),
        )


@dataclass(frozen=True, slots=True)
class ManagedUsers:
    """People whose Box users have their trusted e-mail address as login."""

    name: ClassVar[Literal["managed"]] = "managed"
    conflict: ClassVar[type[Refused]] = BoxLoginTaken

    box: Box
    rules: BoxUserSettings

    def check(self, person: Person) -> None:
        """Raise ``EmailNotAllowed`` before anything is written or sent."""
        login_of(self.rules, person.email, trusted=person.email_trusted)

    async def find(
        self, person: Person, account: Account, sent: Sent | None
    ) -> list[BoxUser]:
        """Return the user with this login, if it may be bound.

        The app sees its own enterprise alone, so nobody outside is ever found.
        Raises ``BoxLoginTaken``.
        """
        del account
        user = await self.box.find_managed_user(self._login(person))
        if user is None:
            return []
        if user.is_platform_access_only is not False:
            raise BoxLoginTaken("not a managed user")
        if user.status != "active":
            raise BoxLoginTaken("not active")
        ahead_s = self.box.clock_offset_s
        ours = sent is not None and sent.made(user, box_ahead_s=ahead_s)
        if not ours:
            await self._require_linkable(user)
        return [user]

    async def _require_linkable(self, user: BoxUser) -> None:
        """An administrator of the enterprise may do more at Box than any profile says."""
        if not self.rules.link_existing:
            raise BoxLoginTaken("link_existing is false")
        if (await self.box.examine_user(user.id)).role != "user":
            raise BoxLoginTaken("an administrator of the enterprise")

    async def create(
        self, person: Person, account: Account, *, timeout_s: float
    ) -> BoxUser:
        """Create by one POST; raises what ``Box.create_managed_user`` raises.

        But for its conflict, which is definite: ``BoxLoginTaken``.
        """
        del account
        try:
            return await self.box.create_managed_user(
                name_of(self.rules, person),
                self._login(person),
                timeout_s=timeout_s,
                attributes=attributes_of(self.rules, person),
            )
        except ConflictAtBox as conflict:
            raise BoxLoginTaken(conflict.reason) from conflict

    def _login(self, person: Person) -> str:
        return login_of(self.rules, person.email, trusted=person.email_trusted)


Kind = AppUsers | ManagedUsers


def kinds_of(box: Box, providers: Sequence[ProviderSettings]) -> Mapping[str, Kind]:
    """By provider id."""
    return {p.id: _kind_of(box, p.box_user) for p in providers}


def _kind_of(box: Box, rules: BoxUserSettings) -> Kind:
    return (AppUsers if rules.kind == "app" else ManagedUsers)(box, rules)


def login_of(rules: BoxUserSettings, email: str | None, *, trusted: bool) -> str:
    """Return the login at Box of a person with this address; raises ``EmailNotAllowed``.

    Only for an address that its provider vouches for, in exactly one of the domains.
    """
    if email is None or not trusted:
        raise EmailNotAllowed("email_not_trusted")
    local, _, domain = email.rpartition("@")
    if not _LOCAL_PART.fullmatch(local):
        raise EmailNotAllowed("email_form")
    if not domain.isascii() or domain.lower() not in rules.email_domains:
        raise EmailNotAllowed("email_domain")
    return email.lower()

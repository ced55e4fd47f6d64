"""Take over the Box users that an older system made, for ``account import``.

Either the system kept a person's bare subject as external id at Box, or it says in a
CSV file who has which user. Everything is read twice: first to find what is claimed
twice, then a batch at a time. Nothing is changed at Box, so that the older system goes
on until it is switched off; ``reconcile --fix`` then writes this service's external ids.
"""

import asyncio
import csv
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, Literal

from sso_box_api import accounts
from sso_box_api.accounts import BoxApp, Person
from sso_box_api.audit import AdministrationEvent, administration
from sso_box_api.box import Box, BoxUser, NotFoundAtBox, patiently
from sso_box_api.db import Database
from sso_box_api.errors import CommandRefused
from sso_box_api.settings import ProviderSettings

COLUMNS: Final = ("subject", "box_user_id")
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Link:
    """Who shall have which Box user. ``where`` it is said; ``user``, if Box showed it."""

    where: str
    subject: str
    box_user_id: str
    user: BoxUser | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a link, or would; ``why`` it cannot be."""

    link: Link
    state: Literal["adopted", "adoptable", "already", "refused"]
    why: str | None = None


Source = Callable[[], AsyncIterator[list[Link]]]


def links_at_box(box: Box) -> Source:
    """Bare subjects: every external id that this service did not make."""

    async def read() -> AsyncIterator[list[Link]]:
        async for page in box.every_user():
            yield [
                Link(f"Box user {user.id}", user.external_app_user_id, user.id, user)
                for user in page
                if user.external_app_user_id
                and not user.external_app_user_id.startswith(
                    accounts.EXTERNAL_ID_PREFIX
                )
            ]

    return read


def links_in_file(path: Path) -> Source:
    """A CSV file in UTF-8 whose first line names the columns ``subject,box_user_id``."""

    async def read() -> AsyncIterator[list[Link]]:
        rows = _rows(path)
        while batch := list(islice(rows, _AT_ONCE)):
            yield batch

    return read


def _rows(path: Path) -> Iterator[Link]:
    try:
        # With or without a byte order mark, which spreadsheets write.
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            if sorted(header) != sorted(COLUMNS):
                raise CommandRefused(
                    f"the first line has to name the columns {','.join(COLUMNS)}, and"
                    " no others"
                )
            for row in reader:
                if not row:
                    continue
                values = dict(zip(header, row, strict=False))
                # Too few or too many values leave no doubt that the line is wrong.
                whole = len(row) == len(header)
                yield Link(
                    f"line {reader.line_num}",
                    values["subject"] if whole else "",
                    values["box_user_id"] if whole else "",
                )
    except UnicodeDecodeError:
        raise CommandRefused("the file is not UTF-8") from None
    except csv.Error as error:
        raise CommandRefused(f"the file is not CSV: {error}") from None


class Adoption:
    """One import for one provider. Idempotent: what is adopted already stays so."""

    def __init__(
        self,
        database: Database,
        box: Box,
        provider: ProviderSettings,
        *,
        realm: str,
        box_app: BoxApp,
    ) -> None:
        self._database = database
        self._box = box
        self._provider = provider
        self._realm = realm
        self._box_app = box_app
        self._claimed_twice: set[str] = set()
        self._seen: set[int] = set()

    async def run(self, source: Source, *, apply: bool) -> AsyncIterator[Outcome]:
        """Tell of each link what becomes of it, and with ``apply`` do it.

        Raises ``CommandRefused``, ``BoxUnavailable``, ``BoxRefused``.
        """
        await self._find_what_is_claimed_twice(source)
        async for links in source():
            for link in await asyncio.gather(*map(self._with_user, links)):
                yield await self._outcome(link, apply=apply)

    async def _find_what_is_claimed_twice(self, source: Source) -> None:
        """Know before the first change who is meant by two lines.

        Hashes are kept, not texts: files have a million lines.
        """
        pairs, names = set[int](), set[int]()
        async for links in source():
            for link in links:
                pair = hash((link.subject, link.box_user_id))
                if pair in pairs:
                    continue
                pairs.add(pair)
                for name in _names(link):
                    if hash(name) in names:
                        self._claimed_twice.add(name)
                    names.add(hash(name))

    async def _with_user(self, link: Link) -> Link:
        """Look at Box for the user of a link, where it is worth a call."""
        if link.user is not None or self._fault(link):
            return link
        try:
            user = await patiently(partial(self._box.get_user, link.box_user_id))
        except NotFoundAtBox:
            return link
        return replace(link, user=user)

    async def _outcome(self, link: Link, *, apply: bool) -> Outcome:
        pair = hash((link.subject, link.box_user_id))
        if pair in self._seen:
            return Outcome(link, "refused", "the same again")
        self._seen.add(pair)
        if why := self._fault(link) or _fault_at_box(link):
            return Outcome(link, "refused", why)
        try:
            return await self._adopt(link, apply=apply)
        except CommandRefused as refused:
            return Outcome(link, "refused", str(refused))

    async def _adopt(self, link: Link, *, apply: bool) -> Outcome:
        namespace = self._provider.frozen_namespace
        person = Person(self._provider.id, namespace, link.subject)
        async with self._database.transaction() as session:
            account = await accounts.require_adoptable(
                session, person, link.box_user_id
            )
        if account is not None and account.box_user_id == link.box_user_id:
            return Outcome(link, "already")
        if not apply:
            return Outcome(link, "adoptable")
        event = AdministrationEvent(
            "import", self._provider.id, namespace, link.subject
        )
        with administration(event):
            event.new_box_user_id = link.box_user_id
            async with self._database.transaction() as session:
                # Judged once more, with the account held.
                account = await accounts.adopt(
                    session,
                    person,
                    link.box_user_id,
                    realm=self._realm,
                    box_app=self._box_app,
                )
            event.account_id = str(account.id)
        return Outcome(link, "adopted")

    def _fault(self, link: Link) -> str | None:
        """Say what is wrong with a link by itself, before Box is asked."""
        subject = link.subject
        if not subject or not link.box_user_id:
            return "the line has not the two values"
        if not re.fullmatch(r"[1-9][0-9]{0,19}", link.box_user_id):
            return "the Box user id is none: it is decimal digits"
        if fault := subject_fault(self._provider, subject):
            return fault
        if twice := [name for name in _names(link) if name in self._claimed_twice]:
            return f"{' and '.join(twice)} stands with different partners"
        return None


def subject_fault(provider: ProviderSettings, subject: str) -> str | None:
    """Say why no identity of a provider can have this subject; None if one can."""
    if not re.fullmatch(r"[\x20-\x7e]{1,255}", subject):  # OpenID Connect Core 2
        return "the subject is none: it is printable ASCII, 255 characters at most"
    joints = len(provider.subject_claims) - 1
    if joints and subject.count("/") != joints:
        form = "/".join(provider.subject_claims)
        return f"the subject of provider {provider.id} has the form {form}"
    return None


def _names(link: Link) -> tuple[str, str]:
    return f"subject {link.subject}", f"Box user {link.box_user_id}"


def _fault_at_box(link: Link) -> str | None:
    user = link.user
    if user is None:
        return f"Box has no user {link.box_user_id}, or none that this app sees"
    if not user.is_platform_access_only:
        return "the Box user is a managed user; link it by hand with `account relink`"
    if user.status != "active":
        return f"the Box user has the status {user.status}"
    return None

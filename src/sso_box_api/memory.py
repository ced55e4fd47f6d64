"""What this process remembers of the logins it served, so that the next costs no query.

On the way of a request between the profiles and the database. An entry is one account
with one live token of it. PostgreSQL tells all processes which accounts changed (its
triggers do, so that no way to change a row is left out), and an entry may be used only
while that word certainly arrives; see docs/adr/0013-warm-path.md.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Final, NamedTuple
from uuid import UUID

from cachetools import LRUCache

from sso_box_api.accounts import Account
from sso_box_api.vending import Grant, LiveVend, spare_s

_MAX_FORGOTTEN: Final = 16_384
# For how long an answer to the listener's question says that nothing was missed.
LIVE_S: Final = 1.0


class Key(NamedTuple):
    """All that a token depends on: two requests that differ in it share nothing."""

    provider: str
    namespace: str
    subject: str
    client_id: str
    grant: Grant


@dataclass(frozen=True, slots=True)
class Known:
    """A login as it was served. ``id_token_sha256``: of the one that it was served for.

    ``read_at``, ``aging_at`` (from when on its token should be renewed) and ``until``
    are of the process's monotonic clock.
    """

    account: Account
    grant: Grant
    vend: LiveVend = field(repr=False)
    id_token_sha256: str
    generation: int
    read_at: float
    aging_at: float
    until: float


class Memory:
    """The logins of this process, most recent ones first, and whether they hold.

    ``most``: how many, 0 for none. ``grace_s``: for how long entries may be used when PostgreSQL does not answer at
    all, since they were last known to hold. ``renew_below_s``: of ``vending.spare_s``.
    Nothing here awaits anything.
    """

    def __init__(
        self,
        *,
        most: int,
        grace_s: float,
        renew_below_s: int,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._grace_s = grace_s
        self._renew_below_s = renew_below_s
        self._clock = clock
        self._known: LRUCache[Key, Known] = LRUCache(most)
        # What was invalidated is numbered, so that a login that began to read before
        # it is seen to have read too early.
        self._generation = 0
        self._flushed = 0
        self._forgotten: dict[UUID, int] = {}
        self._is_listening = False
        self._asked_at = float("-inf")

    @property
    def is_live(self) -> bool:
        """Whether all that changed until a moment ago was heard."""
        return self._is_listening and self._clock() - self._asked_at < LIVE_S

    @property
    def in_grace(self) -> bool:
        """Whether anything may be left to serve while PostgreSQL is silent."""
        return self._clock() - self._asked_at < self._grace_s

    def begin(self) -> tuple[int, float]:
        """Note where things stand, before the first read of what is to be kept."""
        return self._generation, self._clock()

    def keep(
        self,
        key: Key,
        account: Account,
        vend: LiveVend,
        id_token_sha256: str,
        begun: tuple[int, float],
        *,
        grant: Grant | None = None,
    ) -> Known:
        """Remember a login, unless anything of its account changed since ``begun``.

        ``grant``: that of ``key`` as it was vended, where it is for a folder of which
        every account has its own.
        """
        generation, read_at = begun
        known = Known(
            account,
            grant or key.grant,
            vend,
            id_token_sha256,
            generation,
            read_at,
            aging_at=read_at + vend.left_s - vend.half_life_s,
            until=read_at + spare_s(vend, self._renew_below_s),
        )
        if self._known.maxsize and self._holds(known):
            self._known[key] = known
        return known

    def follow(
        self, key: Key, known: Known, account: Account | None, id_token_sha256: str
    ) -> None:
        """Remember a login for the next one, with its ``account`` as it is now.

        None drops the account: its row is to be read.
        """
        if account is None:
            self.forget(str(known.account.id))
            return
        now = replace(known, account=account, id_token_sha256=id_token_sha256)
        if self._known.maxsize and self._holds(now):
            self._known[key] = now

    def find(self, key: Key) -> Known | None:
        """Return what is remembered, which is to be used only while ``is_live``."""
        known = self._known.get(key)
        if known is None:
            return None
        if self._holds(known) and self._clock() < known.until:
            return known
        del self._known[key]
        return None

    def outlives_silence(self, known: Known) -> bool:
        """Whether an entry was known to hold less than the grace ago."""
        return self._clock() - max(known.read_at, self._asked_at) < self._grace_s

    def is_aging(self, known: Known) -> bool:
        """Whether the token of an entry has lived through half of its life."""
        return self._clock() >= known.aging_at

    def heard_until(self, asked_at: float) -> None:
        """Note that the listener's question of that moment was answered."""
        self._is_listening = True
        self._asked_at = asked_at

    def hear_no_more(self) -> None:
        """Note that the listener lost its connection."""
        self._is_listening = False

    def forget(self, account_id: str) -> None:
        """Drop what is remembered of an account; everything where none is named."""
        try:
            changed = UUID(account_id)
        except ValueError:
            self.forget_all()
            return
        if len(self._forgotten) >= _MAX_FORGOTTEN:
            self.forget_all()
        self._generation += 1
        self._forgotten[changed] = self._generation

    def forget_all(self) -> None:
        """Drop everything: who begins to listen does not know what was missed."""
        self._generation += 1
        self._flushed = self._generation
        self._known.clear()
        self._forgotten.clear()

    def _holds(self, known: Known) -> bool:
        changed = self._forgotten.get(known.account.id, self._flushed)
        return known.generation >= changed

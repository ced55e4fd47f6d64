"""Tokens that were verified a moment ago, so that the next request costs no signature.

On the way of a request before everything else. An entry stands for the signature and
the claims of exactly this text, and for nothing that can change meanwhile: accounts,
locks and profiles are looked at every time.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cachetools import LRUCache

from sso_box_api.identity.compact import MAX_TOKEN_CHARS, ParsedToken, UnverifiedToken
from sso_box_api.identity.id_token import Identity
from sso_box_api.identity.keyset import KeySet
from sso_box_api.settings import ProviderSettings

MAX_REMEMBERED = 8192
MAX_REMEMBERED_S = 600
MAX_KNOWN_PEOPLE = 8192


@dataclass(frozen=True, slots=True)
class Remembered:
    """A verified token: what it said, and the set of keys that judged it.

    Any other set voids it, also one that still holds the key: a set is replaced
    seldom, and one verification is cheap.
    """

    identity: Identity
    keys: KeySet
    since: float
    until: float


class RememberedTokens:
    """The most recently used ones of this process, by the SHA-256 of the token."""

    def __init__(self) -> None:
        self._by_sha256: LRUCache[str, Remembered] = LRUCache(MAX_REMEMBERED)

    def __len__(self) -> int:
        return len(self._by_sha256)

    def find(self, token: UnverifiedToken, now: float) -> Remembered | None:
        """What is known of a token; the caller compares the keys."""
        if len(token) > MAX_TOKEN_CHARS or not token.isascii():
            return None
        sha256 = hashlib.sha256(token.encode()).hexdigest()
        found = self._by_sha256.get(sha256)
        # Before since: the clock was set back, and nbf may be ahead again.
        if found is None or found.since <= now < found.until:
            return found
        del self._by_sha256[sha256]
        return None

    def add(
        self, provider: ProviderSettings, identity: Identity, keys: KeySet, now: float
    ) -> None:
        """Remember a token until the first of its times runs out, 10 minutes at most."""
        claimed = min(identity.expires_at, identity.issued_at + provider.max_age_s)
        if provider.max_auth_age_s is not None and identity.auth_time is not None:
            claimed = min(claimed, identity.auth_time + provider.max_auth_age_s)
        until = min(claimed + provider.leeway_s, now + MAX_REMEMBERED_S)
        self._by_sha256[identity.token_sha256] = Remembered(identity, keys, now, until)


class KnownPeople:
    """About whom tokens were verified in this process, the most recent ones.

    Decides who may ask for new keys when strangers ask for too many, and nothing else:
    a stranger does not know people's subjects, and who does, gains no access by them.
    """

    def __init__(self) -> None:
        self._subjects: LRUCache[tuple[str, str], None] = LRUCache(MAX_KNOWN_PEOPLE)

    def add(self, verified: ParsedToken) -> None:
        """Called once signature and claims hold."""
        claims = verified.unverified_claims
        self._subjects[claims["iss"], claims["sub"]] = None

    def may_be(self, unverified_claims: Mapping[str, Any]) -> bool:
        """Whether this claims to be about one of them."""
        subject = unverified_claims.get("sub")
        if not isinstance(subject, str):
            return False
        return (unverified_claims["iss"], subject) in self._subjects

"""What one client address may cost: bad tokens a minute.

Good tokens always pass: the limit answers 429 in place of 401, so that guessing gets
slow without an office behind one address being shut out.
"""

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager

from cachetools import TTLCache

from sso_box_api.errors import (
    CredentialError,
    KeyFetchesLimited,
    StepUpRequired,
    TokenMissing,
    TooManyBadTokens,
)

_WINDOW_S = 60
_ADDRESSES = 50_000


class BadTokenLimit:
    """Counts refused tokens per address over a minute that starts with the first."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._counts: TTLCache[str, list[int]] = TTLCache(
            maxsize=_ADDRESSES, ttl=_WINDOW_S
        )

    @contextmanager
    def counting(self, address: str) -> Iterator[None]:
        """Count a ``CredentialError`` of the block; raise ``TooManyBadTokens``."""
        try:
            yield
        except (TokenMissing, StepUpRequired):  # nothing is wrong with that token
            raise
        except (CredentialError, KeyFetchesLimited) as error:
            # A key that nobody knows is as good a sign of guessing as a bad signature.
            count = self._counts.setdefault(_network(address), [0])
            count[0] += 1
            if self._per_minute and count[0] > self._per_minute:
                raise TooManyBadTokens(error.reason, retry_after=_WINDOW_S) from error
            raise


def _network(address: str) -> str:
    """Fold an IPv6 address to its /64: one host has the whole of it to choose from."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, 64), strict=False))

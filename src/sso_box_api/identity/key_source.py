"""Where a provider's keys come from: its metadata, then its JWK Set.

Asked by ``remote_keys`` when it has to renew its set, and by the doctor's probe.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from sso_box_api.identity.documents import (
    Document,
    FetchProblem,
    bounded,
    fetch_json,
)
from sso_box_api.identity.issuers import ProviderMetadata, discovery_url, read_metadata
from sso_box_api.identity.keyset import KeySet, parse_keyset
from sso_box_api.settings import ProviderSettings

# Both ends are needed: Keycloak says no-cache, which would mean a fetch per request,
# and a week's max-age was seen to hide new keys for that week.
MIN_TTL_S = 300
MAX_TTL_S = 86_400
METADATA_TTL_S = 86_400

_GONE = frozenset({httpx.codes.NOT_FOUND, httpx.codes.GONE})
_MAX_AGE = re.compile(r'(?:^|[\s,])max-age="?(\d{1,10})')


@dataclass(frozen=True, slots=True)
class FetchedKeys:
    """A good answer, and for how many seconds to hold it."""

    keys: KeySet
    ttl_s: float
    date: str


class KeySource:
    """Fetches the keys of one provider; remembers only where they are."""

    def __init__(
        self,
        provider: ProviderSettings,
        http: httpx.AsyncClient,
        clock: Callable[[], float],
    ) -> None:
        self._provider = provider
        self._http = http
        self._clock = clock
        self._metadata: ProviderMetadata | None = None
        self._metadata_until = -math.inf

    async def metadata(self) -> ProviderMetadata:
        """Where the keys are, asked within ``fetch_timeout_s``.

        Raises ``FetchProblem``.
        """
        async with bounded(self._provider.fetch_timeout_s):
            return await self._current_metadata()

    async def fetch(self) -> FetchedKeys:
        """Ask the provider now, within ``fetch_timeout_s`` for all of it.

        Raises ``FetchProblem``, also when the set holds no usable key.
        """
        async with bounded(self._provider.fetch_timeout_s):
            metadata = await self._current_metadata()
            document = await self._jwks(metadata)
        algs = [alg for alg in self._provider.algs if metadata.may_sign_with(alg)]
        keys = parse_keyset(document.content, algs)
        if not keys:
            raise FetchProblem(self._no_key_fits(metadata))
        return FetchedKeys(keys, self._ttl_s(document.cache_control), document.date)

    async def _current_metadata(self) -> ProviderMetadata:
        if self._provider.jwks_uri:
            return ProviderMetadata(self._provider.jwks_uri)
        if self._metadata is None or self._clock() >= self._metadata_until:
            document = await self._get(
                discovery_url(self._provider), "discovery document"
            )
            self._metadata = read_metadata(self._provider, document.content)
            self._metadata_until = self._clock() + METADATA_TTL_S
        return self._metadata

    async def _jwks(self, metadata: ProviderMetadata) -> Document:
        try:
            return await self._get(metadata.jwks_uri, "key set")
        except FetchProblem as problem:
            if problem.status in _GONE:
                self._metadata = None  # the set has moved: ask where to
            raise

    async def _get(self, url: str, what: str) -> Document:
        return await fetch_json(self._http, url, what, provider_id=self._provider.id)

    def _no_key_fits(self, metadata: ProviderMetadata) -> str:
        algs = ", ".join(self._provider.algs)
        if not any(map(metadata.may_sign_with, self._provider.algs)):
            return f"the provider does not sign with {algs}; correct algs"
        return f"the key set holds no usable key for {algs}; check algs"

    def _ttl_s(self, cache_control: str) -> float:
        directives = cache_control.lower()
        found = _MAX_AGE.search(directives)
        if found is None or "no-cache" in directives or "no-store" in directives:
            return self._provider.keys_default_ttl_s
        return min(max(int(found.group(1)), MIN_TTL_S), MAX_TTL_S)

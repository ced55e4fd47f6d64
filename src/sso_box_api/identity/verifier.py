"""One token, from text to ``Identity``. Read this first, then what it calls."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

import httpx

from sso_box_api.errors import ConfigurationError, KeyFetchesLimited
from sso_box_api.identity.compact import UnverifiedToken, parse
from sso_box_api.identity.explanation import Explanation, explain
from sso_box_api.identity.id_token import Identity, check_before_keys, identify
from sso_box_api.identity.inline_keys import InlineKeys
from sso_box_api.identity.issuers import IssuerRegistry
from sso_box_api.identity.key_source import KeySource
from sso_box_api.identity.keyset import KeySet, parse_keyset
from sso_box_api.identity.nonce import NonceProof, check_nonce
from sso_box_api.identity.probe import ProbeReport, inline, probe
from sso_box_api.identity.remembered import KnownPeople, RememberedTokens
from sso_box_api.identity.remote_keys import FETCH_OVERLAPPED, KeysState, RemoteKeys
from sso_box_api.identity.signature import is_signed_by, no_key_fits, read_header
from sso_box_api.settings import ProviderSettings


class IdentityVerifier:
    """Verifies ID tokens of the configured providers, and of nobody else.

    ``http`` must neither follow redirects nor read proxies from the environment;
    the production one stands on a ``ProviderTransport``. ``keep_claims`` names the
    claims that ``Identity.claims`` holds where a token has them. Raises
    ``ConfigurationError`` where a key set in the settings cannot be used.
    """

    def __init__(
        self,
        providers: Sequence[ProviderSettings],
        http: httpx.AsyncClient,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        keep_claims: Collection[str] = (),
    ) -> None:
        self._issuers = IssuerRegistry(providers)
        self._providers = {provider.id: provider for provider in providers}
        self._http = http
        self._clock = clock
        self._keep_claims = frozenset(keep_claims)
        self._remembered = RememberedTokens()
        self._known_people = KnownPeople()
        inline = _inline_sets(providers)
        self._keys: dict[str, RemoteKeys | InlineKeys] = {
            provider.id: InlineKeys(inline[provider.id])
            if provider.id in inline
            else RemoteKeys(provider, self._source(provider), clock, sleep)
            for provider in providers
        }

    def start(self) -> None:
        """Begin to fetch and renew all keys in the background; waits for nobody.

        Without it keys are fetched when a token needs them.
        """
        for keys in self._keys.values():
            keys.start()

    async def verify(self, unverified_token: UnverifiedToken) -> Identity:
        """Cheap refusals first, the network last, and claims only once signed.

        Raises a ``CredentialError`` for a token that is refused, ``KeysUnavailable``
        for one that cannot be judged now, and nothing else.
        """
        known = self._remembered.find(unverified_token, self._clock())
        if (
            known is not None
            and await self._keys[known.identity.provider].current() is known.keys
        ):
            return known.identity
        return await self._judge(unverified_token)

    def check_nonce(
        self, identity: Identity, nonce_verifier: str | None
    ) -> NonceProof | None:
        """Whether the sender shows that the login was its own; ``None`` if not asked.

        Raises ``NonceProofFailed``.
        """
        provider = self._providers[identity.provider]
        return check_nonce(provider, identity.nonce, nonce_verifier)

    async def _judge(self, unverified_token: UnverifiedToken) -> Identity:
        token = parse(unverified_token)
        header = read_header(token.unverified_header)
        issuer = self._issuers.find_for(token.unverified_claims)
        provider = issuer.provider
        check_before_keys(provider, header, token.unverified_claims, self._clock())
        keys = self._keys[provider.id]
        arrived, joined = keys.completed, keys.in_flight
        keyset = await keys.current()
        if not is_signed_by(token, header, issuer, keyset):
            known_person = self._known_people.may_be(token.unverified_claims)
            keyset = await keys.newer(arrived, known_person=known_person)
            if not is_signed_by(token, header, issuer, keyset):
                # The provider may have answered before it published the key.
                if joined and known_person:
                    raise KeyFetchesLimited(FETCH_OVERLAPPED, retry_after=1)
                raise no_key_fits(header).refusal()
        now = self._clock()
        identity = identify(issuer, token, now, keep_claims=self._keep_claims)
        self._remembered.add(provider, identity, keyset, now)
        self._known_people.add(token)
        return identity

    def provider_of(self, issuer: str) -> ProviderSettings | None:
        """The provider that has exactly this issuer among its spellings."""
        found = self._issuers.find(issuer)
        return found.provider if found else None

    def namespace_of(self, issuer: str) -> str | None:
        """What people of exactly this issuer are stored under, if it is accepted."""
        found = self._issuers.find(issuer)
        return found.namespace if found else None

    def key_states(self) -> Mapping[str, KeysState]:
        """By provider id."""
        return {provider_id: keys.state() for provider_id, keys in self._keys.items()}

    async def probe(self, provider_id: str) -> ProbeReport:
        """Fetch metadata and keys now, past the cache and without touching it.

        Raises ``KeyError`` for an id that is not configured.
        """
        keys = self._keys[provider_id]
        if isinstance(keys, InlineKeys):
            return inline(await keys.current())
        provider = self._providers[provider_id]
        return await probe(provider, self._source(provider), self._clock)

    async def explain(
        self, unverified_token: UnverifiedToken, *, online: bool
    ) -> Explanation:
        """Make every check by itself, whatever the others say.

        Only with ``online`` the provider is asked for its keys.
        """
        return await explain(
            unverified_token,
            self._issuers,
            self._clock(),
            self._published if online else self._held,
            keep_claims=self._keep_claims,
        )

    async def close(self) -> None:
        """End the renewals and the fetches that run, and wait until they have ended."""
        for keys in self._keys.values():
            await keys.close()

    async def _published(self, provider: ProviderSettings) -> ProbeReport:
        return await self.probe(provider.id)

    async def _held(self, provider: ProviderSettings) -> ProbeReport | None:
        keys = self._keys[provider.id]
        return inline(await keys.current()) if isinstance(keys, InlineKeys) else None

    def _source(self, provider: ProviderSettings) -> KeySource:
        return KeySource(provider, self._http, self._clock)


def _inline_sets(providers: Sequence[ProviderSettings]) -> dict[str, KeySet]:
    """By provider id."""
    sets, problems = {}, []
    for index, provider in enumerate(providers):
        if provider.jwks_inline is None:
            continue
        keys = sets[provider.id] = parse_keyset(provider.jwks_inline, provider.algs)
        where = f"SSO_BOX_PROVIDERS[{index}].jwks_inline"
        if keys.leaks_private:
            problems.append(f"{where}: holds a private key; put only public ones")
        elif not keys:
            algs = ", ".join(provider.algs)
            problems.append(f"{where}: holds no usable key for {algs}; correct it")
    if problems:
        raise ConfigurationError(problems)
    return sets

"""Which issuers there are, and where each publishes its keys.

The unverified ``iss`` of a token is only ever a key into this closed registry: never
a pattern, never a URL to fetch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sso_box_api.identity.documents import FetchProblem
from sso_box_api.identity.keyset import ED25519_ALGS
from sso_box_api.identity.rules import Rule
from sso_box_api.settings import ProviderSettings
from sso_box_api.settings.presets import TENANT

_WELL_KNOWN = "/.well-known/openid-configuration"
_MAX_URL_CHARS = 2048


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """One accepted ``iss``: whose it is, and the tenant where the provider has some."""

    provider: ProviderSettings
    tenant: str | None = None

    @property
    def namespace(self) -> str:
        return self.provider.namespace_of(self.tenant)

    def has_key(self, key_issuer: str | None) -> bool:
        """Whether a key that is published for ``key_issuer`` is this tenant's.

        Entra publishes the keys of all tenants in one set; one for a single tenant,
        or for personal accounts, names that tenant's issuer.
        """
        if key_issuer is None or self.tenant is None:
            return True
        written = self.provider.written_issuers
        own = [issuer.replace(TENANT, self.tenant) for issuer in written]
        return key_issuer.replace(TENANT, self.tenant) in own


class IssuerRegistry:
    """Exact, case-sensitive look-up over every spelling that is configured.

    Only a provider that is set to take every tenant is asked past the look-up.
    """

    def __init__(self, providers: Sequence[ProviderSettings]) -> None:
        self._by_issuer = {
            issuer: TrustedIssuer(provider, tenant)
            for provider in providers
            for issuer, tenant in provider.issuers.items()
        }
        self._providers = tuple(providers)

    def find(self, issuer: str) -> TrustedIssuer | None:
        known = self._by_issuer.get(issuer)
        if known is not None:
            return known
        for provider in self._providers:
            tenant = provider.tenant_of(issuer)
            if tenant is not None:
                return TrustedIssuer(provider, tenant)
        return None

    def find_for(self, unverified_claims: Mapping[str, Any]) -> TrustedIssuer:
        """The issuer a token claims to come from.

        Raises ``TokenMalformed`` or ``UntrustedIssuer``.
        """
        if "iss" not in unverified_claims:
            raise Rule.ISS_MISSING.refusal()
        unverified_issuer = unverified_claims["iss"]
        if not isinstance(unverified_issuer, str):
            raise Rule.ISS_TYPE.refusal()
        trusted = self.find(unverified_issuer)
        if trusted is None:
            raise Rule.ISS_UNKNOWN.refusal()
        return trusted


@dataclass(frozen=True, slots=True)
class ProviderMetadata:
    """The part of the discovery document that is used.

    ``signing_algs`` is empty where the provider does not say.
    """

    jwks_uri: str
    signing_algs: frozenset[str] = frozenset()

    def may_sign_with(self, alg: str) -> bool:
        """Whether it says so, under any name of the algorithm, or says nothing."""
        names = ED25519_ALGS if alg in ED25519_ALGS else (alg,)
        return not self.signing_algs or not self.signing_algs.isdisjoint(names)


def discovery_url(provider: ProviderSettings) -> str:
    """OpenID Connect Discovery 1.0 section 4.1, unless configured otherwise."""
    return provider.discovery_url or provider.authority.rstrip("/") + _WELL_KNOWN


def read_metadata(
    provider: ProviderSettings, document: Mapping[str, Any]
) -> ProviderMetadata:
    """Check a discovery document (section 4.3). Raises ``FetchProblem``."""
    _check_issuer(provider.issuer, document.get("issuer"))
    jwks_uri = document.get("jwks_uri")
    if not isinstance(jwks_uri, str) or not _may_fetch(jwks_uri, provider.issuer):
        raise FetchProblem(
            "the discovery document's jwks_uri is not an https URL;"
            " correct it at the provider or set jwks_uri"
        )
    algs = document.get("id_token_signing_alg_values_supported")
    if not isinstance(algs, list):
        algs = []
    return ProviderMetadata(
        jwks_uri, frozenset(alg for alg in algs if isinstance(alg, str))
    )


def _check_issuer(configured: str, published: object) -> None:
    if published == configured:
        return
    if isinstance(published, str) and published.rstrip("/") == configured.rstrip("/"):
        raise FetchProblem(
            "the discovery document's issuer differs from the configured one only by"
            " a trailing slash; set issuer exactly as published"
        )
    raise FetchProblem(
        "the discovery document names another issuer; set issuer exactly as published,"
        " and discovery_url where the document lies elsewhere"
    )


def _may_fetch(jwks_uri: str, issuer: str) -> bool:
    """https; or plain http on the host of an issuer that itself is plain http.

    The settings admit such an issuer on loopback only.
    """
    try:
        keys, home = urlsplit(jwks_uri), urlsplit(issuer)
    except ValueError:
        return False
    if len(jwks_uri) > _MAX_URL_CHARS or not keys.hostname or "@" in keys.netloc:
        return False
    if keys.scheme == "https":
        return True
    return keys.scheme == home.scheme == "http" and keys.hostname == home.hostname

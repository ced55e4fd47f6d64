"""What a provider answers now: for the doctor and for ``explain``, never for a request.

Each thing that was tried is one line; what is wrong says what to do.
"""

import email.utils
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sso_box_api.identity.documents import FetchProblem
from sso_box_api.identity.issuers import ProviderMetadata
from sso_box_api.identity.key_source import FetchedKeys, KeySource
from sso_box_api.identity.keyset import KeySet
from sso_box_api.settings import ProviderSettings

# Less is lost in the whole seconds of a Date header and in the leeway of every check.
_SKEW_WORTH_SAYING_S = 30.0


@dataclass(frozen=True, slots=True)
class Probed:
    """One thing that was tried; ``problem`` is None where it is as it should be."""

    what: Literal["discovery", "keys", "clock"]
    problem: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What was tried at a provider, and its keys where they could be had."""

    probed: tuple[Probed, ...]
    keys: KeySet | None

    @property
    def ok(self) -> bool:
        return not self.problems

    @property
    def problems(self) -> tuple[str, ...]:
        return tuple(one.problem for one in self.probed if one.problem is not None)


async def probe(
    provider: ProviderSettings, source: KeySource, clock: Callable[[], float]
) -> ProbeReport:
    """Ask for the metadata and the keys, past every cache."""
    try:
        metadata = await source.metadata()
    except FetchProblem as problem:
        return ProbeReport((Probed("discovery", str(problem)),), None)
    discovery = _discovery(provider, metadata)
    try:
        fetched = await source.fetch()
    except FetchProblem as problem:
        return ProbeReport((discovery, Probed("keys", str(problem))), None)
    rest = (_keys(provider, fetched.keys), _clock(fetched, clock()))
    return ProbeReport((discovery, *rest), fetched.keys)


def inline(keys: KeySet) -> ProbeReport:
    """The report on a key set that stands in the settings: nobody is asked."""
    return ProbeReport((Probed("keys", note=f"{_counted(keys)}, inline"),), keys)


def _discovery(provider: ProviderSettings, metadata: ProviderMetadata) -> Probed:
    if provider.jwks_uri:
        return Probed("discovery", note="not needed: jwks_uri is set")
    never = [alg for alg in provider.algs if not metadata.may_sign_with(alg)]
    if never:
        listed = ", ".join(never)
        problem = f"the provider does not sign with {listed}; take it out of algs"
        return Probed("discovery", problem)
    return Probed("discovery", note="the issuer is the configured one")


def _keys(provider: ProviderSettings, keys: KeySet) -> Probed:
    if keys.leaks_private:
        return Probed("keys", "it publishes private keys; it must replace them at once")
    return Probed("keys", note=f"{_counted(keys)} for {', '.join(provider.algs)}")


def _counted(keys: KeySet) -> str:
    return f"{len(keys)} usable key{'' if len(keys) == 1 else 's'}"


def _clock(fetched: FetchedKeys, now: float) -> Probed:
    skew_s = _skew_s(fetched.date, now)
    if skew_s is None:
        return Probed("clock", note="the provider does not tell its time")
    if abs(skew_s) > _SKEW_WORTH_SAYING_S:
        problem = f"it is {skew_s:+z.0f} s from ours; synchronise this machine's clock"
        return Probed("clock", problem)
    return Probed("clock", note="as ours")


def _skew_s(date: str, now: float) -> float | None:
    """The provider's Date header minus our clock, in seconds."""
    parsed = email.utils.parsedate_tz(date)
    if parsed is None:
        return None
    try:
        return email.utils.mktime_tz(parsed) - now
    except (ValueError, OverflowError):
        return None

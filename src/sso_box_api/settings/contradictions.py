"""What in one provider's settings cannot be meant together.

Asked once, when the settings are read: each finding refuses the start, and begins
with the name of the setting to change.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sso_box_api.settings.presets import PRESETS, TENANT, Preset

if TYPE_CHECKING:
    from sso_box_api.settings.sections import ProviderSettings

# An administrator can give each of them to somebody else.
_REASSIGNED_CLAIMS = frozenset(
    {"email", "emails", "preferred_username", "unique_name", "upn"}
)


def contradictions(provider: "ProviderSettings") -> Iterator[str]:
    """Name every contradiction, the clearest first."""
    preset = PRESETS[provider.kind]
    if provider.issuer_template is None:
        yield from _without_template(provider)
    else:
        yield from _with_template(provider, provider.issuer_template)
    yield from _open_to_anyone(provider, preset)
    yield from _of_the_kind(provider, preset)
    for claim in provider.subject_claims:
        if claim in _REASSIGNED_CLAIMS:
            yield f"subject_claims: {claim} can pass to another person; put an id"


def _without_template(provider: "ProviderSettings") -> Iterator[str]:
    if provider.tenants:
        yield "tenants: there is no issuer_template that they could stand in"
    for name, value in (
        ("issuer", provider.issuer),
        ("namespace", provider.namespace or ""),
        ("other_issuers", " ".join(provider.other_issuers)),
    ):
        if TENANT in value:
            yield f"{name}: {TENANT} needs issuer_template and tenants"


def _with_template(provider: "ProviderSettings", template: str) -> Iterator[str]:
    if TENANT not in template:
        yield f"issuer_template: must contain {TENANT}; or use issuer alone"
    if not provider.tenants and not provider.dangerously_accept_anyone:
        yield "tenants: is missing; put the ids of the tenants whose people may come"
    if provider.issuer not in {template, provider.expand(template)}:
        yield "issuer: is not that of issuer_template; leave it out"
    if len(provider.tenants) != 1:
        for name, values in (
            ("other_issuers", provider.other_issuers),
            ("namespace", [provider.namespace] if provider.namespace else []),
        ):
            if any(TENANT not in value for value in values):
                yield f"{name}: must contain {TENANT}, as there are several tenants"


def _open_to_anyone(provider: "ProviderSettings", preset: Preset) -> Iterator[str]:
    hosted = provider.required_claims.get("hd", ())
    limited = bool(provider.tenants) or (preset.limited_by == "hd" and bool(hosted))
    if provider.dangerously_accept_anyone:
        if limited:
            yield "dangerously_accept_anyone: contradicts the limit that is set"
        if preset.limited_by is None and provider.issuer_template is None:
            yield "dangerously_accept_anyone: means nothing for this provider"
    elif preset.limited_by == "hd" and not limited:
        yield (
            "required_claims: without hd, anybody with an account at the provider is"
            ' let in; put {"hd": ["your-domain.example"]}'
        )
    if preset.limited_by == "hd" and "gmail.com" in hosted:
        yield "required_claims: consumer accounts have no hd, so gmail.com never fits"


def _of_the_kind(provider: "ProviderSettings", preset: Preset) -> Iterator[str]:
    slash = preset.issuer_ends_with_slash
    if slash is not None and provider.issuer.endswith("/") != slash:
        yield f"issuer: {'must' if slash else 'must not'} end with a slash"
    needed = preset.needs_one_of
    if needed and not any(getattr(provider, name) for name in needed):
        yield f"{needed[0]}: is missing; kind {provider.kind} cannot do without"

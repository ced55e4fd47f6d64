"""What each kind of provider needs set, in one table.

A preset gives settings of ``ProviderSettings`` other values to start from; whatever
the provider's own settings say wins, field by field. Nothing else depends on the kind.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Kind = Literal[
    "generic",
    "okta",
    "auth0",
    "entra",
    "entra-b2c",
    "onelogin",
    "google",
    "pingone",
    "pingfederate",
    "keycloak",
    "cognito",
]

# Entra's own word in its metadata, for the tenant's id in an issuer.
TENANT: Final = "{tenantid}"

_GUID_CHARS = 36
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# Google writes it in old tokens. It is no URL, and nothing is fetched from it.
GOOGLE_ALIAS: Final = "accounts.google.com"


@dataclass(frozen=True, slots=True)
class Preset:
    """``values`` are defaults. Of the settings in ``needs_one_of`` one must be set.

    ``needs_hd``: anybody can get an account there, so that claim has to say whose count.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    needs_one_of: tuple[str, ...] = ()
    issuer_ends_with_slash: bool | None = None
    needs_hd: bool = False


PRESETS: Final[Mapping[str, Preset]] = {
    "generic": Preset(),
    # An authorization server that answers under two hosts: list both issuers.
    "okta": Preset(issuer_ends_with_slash=False),
    "auth0": Preset({"max_lifetime_s": 36_000}, issuer_ends_with_slash=True),
    # sub differs from app to app, so a page and a mobile app would be two people.
    # email can be set by any tenant's administrator; xms_edov says who owns the domain.
    "entra": Preset(
        {
            "issuer_template": f"https://login.microsoftonline.com/{TENANT}/v2.0",
            "namespace": f"entra:{TENANT}",
            "subject_claims": ("tid", "oid"),
            "email_proof": "xms_edov",
            "trust_email": True,
        },
    ),
    # The metadata lies under the policy, and the issuer does not name the policy.
    "entra-b2c": Preset(
        {"email_claim": "emails"},
        needs_one_of=("discovery_url", "jwks_uri", "jwks_inline"),
    ),
    # Says nothing on whether an address is verified, so none is ever trusted.
    "onelogin": Preset(),
    "google": Preset(
        {
            "issuer": "https://accounts.google.com",
            "other_issuers": (GOOGLE_ALIAS,),
            "email_proof": "hosted_domain",
            "trust_email": True,
        },
        needs_hd=True,
    ),
    "pingone": Preset(),
    # Signs as each client is set: give algs where that is not RS256.
    "pingfederate": Preset(),
    # Signs access tokens with the same keys; this claim tells them apart.
    "keycloak": Preset({"required_claims": {"typ": "ID"}}),
    "cognito": Preset({"required_claims": {"token_use": "id"}}),
}


def tenant_in(template: str, text: str) -> str | None:
    """The tenant with which ``template`` is exactly ``text``, if there is one."""
    start = template.find(TENANT)
    tenant = text[start : start + _GUID_CHARS] if start >= 0 else ""
    fits = _GUID.fullmatch(tenant) and template.replace(TENANT, tenant) == text
    return tenant if fits else None


def with_preset(given: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a provider's own settings over those of its kind; judge nothing yet."""
    kind = given.get("kind", "generic")
    preset = PRESETS.get(kind) if isinstance(kind, str) else None
    values = {**(preset or Preset()).values, **given}
    claims = given.get("required_claims")
    if preset and isinstance(claims, Mapping):
        values["required_claims"] = {
            **preset.values.get("required_claims", {}),
            **claims,
        }
    if values.get("issuer_template") is not None:
        values.setdefault("issuer", _issuer(values))
    return values


def _issuer(values: Mapping[str, Any]) -> object:
    """The issuer as the metadata gives it: of the one tenant, else the template."""
    template, tenants = values["issuer_template"], values.get("tenants")
    if not isinstance(template, str) or not isinstance(tenants, list | tuple):
        return template
    if len(tenants) != 1 or not isinstance(tenants[0], str):
        return template
    return template.replace(TENANT, tenants[0].lower())

"""Configuration: one frozen ``Settings``, built once in the CLI and passed down.

Every setting is an environment variable with the prefix ``SSO_BOX_`` (``__``
between levels), or the same name in the TOML file named by ``SSO_BOX_CONFIG``;
the environment wins. Names that do not exist are refused, so that a misspelt
safety setting cannot pass unnoticed. Units stand in the names: ``_s`` is seconds.
"""

from sso_box_api.settings.box_user import (
    LANGUAGE,
    MAX_SPACE,
    TIMEZONE,
    BoxUserSettings,
    Source,
)
from sso_box_api.settings.deployment import DatabaseSettings, Settings
from sso_box_api.settings.load import load_settings
from sso_box_api.settings.patterns import PathPattern, Placeholder, Segment
from sso_box_api.settings.provider import ProviderSettings
from sso_box_api.settings.sections import (
    DEFAULT_PROFILES,
    BoxSettings,
    ClaimSettings,
    LimitSettings,
    ProfileSettings,
    ProvisioningSettings,
    VendingSettings,
)
from sso_box_api.settings.template import Template

__all__ = [
    "DEFAULT_PROFILES",
    "LANGUAGE",
    "MAX_SPACE",
    "TIMEZONE",
    "BoxSettings",
    "BoxUserSettings",
    "ClaimSettings",
    "DatabaseSettings",
    "LimitSettings",
    "PathPattern",
    "Placeholder",
    "ProfileSettings",
    "ProviderSettings",
    "ProvisioningSettings",
    "Segment",
    "Settings",
    "Source",
    "Template",
    "VendingSettings",
    "load_settings",
]

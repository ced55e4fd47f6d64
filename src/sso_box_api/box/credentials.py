"""Who we are at Box: the app's config.json, or client credentials. Read once at start.

config.json is the file that the Box Developer Console hands out for an app with JWT
authentication; loading its private key costs tens of milliseconds, so that happens
here and never again on the way of a request.
"""

import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from sso_box_api.errors import ConfigurationError
from sso_box_api.settings import BoxSettings

MIN_KEY_BITS = 2048  # RFC 7518 section 3.3

_APP = "boxAppSettings"
_KEY = f"{_APP}.appAuth"
_FROM_CONSOLE = "take it from the Box Developer Console, Configuration tab"
_KEY_PAIR = (
    "generate a public/private keypair in the Box Developer Console, or use"
    " SSO_BOX_BOX__CLIENT_ID for a client-credentials app"
)


@dataclass(frozen=True)
class BoxCredentials:
    """One Box app in one enterprise.

    With ``private_key`` the app signs assertions (JWT grant); without it the client
    secret alone speaks for the app (client credentials grant).
    """

    client_id: str
    enterprise_id: str
    client_secret: str = field(repr=False)
    key_id: str | None = None
    private_key: RSAPrivateKey | None = field(default=None, repr=False)


def load_credentials(settings: BoxSettings) -> BoxCredentials:
    """Read the credentials that ``settings`` names.

    Raises ``ConfigurationError`` with every wrong field by its path in the JSON.
    """
    if settings.config_file is not None or settings.config is not None:
        return _from_config(*_config_text(settings))
    if settings.client_id and settings.client_secret and settings.enterprise_id:
        return BoxCredentials(
            settings.client_id,
            settings.enterprise_id,
            settings.client_secret.get_secret_value(),
        )
    raise ConfigurationError(
        ["SSO_BOX_BOX__CONFIG_FILE: is missing; put the path of your app's config.json"]
    )


def _config_text(settings: BoxSettings) -> tuple[str, str]:
    if settings.config_file is None:
        text = settings.config.get_secret_value() if settings.config else ""
        return "SSO_BOX_BOX__CONFIG", text
    name = "SSO_BOX_BOX__CONFIG_FILE"
    try:
        return name, settings.config_file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        problem = f"{name}: cannot be read ({type(error).__name__})"
    except UnicodeDecodeError:
        problem = f"{name}: is not a UTF-8 text file"
    raise ConfigurationError(
        [f"{problem}; put the path of the config.json of your Box app"]
    )


def _from_config(name: str, text: str) -> BoxCredentials:
    # A parser's own error message quotes the text, which holds the key.
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise ConfigurationError(
            [f"{name}: is not a JSON object; put the config.json of your Box app"]
        )
    fields = _Fields(name, data)
    credentials = BoxCredentials(
        client_id=fields.text(f"{_APP}.clientID", _FROM_CONSOLE),
        enterprise_id=_enterprise(fields),
        client_secret=fields.text(f"{_APP}.clientSecret", _FROM_CONSOLE),
        key_id=fields.text(f"{_KEY}.publicKeyID", _KEY_PAIR),
        private_key=_private_key(fields),
    )
    if fields.problems:
        raise ConfigurationError(fields.problems)
    return credentials


class _Fields:
    """Reads by path and gathers what is wrong, so that one start shows all of it."""

    def __init__(self, name: str, data: dict[str, Any]) -> None:
        self._name = name
        self._data = data
        self.problems: list[str] = []

    def get(self, path: str) -> Any:
        value: Any = self._data
        for part in path.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return value

    def text(self, path: str, advice: str) -> str:
        value = self.get(path)
        if isinstance(value, str) and value.strip():
            return value
        missing = value is None or value == ""
        self.wrong(path, "is missing" if missing else "must be a text", advice)
        return ""

    def wrong(self, path: str, what: str, advice: str) -> None:
        self.problems.append(f"{self._name}: {path} {what}; {advice}")


def _enterprise(fields: _Fields) -> str:
    path = "enterpriseID"
    value = fields.get(path)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    elif not isinstance(value, str):
        return fields.text(path, _FROM_CONSOLE)
    if value == "0":  # what the console writes for an account without an enterprise
        fields.wrong(path, "is 0", "create the app in a Box enterprise account")
    elif not (value.isascii() and value.isdigit()):
        fields.wrong(path, "must be digits", _FROM_CONSOLE)
    return value


def _private_key(fields: _Fields) -> RSAPrivateKey | None:
    path, passphrase_path = f"{_KEY}.privateKey", f"{_KEY}.passphrase"
    # Environment variables often hold the PEM with a literal backslash and n.
    pem = fields.text(path, _KEY_PAIR).replace("\\n", "\n").strip()
    if not pem:
        return None
    passphrase = None
    if "ENCRYPTED" in pem:
        passphrase = fields.text(passphrase_path, "the private key is encrypted")
        if not passphrase:
            return None
    try:
        key = _load_once(pem.encode(), passphrase.encode() if passphrase else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        if passphrase:
            what = f"does not open {path}, or that key is damaged"
            fields.wrong(passphrase_path, what, _KEY_PAIR)
        else:
            fields.wrong(path, "is not a private key in PEM form", _KEY_PAIR)
        return None
    if not isinstance(key, RSAPrivateKey) or key.key_size < MIN_KEY_BITS:
        fields.wrong(path, f"must be RSA of {MIN_KEY_BITS} bits or more", _KEY_PAIR)
        return None
    return key


@lru_cache(maxsize=4)
def _load_once(pem: bytes, passphrase: bytes | None) -> PrivateKeyTypes:
    # Opening and checking an RSA key takes some 50 ms, so a process does it once.
    return load_pem_private_key(pem, passphrase)

"""The app registered at the enterprise: its key pair and what a developer downloads.

The console gives a config.json with an encrypted PKCS#8 RSA-2048 key; Box itself
keeps the public half alone (developer.box.com, "Setup with JWT").
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)


@dataclass(frozen=True)
class App:
    """One client of the token endpoint. At Box an app has exactly one grant."""

    client_id: str
    client_secret: str = field(repr=False)
    grant: Literal["jwt", "client_credentials"]
    public_keys: Mapping[str, RSAPublicKey] = field(default_factory=dict)


@dataclass(frozen=True)
class JwtAppDownload:
    """The app together with the private half, which only the developer has."""

    app: App
    key_id: str
    private_key_pem: str = field(repr=False)
    passphrase: str = field(repr=False)

    def config(self, enterprise_id: str) -> dict[str, Any]:
        """The content of Box's config.json."""
        return {
            "boxAppSettings": {
                "clientID": self.app.client_id,
                "clientSecret": self.app.client_secret,
                "appAuth": {
                    "publicKeyID": self.key_id,
                    "privateKey": self.private_key_pem,
                    "passphrase": self.passphrase,
                },
            },
            "enterpriseID": enterprise_id,
        }


def new_jwt_app() -> JwtAppDownload:
    private_key = generate_private_key(public_exponent=65537, key_size=2048)
    key_id = secrets.token_hex(4)
    passphrase = secrets.token_hex(16)
    pem = private_key.private_bytes(
        Encoding.PEM,
        PrivateFormat.PKCS8,
        BestAvailableEncryption(passphrase.encode()),
    )
    app = App(
        client_id=secrets.token_hex(16),
        client_secret=secrets.token_hex(16),
        grant="jwt",
        public_keys={key_id: private_key.public_key()},
    )
    return JwtAppDownload(app, key_id, pem.decode(), passphrase)


def new_client_credentials_app() -> App:
    return App(
        client_id=secrets.token_hex(16),
        client_secret=secrets.token_hex(16),
        grant="client_credentials",
    )

"""Print the API's OpenAPI document, from which the page's types are generated."""

import json

from cryptography.fernet import Fernet
from pydantic import SecretStr

from sso_box_api.app import create_app
from sso_box_api.settings import BoxSettings, ProviderSettings, Settings

# Nothing is opened before the app's lifespan starts, so nothing of this is used.
settings = Settings(
    database_url=SecretStr("postgresql://unused"),
    secret_keys=(SecretStr(Fernet.generate_key().decode()),),
    box=BoxSettings(config=SecretStr("{}")),
    providers=(
        ProviderSettings(
            id="main", issuer="https://login.example.com", client_ids=("spa",)
        ),
    ),
)
print(json.dumps(create_app(settings).openapi(), indent=2, sort_keys=True))

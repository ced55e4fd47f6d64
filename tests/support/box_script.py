"""A Box that answers what a test scripts, and the client under test before it."""

import base64
import json
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs

import httpx
import respx
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from sso_box_api.box import Box, BoxCredentials, load_credentials
from sso_box_api.settings import BoxSettings

API = "https://api.box.com"
PASSPHRASE = "correct horse"
KEY = generate_private_key(public_exponent=65537, key_size=2048)


def pem(
    form: PrivateFormat = PrivateFormat.PKCS8,
    passphrase: str | None = PASSPHRASE,
    key: Any = KEY,
) -> str:
    secret = (
        BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    )
    data: bytes = key.private_bytes(Encoding.PEM, form, secret)
    return data.decode()


def config(**changes: Any) -> dict[str, Any]:
    """A config.json; a change is named by its path with __, ``...`` takes it out."""
    data: dict[str, Any] = {
        "boxAppSettings": {
            "clientID": "client-1",
            "clientSecret": "hush-client",
            "appAuth": {
                "publicKeyID": "abcd1234",
                "privateKey": _PEM,
                "passphrase": PASSPHRASE,
            },
        },
        "enterpriseID": "4711",
    }
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = data
        for parent in parents:
            place = place[parent]
        if value is ...:
            del place[last]
        else:
            place[last] = value
    return data


_PEM = pem()

QUICK = {"max_attempts": 2, "deadline_s": 5.0, "call_timeout_s": 1.0}


def box_settings(data: dict[str, Any] | None = None, **changes: Any) -> BoxSettings:
    text = json.dumps(config() if data is None else data)
    return BoxSettings.model_validate({"config": text, **QUICK, **changes})


def client_over(
    transport: httpx.AsyncBaseTransport,
    settings: BoxSettings | None = None,
    clock: Callable[[], float] = time.time,
) -> Box:
    settings = settings or box_settings()
    return Box(credentials(settings), settings, transport, clock=clock)


def credentials(settings: BoxSettings) -> BoxCredentials:
    """Load each config.json once in a run: opening a key takes a twentieth second."""
    text = settings.config.get_secret_value() if settings.config else ""
    key = (text, settings.client_id)
    if key not in _loaded:
        _loaded[key] = load_credentials(settings)
    return _loaded[key]


_loaded: dict[tuple[str, str | None], BoxCredentials] = {}


class Script:
    """Routes of a scripted Box and what was sent to them."""

    def __init__(self) -> None:
        self.router = respx.Router(assert_all_called=False)
        self.transport = httpx.MockTransport(self.router.async_handler)

    def on(self, method: str, path: str, *answers: Any) -> respx.Route:
        """Give these answers in turn, the last one for ever."""
        waiting = list(answers)

        def answer(request: httpx.Request) -> httpx.Response:
            given = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            given = given(request) if callable(given) else given
            if isinstance(given, Exception):
                raise given
            assert isinstance(given, tuple)
            status, body, headers = (*given, {})[:3]
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            raw = [(k.encode(), v.encode("latin-1")) for k, v in headers.items()]
            return httpx.Response(status, content=content, headers=raw)

        route = self.router.route(method=method, url__startswith=API + path)
        return route.mock(side_effect=answer)

    def tokens(self, *answers: Any) -> respx.Route:
        return self.on("POST", "/oauth2/token", *answers)


def token(value: str = "T1", **more: Any) -> tuple[int, dict[str, Any]]:
    body = {"access_token": value, "expires_in": 3600, "token_type": "bearer"}
    return 200, body | more


def refused(error: str, description: str, **headers: str) -> tuple[Any, ...]:
    body = {"error": error, "error_description": description}
    return 400, body, {"date": formatdate(usegmt=True), **headers}


def error(status: int, code: str) -> tuple[Any, ...]:
    body = {
        "type": "error",
        "status": status,
        "code": code,
        "message": "text of Box, hush",
        "request_id": "req-body",
    }
    return status, body, {"box-request-id": "req-1"}


def user(user_id: str = "11", **more: Any) -> dict[str, Any]:
    return {
        "type": "user",
        "id": user_id,
        "name": "Ada",
        "login": f"AppUser_{user_id}@boxdevedition.com",
        "status": "active",
        "is_platform_access_only": True,
        "external_app_user_id": "sb1-ada",
        "created_at": "2026-01-01T00:00:00-08:00",
    } | more


def listing(*users: dict[str, Any], **more: Any) -> tuple[int, dict[str, Any]]:
    body = {"entries": list(users), "total_count": len(users), "limit": 100}
    return 200, body | {"offset": 0} | more


def forms(route: respx.Route) -> list[dict[str, str]]:
    """The forms that were posted to a route, in order."""
    return [
        {
            name: values[0]
            for name, values in parse_qs(sent.request.content.decode()).items()
        }
        for sent in route.calls
    ]


def claims(form: dict[str, str]) -> dict[str, Any]:
    return _part(form["assertion"], 1)


def header(form: dict[str, str]) -> dict[str, Any]:
    return _part(form["assertion"], 0)


def _part(assertion: str, index: int) -> dict[str, Any]:
    part = assertion.split(".")[index]
    data: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=="))
    return data

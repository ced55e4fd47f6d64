"""A client of the emulator that does what a test says, wrong things included."""

import base64
import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import httpx
import uvicorn
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from starlette.types import ASGIApp
from typing_extensions import override

from sso_box_devkit.box.command import SERVER_OPTIONS

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
HASHES = {"RS256": SHA256(), "RS384": SHA384(), "RS512": SHA512()}


class Hidden(str):
    """A credential, which a failing test must not show."""

    __slots__ = ()

    @override
    def __repr__(self) -> str:
        return "<hidden>"


class BoxCaller:
    """Speaks for the app of one config.json."""

    def __init__(
        self, http: httpx.AsyncClient, config: dict[str, Any], upload_url: str = "/api"
    ) -> None:
        self.http = http
        self.upload_url = upload_url
        self.enterprise_id: str = config["enterpriseID"]
        settings = config["boxAppSettings"]
        self.client_id: str = settings["clientID"]
        self.client_secret = Hidden(settings["clientSecret"])
        self.key_id: str = settings["appAuth"]["publicKeyID"]
        self.key = _key(
            settings["appAuth"]["privateKey"], settings["appAuth"]["passphrase"]
        )

    @property
    def client(self) -> dict[str, str]:
        return {"client_id": self.client_id, "client_secret": self.client_secret}

    def claims(self, **changes: Any) -> dict[str, Any]:
        claims = {
            "iss": self.client_id,
            "sub": self.enterprise_id,
            "box_sub_type": "enterprise",
            "aud": "https://api.box.com/oauth2/token",
            "jti": uuid.uuid4().hex,
            "exp": int(time.time()) + 30,
        } | changes
        return {name: value for name, value in claims.items() if value is not ...}

    def signed(
        self,
        claims: dict[str, Any],
        *,
        algorithm: str = "RS256",
        key_id: str | None = None,
        key: RSAPrivateKey | None = None,
    ) -> Hidden:
        header = {"alg": algorithm, "typ": "JWT", "kid": key_id or self.key_id}
        signed = f"{_encoded(header)}.{_encoded(claims)}"
        hash_ = HASHES.get(algorithm, SHA256())
        signature = (key or self.key).sign(signed.encode(), PKCS1v15(), hash_)
        return Hidden(f"{signed}.{_base64url(signature)}")

    async def present(self, assertion: str, **changes: str) -> httpx.Response:
        form = {"grant_type": JWT_BEARER, **self.client, "assertion": assertion}
        return await self.http.post("/oauth2/token", data=form | changes)

    async def token(self, user_id: str | None = None) -> Hidden:
        """Of the service account, or of a user."""
        subject = {} if user_id is None else {"sub": user_id, "box_sub_type": "user"}
        answer = await self.present(self.signed(self.claims(**subject)))
        return read_token(answer)[0]

    async def exchange(
        self, token: str, scope: str | None, resource: str | None = None, **more: str
    ) -> httpx.Response:
        form = {
            "grant_type": TOKEN_EXCHANGE,
            "subject_token": token,
            "subject_token_type": ACCESS_TOKEN,
            **more,
        }
        if scope is not None:
            form["scope"] = scope
        if resource is not None:
            base = "" if "://" in resource else "https://api.box.com/2.0/"
            form["resource"] = base + resource
        return await self.http.post("/oauth2/token", data=form)

    async def downscoped(
        self, token: str, scope: str, resource: str | None = None
    ) -> Hidden:
        return read_token(await self.exchange(token, scope, resource))[0]

    async def call(
        self, token: str, method: str, path: str, **more: Any
    ) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}", **more.pop("headers", {})}
        return await self.http.request(method, path, headers=headers, **more)

    async def create(self, token: str, path: str, **body: Any) -> dict[str, Any]:
        """What a POST made, below /2.0."""
        answer = await self.call(token, "POST", f"/2.0/{path}", json=body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def folder(self, token: str, name: str, parent: str = "0") -> str:
        made = await self.create(token, "folders", name=name, parent={"id": parent})
        return str(made["id"])

    async def invite(
        self,
        token: str,
        item: str,
        role: str,
        *,
        user: str | None = None,
        group: str | None = None,
        kind: str = "folder",
        **more: Any,
    ) -> httpx.Response:
        """A collaboration on a folder (or file) for a user or group by id."""
        grantee = {"type": "group", "id": group} if group else {"type": "user"}
        body = {
            "item": {"type": kind, "id": item},
            "accessible_by": grantee | ({"id": user} if user else {}),
            "role": role,
        }
        return await self.call(token, "POST", "/2.0/collaborations", json=body | more)

    async def app_user(self, name: str = "Ada", **body: Any) -> str:
        answer = await self.call(
            await self.token(),
            "POST",
            "/2.0/users",
            json={"name": name, "is_platform_access_only": True, **body},
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def upload(
        self,
        token: str,
        content: bytes,
        name: str = "a.txt",
        parent: str = "0",
        **headers: str,
    ) -> httpx.Response:
        attributes = json.dumps({"name": name, "parent": {"id": parent}})
        parts = [
            ("attributes", (None, attributes.encode())),
            ("file", (name, content)),
        ]
        url = f"{self.upload_url}/2.0/files/content"
        return await self.call(token, "POST", url, files=parts, headers=headers)

    async def control(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """One of the emulator's own routes, for this caller's enterprise."""
        return await self.http.request(
            method,
            f"/_emulator/{path}",
            params={"enterprise": self.enterprise_id},
            json=body,
        )

    async def settings(self, **changes: Any) -> None:
        answer = await self.control("PATCH", "settings", changes)
        assert answer.status_code == 200, answer.text

    async def fault(self, **fault: Any) -> None:
        answer = await self.control("POST", "faults", fault)
        assert answer.status_code == 201, answer.text

    async def journal(self) -> list[dict[str, Any]]:
        answer = await self.control("GET", "requests")
        return list(answer.json()["requests"])


def read_token(answer: httpx.Response) -> tuple[Hidden, dict[str, Any]]:
    """The token, and what else the answer says."""
    assert answer.status_code == 200, answer.text
    body = answer.json()
    return Hidden(body.pop("access_token")), body


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[str]:
    """``app`` over loopback TCP, as the command runs it; yields its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, **SERVER_OPTIONS))
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup()
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await server.shutdown()


@cache
def _key(pem: str, passphrase: str) -> RSAPrivateKey:
    """Kept: to decrypt one takes longer than most tests."""
    key = load_pem_private_key(pem.encode(), passphrase.encode())
    assert isinstance(key, RSAPrivateKey)
    return key


def _encoded(value: dict[str, Any]) -> str:
    return _base64url(json.dumps(value).encode())


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

"""A certified OpenID provider in a process of its own, and people who log in there.

The provider itself is ``tests/node/certified_provider.mjs``.
"""

import asyncio
import base64
import json
import re
import secrets
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from html import unescape
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import httpx

from tests.support.node import FOLDER, node
from tests.support.tokens import b64url

ALGS = ("RS256", "ES256", "PS256", "EdDSA")

# Reading the system's takes a while, and nothing here is https.
_NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_REDIRECT_URI = "https://spa.example/callback"


@dataclass
class CertifiedProvider:
    """The running provider. ``signing_kids`` are those of the keys that sign now."""

    process: asyncio.subprocess.Process
    issuer: str = ""
    signing_kids: tuple[str, ...] = ()
    key_fetches: int = 0

    async def tell(
        self, command: Literal["announce", "sign", "withdraw", "rotate", "state"]
    ) -> None:
        """The commands are explained in ``tests/node/certified_provider.mjs``."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n".encode())
        await self.heard()

    async def heard(self) -> None:
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        assert line, "the provider has ended; its standard error says why"
        report = json.loads(line)
        self.issuer, self.signing_kids = report["issuer"], tuple(report["kids"])
        self.key_fetches = report["keyFetches"]


@asynccontextmanager
async def certified_provider() -> AsyncIterator[CertifiedProvider]:
    """Run it until the block ends. It ends by itself when this process is no more."""
    process = await asyncio.create_subprocess_exec(
        node(),
        str(FOLDER / "certified_provider.mjs"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    provider = CertifiedProvider(process)
    try:
        await provider.heard()
        yield provider
    finally:
        process.stdin.close()
        await process.wait()


@dataclass
class Code:
    """What the provider sent the browser back with, and what it is redeemed with."""

    code: str
    verifier: str
    nonce: str


class Browser:
    """A person at a page that uses one algorithm; stays logged in at the provider."""

    def __init__(self, provider: CertifiedProvider, alg: str) -> None:
        self.client_id = f"spa-{alg}"
        self.subject = f"ada-{alg}"
        self._http = httpx.AsyncClient(
            base_url=provider.issuer, trust_env=False, verify=_NO_CERTIFICATES
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def log_in(self) -> str:
        """A new ID token; asks for name and consent only the first time."""
        code = await self.authorize()
        response = await self.redeem(code)
        assert response.is_success, response.text
        token: str = response.json()["id_token"]
        assert unverified(token)[1]["nonce"] == code.nonce
        return token

    async def authorize(self) -> Code:
        """From the page to the provider and back, by redirects and forms (PKCE)."""
        verifier, nonce, state = (secrets.token_urlsafe(32) for _ in range(3))
        parameters = {
            "client_id": self.client_id,
            "redirect_uri": _REDIRECT_URI,
            "response_type": "code",
            "scope": "openid profile email",
            "state": state,
            "nonce": nonce,
            "code_challenge": b64url(sha256(verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }
        response = await self._http.get("/auth", params=parameters)
        while not response.headers.get("Location", "").startswith(_REDIRECT_URI):
            if response.is_redirect:
                response = await self._http.get(response.headers["Location"])
            else:
                response = await self._submit(response.raise_for_status().text)
        query = parse_qs(urlsplit(response.headers["Location"]).query)
        assert query["state"] == [state], query
        return Code(query["code"][0], verifier, nonce)

    async def redeem(self, code: Code) -> httpx.Response:
        form = {
            "grant_type": "authorization_code",
            "client_id": self.client_id,
            "redirect_uri": _REDIRECT_URI,
            "code": code.code,
            "code_verifier": code.verifier,
        }
        return await self._http.post("/token", data=form)

    async def _submit(self, page: str) -> httpx.Response:
        """Fill in the provider's own page: first who it is, then the consent."""
        action = re.search(r'<form[^>]* action="([^"]+)"', page)
        prompt = re.search(r'name="prompt" value="(\w+)"', page)
        assert action, page
        assert prompt, page
        form = {"prompt": prompt[1]}
        if prompt[1] == "login":
            form |= {"login": self.subject, "password": "any will do"}
        return await self._http.post(unescape(action[1]), data=form)


def unverified(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims."""
    header, claims, _ = token.split(".")
    return _json(header), _json(claims)


def _json(segment: str) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(segment + "=="))
    return decoded

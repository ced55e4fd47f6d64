"""The production connection to identity providers.

Off the way of a request once the keys are warm. Every address is judged at the moment
it is connected to: a name that was looked up before, or differently, proves nothing.
"""

import socket
import ssl
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver
from httpx_aiohttp import AiohttpTransport
from typing_extensions import override

from sso_box_api.identity.addresses import may_ask_proxy_for, may_connect
from sso_box_api.identity.documents import PROVIDER_EXTENSION, FetchProblem
from sso_box_api.settings import ProviderSettings

_REFUSED = (
    "its address is not a public one; set allow_private_network if the provider is in"
    " your own network"
)


class ProviderTransport(httpx.AsyncBaseTransport):
    """Connections of each provider by itself, as its settings allow them.

    A request says by an extension for whom it is; one that does not is a mistake
    (``KeyError``). Obeys HTTPS_PROXY and NO_PROXY: a proxy looks names up itself, so
    behind one only what stands in the URL is judged here. ``resolver`` replaces the
    system's.
    """

    def __init__(
        self,
        providers: Sequence[ProviderSettings],
        *,
        resolver: AbstractResolver | None = None,
    ) -> None:
        public = _public_tls()
        self._connections = {
            provider.id: _Connections(provider, public, resolver)
            for provider in providers
        }

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        connections = self._connections[request.extensions[PROVIDER_EXTENSION]]
        response = await connections.send(request)
        # The client would keep cookies and send them back.
        response.headers.pop("set-cookie", None)
        return response

    @override
    async def aclose(self) -> None:
        for connections in self._connections.values():
            await connections.close()


@lru_cache(maxsize=1)
def _public_tls() -> ssl.SSLContext:
    # Reading all the certificates there are takes 20 ms; nothing of it changes.
    return httpx.create_ssl_context()


class _AddressRefused(OSError):
    """An ``OSError``, so that the next address of the name is tried."""


class _Connections:
    def __init__(
        self,
        provider: ProviderSettings,
        public: ssl.SSLContext,
        resolver: AbstractResolver | None,
    ) -> None:
        self._provider = provider
        self._tls = public
        if provider.ca_bundle:
            self._tls = ssl.create_default_context(cafile=provider.ca_bundle)
        self._direct = self._transport(resolver=resolver, socket_factory=self._socket)
        self._proxied: dict[str, AiohttpTransport] = {}

    async def send(self, request: httpx.Request) -> httpx.Response:
        proxy = getproxies().get("https")
        # Plain http is for loopback only, where no proxy leads.
        if (
            proxy is None
            or request.url.scheme == "http"
            or proxy_bypass(request.url.host)
        ):
            return await self._send_directly(request)
        if not may_ask_proxy_for(self._provider, request.url.host):
            raise FetchProblem(_REFUSED)
        if proxy not in self._proxied:
            self._proxied[proxy] = self._transport(proxy=httpx.Proxy(proxy))
        return await self._proxied[proxy].handle_async_request(request)

    async def close(self) -> None:
        for transport in (self._direct, *self._proxied.values()):
            await transport.aclose()

    async def _send_directly(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._direct.handle_async_request(request)
        except httpx.TransportError as error:
            failed = error.__cause__  # which kind httpx-aiohttp makes of it, varies
            if isinstance(failed, aiohttp.ClientConnectorError) and isinstance(
                failed.os_error, _AddressRefused
            ):
                raise FetchProblem(_REFUSED) from None
            raise

    def _transport(
        self, *, proxy: httpx.Proxy | None = None, **connector: Any
    ) -> AiohttpTransport:
        return AiohttpTransport(
            verify=self._tls,
            proxy=proxy,
            client=partial(_open_session, ssl=self._tls, **connector),
        )

    def _socket(self, address: tuple[Any, ...]) -> socket.socket:
        """Called by aiohttp for each address, just before it connects to it."""
        family, kind, protocol, _, (host, *_) = address
        if not may_connect(self._provider, host):
            raise _AddressRefused(_REFUSED)
        return socket.socket(family, kind, protocol)


def _open_session(**connector: Any) -> aiohttp.ClientSession:
    # A fetch an hour: each looks the name up, connects and is judged anew.
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            force_close=True, use_dns_cache=False, **connector
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
    )

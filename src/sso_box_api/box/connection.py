"""The production connection to Box, and which of its failures came before it stood."""

import ssl
from functools import lru_cache
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport
from typing_extensions import override

from sso_box_api.errors import ConfigurationError
from sso_box_api.settings import BoxSettings

# Below the 5 s after which some servers close an idle connection: one that closes
# under a write leaves its outcome unknown, and a first login waits to find out.
KEEPALIVE_S = 4.0

_BEFORE_IT_STOOD = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
)


def open_transport(settings: BoxSettings) -> httpx.AsyncBaseTransport:
    """Open the production transport; the client that takes it closes it.

    Obeys HTTPS_PROXY and NO_PROXY, which httpx ignores where it is given a transport.
    """
    return _TwoHosts(settings)


class _TwoHosts(httpx.AsyncBaseTransport):
    """Box's API and upload hosts, each of them behind a proxy or not."""

    def __init__(self, settings: BoxSettings) -> None:
        self._upload_host = urlsplit(settings.upload_url).hostname
        self._to_uploads = _way(settings.upload_url, settings.max_connections)
        self._to_api = _way(settings.api_url, settings.max_connections)
        if self._to_uploads.proxy is self._to_api.proxy is None:
            self._to_uploads = self._to_api
        self._closed = False

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._closed:
            raise httpx.ConnectError("closed")  # aiohttp has a bare RuntimeError for it
        to_uploads = request.url.host == self._upload_host
        way = self._to_uploads if to_uploads else self._to_api
        return await way.handle_async_request(request)

    @override
    async def aclose(self) -> None:
        self._closed = True
        await self._to_api.aclose()
        await self._to_uploads.aclose()


def _way(url: str, max_connections: int) -> AiohttpTransport:
    # aiohttp below httpx, for httpx's own pool costs milliseconds of CPU a call.
    return AiohttpTransport(
        client=lambda: _session(max_connections),
        verify=_public_tls(),
        proxy=_proxy_before(url),
    )


def _proxy_before(url: str) -> httpx.Proxy | None:
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    if not proxy or proxy_bypass(parts.hostname or ""):
        return None
    try:
        return httpx.Proxy(proxy)
    except ValueError:
        # Its text has the URL in it, and so perhaps a password.
        problem = "HTTPS_PROXY: must be a URL such as http://proxy.example:3128"
        raise ConfigurationError([problem]) from None


def _session(max_connections: int) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        limit=max_connections, keepalive_timeout=KEEPALIVE_S, ssl=_public_tls()
    )
    # No cookie that Box sets for one person's call goes with another's.
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar()
    )


@lru_cache(maxsize=1)
def _public_tls() -> ssl.SSLContext:
    # Reading all the certificates there are takes 20 ms; nothing of it changes.
    return httpx.create_ssl_context()


def never_stood(error: Exception) -> bool:
    """Whether a failure came before there was a connection to send anything on.

    httpx-aiohttp reports a connection lost after sending as ``ConnectTimeout`` too, so
    where aiohttp is the cause, its own exception decides.
    """
    if isinstance(error.__cause__, aiohttp.ClientError):
        return isinstance(error.__cause__, _BEFORE_IT_STOOD)
    return isinstance(
        error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout
    )

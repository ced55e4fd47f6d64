"""The registered clients: public ones, with PKCE in place of a secret."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Client:
    """One page or app.

    ``redirect_uris`` are compared as strings. ``any_loopback`` accepts every port and
    path of this machine besides (RFC 8252 section 7.3, and dev servers that move).
    """

    id: str
    redirect_uris: frozenset[str] = frozenset()
    any_loopback: bool = True

    def accepts(self, uri: str) -> bool:
        """Tell whether a login may return to ``uri``; the same list serves log-outs."""
        if uri in self.redirect_uris:
            return True
        return self.any_loopback and _is_loopback(uri)


def _is_loopback(uri: str) -> bool:
    if not uri.isascii() or not uri.isprintable() or "\\" in uri or "#" in uri:
        return False
    try:
        parts: SplitResult = urlsplit(uri)
        _ = parts.port
    except ValueError:
        return False
    plain = parts.scheme in {"http", "https"} and "@" not in parts.netloc
    return plain and parts.hostname in _LOOPBACK


DEMO_CLIENTS: Final[Mapping[str, Client]] = {
    client.id: client
    for client in (
        Client("demo-spa"),
        Client("demo-mobile", frozenset({"com.example.sso-box-demo:/callback"})),
    )
}

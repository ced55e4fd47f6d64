"""Which addresses a provider's documents may be fetched from.

Asked by ``connection`` for every address that is about to be connected to, and for
every host that a proxy is about to be sent to. A name in a discovery document must not
lead into this network or to the cloud's metadata service.
"""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from sso_box_api.settings import ProviderSettings

# No identity provider is there, in a private network either: link-local, multicast,
# reserved, tunnels (Teredo, local-use NAT64), and what clouds keep for machines that ask
# about themselves: 169.254.0.0/16 for most of them, addresses of their own at Alibaba,
# Azure and Oracle, and for IPv6 at these, AWS, Google, Linode and Scaleway.
_NEVER = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "100.100.100.200/32",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "192.0.0.0/24",
        "224.0.0.0/3",
        "::/128",
        "64:ff9b:1::/48",
        "2001::/32",
        "fd00:42::/32",
        "fd00:100::/32",
        "fd00:a9fe:a9fe::/48",
        "fd00:c1::/32",
        "fd00:ec2::/32",
        "fd20:ce::/32",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)
_GLOBAL_UNICAST = ip_network("2000::/3")
_NAT64 = ip_network("64:ff9b::/96")
_IPV4_COMPATIBLE = ip_network("::/96")  # but for :: and ::1

_HOST_NAME = re.compile(r"(?:[A-Za-z0-9_-]+\.)*[A-Za-z0-9_-]+\.?")

# Names that are of some network by definition: RFC 6761, RFC 6762, RFC 8375 (home.arpa),
# and the one that ICANN keeps for private use, which clouds name their metadata by.
_PRIVATE_DOMAINS = frozenset({"arpa", "internal", "local", "localhost"})


def may_connect(provider: ProviderSettings, address: str) -> bool:
    """Whether an IP address is public, or admitted by the provider's settings.

    Raises ``ValueError`` for what is no IP address.
    """
    ip = _destination(ip_address(address))
    if any(ip in network for network in _NEVER):
        return False
    if provider.allow_private_network:
        return True
    if ip.is_loopback:
        return _is_on_loopback(provider)
    return ip.is_global and (ip.version == 4 or ip in _GLOBAL_UNICAST)  # noqa: PLR2004 - IPv4


def may_ask_proxy_for(provider: ProviderSettings, host: str) -> bool:
    """Whether a proxy, which looks names up itself, may be sent to this host.

    An address is judged as ever; a name, by what it says without being looked up.
    """
    try:
        return may_connect(provider, host)
    except ValueError:
        pass
    # Any other spelling would be the proxy's to make out.
    if not _HOST_NAME.fullmatch(host):
        return False
    *parents, domain = host.removesuffix(".").lower().split(".")
    # Resolvers take such a name for an address: 127.1, 0x7f000001, 2130706433.
    if domain[:1].isdigit():
        return False
    if provider.allow_private_network:
        return True
    return bool(parents) and domain not in _PRIVATE_DOMAINS


def _destination(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address stands for, where it does (RFC 6052)."""
    if isinstance(ip, IPv4Address):
        return ip
    if ip in _NAT64 or (ip in _IPV4_COMPATIBLE and int(ip) > 1):
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or ip


def _is_on_loopback(provider: ProviderSettings) -> bool:
    """Whether it is configured in the clear: the settings admit that on loopback only."""
    urls = (provider.issuer, provider.discovery_url, provider.jwks_uri)
    return any(url.startswith("http://") for url in urls if url)

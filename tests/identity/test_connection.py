"""Where a provider's documents may be fetched from, over real sockets and real TLS."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from pydantic import ValidationError
from typing_extensions import override

from sso_box_api.identity import IdentityVerifier, ProbeReport, ProviderTransport
from sso_box_api.identity.addresses import may_connect
from sso_box_api.settings import ProviderSettings
from tests.support.oidc import provider_values
from tests.support.tls import Tls, issue
from tests.support.tokens import SigningKey, compact_json

HOST = "idp.example"
NOT_PUBLIC = "its address is not a public one; set allow_private_network"
JWKS = compact_json({"keys": [SigningKey.rsa("key-1").jwk()]})


@dataclass
class Answers(AbstractResolver):
    """A resolver under an attacker's control: ``addresses`` at each question in turn."""

    addresses: list[list[str]]
    asked: int = 0

    @override
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        del family
        now = self.addresses[min(self.asked, len(self.addresses) - 1)]
        self.asked += 1
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in now
        ]

    @override
    async def close(self) -> None:
        pass


@dataclass
class Server:
    """Serves the key set on loopback; ``connections`` counts whoever got through."""

    port: int = 0
    connections: int = 0
    cookies: int = 0
    requests: list[bytes] = field(default_factory=list)

    async def answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.connections += 1
        head = b"HTTP/1.1 200 OK\r\nset-cookie: a=1\r\ncontent-length: %d\r\n\r\n"
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:  # until the other end closes the connection
                request = await reader.readuntil(b"\r\n\r\n")
                self.requests.append(request.split(b"\r\n")[0])
                self.cookies += request.lower().count(b"\r\ncookie:")
                writer.write(head % len(JWKS) + JWKS)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def serve(tls: Tls | None = None) -> AsyncIterator[Server]:
    context = None
    if tls is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(tls.certificate, tls.key)
    server = Server()
    listener = await asyncio.start_server(server.answer, "127.0.0.1", 0, ssl=context)
    server.port = listener.sockets[0].getsockname()[1]
    async with listener:
        yield server


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return issue(tmp_path_factory.mktemp("tls"), HOST)


@pytest.fixture
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


pytestmark = pytest.mark.usefixtures("_no_proxy")


async def probe(resolver: AbstractResolver | None = None, **values: Any) -> ProbeReport:
    """Fetch the keys twice as the service does, with its own transport."""
    provider = ProviderSettings.model_validate(provider_values(**values))
    transport = ProviderTransport([provider], resolver=resolver)
    async with httpx.AsyncClient(transport=transport, trust_env=False) as http:
        verifier = IdentityVerifier([provider], http)
        await verifier.probe("main")
        return await verifier.probe("main")


def https(server: Server, host: str = HOST) -> str:
    return f"https://{host}:{server.port}/keys"


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["169.254.169.254"],
        ["10.0.0.1", "127.0.0.1"],
    ],
    ids=" ".join,
)
async def test_a_name_that_leads_to_an_address_of_this_network_is_not_connected_to(
    tls: Tls, addresses: list[str]
) -> None:
    async with serve(tls) as server:
        report = await probe(
            Answers([addresses]), jwks_uri=https(server), ca_bundle=tls.ca
        )
        [problem] = report.problems
        assert NOT_PUBLIC in problem
        assert server.connections == 0


async def test_a_name_is_judged_by_the_address_connected_to_not_by_an_earlier_answer(
    tls: Tls,
) -> None:
    """DNS rebinding: at first a public address (which tests cannot reach)."""
    resolver = Answers([["8.8.8.8"], ["127.0.0.1"]])
    async with serve(tls) as server:
        values = provider_values(jwks_uri=https(server), ca_bundle=tls.ca)
        provider = ProviderSettings.model_validate(values)
        transport = ProviderTransport([provider], resolver=resolver)
        async with httpx.AsyncClient(transport=transport, trust_env=False) as http:
            verifier = IdentityVerifier([provider], http)
            problems = [(await verifier.probe("main")).problems[0] for _ in range(2)]
        assert "no usable answer" in problems[0]
        assert NOT_PUBLIC in problems[1]
        assert (resolver.asked, server.connections) == (2, 0)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "169.254.169.254"])
async def test_an_address_or_local_name_in_the_url_is_judged_alike(host: str) -> None:
    async with serve() as server:
        report = await probe(jwks_uri=https(server, host))
        assert NOT_PUBLIC in report.problems[0]
        assert server.connections == 0


@pytest.mark.parametrize("host", ["2130706433", "127.1", "0x7f000001"])
async def test_odd_spellings_of_an_address_do_not_get_through(host: str) -> None:
    async with serve() as server:
        assert not (await probe(jwks_uri=https(server, host))).ok
        assert server.connections == 0


async def test_the_key_set_a_discovery_document_points_to_is_judged_too() -> None:
    async with serve() as server:
        issuer = f"http://127.0.0.1:{server.port}"
        document = {"issuer": issuer, "jwks_uri": "https://169.254.169.254/keys"}
        provider = ProviderSettings.model_validate(provider_values(issuer=issuer))
        discovery = httpx.MockTransport(lambda _: httpx.Response(200, json=document))
        async with httpx.AsyncClient(
            transport=ProviderTransport([provider]),
            mounts={issuer: discovery},
            trust_env=False,
        ) as http:
            report = await IdentityVerifier([provider], http).probe("main")
        assert NOT_PUBLIC in report.problems[0]


async def test_a_provider_in_the_own_network_is_reached_where_that_is_said(
    tls: Tls,
) -> None:
    async with serve(tls) as server:
        report = await probe(
            Answers([["127.0.0.1"]]),
            jwks_uri=https(server),
            ca_bundle=tls.ca,
            allow_private_network=True,
        )
        assert report.keys is not None
        assert server.requests == [b"GET /keys HTTP/1.1"] * 2
        assert server.connections == 2  # each is judged anew
        assert server.cookies == 0


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_an_issuer_on_loopback_in_the_clear_is_reached_there_past_any_proxy(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with serve() as server:
        home = f"http://{host}:{server.port}"
        assert (await probe(issuer=home, jwks_uri=f"{home}/keys")).ok
        assert server.connections == 2


async def test_one_provider_s_leave_is_not_another_s(tls: Tls) -> None:
    async with serve(tls) as server:
        own = {"jwks_uri": https(server), "ca_bundle": tls.ca}
        providers = [
            ProviderSettings.model_validate(provider_values(**own, **values))
            for values in (
                {"id": "inside", "allow_private_network": True},
                {"id": "outside", "issuer": "https://two.example"},
            )
        ]
        resolver = Answers([["127.0.0.1"]])
        transport = ProviderTransport(providers, resolver=resolver)
        async with httpx.AsyncClient(transport=transport, trust_env=False) as http:
            verifier = IdentityVerifier(providers, http)
            reports = [(await verifier.probe(p.id)).ok for p in providers]
        assert reports == [True, False]
        assert server.connections == 1


@pytest.mark.parametrize(
    ("address", "public", "private_too"),
    [
        ("8.8.8.8", True, True),
        ("2606:4700::1111", True, True),
        ("64:ff9b::808:808", True, True),
        ("2002:808:808::1", True, True),
        ("10.1.2.3", False, True),
        ("172.16.0.1", False, True),
        ("192.168.1.1", False, True),
        ("100.64.0.1", False, True),
        ("127.0.0.53", False, True),
        ("::1", False, True),
        ("fd12:3456::1", False, True),
        ("2001:db8::1", False, True),
        ("::ffff:10.0.0.1", False, True),
        ("64:ff9b::a00:1", False, True),
        ("2002:a00:1::1", False, True),
        ("0.0.0.0", False, False),  # noqa: S104 - judged, not bound
        ("::", False, False),
        ("169.254.169.254", False, False),
        ("::ffff:169.254.169.254", False, False),
        ("64:ff9b::a9fe:a9fe", False, False),
        ("fe80::1%eth0", False, False),
        ("fd00:ec2::254", False, False),
        ("fd00:c1::a9fe:a9fe", False, False),
        ("fd00:42::42", False, False),
        ("fd00:100::100:200", False, False),
        ("fd00:a9fe:a9fe::1", False, False),
        ("fd20:ce::254", False, False),
        ("fec0::1", False, False),
        ("64:ff9b:1::a9fe:a9fe", False, False),
        ("2001:0:102:304::1", False, False),
        ("::169.254.169.254", False, False),
        ("::10.0.0.1", False, True),
        ("100.100.100.200", False, False),
        ("168.63.129.16", False, False),
        ("192.0.0.192", False, False),
        ("224.0.0.1", False, False),
        ("255.255.255.255", False, False),
        ("ff02::1", False, False),
    ],
)
def test_each_kind_of_address_is_known(
    address: str, *, public: bool, private_too: bool
) -> None:
    values = provider_values(), provider_values(allow_private_network=True)
    providers = [ProviderSettings.model_validate(v) for v in values]
    assert [may_connect(p, address) for p in providers] == [public, private_too]


async def test_a_server_is_believed_only_under_the_configured_certificates(
    tls: Tls, tmp_path: Path
) -> None:
    stranger = issue(tmp_path, HOST)
    async with serve(tls) as server:
        bundles: list[Path | None] = [tls.ca, stranger.ca, None]
        reports = [
            await probe(
                Answers([["127.0.0.1"]]),
                jwks_uri=https(server),
                ca_bundle=bundle,
                allow_private_network=True,
            )
            for bundle in bundles
        ]
    assert [report.ok for report in reports] == [True, False, False]
    assert server.requests == [b"GET /keys HTTP/1.1"] * 2


@pytest.mark.parametrize(
    "write",
    [
        lambda _: None,
        lambda path: path.mkdir(),
        lambda path: path.write_text(""),
        lambda path: path.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n"),
    ],
    ids=["missing", "a folder", "empty", "cut"],
)
def test_certificates_that_cannot_be_read_are_refused_at_start(
    tmp_path: Path, write: Callable[[Path], Any]
) -> None:
    path = tmp_path / "ca.pem"
    write(path)
    with pytest.raises(ValidationError, match="must be a readable PEM file"):
        ProviderSettings.model_validate(provider_values(ca_bundle=path))


@pytest.fixture
async def proxied(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[str]]:
    """A proxy in the environment, which refuses: the hosts it was asked for."""
    asked: list[str] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, target, _ = (await reader.readuntil(b"\r\n\r\n")).split(maxsplit=2)
        assert method == b"CONNECT"
        asked.append(target.decode().removesuffix(":443"))
        writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(proxy, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("NO_PROXY", "inside.example")
        yield asked


async def test_a_proxy_is_asked_for_public_hosts_and_names_are_its_to_look_up(
    proxied: list[str],
) -> None:
    resolver = Answers([["10.0.0.1"]])
    for host in (HOST, "8.8.8.8"):
        report = await probe(resolver, jwks_uri=f"https://{host}/keys")
        assert NOT_PUBLIC not in str(report.problems)
    assert (proxied, resolver.asked) == ([HOST, HOST, "8.8.8.8", "8.8.8.8"], 0)


async def test_a_host_past_the_proxy_is_looked_up_and_judged_here(
    proxied: list[str],
) -> None:
    resolver = Answers([["10.0.0.1"]])
    report = await probe(resolver, jwks_uri="https://inside.example/keys")
    assert NOT_PUBLIC in str(report.problems)
    assert (proxied, resolver.asked) == ([], 2)


@pytest.mark.parametrize(
    ("host", "public", "private_too"),
    [
        ("idp.example", True, True),
        ("3com.example", True, True),
        ("localhost.example", True, True),
        ("idp.local.example.", True, True),
        ("10.0.0.1", False, True),
        ("[::1]", False, True),
        ("vault", False, True),
        ("localhost", False, True),
        ("idp.localhost", False, True),
        ("idp.LOCAL", False, True),
        ("idp.corp.internal.", False, True),
        ("nas.home.arpa", False, True),
        ("169.254.169.254", False, False),
        ("[::ffff:169.254.169.254]", False, False),
        ("169.254.169.254.", False, False),
        ("2852039166", False, False),
        ("0xA9FEA9FE", False, False),
        ("127.1", False, False),
        ("idp.0x1", False, False),
        ("127.0.0.1..", False, False),
        ("localhost..", False, False),
        ("idp..example", False, False),
        ("metadata.google.%69nternal", False, False),
    ],
)
async def test_a_proxy_is_not_asked_for_what_is_private_by_its_spelling(
    proxied: list[str], host: str, *, public: bool, private_too: bool
) -> None:
    asked = []
    for allowed in (False, True):
        uri = f"https://{host}/keys"
        report = await probe(jwks_uri=uri, allow_private_network=allowed)
        asked.append(bool(proxied))
        assert asked[-1] is not (NOT_PUBLIC in str(report.problems))
        proxied.clear()
    assert asked == [public, private_too]


async def test_a_request_for_nobody_is_not_sent() -> None:
    provider = ProviderSettings.model_validate(provider_values())
    transport = ProviderTransport([provider])
    async with httpx.AsyncClient(transport=transport, trust_env=False) as http:
        with pytest.raises(KeyError):
            await http.get("https://idp.example/keys")

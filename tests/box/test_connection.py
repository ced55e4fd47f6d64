"""Faults of the wire itself, over loopback TCP with the production transport."""

import asyncio
import socket
import struct
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from sso_box_api.box import Box, NoVerdict, OutcomeUnknown, open_transport
from sso_box_api.errors import BoxUnavailable, ConfigurationError
from sso_box_api.settings import BoxSettings
from sso_box_devkit.box import Enterprise
from tests.support.api import Control
from tests.support.box_script import box_settings, credentials

Behave = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HEAD = b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\n"


async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    linger = struct.pack("ii", 1, 0)
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def say(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()
    writer.close()


async def cut_head(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await say(writer, HEAD[:30])


async def cut_body(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await say(writer, HEAD + b'content-length: 99\r\n\r\n{"id": "1')


async def no_http(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await say(writer, b"220 mail.example ESMTP\r\n\r\n")


async def bad_chunk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await say(writer, HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n{")


async def huge_head(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await say(writer, HEAD + b"x: " + b"y" * 100_000 + b"\r\n\r\n")


async def endless_body(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await say(writer, HEAD + b"content-length: 9000000\r\n\r\n" + b"x" * 2_000_000)


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()  # until the client gives up
    writer.close()


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Always soon enough for a time-out between bytes, never done."""
    writer.write(HEAD + b"content-length: 100000\r\n\r\n")
    while not reader.at_eof() and not writer.is_closing():
        writer.write(b" ")
        await asyncio.sleep(0.02)
    writer.close()


@asynccontextmanager
async def wire(
    enterprise: Enterprise, behave: Behave, address: str
) -> AsyncIterator[tuple[Box, list[bytes]]]:
    """A client with a service token whose Box then behaves as told."""
    sent: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        sent.append(head.split(b" HTTP/")[0])
        try:
            await behave(reader, writer)
        except ConnectionError:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = box_settings(
        enterprise.config(), api_url=f"http://127.0.0.1:{port}", max_attempts=2
    )
    good = settings.model_copy(update={"api_url": address})
    async with open_transport(settings) as http:
        token = await Box(credentials(good), good, http).service_token()
        box = Box(credentials(settings), settings, http)
        box._service._token = token  # a Box that breaks only after the token was had
        try:
            yield box, sent
        finally:
            server.close()


AFTER_SENDING = [
    close,
    reset,
    cut_head,
    cut_body,
    no_http,
    bad_chunk,
    huge_head,
    endless_body,
    silent,
    drip,
]


@pytest.mark.parametrize("behave", AFTER_SENDING, ids=lambda b: b.__name__)
async def test_a_write_that_was_sent_is_never_taken_for_unsent_nor_repeated(
    enterprise: Enterprise, address: str, behave: Behave
) -> None:
    async with wire(enterprise, behave, address) as (box, sent):
        with pytest.raises(OutcomeUnknown):
            await box.create_app_user("Ada", "sb1-ada", timeout_s=0.3)
        assert [line.split(b"?")[0] for line in sent] == [b"POST /2.0/users"]


@pytest.mark.parametrize("behave", AFTER_SENDING, ids=lambda b: b.__name__)
async def test_a_read_ends_in_unavailable_whatever_the_wire_does(
    enterprise: Enterprise, address: str, behave: Behave
) -> None:
    async with wire(enterprise, behave, address) as (box, sent):
        box._caller._settings = box._settings.model_copy(update={"call_timeout_s": 0.2})
        with pytest.raises(BoxUnavailable) as caught:
            await box.get_user("11")
        assert not isinstance(caught.value, OutcomeUnknown)
        assert len(sent) >= 2


async def not_sent(settings: BoxSettings, token_from: str) -> None:
    good = settings.model_copy(update={"api_url": token_from})
    async with open_transport(good) as http:
        token = await Box(credentials(good), good, http).service_token()
    async with open_transport(settings) as http:
        box = Box(credentials(settings), settings, http)
        box._service._token = token
        with pytest.raises(BoxUnavailable) as caught:
            await box.create_app_user("Ada", "sb1-ada", timeout_s=0.6)
    assert not isinstance(caught.value, OutcomeUnknown)


async def test_a_refused_connection_was_not_sent(
    enterprise: Enterprise, address: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    await not_sent(box_settings(enterprise.config(), api_url=url), address)


async def test_a_connection_that_never_stands_was_not_sent(
    enterprise: Enterprise, address: str
) -> None:
    """TLS towards a server that never shakes hands."""
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    await not_sent(box_settings(enterprise.config(), api_url=url), address)
    server.close()


async def test_a_wait_for_a_free_connection_was_not_sent(
    enterprise: Enterprise, address: str
) -> None:
    async with wire(enterprise, silent, address) as (box, sent):
        settings = box._settings.model_copy(update={"max_connections": 1})
        async with open_transport(settings) as http:
            full = Box(credentials(settings), settings, http)
            full._service = box._service
            first, second = await asyncio.gather(
                full.create_app_user("Ada", "sb1-a", timeout_s=1.0),
                full.create_app_user("Eve", "sb1-e", timeout_s=0.4),
                return_exceptions=True,
            )
        assert type(first) is OutcomeUnknown
        assert type(second) is NoVerdict
        assert len(sent) == 1


async def test_a_proxy_that_refuses_is_asked_and_nothing_was_sent(
    enterprise: Enterprise, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        await say(writer, b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
    settings = box_settings(enterprise.config(), api_url="https://box.invalid")
    await not_sent(settings, address)
    assert asked[0].startswith(b"CONNECT box.invalid:443")
    server.close()


async def test_no_proxy_is_obeyed(
    tcp_settings: BoxSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with open_transport(tcp_settings) as http:
        box = Box(credentials(tcp_settings), tcp_settings, http)
        assert (await box.service_token()).access_token


async def test_no_proxy_is_judged_for_the_upload_host_by_itself(
    tcp_settings: BoxSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        await say(writer, b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    upload_url = "http://upload.invalid/api"
    settings = tcp_settings.model_copy(update={"upload_url": upload_url})
    async with open_transport(settings) as http:
        box = Box(credentials(settings), settings, http)
        with pytest.raises(BoxUnavailable):
            await box.upload_file("0", "a", b"x")
    assert [line.split(b"?")[0] for line in asked] == [
        b"POST http://upload.invalid/api/2.0/files/content"
    ]
    server.close()


async def test_after_the_connection_is_closed_box_is_unavailable(
    tcp_settings: BoxSettings,
) -> None:
    http = open_transport(tcp_settings)
    box = Box(credentials(tcp_settings), tcp_settings, http)
    await box.service_token()
    await http.aclose()
    with pytest.raises(BoxUnavailable) as caught:
        await box.create_app_user("Ada", "sb1-ada", timeout_s=1)
    assert not isinstance(caught.value, OutcomeUnknown)


async def test_a_connection_that_was_closed_unused_opens_none(
    tcp_settings: BoxSettings,
) -> None:
    settings = tcp_settings.model_copy(update={"max_attempts": 1})
    http = open_transport(settings)
    await http.aclose()
    with pytest.raises(BoxUnavailable):
        await Box(credentials(settings), settings, http).service_token()


# The emulator's faults, over TCP


@pytest.fixture
def control(address: str, enterprise: Enterprise) -> Control:
    del enterprise
    return Control(httpx.AsyncHTTPTransport(), address)


@pytest.mark.parametrize(
    "fault",
    [
        {"drop": True},
        {"status": 503},
        {"status": 504, "body": "<html>gateway time-out</html>"},
        {"delay_ms": 2_000},
    ],
    ids=["drop", "503", "html", "too late"],
)
async def test_a_user_created_behind_a_lost_answer_is_unknown_and_is_found(
    tcp_client: Box, control: Control, fault: dict[str, object]
) -> None:
    await tcp_client.service_token()
    await control.call("DELETE", "/_emulator/requests")
    await control.fault("POST", "/2.0/users", after_commit=True, **fault)
    with pytest.raises(OutcomeUnknown):
        await tcp_client.create_app_user("Ada", "sb1-ada", timeout_s=0.5)
    assert await control.requests() == ["POST /2.0/users"]
    (found,) = await tcp_client.find_app_users("sb1-ada")
    assert [found.id] == [u["id"] for u in await control.users()]


@pytest.mark.parametrize(
    "fault",
    [
        {"drop": True},
        {"status": 429, "headers": {"Retry-After": "0"}},
        {"status": 502, "body": "<html>"},
        {"delay_ms": 1_500},
    ],
    ids=["drop", "429", "html", "too late"],
)
async def test_a_read_outlives_one_fault(
    tcp_client: Box, control: Control, fault: dict[str, object]
) -> None:
    made = await tcp_client.create_app_user("Ada", "sb1-ada", timeout_s=2)
    path = f"/2.0/users/{made.id}"
    await control.call("DELETE", "/_emulator/requests")
    await control.fault("GET", path, **fault)
    assert (await tcp_client.get_user(made.id)).id == made.id
    assert await control.requests() == [f"GET {path}"] * 2


async def test_the_deadline_ends_a_call_that_never_answers(
    tcp_settings: BoxSettings, control: Control
) -> None:
    settings = tcp_settings.model_copy(update={"deadline_s": 0.2})
    async with open_transport(settings) as http:
        box = Box(credentials(settings), settings, http)
        await control.fault("POST", "/oauth2/token", delay_ms=1_000)
        with pytest.raises(BoxUnavailable, match="within the deadline"):
            await box.user_token("11")


async def test_revocation_over_a_dropped_answer_is_done(
    tcp_client: Box, control: Control
) -> None:
    mine = await tcp_client.service_token()
    await control.fault("POST", "/oauth2/revoke", after_commit=True, drop=True)
    await tcp_client.revoke(mine.access_token)
    assert not await tcp_client.is_live(mine.access_token)


async def test_connections_are_kept_and_bounded_by_the_setting(
    tcp_settings: BoxSettings,
) -> None:
    settings = tcp_settings.model_copy(update={"max_connections": 2})
    async with open_transport(settings) as http:
        box = Box(credentials(settings), settings, http)
        made = await box.create_app_user("Ada", "sb1-ada", timeout_s=2)
        users = await asyncio.gather(*(box.get_user(made.id) for _ in range(20)))
    assert {u.id for u in users} == {made.id}


async def test_a_cookie_of_one_answer_does_not_go_with_the_next_call(
    enterprise: Enterprise,
) -> None:
    """By name and not by address: for an address no cookie would be kept anyway."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        cookie = b"set-cookie: box=hush; Path=/\r\ncontent-length: 4\r\n\r\nnull"
        await say(writer, HEAD + cookie)

    server = await asyncio.start_server(serve, "localhost", 0)
    port = server.sockets[0].getsockname()[1]
    settings = box_settings(enterprise.config(), api_url=f"http://localhost:{port}")
    async with open_transport(settings) as http:
        box = Box(credentials(settings), settings, http)
        with pytest.raises(BoxUnavailable):
            await box.service_token()
    server.close()
    assert len(heads) == 2
    assert b"cookie" not in heads[1].lower()


@pytest.mark.parametrize("proxy", ["svc:hush@127.0.0.1:3128", "127.0.0.1:3128"])
def test_a_proxy_that_is_no_url_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY: must be") as refusal:
        open_transport(box_settings())
    assert "hush" not in "".join(traceback.format_exception(refusal.value))

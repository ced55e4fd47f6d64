"""Fetch one JSON document of a provider, whatever the other end does.

Off the way of a request once the keys are warm. Text from the answer never gets into
an error or a log.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

MAX_DOCUMENT_BYTES = 256 * 1024

# By this extension of a request the transport knows whose rules hold for it.
PROVIDER_EXTENSION = "provider"


class FetchProblem(Exception):
    """Keys cannot be had. The message is one line: what is wrong, and what to do.

    ``status`` is the HTTP status of the answer, where there was one.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON object, and the two headers that somebody asks for."""

    content: dict[str, Any]
    cache_control: str
    date: str


@asynccontextmanager
async def bounded(timeout_s: float) -> AsyncIterator[None]:
    """Within this nothing but ``FetchProblem`` and cancellation comes out."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except FetchProblem:
        raise
    except TimeoutError:
        raise FetchProblem(
            f"no complete answer within {timeout_s:g} s; check the network,"
            " or raise fetch_timeout_s"
        ) from None
    except Exception as error:  # noqa: BLE001 - no answer may cause more than a failed fetch
        # Not chained: protocol errors quote what the other end sent.
        raise FetchProblem(
            f"no usable answer ({type(error).__name__});"
            " check the address, DNS, TLS and the firewall"
        ) from None


async def fetch_json(
    http: httpx.AsyncClient, url: str, what: str, *, provider_id: str
) -> Document:
    """GET a JSON object of a provider; ``what`` names the document in messages.

    Raises ``FetchProblem`` for every answer that is not one, and lets the errors of
    the transport through: call it within ``bounded``.
    """
    # Unpacked by us, a small answer could become a huge one before we can count it.
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    async with http.stream(
        "GET",
        url,
        headers=headers,
        follow_redirects=False,
        extensions={PROVIDER_EXTENSION: provider_id},
    ) as response:
        _check_head(response, what)
        body = await _read(response, what)
    return Document(
        content=_json_object(body, what),
        cache_control=response.headers.get("Cache-Control", ""),
        date=response.headers.get("Date", ""),
    )


def _check_head(response: httpx.Response, what: str) -> None:
    status = response.status_code
    if response.is_redirect:
        raise FetchProblem(
            f"the {what} answers with a redirect, and none is followed;"
            " configure the final address",
            status=status,
        )
    if status != httpx.codes.OK:
        raise FetchProblem(
            f"the {what} answers with status {status}; check the configured address",
            status=status,
        )
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise FetchProblem(f"the {what} comes compressed, though not asked for")


async def _read(response: httpx.Response, what: str) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_DOCUMENT_BYTES:
            raise FetchProblem(
                f"the {what} is larger than {MAX_DOCUMENT_BYTES} bytes;"
                " check the configured address"
            )
    return bytes(body)


def _json_object(body: bytes, what: str) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise FetchProblem(
            f"the {what} is not a JSON object; check the configured address"
        )
    return content

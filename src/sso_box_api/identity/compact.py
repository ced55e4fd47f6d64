"""The first step on a token: bounds and a strict parse, before anything is believed.

RFC 7515 section 7.1. Stricter than the signature library, which ignores characters
outside base64url and lets the last of two equal members win: two parsers that read
one token differently are how forgeries pass, and a token that has only one spelling
can be known again by its hash.
"""

import base64
import binascii
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NewType

from sso_box_api.identity.rules import Rule

UnverifiedToken = NewType("UnverifiedToken", str)

# An Entra ID token with its limit of 200 groups is about 13 KiB.
MAX_TOKEN_CHARS = 16 * 1024
MAX_HEADER_CHARS = 2 * 1024
MAX_SIGNATURE_CHARS = 1366  # RSA with 8192 bits
MAX_NUMBER_CHARS = 64
MAX_DEPTH = 32

_JWS_SEGMENTS = 3
_JWE_SEGMENTS = 5


@dataclass(frozen=True, slots=True)
class ParsedToken:
    """Well-formed, and nothing more: no part of it is verified yet."""

    unverified_token: UnverifiedToken = field(repr=False)
    unverified_header: Mapping[str, Any]
    unverified_claims: dict[str, Any]
    signing_input: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def parse(unverified_token: UnverifiedToken) -> ParsedToken:
    """Take a compact JWS apart. Raises ``TokenMalformed``."""
    header, payload, signature = _segments(unverified_token)
    return ParsedToken(
        unverified_token=unverified_token,
        signature=_decode(signature),
        unverified_header=_parse_header(header),
        unverified_claims=_json_object(_decode(payload)),
        # Exactly the text that was parsed: there is no second spelling of it.
        signing_input=f"{header}.{payload}".encode(),
    )


@lru_cache(maxsize=64)
def _parse_header(segment: str) -> Mapping[str, Any]:
    """Of one provider's tokens all headers are the same text, but for rotations."""
    return MappingProxyType(_json_object(_decode(segment)))


def _segments(unverified_token: UnverifiedToken) -> tuple[str, str, str]:
    if len(unverified_token) > MAX_TOKEN_CHARS:
        raise Rule.TOKEN_TOO_LONG.refusal()
    if not unverified_token.isascii():
        raise Rule.TOKEN_NOT_ASCII.refusal()
    segments = unverified_token.split(".", maxsplit=_JWE_SEGMENTS)
    if len(segments) == _JWE_SEGMENTS:
        raise Rule.TOKEN_ENCRYPTED.refusal()
    if len(segments) != _JWS_SEGMENTS:
        raise Rule.SEGMENT_COUNT.refusal()
    header, payload, signature = segments
    if not header or not payload:
        raise Rule.SEGMENT_EMPTY.refusal()
    if not signature:
        raise Rule.SIGNATURE_MISSING.refusal()
    if len(header) > MAX_HEADER_CHARS:
        raise Rule.HEADER_TOO_LONG.refusal()
    if len(signature) > MAX_SIGNATURE_CHARS:
        raise Rule.SIGNATURE_TOO_LONG.refusal()
    return header, payload, signature


def _decode(segment: str) -> bytes:
    try:
        return decode_base64url(segment)
    except ValueError:
        raise Rule.BASE64URL_NOT_CANONICAL.refusal() from None


def decode_base64url(text: str) -> bytes:
    """Decode the one canonical spelling, without padding. Raises ``ValueError``."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise ValueError("not base64url") from error
    # The decoder skips what it does not know; only the way back shows that.
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != text:
        raise ValueError("not canonical base64url")
    return data


def _json_object(data: bytes) -> dict[str, Any]:
    try:
        value = _DECODER.decode(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        # How deep a parse may go before it gives up differs between Pythons.
        deep = isinstance(error, RecursionError)
        raise (Rule.JSON_TOO_DEEP if deep else Rule.JSON_INVALID).refusal() from None
    if not isinstance(value, dict):
        raise Rule.JSON_NOT_OBJECT.refusal()
    # So few brackets cannot be nested deeper, and most tokens have only one.
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH and _deeper_than(
        value, MAX_DEPTH
    ):
        raise Rule.JSON_TOO_DEEP.refusal()
    return value


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Rule.JSON_DUPLICATE_MEMBER.refusal()
    return members


def _no_constant(_: str) -> float:
    raise Rule.JSON_NUMBER.refusal()


def _bounded_int(digits: str) -> int:
    if len(digits) > MAX_NUMBER_CHARS:
        raise Rule.JSON_NUMBER.refusal()
    return int(digits)


def _finite_float(digits: str) -> float:
    number = float(digits)
    if len(digits) > MAX_NUMBER_CHARS or not math.isfinite(number):
        raise Rule.JSON_NUMBER.refusal()
    return number


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_members,
    parse_constant=_no_constant,
    parse_int=_bounded_int,
    parse_float=_finite_float,
)


def _deeper_than(value: object, limit: int) -> bool:
    """Walk level by level: recursion is what the bound is there to prevent."""
    level: list[object] = [value]
    for _ in range(limit):
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if not below:
            return False
        level = below
    return True

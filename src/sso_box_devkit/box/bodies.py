"""Reading what a caller sent, with Box's 400 for what does not fit."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from starlette.requests import Request

from sso_box_devkit.box.responses import BoxError, invalid_parameter

MAX_ITEM_NAME = 255


async def json_object(request: Request) -> dict[str, Any]:
    return as_object(await request.body())


def as_object(raw: bytes | str) -> dict[str, Any]:
    try:
        body = json.loads(raw)
        json.dumps(body, ensure_ascii=False).encode()  # a lone surrogate fails
    except ValueError as error:
        raise BoxError(
            400, "bad_request", "Could not parse JSON; it may be malformed"
        ) from error
    if not isinstance(body, dict):
        raise BoxError(400, "bad_request", "Entity body should be a JSON object")
    return body


def text(body: Mapping[str, Any], name: str) -> str | None:
    """None where absent or null."""
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise invalid_parameter(name, f"Invalid value for '{name}'")
    return value


def flag(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "false").lower() == "true"


def inner_id(body: Mapping[str, Any], name: str) -> str | None:
    """``name.id``; None where there is no such object. Box's ids are strings."""
    inner = body.get(name)
    if inner is None:
        return None
    value = inner.get("id") if isinstance(inner, dict) else None
    if not isinstance(value, str) or not value.isdecimal():
        raise invalid_parameter(name, f"'{name}' needs an id")
    return value


def required_id(body: Mapping[str, Any], name: str) -> str:
    value = inner_id(body, name)
    if value is None:
        raise invalid_parameter(name, f"'{name}' is required")
    return value


def one_of(body: Mapping[str, Any], name: str, allowed: Collection[str]) -> str | None:
    """None where absent or null."""
    value = text(body, name)
    if value is not None and value not in allowed:
        raise invalid_parameter(name, f"Invalid value for '{name}'")
    return value


def item_name(body: Mapping[str, Any]) -> str:
    """Box's rules for names: no slashes, no control characters, no edge spaces."""
    name = text(body, "name")
    if not name:
        raise invalid_parameter("name", "'name' is required")
    if len(name) > MAX_ITEM_NAME:
        raise BoxError(400, "item_name_too_long", "Item name too long")
    if (
        name in {".", ".."}
        or name != name.strip(" ")
        or any(c in "/\\" or not c.isprintable() for c in name)
    ):
        raise BoxError(400, "item_name_invalid", "Item name invalid")
    return name

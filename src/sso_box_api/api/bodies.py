"""The bodies of requests, read as strictly as they are documented."""

from typing import TypeVar
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError

from sso_box_api.api.credentials import refuse_token_in_query
from sso_box_api.errors import InvalidForm, UnsupportedMediaType

T = TypeVar("T")

_MOST_PARAMETERS = 32


async def read_json(request: Request, shape: TypeAdapter[T]) -> T | None:
    """Parse a JSON body into the documented shape; None where there is none.

    Raises ``UnsupportedMediaType``, ``RequestValidationError``.
    """
    body = await request.body()
    if not body:
        return None
    _require_type(request, "application/json")
    try:
        return shape.validate_json(body)
    except ValidationError as error:
        items = error.errors(
            include_url=False, include_input=False, include_context=False
        )
        located = [{**item, "loc": ("body", *item["loc"])} for item in items]
    raise RequestValidationError(located)


async def read_form(request: Request) -> dict[str, str]:
    """Parse a form as RFC 6749 section 3.2 asks: no parameter twice.

    An empty value counts as not sent. Raises ``UnsupportedMediaType``, ``InvalidForm``,
    ``AmbiguousCredentials`` for a token in the query.
    """
    refuse_token_in_query(request)
    _require_type(request, "application/x-www-form-urlencoded")
    try:
        pairs = parse_qsl(
            (await request.body()).decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MOST_PARAMETERS,
        )
    except ValueError:
        raise InvalidForm("form") from None
    form = {name: value for name, value in pairs if value}
    if len({name for name, _ in pairs}) != len(pairs):
        raise InvalidForm("repeated_parameter")
    return form


def _require_type(request: Request, expected: str) -> None:
    sent = request.headers.get("content-type", "")
    if sent != expected and sent.split(";")[0].strip().lower() != expected:
        raise UnsupportedMediaType("content_type")

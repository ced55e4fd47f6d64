"""The forms of the OAuth routes, read as strictly as RFC 6749 section 3.2 asks."""

from urllib.parse import parse_qsl

from fastapi import Request

from sso_box_api.api.credentials import refuse_token_in_query
from sso_box_api.errors import InvalidForm, UnsupportedMediaType

_MOST_PARAMETERS = 32


async def read_form(request: Request) -> dict[str, str]:
    """Parse the body: no parameter twice; an empty value counts as not sent.

    Raises ``UnsupportedMediaType``, ``InvalidForm``, ``AmbiguousCredentials`` for a
    token in the query.
    """
    refuse_token_in_query(request)
    sent = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if sent != "application/x-www-form-urlencoded":
        raise UnsupportedMediaType("content_type")
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

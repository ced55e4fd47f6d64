"""Parameters as OAuth wants them read: strict about repeats, easy on the unknown."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.requests import Request

FORM_TYPE = "application/x-www-form-urlencoded"


class OAuthError(Exception):
    """An error that the client is told (RFC 6749 sections 4.1.2.1 and 5.2)."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(error)
        self.error = error
        self.description = description
        self.status = status

    def members(self) -> dict[str, str]:
        return {"error": self.error, "error_description": self.description}


async def read_form(request: Request) -> dict[str, str]:
    """Return the body's parameters. Raises OAuthError ``invalid_request``."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != FORM_TYPE:
        raise OAuthError("invalid_request", f"the body must be {FORM_TYPE}")
    return parse(await request.body())


def parse(encoded: str | bytes) -> dict[str, str]:
    """Return the parameters; empty ones count as absent (RFC 6749 section 3.1).

    Raises OAuthError ``invalid_request`` where one comes twice.
    """
    text = encoded if isinstance(encoded, str) else encoded.decode("utf-8", "replace")
    found: dict[str, str] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        if name in found:
            raise OAuthError("invalid_request", "a parameter was sent twice")
        found[name] = value
    return {name: value for name, value in found.items() if value}


def with_query(uri: str, more: Mapping[str, str]) -> str:
    """Return ``uri`` with parameters added to those it has."""
    parts = urlsplit(uri)
    query = [*parse_qsl(parts.query, keep_blank_values=True), *more.items()]
    return parts._replace(query=urlencode(query)).geturl()

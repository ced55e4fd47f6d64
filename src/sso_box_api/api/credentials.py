"""Where the ID token stands in a request: one place, and never the URL."""

import re
from typing import Annotated

from fastapi import Depends, Request

from sso_box_api.errors import AmbiguousCredentials, TokenMalformed, TokenMissing
from sso_box_api.identity import UnverifiedToken

# RFC 6750 section 2.1: b64token. The scheme's name is case-insensitive.
_BEARER = re.compile(r"bearer +([A-Za-z0-9\-._~+/]+=*)", re.IGNORECASE | re.ASCII)

_TOKENS = frozenset({"access_token", "id_token", "subject_token"})


def bearer_token(request: Request) -> UnverifiedToken | None:
    """Return the Bearer token; None without an Authorization header.

    Raises ``AmbiguousCredentials`` for two headers or a token in the query
    (RFC 6750 section 2: one method a request), ``TokenMalformed`` for other schemes.
    """
    refuse_token_in_query(request)
    headers = request.headers.getlist("authorization")
    if not headers:
        return None
    if len(headers) > 1:
        raise AmbiguousCredentials("two_headers")
    match = _BEARER.fullmatch(headers[0].strip())
    if match is None:
        raise TokenMalformed("authorization_header")
    return UnverifiedToken(match.group(1))


def refuse_token_in_query(request: Request) -> None:
    """Raise ``AmbiguousCredentials``: what stands in a URL stands in many logs."""
    if request.scope["query_string"] and not _TOKENS.isdisjoint(request.query_params):
        raise AmbiguousCredentials("token_in_query")


async def _bearer_token(request: Request) -> UnverifiedToken | None:
    return bearer_token(request)


BearerToken = Annotated[UnverifiedToken | None, Depends(_bearer_token)]


def one_token(bearer: UnverifiedToken | None, body: str | None) -> UnverifiedToken:
    """Take the token from the one place it was sent in."""
    if bearer is not None and body is not None:
        raise AmbiguousCredentials("header_and_body")
    if bearer is not None:
        return bearer
    if body is None:
        raise TokenMissing
    return UnverifiedToken(body)

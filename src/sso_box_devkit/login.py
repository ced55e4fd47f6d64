"""A person's login without a browser: authorization code with PKCE, as a page does it.

The one step a browser adds, picking a person on the provider's page, is replaced by
``prompt=none`` with a ``login_hint``, which the local provider understands.
"""

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import click
import httpx

CLIENT_ID = "demo-spa"
REDIRECT_URI = "http://127.0.0.1/callback"


class LoginFailed(Exception):
    """The provider did not log the person in; the text is its error code."""


@dataclass(frozen=True)
class Authorization:
    """What the redirect brought back, and the secret that goes with it."""

    code: str = field(repr=False)
    verifier: str = field(repr=False)


def log_in(http: httpx.Client, issuer: str, person: str) -> str:
    """Return an ID token of ``person``. Raises LoginFailed or httpx.HTTPError."""
    metadata = discover(http, issuer)
    return redeem(http, metadata, authorize(http, metadata, person))


def discover(http: httpx.Client, issuer: str) -> dict[str, Any]:
    url = issuer.rstrip("/") + "/.well-known/openid-configuration"
    metadata: dict[str, Any] = http.get(url).raise_for_status().json()
    if metadata["issuer"] != issuer:
        raise LoginFailed("issuer_mismatch")
    return metadata


def authorize(
    http: httpx.Client, metadata: dict[str, Any], person: str
) -> Authorization:
    """Obtain a code for ``person`` (RFC 6749 section 4.1.1, RFC 7636 section 4.3)."""
    verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(16)
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    answer = http.get(
        metadata["authorization_endpoint"],
        params={
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": REDIRECT_URI,
            "scope": "openid profile email",
            "state": state,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            "prompt": "none",
            "login_hint": person,
        },
    )
    if not answer.is_redirect:
        raise LoginFailed(f"authorize_answered_{answer.status_code}")
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    if query.get("state") != [state]:
        raise LoginFailed("state_mismatch")
    if "code" not in query:
        raise LoginFailed(query.get("error", ["no_code"])[0])
    return Authorization(query["code"][0], verifier)


def redeem(
    http: httpx.Client, metadata: dict[str, Any], authorization: Authorization
) -> str:
    """Trade code and verifier for the ID token (RFC 7636 section 4.5)."""
    answer = http.post(
        metadata["token_endpoint"],
        data={
            "grant_type": "authorization_code",
            "client_id": CLIENT_ID,
            "redirect_uri": REDIRECT_URI,
            "code": authorization.code,
            "code_verifier": authorization.verifier,
        },
    )
    if answer.is_client_error:
        raise LoginFailed(answer.json()["error"])
    id_token: str = answer.raise_for_status().json()["id_token"]
    return id_token


@click.command()
@click.option("--idp", default="http://127.0.0.1:8200", show_default=True)
@click.argument("person")
def login(idp: str, person: str) -> None:
    """Log PERSON in at the local provider and print the ID token."""
    try:
        with httpx.Client(timeout=10, trust_env=False) as http:
            click.echo(log_in(http, idp, person))
    except (LoginFailed, httpx.HTTPError) as error:
        message = f"no login at {idp}: {error}"
        raise click.ClickException(message) from None

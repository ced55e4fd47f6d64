"""The authorization endpoint: who is it, and may the client have a code?"""

import re
import secrets
from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso_box_devkit.idp import page
from sso_box_devkit.idp.forms import OAuthError, parse, read_form, with_query
from sso_box_devkit.idp.people import find_person
from sso_box_devkit.idp.provider import Grant, Idp

SCOPES: Final = ("openid", "profile", "email", "offline_access")

# A SHA-256 in base64url (RFC 7636 section 4.2).
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")


async def authorize(request: Request) -> Response:
    """Answer with the page to pick a person, or send the browser back with a code."""
    idp: Idp = request.app.state.idp
    try:
        params = await _parameters(request)
        redirect_uri = _redirect_uri(idp, params)
    except OAuthError as problem:
        # Never to an address that nobody registered: that would be an open redirector.
        return page.error(problem.description)
    state = {"state": params["state"]} if "state" in params else {}
    try:
        _check(params)
        typed = params.get("person") or _without_asking(params)
        person = find_person(typed) if typed else None
        if person is None:
            return page.pick_person(params, unreadable=bool(typed))
    except OAuthError as problem:
        return _back(idp, redirect_uri, {**problem.members(), **state})
    grant = Grant(
        id=secrets.token_hex(8),
        client_id=params["client_id"],
        person=person,
        scope=" ".join(s for s in params["scope"].split() if s in SCOPES),
        auth_time=int(idp.now()),
    )
    code = idp.issue_code(
        grant,
        redirect_uri=redirect_uri,
        code_challenge=params["code_challenge"],
        nonce=params.get("nonce"),
    )
    return _back(idp, redirect_uri, {"code": code, **state})


async def _parameters(request: Request) -> dict[str, str]:
    if request.method == "POST":
        return await read_form(request)
    # Only the page's own form says who it is: a link must not log anybody in.
    params = parse(request.url.query)
    params.pop("person", None)
    return params


def _redirect_uri(idp: Idp, params: Mapping[str, str]) -> str:
    client = idp.clients.get(params.get("client_id", ""))
    if client is None:
        raise OAuthError("invalid_request", "The client_id is not registered.")
    uri = params.get("redirect_uri", "")
    if not client.accepts(uri):
        raise OAuthError("invalid_request", "The redirect_uri is not registered.")
    return uri


def _check(params: Mapping[str, str]) -> None:
    if params.get("response_type") != "code":
        raise OAuthError("unsupported_response_type", "response_type must be code")
    if params.get("response_mode", "query") != "query":
        raise OAuthError("invalid_request", "response_mode must be query")
    if "request" in params:
        raise OAuthError("request_not_supported", "request objects are not supported")
    if "openid" not in params.get("scope", "").split():
        raise OAuthError("invalid_scope", "scope must contain openid")
    # An absent method means plain (RFC 7636 section 4.3), which is refused as well.
    if params.get("code_challenge_method") != "S256":
        raise OAuthError("invalid_request", "code_challenge_method must be S256")
    if not _CHALLENGE.fullmatch(params.get("code_challenge", "")):
        raise OAuthError(
            "invalid_request", "code_challenge must be a base64url SHA-256"
        )


def _without_asking(params: Mapping[str, str]) -> str | None:
    """``prompt=none`` with a ``login_hint`` logs that person in and shows no page."""
    prompts = params.get("prompt", "").split()
    if "none" not in prompts:
        return None
    if len(prompts) > 1:
        raise OAuthError("invalid_request", "prompt=none goes with no other prompt")
    hint = params.get("login_hint")
    if hint is None or find_person(hint) is None:
        raise OAuthError("login_required", "prompt=none needs a login_hint here")
    return hint


def _back(idp: Idp, redirect_uri: str, answer: Mapping[str, str]) -> Response:
    # RFC 9207: iss lets the client notice an answer of another provider.
    uri = with_query(redirect_uri, {**answer, "iss": idp.issuer})
    # 303, so that the form's POST comes back to the client as a GET.
    return RedirectResponse(uri, 303)

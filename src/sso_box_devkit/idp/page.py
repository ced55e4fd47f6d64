"""The pages a person sees: plain HTML, no script, nothing loaded from elsewhere."""

from collections.abc import Mapping
from html import escape
from typing import Final

from starlette.responses import HTMLResponse

from sso_box_devkit.idp.people import PEOPLE

_HEADERS: Final = {
    # No form-action: browsers apply it to the redirect after the form as well, and
    # that goes to the client's own address.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none';"
        " frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_STYLE: Final = """
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 26rem; margin: 10vh auto;
       padding: 0 1rem; color: #1b1b1b; background: #fff }
button, input { font: inherit; width: 100%; box-sizing: border-box; padding: .6rem;
       margin: .25rem 0; border: 1px solid #59636e; border-radius: .4rem }
button { background: #0b5cad; color: #fff; cursor: pointer }
:focus-visible { outline: 3px solid #b35900; outline-offset: 2px }
"""


def pick_person(params: Mapping[str, str], *, unreadable: bool = False) -> HTMLResponse:
    """Ask who is logging in; the form carries the request's parameters along."""
    hidden = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in params.items()
        if name != "person"
    )
    people = "".join(
        f'<button name="person" value="{escape(key)}">{escape(person.name)}</button>'
        for key, person in PEOPLE.items()
    )
    hint = escape(params.get("login_hint", ""))
    complaint = (
        '<p role="alert">Please type a name that can be read.</p>' if unreadable else ""
    )
    return _html(
        "Who are you?",
        f"<p>This is the local identity provider; it asks for no password."
        f" You are logging in to <strong>{escape(params['client_id'])}</strong>.</p>"
        f'<form method="post">{hidden}{people}</form>'
        f'<form method="post">{hidden}{complaint}'
        f'<label for="person">Somebody else</label>'
        f'<input id="person" name="person" value="{hint}" maxlength="100" required'
        f' autocomplete="off"><button>Log in</button></form>',
    )


def logged_out() -> HTMLResponse:
    return _html("Logged out", "<p>The identity provider has ended the login.</p>")


def error(problem: str) -> HTMLResponse:
    return _html("This login cannot go on", f"<p>{escape(problem)}</p>", 400)


def _html(title: str, body: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>",
        status,
        _HEADERS,
    )

"""What to change when Box refuses: the switch, and the console it is in.

Box's descriptions are matched by substring, the way its own SDKs do, and never
shown. Sources: developer.box.com, "JWT with SDKs", "Client Credentials Grant",
"Platform App Approval", "Common errors"; support.box.com 360043691734 ('sub'),
360044192553 ("Cannot obtain user token").
"""

from dataclasses import dataclass

import httpx

UNREADABLE = "not in Box's form"

_CONSOLE = "Box Developer Console, Configuration tab"
_REAUTHORIZE = (
    "then have an admin authorize the app again"
    " (Admin Console, Platform Apps Manager, Server Authentication Apps)"
)


ENTERPRISE_ACCESS = "'App + Enterprise Access'"
# By which codes Box says what is missing; some refusals come without one.
LACK_OF_A_SCOPE = frozenset(
    {"", "insufficient_scope", "access_denied_insufficient_permissions", "forbidden"}
    | {"invalid_scope"}
)
UNKNOWN_PAGE = frozenset({"cors_origin_not_whitelisted"})
CLOCK = "Set this host's clock by NTP: Box takes assertions within 60 seconds only"
ENTERPRISE = (
    "enterpriseID in config.json (or SSO_BOX_BOX__ENTERPRISE_ID) is not the app's:"
    " compare it with the Developer Console, General Settings"
)
GROUPS = (
    f"only if groups are to be managed: {_CONSOLE}, Application Scopes: turn on"
    f" 'Manage groups', {_REAUTHORIZE}"
)
APP_ACCESS = (
    f"{_CONSOLE}, App Access Level: choose {ENTERPRISE_ACCESS}, {_REAUTHORIZE}; or put"
    " kind app into box_user of SSO_BOX_PROVIDERS"
)
WIDER = "Such a token is never handed out; tell Box support"
SILENT = "SSO_BOX_VENDING__SCOPE_ANSWER: put log, if that is to be accepted"


def scope(name: str) -> str:
    """Name the application scope that is missing."""
    return f"{_CONSOLE}, Application Scopes: turn on '{name}', {_REAUTHORIZE}"


def cors(origin: str) -> str:
    """Name the page that Box does not know."""
    return f"{_CONSOLE}, CORS Domains: add {origin}"


@dataclass(frozen=True)
class _Rule:
    code: str  # Box's error code; "" is any
    words: str  # in Box's description, in lower case; "" is any
    hint: str


# The first rule that fits wins, so the narrow ones stand first.
_RULES = (
    _Rule(
        "",
        "not authorized by the enterprise",
        "Box Admin Console, Platform Apps Manager, Server Authentication Apps:"
        " authorize this app",
    ),
    _Rule(
        "unauthorized_client",
        "box_subject_type",
        f"{_CONSOLE}: turn on 'Generate user access tokens' and check the App Access"
        f" Level, {_REAUTHORIZE}",
    ),
    _Rule(
        "unauthorized_client",
        "",
        "Box Admin Console, Platform Apps Manager, Server Authentication Apps:"
        " authorize this app",
    ),
    _Rule(
        "",
        "based on the enterprise configuration for your app",
        f"{_CONSOLE}, Advanced Features: turn on 'Generate user access tokens';"
        " for managed users set App Access Level to 'App + Enterprise Access';"
        f" {_REAUTHORIZE}",
    ),
    _Rule(
        "",
        "grant credentials are invalid",
        f"{_CONSOLE}: compare client id, client secret and enterprise id, turn on"
        f" 'Generate user access tokens', check the App Access Level, {_REAUTHORIZE}",
    ),
    _Rule(
        "",
        "grant type is unauthorized",
        f"{_CONSOLE}: the app's authentication method is another one; use the"
        " config.json of a JWT app or the client credentials of a CCG app",
    ),
    _Rule("", "'exp'", CLOCK),
    _Rule(
        "",
        "'jti'",
        "Box saw this assertion before: look for a proxy that repeats requests",
    ),
    _Rule(
        "",
        "'sub'",
        "enterpriseID in config.json must be the enterprise that authorized the app"
        " (Developer Console, General Settings); for a user: the user must exist there"
        " and belong to this app",
    ),
    _Rule(
        "",
        "signature verification",
        f"{_CONSOLE}, Add and Manage Public Keys: publicKeyID and privateKey in"
        " config.json must be one pair that is still listed; else generate a new one",
    ),
    _Rule(
        "",
        "kid",
        f"{_CONSOLE}, Add and Manage Public Keys: publicKeyID in config.json is not"
        " listed; generate a new keypair",
    ),
    _Rule(
        "invalid_client",
        "",
        f"{_CONSOLE}: clientID and clientSecret in config.json are not this app's;"
        " download the file again",
    ),
    _Rule(
        "insufficient_scope",
        "",
        f"{_CONSOLE}, Application Scopes: turn on 'Manage users' and 'Read and write"
        f" all files', {_REAUTHORIZE}",
    ),
    _Rule(
        "access_denied_insufficient_permissions",
        "",
        f"{_CONSOLE}: check Application Scopes ('Manage users') and the App Access"
        f" Level, {_REAUTHORIZE}",
    ),
    _Rule(
        "invalid_scope",
        "",
        f"{_CONSOLE}, Application Scopes: the app does not hold a scope that the"
        f" profile asks for; turn it on, {_REAUTHORIZE}",
    ),
    _Rule(
        "invalid_resource",
        "",
        "The file or folder does not exist or this Box user cannot see it",
    ),
    _Rule(
        "cors_origin_not_whitelisted",
        "",
        f"{_CONSOLE}, CORS Domains: add the origin of the page",
    ),
    _Rule(
        "access_from_location_blocked",
        "",
        "Box Admin Console: the enterprise blocks this host's address",
    ),
    _Rule(
        "invalid_token",
        "",
        f"The token was revoked or the app disabled: {_CONSOLE} and Admin Console,"
        " Platform Apps Manager: check that the app is enabled",
    ),
)


REFUSED = (
    'Look the code up in Box\'s "Common errors", or ask Box support with the request id'
)


def outage_hint(status: int | None, what: str) -> str:
    """One line on what to do where Box gave no answer that counts; never empty."""
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return (
            "Box is throttling; if it goes on, lower SSO_BOX_BOX__CALLS_PER_MINUTE or"
            " ask Box which limit of the enterprise is reached"
        )
    if what == UNREADABLE:
        return (
            "Something other than Box's API answered: check SSO_BOX_BOX__API_URL and"
            " HTTPS_PROXY"
        )
    if status is not None:
        return "Box failed: see status.box.com, or ask its support with the request id"
    return (
        "Check SSO_BOX_BOX__API_URL, DNS, the firewall and HTTPS_PROXY, then"
        " status.box.com"
    )


def hint(code: str, description: str) -> str:
    """One line on what an administrator should change, "" where nothing is known."""
    words = description.lower()
    for rule in _RULES:
        if rule.code in {"", code} and rule.words in words:
            return rule.hint
    return ""

"""Token exchange (RFC 8693): fewer rights, maybe on one file or folder alone.

A scope that is missing or empty narrows nothing: Box then hands out all of the
subject's rights, so the emulator does.
"""

import re
import secrets
from typing import Any, NamedTuple

from sso_box_devkit.box.access import Caller
from sso_box_devkit.box.items import mini
from sso_box_devkit.box.responses import BoxError, OAuthError
from sso_box_devkit.box.scopes import KNOWN_SCOPES
from sso_box_devkit.box.state import Token
from sso_box_devkit.box.tree import Item, ItemType

ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name
# Clients name resources by Box's own address, wherever they really call.
BOX_ORIGIN = "https://api.box.com/"
_RESOURCE = re.compile(re.escape(BOX_ORIGIN) + r"2\.0/(files|folders)/([0-9]+)")
_KINDS: dict[str, ItemType] = {"files": "file", "folders": "folder"}


class Narrowing(NamedTuple):
    """What a token is restricted to; None means: not narrowed in this respect."""

    scopes: frozenset[str] | None
    resource: Item | None


def exchange(
    parent: Token, form: dict[str, str], life_s: int
) -> tuple[Token, dict[str, Any]]:
    """The new token and the answer that tells of it. ``parent`` stays as it was."""
    _check_request(parent, form)
    settings = parent.enterprise.settings
    asked = Narrowing(_asked_scopes(parent, form), _asked_resource(parent, form))
    granted = Narrowing(
        parent.scopes if settings.ignore_scope else asked.scopes,
        parent.resource if settings.ignore_resource else asked.resource,
    )
    if settings.grant_extra_scope and granted.scopes is not None:
        granted = granted._replace(scopes=granted.scopes | {settings.grant_extra_scope})
    token = Token(
        value="1!" + secrets.token_urlsafe(32),
        enterprise=parent.enterprise,
        app=parent.app,
        user_id=parent.user_id,
        of_enterprise=parent.of_enterprise,
        expires_at=parent.enterprise.now() + life_s,
        scopes=granted.scopes,
        resource=granted.resource,
        parent=parent,
    )
    return token, {
        "access_token": token.value,
        "expires_in": life_s,
        "token_type": "bearer",
        "issued_token_type": ACCESS_TOKEN_TYPE,
        "restricted_to": _restricted_to(granted),
    }


def _check_request(parent: Token, form: dict[str, str]) -> None:
    if form.get("subject_token_type") != ACCESS_TOKEN_TYPE:
        raise OAuthError("invalid_request", "The subject_token_type is invalid")
    if "box_shared_link" in form or "actor_token" in form:
        raise BoxError(
            501,
            "not_emulated",
            "The Box emulator exchanges neither shared links nor actor tokens",
        )
    if parent.is_downscoped and parent.enterprise.settings.exchange_again == "refuse":
        raise OAuthError("invalid_grant", "The subject_token provided is invalid")


def _asked_scopes(parent: Token, form: dict[str, str]) -> frozenset[str] | None:
    asked = frozenset(form.get("scope", "").split())
    if not asked:
        return parent.scopes
    held = KNOWN_SCOPES if parent.scopes is None else parent.scopes
    if not asked <= held:
        raise OAuthError(
            "invalid_scope", "The requested scope is invalid, unknown, or not held"
        )
    return asked


def _asked_resource(parent: Token, form: dict[str, str]) -> Item | None:
    """The item, if the subject token's own user can see it; as-user does not help."""
    url = form.get("resource")
    if not url:
        return parent.resource
    user = parent.enterprise.user(parent.user_id)
    match = _RESOURCE.fullmatch(url)
    if user is None or match is None:
        raise _invalid_resource()
    try:
        return Caller(parent, user, BOX_ORIGIN).find(_KINDS[match[1]], match[2])
    except BoxError as error:
        raise _invalid_resource() from error


def _restricted_to(granted: Narrowing) -> list[dict[str, Any]]:
    """One entry per scope; the object only where a resource was asked (ours)."""
    shown = {} if granted.resource is None else {"object": mini(granted.resource)}
    return [{"scope": scope, **shown} for scope in sorted(granted.scopes or ())]


def _invalid_resource() -> OAuthError:
    return OAuthError("invalid_resource", "The target resource is invalid.")

"""What an admin does to users besides changing them: sessions, content, addresses."""

import secrets
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sso_box_devkit.box.access import Caller
from sso_box_devkit.box.bodies import json_object, required_id, text
from sso_box_devkit.box.folders import shown_folder
from sso_box_devkit.box.responses import (
    BoxError,
    forbidden_by_policy,
    invalid_parameter,
    not_found,
)
from sso_box_devkit.box.state import World
from sso_box_devkit.box.users import managed_user, reached


async def terminate_sessions(request: Request, caller: Caller) -> Response:
    """Box works it off later; here every token of the named users dies at once."""
    caller.require_service_account()
    body = await json_object(request)
    ids, logins = body.get("user_ids"), body.get("user_logins")
    if not isinstance(ids, list) or not isinstance(logins, list):
        raise invalid_parameter("user_ids", "user_ids and user_logins are required")
    enterprise = caller.enterprise
    hit = {
        user.id for user in reached(caller) if user.id in ids or user.login in logins
    }
    world: World = request.app.state.world
    for token in world.tokens.values():
        if token.enterprise is enterprise and token.user_id in hit:
            token.revoked = True
    message = "Request is successful, please check the admin events"
    return JSONResponse({"message": f"{message} for the status of the job"}, 202)


async def transfer_content(request: Request, caller: Caller) -> Response:
    """Everything a user owns into a new folder in the root of another user."""
    user = managed_user(request, caller)
    heir = caller.enterprise.user(required_id(await json_object(request), "owned_by"))
    if heir is None or heir is user:
        raise not_found()
    if caller.enterprise.settings.information_barrier:
        raise forbidden_by_policy()
    tree, now = caller.tree, caller.enterprise.now()
    name = f"{user.name}'s Files and Folders"
    folder = tree.add("folder", tree.root(heir.id), name, now)
    for item in tree.children(tree.root(user.id)):
        tree.move(item, folder)
    # As the heir sees it: the admin may not see it at all.
    seen_by_heir = Caller(caller.token, heir, caller.base_url)
    return JSONResponse(shown_folder(request, seen_by_heir, folder))


async def list_aliases(request: Request, caller: Caller) -> Response:
    user = managed_user(request, caller)
    entries = [_alias(each, email) for each, email in user.email_aliases.items()]
    return JSONResponse({"total_count": len(entries), "entries": entries})


async def add_alias(request: Request, caller: Caller) -> Response:
    """Box wants the domain registered to the enterprise; here any will do."""
    user = managed_user(request, caller)
    email = text(await json_object(request), "email")
    if email is None or "@" not in email:
        raise invalid_parameter("email", "An e-mail address is required")
    if caller.enterprise.user_of(email) is not None:
        raise BoxError(409, "conflict", "A resource with this value already exists")
    alias_id = str(secrets.randbelow(9_000_000) + 1_000_000)
    user.email_aliases[alias_id] = email
    return JSONResponse(_alias(alias_id, email), 201)


async def delete_alias(request: Request, caller: Caller) -> Response:
    user = managed_user(request, caller)
    if user.email_aliases.pop(request.path_params["alias_id"], None) is None:
        raise not_found()
    return Response(status_code=204)


def _alias(alias_id: str, email: str) -> dict[str, Any]:
    return {
        "type": "email_alias",
        "id": alias_id,
        "email": email,
        "is_confirmed": True,
    }

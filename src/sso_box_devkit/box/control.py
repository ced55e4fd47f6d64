"""/_emulator: what tests and the demo use to look in, break things and begin anew.

Not Box's. Writes need a JSON content type and no call may carry an Origin, so that
no web page can reach these routes.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sso_box_devkit.box.bodies import json_object
from sso_box_devkit.box.faults import Fault
from sso_box_devkit.box.items import timestamp
from sso_box_devkit.box.responses import BoxError
from sso_box_devkit.box.seed import plant
from sso_box_devkit.box.settings import Settings
from sso_box_devkit.box.state import Enterprise, World

Model = TypeVar("Model", bound=BaseModel)
Handler = Callable[[Request, Enterprise], Awaitable[Response]]


def control(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint for the enterprise that ``?enterprise=`` names (or the first)."""

    async def endpoint(request: Request) -> Response:
        if "origin" in request.headers:
            raise BoxError(403, "control_refused", "Not from a web page")
        media_type = request.headers.get("content-type", "").partition(";")[0].strip()
        if request.method in ("POST", "PATCH") and media_type != "application/json":
            raise BoxError(
                415, "unsupported_media_type", "Content-Type: application/json, please"
            )
        world: World = request.app.state.world
        wanted = request.query_params.get("enterprise", world.default.id)
        enterprise = world.enterprises.get(wanted)
        if enterprise is None:
            raise BoxError(404, "not_found", "No such enterprise")
        return await handler(request, enterprise)

    return endpoint


async def read_journal(request: Request, enterprise: Enterprise) -> Response:
    since = request.query_params.get("since", "0")
    if not since.isdecimal():
        raise BoxError(400, "bad_request", "since is a number")
    return JSONResponse(enterprise.journal.since(int(since)))


async def clear_journal(_request: Request, enterprise: Enterprise) -> Response:
    enterprise.journal.clear()
    return Response(status_code=204)


async def list_users(_request: Request, enterprise: Enterprise) -> Response:
    """Every user but the service account, oldest first."""
    users = [
        {
            "id": user.id,
            "name": user.name,
            "login": user.login,
            "status": user.status,
            "external_app_user_id": user.external_app_user_id,
            "is_platform_access_only": user.is_app_user,
            "created_at": timestamp(user.created_at),
        }
        for user in enterprise.users.values()
    ]
    return JSONResponse({"users": users})


async def arm_fault(request: Request, enterprise: Enterprise) -> Response:
    fault = _valid(Fault, await json_object(request))
    enterprise.faults.arm(fault)
    return JSONResponse({"faults": enterprise.faults.armed()}, 201)


async def list_faults(_request: Request, enterprise: Enterprise) -> Response:
    return JSONResponse({"faults": enterprise.faults.armed()})


async def clear_faults(_request: Request, enterprise: Enterprise) -> Response:
    enterprise.faults.clear()
    return Response(status_code=204)


async def read_settings(_request: Request, enterprise: Enterprise) -> Response:
    return JSONResponse(enterprise.settings.model_dump())


async def change_settings(request: Request, enterprise: Enterprise) -> Response:
    """All of the named settings, or on a bad one none."""
    changed = enterprise.settings.model_dump() | await json_object(request)
    enterprise.settings = _valid(Settings, changed)
    return JSONResponse(enterprise.settings.model_dump())


async def found_enterprise(request: Request, _enterprise: Enterprise) -> Response:
    world: World = request.app.state.world
    enterprise = await run_in_threadpool(world.found)
    return JSONResponse(
        {
            "id": enterprise.id,
            "config": enterprise.config(),
            "client_credentials": enterprise.client_credentials(),
        },
        201,
    )


async def seed(request: Request, enterprise: Enterprise) -> Response:
    return JSONResponse(plant(enterprise, await json_object(request)), 201)


async def reset(request: Request, enterprise: Enterprise) -> Response:
    """Empties data, journal and faults; with ``{"settings": true}`` settings too."""
    body = await json_object(request) if await request.body() else {}
    enterprise.reset()
    if body.get("settings") is True:
        enterprise.settings = Settings()
    return JSONResponse({"enterprise": enterprise.id})


def _valid(model: type[Model], values: dict[str, Any]) -> Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        named = [
            {"name": ".".join(map(str, p["loc"])), "message": p["msg"]}
            for p in problems
        ]
        raise BoxError(
            400, "bad_request", "Not understood", {"errors": named}
        ) from error


ROUTES = [
    Route("/requests", control(read_journal), methods=["GET"]),
    Route("/requests", control(clear_journal), methods=["DELETE"]),
    Route("/users", control(list_users), methods=["GET"]),
    Route("/faults", control(list_faults), methods=["GET"]),
    Route("/faults", control(arm_fault), methods=["POST"]),
    Route("/faults", control(clear_faults), methods=["DELETE"]),
    Route("/settings", control(read_settings), methods=["GET"]),
    Route("/settings", control(change_settings), methods=["PATCH"]),
    Route("/enterprises", control(found_enterprise), methods=["POST"]),
    Route("/seed", control(seed), methods=["POST"]),
    Route("/reset", control(reset), methods=["POST"]),
]

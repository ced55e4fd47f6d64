"""GET /livez and /readyz: is the process up, and are its dependencies.

Only the database decides readiness: without it nobody can be served for longer than
the grace, while an unreachable identity provider or Box leaves warm people served, and
so does a database that takes no writes.
"""

from typing import Final, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from sso_box_api.api.state import BoxDep, DatabaseDep, MemoryDep, VerifierDep
from sso_box_api.backlog import Backlog, read_backlog
from sso_box_api.db import Database
from sso_box_api.errors import DatabaseUnavailable
from sso_box_api.memory import Memory

router = APIRouter(tags=["health"])
_DatabaseState = Literal["ok", "read_only", "grace", "unavailable"]
# For how long a database is waited for whose silence leaves people served.
_SILENCE_S: Final = 1.0


class Live(BaseModel):
    """The process answers."""

    status: Literal["ok"]


class Ready(BaseModel):
    """Each dependency with its state; see docs/api.md for their meaning."""

    status: Literal["ok", "degraded", "unavailable"]
    database: _DatabaseState
    box: Literal["unused", "ok", "failing"]
    providers: dict[str, Literal["unfetched", "fresh", "stale", "unavailable"]]
    pending_revocations: int | None
    suspensions: int | None
    left_over_box_users: int | None


@router.get("/livez", operation_id="getLiveness", summary="Is the process up?")
async def livez() -> Live:
    return Live(status="ok")


@router.get(
    "/readyz",
    operation_id="getReadiness",
    summary="Are the dependencies there?",
    responses={503: {"model": Ready, "description": "Nobody can be served"}},
)
async def readyz(
    response: Response,
    database: DatabaseDep,
    memory: MemoryDep,
    box: BoxDep,
    verifier: VerifierDep,
) -> Ready:
    database_state: _DatabaseState = "ok"
    backlog = None
    try:
        backlog = await _backlog(database, memory)
        if backlog.is_read_only:
            database_state = "read_only"
    except DatabaseUnavailable:
        database_state = "grace" if memory.in_grace else "unavailable"
    providers = {id_: keys.state for id_, keys in verifier.key_states().items()}
    box_state = box.state()
    status: Literal["ok", "degraded", "unavailable"] = "ok"
    if box_state == "failing" or {"stale", "unavailable"} & set(providers.values()):
        status = "degraded"
    if database_state in {"read_only", "grace"}:
        status = "degraded"
    if database_state == "unavailable":
        status = "unavailable"
        response.status_code = 503
    return Ready(
        status=status,
        database=database_state,
        box=box_state,
        providers=providers,
        pending_revocations=backlog and backlog.pending_revocations,
        suspensions=backlog and backlog.suspensions,
        left_over_box_users=backlog and backlog.left_over_box_users,
    )


async def _backlog(database: Database, memory: Memory) -> Backlog:
    # A probe is less patient than a statement. Out of the grace, a slow answer is all
    # that keeps this process ready.
    if memory.in_grace and not await database.answers(within_s=_SILENCE_S):
        raise DatabaseUnavailable("silent")
    return await read_backlog(database)

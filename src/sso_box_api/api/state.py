"""What the lifespan hands to the routes, and the dependencies that read it."""

from typing import Annotated, TypedDict

from fastapi import Depends, Request

from sso_box_api.api.limits import BadTokenLimit
from sso_box_api.box import Box
from sso_box_api.db import Database
from sso_box_api.exchange import Exchange
from sso_box_api.identity import IdentityVerifier
from sso_box_api.memory import Memory
from sso_box_api.metrics import Metrics
from sso_box_api.own_tokens import OwnTokens
from sso_box_api.settings import Settings
from sso_box_api.vending import Profiles


class State(TypedDict):
    """Everything a request may use; built once in ``app``.

    ``metrics``: None where nothing is counted, and there is no route for it.
    """

    settings: Settings
    exchange: Exchange
    own_tokens: OwnTokens
    verifier: IdentityVerifier
    profiles: Profiles
    database: Database
    memory: Memory
    box: Box
    bad_tokens: BadTokenLimit
    metrics: Metrics | None


def state_of(request: Request) -> State:
    state: State = request.scope["state"]
    return state


async def _own_tokens(request: Request) -> OwnTokens:
    own_tokens: OwnTokens = request.state.own_tokens
    return own_tokens


async def _verifier(request: Request) -> IdentityVerifier:
    verifier: IdentityVerifier = request.state.verifier
    return verifier


async def _profiles(request: Request) -> Profiles:
    profiles: Profiles = request.state.profiles
    return profiles


async def _database(request: Request) -> Database:
    database: Database = request.state.database
    return database


async def _memory(request: Request) -> Memory:
    memory: Memory = request.state.memory
    return memory


async def _box(request: Request) -> Box:
    box: Box = request.state.box
    return box


async def _settings(request: Request) -> Settings:
    settings: Settings = request.state.settings
    return settings


async def _bad_tokens(request: Request) -> BadTokenLimit:
    return state_of(request)["bad_tokens"]


async def _metrics(request: Request) -> Metrics:
    metrics: Metrics = request.state.metrics
    return metrics


OwnTokensDep = Annotated[OwnTokens, Depends(_own_tokens)]
VerifierDep = Annotated[IdentityVerifier, Depends(_verifier)]
ProfilesDep = Annotated[Profiles, Depends(_profiles)]
DatabaseDep = Annotated[Database, Depends(_database)]
MemoryDep = Annotated[Memory, Depends(_memory)]
BoxDep = Annotated[Box, Depends(_box)]
SettingsDep = Annotated[Settings, Depends(_settings)]
BadTokensDep = Annotated[BadTokenLimit, Depends(_bad_tokens)]
MetricsDep = Annotated[Metrics, Depends(_metrics)]

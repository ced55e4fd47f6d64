"""What the lifespan hands to the routes, and the dependencies that read it."""

from typing import Annotated, TypedDict

from fastapi import Depends, Request

from sso_box_api.api.limits import BadTokenLimit
from sso_box_api.box import Box
from sso_box_api.db import Database
from sso_box_api.exchange import Exchange
from sso_box_api.identity import IdentityVerifier
from sso_box_api.memory import Memory
from sso_box_api.own_tokens import OwnTokens
from sso_box_api.settings import Settings
from sso_box_api.vending import Profiles


class State(TypedDict):
    """Everything a request may use; built once in ``app``."""

    settings: Settings
    exchange: Exchange
    own_tokens: OwnTokens
    verifier: IdentityVerifier
    profiles: Profiles
    database: Database
    memory: Memory
    box: Box
    bad_tokens: BadTokenLimit


def exchange_of(request: Request) -> Exchange:
    exchange: Exchange = request.state.exchange
    return exchange


def bad_tokens_of(request: Request) -> BadTokenLimit:
    bad_tokens: BadTokenLimit = request.state.bad_tokens
    return bad_tokens


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
    return bad_tokens_of(request)


OwnTokensDep = Annotated[OwnTokens, Depends(_own_tokens)]
VerifierDep = Annotated[IdentityVerifier, Depends(_verifier)]
ProfilesDep = Annotated[Profiles, Depends(_profiles)]
DatabaseDep = Annotated[Database, Depends(_database)]
MemoryDep = Annotated[Memory, Depends(_memory)]
BoxDep = Annotated[Box, Depends(_box)]
SettingsDep = Annotated[Settings, Depends(_settings)]
BadTokensDep = Annotated[BadTokenLimit, Depends(_bad_tokens)]

"""The ASGI application: routes, handlers and CORS round the parts."""

import gc
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from typing_extensions import override

from sso_box_api.api import (
    config,
    health,
    me,
    metrics as metrics_route,
    oauth,
    problems,
    revoke,
    token,
    tokens,
)
from sso_box_api.api.limits import BadTokenLimit
from sso_box_api.api.middleware import RequestShell
from sso_box_api.api.responses import OAuthError, Problem
from sso_box_api.api.state import State
from sso_box_api.audit import configure_logging, counted, delivered
from sso_box_api.db import Database
from sso_box_api.exchange import Exchange
from sso_box_api.metrics import Metrics, Worker
from sso_box_api.parts import Mounts, Parts, open_parts
from sso_box_api.settings import Settings, load_settings
from sso_box_api.trail import Trail


def create_app(
    settings: Settings,
    *,
    mounts: Mounts | None = None,
    clock: Callable[[], float] = time.time,
    database: Database | None = None,
    trail: Trail | None = None,
) -> FastAPI:
    """Build the ASGI application. Nothing is opened before its lifespan starts.

    ``mounts`` and ``database`` are those of ``open_parts``; ``trail``: where audit
    events go while it runs.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        async with AsyncExitStack() as stack:
            if trail is not None:
                stack.enter_context(trail)
                stack.enter_context(delivered(trail.add))
            metrics = Metrics() if settings.metrics_token else None
            if metrics is not None:
                stack.callback(metrics.close)
                stack.enter_context(counted(metrics.count_request))
            opening = open_parts(
                settings,
                mounts=mounts,
                clock=clock,
                database=database,
                count_call=metrics.count_call if metrics else None,
            )
            parts = await stack.enter_async_context(opening)
            await parts.require_consistent_rows()
            parts.verifier.start()
            binder = parts.binder()
            provisioner = parts.provisioner()
            exchange = parts.exchange(binder, provisioner)
            background = parts.background(provisioner)
            background.start()
            # The last one first: what others wait for is there to the end.
            for part in (provisioner, exchange, binder, background):
                stack.push_async_callback(part.close)
            if metrics is not None:
                worker = Worker(parts.memory, parts.box, parts.verifier, trail)
                await stack.enter_async_context(metrics.watching(worker))
            yield _state(parts, exchange, metrics)

    app = _Service(
        title="sso-box-api",
        version=version("sso-box-api"),
        summary="Exchange a company's SSO ID token for narrow, short-lived Box access.",
        lifespan=lifespan,
        docs_url=None,
        # A redirect would repeat the caller's Host and query.
        redirect_slashes=False,
        redoc_url=None,
        middleware=[*_cors(settings.cors_origins), Middleware(RequestShell)],
    )
    problems.install(app)
    for module in (token, tokens, oauth, revoke, me, config, health):
        app.include_router(module.router)
    if settings.metrics_token:
        app.include_router(metrics_route.router)
    return app


def serve_app() -> FastAPI:
    """Build the app from the environment: what each worker of ``serve`` runs."""
    configure_logging()
    app = create_app(load_settings(), trail=Trail(sys.stdout.fileno()))
    # What is there by now stays to the end: no collection need go through it again.
    gc.collect()
    gc.freeze()
    return app


def _cors(origins: Sequence[str]) -> list[Middleware]:
    """Let pages of these origins call; without any there is nothing to answer for."""
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
            expose_headers=["WWW-Authenticate", "Retry-After", "X-Request-ID"],
            max_age=600,
        )
    ]


def _state(parts: Parts, exchange: Exchange, metrics: Metrics | None) -> State:
    settings = parts.settings
    return State(
        settings=settings,
        exchange=exchange,
        own_tokens=parts.own_tokens(),
        verifier=parts.verifier,
        profiles=parts.profiles,
        database=parts.database,
        memory=parts.memory,
        box=parts.box,
        bad_tokens=BadTokenLimit(settings.limits.bad_tokens_per_minute),
        metrics=metrics,
    )


class _Service(FastAPI):
    """FastAPI, with the bodies in the OpenAPI document that it does not read itself."""

    @override
    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document = super().openapi()
            schemas = document["components"]["schemas"]
            for model in (token.TokenRequest, Problem, OAuthError):
                schema = schemas[model.__name__] = model.model_json_schema()
                for of_field in schema["properties"].values():
                    of_field.pop("default", None)
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
        return super().openapi()

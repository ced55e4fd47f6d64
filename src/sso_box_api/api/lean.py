"""The routes of the exchange, which read the request and write the answer themselves.

FastAPI's dependencies, and its models of what comes and goes, take longer than all the
rest of a login that is remembered. What it would document is declared all the same.
"""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import to_json
from typing_extensions import override


class LeanRoute(APIRoute):
    """A route whose endpoint takes the request alone, and returns the response."""

    @override
    def get_route_handler(
        self,
    ) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        endpoint: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return endpoint


def json_response(content: Mapping[str, object]) -> Response:
    """Answer with 200 and what the route's response model describes."""
    return Response(to_json(content), media_type="application/json")

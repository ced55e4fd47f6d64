"""The error responses that the OpenAPI document declares for every route."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Problem(BaseModel):
    """An RFC 9457 problem document; ``code`` is stable and documented."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str


class OAuthError(BaseModel):
    """An RFC 6749 error; ``reason`` is the same stable code as elsewhere."""

    error: str
    error_description: str
    reason: str
    request_id: str


def _declare(
    model: type[BaseModel], media_type: str, *statuses: int
) -> dict[int | str, dict[str, Any]]:
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {
        status: {
            "description": _DESCRIPTIONS[status],
            "content": {media_type: {"schema": schema}},
        }
        for status in statuses
    }


_DESCRIPTIONS = {
    400: "The request is contradictory or not acceptable",
    401: "No ID token, or one that does not verify",
    403: "The identity is known and is refused",
    408: "The body did not arrive in time",
    413: "The body passes 65536 bytes",
    415: "The body is not of the documented type",
    422: "The body does not have the documented shape",
    429: "Too many bad tokens from this address",
    502: "Box answered in a way that cannot be used",
    503: "Something needed is not available; see Retry-After",
}

PROBLEMS = _declare(
    Problem,
    "application/problem+json",
    400,
    401,
    403,
    408,
    413,
    415,
    422,
    429,
    502,
    503,
)
IDENTITY_PROBLEMS = _declare(Problem, "application/problem+json", 400, 401, 429, 503)
REVOKE_ERRORS = _declare(
    OAuthError, "application/json", 400, 401, 408, 413, 415, 429, 503
)
OAUTH_ERRORS = _declare(
    OAuthError, "application/json", 400, 403, 408, 413, 415, 429, 502, 503
)

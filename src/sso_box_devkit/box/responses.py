"""How Box says no: its error object, its OAuth error, and its empty 401 and 403."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from typing_extensions import override

_HELP_URL = (
    "https://developer.box.com/guides/api-calls/permissions-and-errors/common-errors/"
)


class Refusal(Exception):
    """An answer that is a no; raised anywhere below an endpoint."""

    @abstractmethod
    def response(self, request_id: str) -> Response: ...


class BoxError(Refusal):
    """A refusal as the API words it: Box's error object, with the request id."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        context_info: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message
        self.context_info = context_info

    @override
    def response(self, request_id: str) -> Response:
        body: dict[str, Any] = {
            "type": "error",
            "status": self.status,
            "code": self.code,
            "message": self.message,
            "help_url": _HELP_URL,
            "request_id": request_id,
        }
        if self.context_info is not None:
            body["context_info"] = dict(self.context_info)
        return JSONResponse(body, self.status)


class OAuthError(Refusal):
    """A refusal of the token endpoint (RFC 6749 section 5.2, with Box's wording)."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(error)
        self.error = error
        self.description = description

    @override
    def response(self, request_id: str) -> Response:
        body = {"error": self.error, "error_description": self.description}
        return JSONResponse(body, 400, {"Cache-Control": "no-store"})


class BearerError(Refusal):
    """A refusal of the token itself: no body, only the challenge (RFC 6750 3.1)."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(error)
        self.status = status
        self.challenge = (
            f'Bearer realm="Service", error="{error}", '
            f'error_description="{description}"'
        )

    @override
    def response(self, request_id: str) -> Response:
        headers = {"WWW-Authenticate": self.challenge}
        return Response(status_code=self.status, headers=headers)


def invalid_token() -> BearerError:
    return BearerError(401, "invalid_token", "The access token provided is invalid.")


def insufficient_scope() -> BearerError:
    return BearerError(
        403,
        "insufficient_scope",
        "The request requires higher privileges than provided by the access token.",
    )


def forbidden(message: str = "Access denied - insufficient permission") -> BoxError:
    return BoxError(403, "access_denied_insufficient_permissions", message)


def forbidden_by_policy() -> BoxError:
    return BoxError(403, "forbidden_by_policy", "Forbidden by information barrier")


def not_found() -> BoxError:
    return BoxError(404, "not_found", "Not Found")


def invalid_parameter(name: str, message: str, code: str = "bad_request") -> BoxError:
    reason = {"reason": "invalid_parameter", "name": name, "message": message}
    return BoxError(400, code, "Bad Request", {"errors": [reason]})


def answer(request: Request, refusal: Exception) -> Response:
    """Starlette's handler for all of them."""
    assert isinstance(refusal, Refusal)  # noqa: S101 - registered for this class alone
    return refusal.response(request.scope["state"]["request_id"])

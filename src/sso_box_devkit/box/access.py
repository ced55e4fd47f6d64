"""Who calls, and what that caller may see and do: every API call passes here first."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from sso_box_devkit.box.responses import (
    BoxError,
    forbidden,
    insufficient_scope,
    invalid_token,
    not_found,
)
from sso_box_devkit.box.scopes import Operation, allows
from sso_box_devkit.box.state import Enterprise, Token, User, World
from sso_box_devkit.box.tree import ROOT_ID, Item, ItemType, Tree


@dataclass(frozen=True)
class Caller:
    """A live token and the user it acts for (another one with as-user)."""

    token: Token
    user: User

    @property
    def enterprise(self) -> Enterprise:
        return self.token.enterprise

    @property
    def tree(self) -> Tree:
        return self.enterprise.tree

    @property
    def is_service_account(self) -> bool:
        return self.user is self.enterprise.service_account

    def may(self, operation: Operation) -> bool:
        return allows(self.token.scopes, operation)

    def require(self, operation: Operation) -> None:
        if not self.may(operation):
            raise insufficient_scope()

    def sees(self, item: Item) -> bool:
        """Own content only, and none outside the resource of a narrowed token."""
        if item.owner_id != self.user.id:
            return False
        limit = self.token.resource
        if limit is None or (limit.type == item.type and limit.id == item.id):
            return True
        return any(above.id == limit.id for above in self.tree.ancestors(item))

    def find(self, kind: ItemType, item_id: str) -> Item:
        """404 also for what exists and is hidden: Box does not tell the difference."""
        if not item_id.isdecimal():
            raise BoxError(405, "method_not_allowed", "Method Not Allowed")
        if kind == "folder" and item_id == ROOT_ID:
            item: Item | None = self.tree.root(self.user.id)
        else:
            item = self.tree.get(kind, item_id)
        if item is None or not self.sees(item):
            raise not_found()
        return item


Handler = Callable[[Request, Caller], Awaitable[Response]]


def api(
    handler: Handler, operation: Operation | None = None
) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint that lets only callers holding a scope for ``operation`` through."""

    async def endpoint(request: Request) -> Response:
        caller = authenticate(request)
        if operation is not None:
            caller.require(operation)
        return await handler(request, caller)

    return endpoint


def authenticate(request: Request) -> Caller:
    world: World = request.app.state.world
    token = world.tokens.get(bearer_token(request))
    if token is None or not token.is_live():
        raise invalid_token()
    user = token.enterprise.user(token.user_id)
    if user is None:
        raise invalid_token()
    as_user = request.headers.get("as-user")
    return Caller(token, user if as_user is None else _impersonated(token, as_user))


def bearer_token(request: HTTPConnection) -> str:
    """The presented token, "" if none. A download may carry it in the query."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value:
        return value.strip()
    if request.url.path.endswith("/content"):
        return request.query_params.get("access_token", "")
    return ""


def _impersonated(token: Token, user_id: str) -> User:
    """as-user: for the service account alone, and never as itself.

    Box words the refusal; that an inactive user is refused is ours.
    """
    settings = token.enterprise.settings
    target = token.enterprise.users.get(user_id)
    if not token.of_enterprise or token.is_downscoped or not settings.as_user_enabled:
        raise forbidden()
    if target is None or target.status == "inactive":
        raise forbidden()
    if settings.app_access == "app" and not target.is_app_user:
        raise forbidden()
    return target

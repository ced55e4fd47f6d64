"""Who calls, and what that caller may see and do: every API call passes here first."""

from collections.abc import Awaitable, Callable, Iterator
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
from sso_box_devkit.box.roles import FORBIDDEN_BY_STATUS, RIGHTS
from sso_box_devkit.box.scopes import Operation, allows
from sso_box_devkit.box.sharing import Collaboration
from sso_box_devkit.box.state import Enterprise, Token, User, World
from sso_box_devkit.box.tree import ROOT_ID, Item, ItemType, Tree


@dataclass(frozen=True)
class Caller:
    """A live token and the user it acts for (another one with as-user).

    ``base_url`` is the address by which the emulator was called, ending in "/".
    """

    token: Token
    user: User
    base_url: str

    @property
    def enterprise(self) -> Enterprise:
        return self.token.enterprise

    @property
    def tree(self) -> Tree:
        return self.enterprise.tree

    @property
    def is_service_account(self) -> bool:
        return self.enterprise.is_service_account(self.user)

    def require_service_account(self) -> None:
        if not self.is_service_account:
            raise forbidden()

    def root(self) -> Item:
        return self.tree.root(self.user.id)

    def top(self) -> Item:
        """Where the token's view begins: the root, or the one resource."""
        return self.token.resource or self.root()

    def rights(self, item: Item) -> frozenset[Operation]:
        """What the user may do with it, as owner or by collaborations on or above it.

        Empty: the item is hidden from the user.
        """
        rights: frozenset[Operation] = frozenset()
        if item.owner_id == self.user.id:
            rights = frozenset(Operation)
        elif not item.is_root:
            line = [item, *self.tree.ancestors(item)]
            for each in self._collaborations():
                if any(each.item is above for above in line):
                    rights |= RIGHTS[each.role]
        return rights - FORBIDDEN_BY_STATUS.get(self.user.status, frozenset())

    def may(self, operation: Operation, item: Item) -> bool:
        """By the scopes of the token and by the rights of its user."""
        return allows(self.token.scopes, operation) and operation in self.rights(item)

    def require_scope(self, operation: Operation) -> None:
        if not allows(self.token.scopes, operation):
            raise insufficient_scope()

    def require(self, operation: Operation, item: Item) -> None:
        self.require_scope(operation)
        if operation not in self.rights(item):
            raise forbidden()

    def sees(self, item: Item) -> bool:
        """Not what is outside the resource of a narrowed token."""
        limit = self.token.resource
        if limit is not None and not any(
            limit.type == each.type and limit.id == each.id
            for each in [item, *self.tree.ancestors(item)]
        ):
            return False
        return bool(self.rights(item))

    def find(
        self, kind: ItemType, item_id: str, operation: Operation | None = None
    ) -> Item:
        """The item, on which the caller may do the operation.

        404 also for what exists and is hidden: Box does not tell the difference.
        """
        if not item_id.isdecimal():
            raise BoxError(405, "method_not_allowed", "Method Not Allowed")
        if kind == "folder" and item_id == ROOT_ID:
            item: Item | None = self.root()
        else:
            item = self.tree.get(kind, item_id)
        if item is None or not self.sees(item):
            raise not_found()
        if operation is not None:
            self.require(operation, item)
        return item

    def above(self, item: Item) -> list[Item]:
        """The visible folders over it; what others share hangs under one's own root."""
        seen = [each for each in self.tree.ancestors(item) if self.sees(each)]
        if item.owner_id != self.user.id and self.sees(self.root()):
            return [self.root(), *seen]
        return seen

    def children(self, folder: Item) -> list[Item]:
        """In a root also what others share, unless the folder over it is shared too."""
        inside = [item for item in self.tree.children(folder) if self.sees(item)]
        if not folder.is_root:
            return inside
        shared = {
            (each.item.type, each.item.id): each.item
            for each in self._collaborations()
            if not each.is_access_only
        }
        return inside + [
            item
            for item in shared.values()
            if item.owner_id != self.user.id and self.above(item) == [folder]
        ]

    def _collaborations(self) -> Iterator[Collaboration]:
        return self.enterprise.sharing.reaching(self.user.id, self.enterprise.now())


Handler = Callable[[Request, Caller], Awaitable[Response]]


def api(
    handler: Handler, operation: Operation | None = None
) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint that lets only callers holding a scope for ``operation`` through."""

    async def endpoint(request: Request) -> Response:
        caller = authenticate(request)
        if operation is not None:
            caller.require_scope(operation)
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
    if as_user is not None:
        user = _impersonated(token, as_user)
    return Caller(token, user, str(request.base_url))


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
    if not token.enterprise.reaches(token.app, target):
        raise forbidden()
    return target

"""All that the emulator knows, in memory: enterprises, their users, apps and tokens."""

import itertools
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sso_box_devkit.box.events import Events
from sso_box_devkit.box.faults import Faults
from sso_box_devkit.box.journal import Journal
from sso_box_devkit.box.keys import App, new_client_credentials_app, new_jwt_app
from sso_box_devkit.box.limits import CallLimits
from sso_box_devkit.box.settings import Settings
from sso_box_devkit.box.sharing import Sharing
from sso_box_devkit.box.tree import Item, Tree

DEFAULT_SPACE = 10 * 1024**3
UNLIMITED_SPACE = -1


@dataclass
class User:
    """``is_app_user`` is Box's is_platform_access_only: no login of its own."""

    id: str
    name: str
    login: str
    is_app_user: bool
    # The app that made the user: only that one knows the external id.
    client_id: str
    created_at: float
    modified_at: float
    external_app_user_id: str | None = None
    status: str = "active"
    space_amount: int = DEFAULT_SPACE
    # id to address: further addresses of a managed user.
    email_aliases: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    # The look-up lag is a duration: it must not follow the emulated clock.
    created_monotonic: float = field(default_factory=time.monotonic)


@dataclass
class Token:
    """``scopes`` and ``resource`` are None where nothing was narrowed."""

    value: str = field(repr=False)
    enterprise: "Enterprise" = field(repr=False)
    app: App
    user_id: str
    of_enterprise: bool
    expires_at: float
    scopes: frozenset[str] | None = None
    resource: Item | None = None
    parent: "Token | None" = None
    revoked: bool = False

    @property
    def subject(self) -> str:
        return self.enterprise.id if self.of_enterprise else self.user_id

    @property
    def is_downscoped(self) -> bool:
        return self.scopes is not None or self.resource is not None

    def is_live(self) -> bool:
        """Also false once its user is gone or, by a setting, inactive."""
        if self.revoked or self.expires_at <= self.enterprise.now():
            return False
        user = self.enterprise.user(self.user_id)
        if user is None:
            return False
        return (
            user.status != "inactive"
            or self.enterprise.settings.inactive_user_sessions == "live"
        )


@dataclass(frozen=True)
class Download:
    """What a redirect leads to, for whoever has the address."""

    enterprise: "Enterprise" = field(repr=False)
    content: bytes = field(repr=False)
    expires_at: float


class Enterprise:
    """One tenant: its app and key, its users, and everything they own.

    Nothing in it is reachable from another enterprise of the same ``World``.
    """

    def __init__(self, enterprise_id: str, user_ids: Iterator[int], tree: Tree) -> None:
        self.id = enterprise_id
        self.settings = Settings()
        self.journal = Journal()
        self.faults = Faults()
        self.limits = CallLimits()
        self.users: dict[str, User] = {}
        self.tree = tree
        self.sharing = Sharing()
        self.events = Events()
        self.spent_jtis: set[tuple[str, str]] = set()
        self._user_ids = user_ids
        self._download = new_jwt_app()
        self.jwt_app = self._download.app
        self.client_credentials_app = new_client_credentials_app()
        self.service_number = str(secrets.randbelow(9_000_000) + 1_000_000)
        self._service_accounts = {
            app.client_id: self._new_service_account(app)
            for app in (self.jwt_app, self.client_credentials_app)
        }

    def config(self) -> dict[str, Any]:
        """Box's config.json for the JWT app. It holds the app's secrets."""
        return self._download.config(self.id)

    def client_credentials(self) -> dict[str, str]:
        """A second app, for client credentials: with a service account of its own.

        As at Box neither app finds the other's users by external id.
        """
        app = self.client_credentials_app
        return {
            "client_id": app.client_id,
            "client_secret": app.client_secret,
            "enterprise_id": self.id,
        }

    @property
    def service_account(self) -> User:
        """The JWT app's."""
        return self.service_account_of(self.jwt_app)

    def service_account_of(self, app: App) -> User:
        return self._service_accounts[app.client_id]

    def is_service_account(self, user: User) -> bool:
        return any(user is each for each in self._service_accounts.values())

    def now(self) -> float:
        """This enterprise's clock, in seconds since the epoch."""
        return time.time() + self.settings.clock_offset_s

    def user(self, user_id: str) -> User | None:
        """One of the users, or a service account."""
        service = (u for u in self._service_accounts.values() if u.id == user_id)
        return self.users.get(user_id) or next(service, None)

    def user_of(self, login: str) -> User | None:
        """Whose login or further address it is; addresses ignore case."""
        wanted = login.casefold()
        for user in [*self.users.values(), *self._service_accounts.values()]:
            addresses = (user.login, *user.email_aliases.values())
            if wanted in map(str.casefold, addresses):
                return user
        return None

    def reaches(self, app: App, user: User) -> bool:
        """With App Access Only an app has a hand on its own app users alone."""
        if self.settings.app_access == "enterprise":
            return True
        return user.is_app_user and user.client_id == app.client_id

    def app_login(self, prefix: str) -> str:
        """The login that Box makes up for users who have none."""
        return (
            f"{prefix}_{self.service_number}_{secrets.token_hex(5)}@boxdevedition.com"
        )

    def add_user(self, name: str, login: str | None, app: App | None = None) -> User:
        """Made by the JWT app unless another is named."""
        app = app or self.jwt_app
        user = self._new_user(name, login or self.app_login("AppUser"), app)
        user.is_app_user = login is None
        self.users[user.id] = user
        return user

    def remove_user(self, user: User) -> None:
        self.remove_item(self.tree.root(user.id))
        self.sharing.forget_user(user.id)
        del self.users[user.id]

    def remove_item(self, item: Item) -> None:
        """With all below it, and with the collaborations on any of that."""
        self.sharing.forget_items(self.tree.remove(item))

    def reset(self) -> None:
        """Empty data, journal and faults. Keys, apps, settings, service tokens stay."""
        for user in [*self.users.values(), *self._service_accounts.values()]:
            self.tree.remove(self.tree.root(user.id))
        self.users.clear()
        self.sharing.clear()
        self.events.clear()
        self.journal.clear()
        self.faults.clear()
        self.limits.clear()

    def _new_service_account(self, app: App) -> User:
        return self._new_user("Service account", self.app_login("AutomationUser"), app)

    def _new_user(self, name: str, login: str, app: App) -> User:
        now = self.now()
        return User(
            id=str(next(self._user_ids)),
            name=name,
            login=login,
            is_app_user=True,
            client_id=app.client_id,
            created_at=now,
            modified_at=now,
        )


class World:
    """Every enterprise behind one server; requests find theirs by app or token."""

    def __init__(self) -> None:
        # Far apart, so that an id used in the wrong place is not found.
        self._enterprise_ids = itertools.count(1_100_001)
        self._user_ids = itertools.count(20_000_000_001)
        self._item_ids = itertools.count(300_000_000_001)
        self.enterprises: dict[str, Enterprise] = {}
        self.tokens: dict[str, Token] = {}
        self.downloads: dict[str, Download] = {}
        self.default = self.found()

    def found(self) -> Enterprise:
        """A new enterprise. Makes an RSA key, which takes about 100 ms."""
        enterprise = Enterprise(
            str(next(self._enterprise_ids)), self._user_ids, Tree(self._item_ids)
        )
        self.enterprises[enterprise.id] = enterprise
        return enterprise

    def app(self, client_id: str) -> tuple[Enterprise, App] | None:
        for enterprise in self.enterprises.values():
            for app in (enterprise.jwt_app, enterprise.client_credentials_app):
                if app.client_id == client_id:
                    return enterprise, app
        return None

    def keep(self, token: Token) -> Token:
        self.tokens[token.value] = token
        return token

    def revoke(self, token: Token) -> None:
        token.revoked = True
        if token.enterprise.settings.revoke_children:
            for child in [t for t in self.tokens.values() if t.parent is token]:
                if not child.revoked:
                    self.revoke(child)

"""The parts of the service, for the app and the command line alike.

The only place that makes clients, engine and what works with them. The web framework is
not among them: a command that locks somebody need not wait for its import.
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import httpx

from sso_box_api import accounts, migrations, vending
from sso_box_api.accounts import Candidate
from sso_box_api.adoption import Adoption
from sso_box_api.background import Background
from sso_box_api.binding import Binder
from sso_box_api.box import (
    Box,
    BoxCredentials,
    CountCall,
    load_credentials,
    open_transport,
)
from sso_box_api.db import Database
from sso_box_api.errors import ConfigurationError
from sso_box_api.exchange import Exchange
from sso_box_api.explain import Explainer
from sso_box_api.identity import IdentityVerifier, ProviderTransport
from sso_box_api.leftovers import LeftOvers
from sso_box_api.lifecycle import Lifecycle
from sso_box_api.listener import require_notifications
from sso_box_api.memory import Memory
from sso_box_api.minting import Minter
from sso_box_api.own_tokens import OwnTokens
from sso_box_api.provisioning import Folders, Provisioner
from sso_box_api.rebinding import Rebinding
from sso_box_api.reconciliation import Reconciliation
from sso_box_api.restoration import Restoration
from sso_box_api.revocation import Revoker
from sso_box_api.settings import ProviderSettings, Settings
from sso_box_api.suspension import Suspensions
from sso_box_api.vending import LedgerKeys, Profiles
from sso_box_api.vendor import Vendor

_PAGE = 500

Mounts = Mapping[str, httpx.AsyncBaseTransport]


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything the service is made of, for the app and the command line alike."""

    settings: Settings
    credentials: BoxCredentials
    database: Database
    box: Box
    verifier: IdentityVerifier
    profiles: Profiles
    keys: LedgerKeys
    memory: Memory

    @property
    def box_app(self) -> tuple[str, str]:
        return self.credentials.client_id, self.credentials.enterprise_id

    def binder(self) -> Binder:
        """Make the binder of this process; its flights have to be waited for."""
        return Binder(
            self.database,
            self.box,
            self.settings.claim,
            realm=self.settings.realm,
            box_app=self.box_app,
            providers=self.settings.providers,
        )

    def provisioner(self) -> Provisioner:
        """Make the provisioner of this process; its flights have to be waited for."""
        return Provisioner(self.database, self.box, self.settings.provisioning)

    def folders(self) -> Folders:
        return Folders(self.database, self.settings.provisioning.template)

    def exchange(self, binder: Binder, provisioner: Provisioner) -> Exchange:
        """Make the exchange of this process; its renewals have to be waited for."""
        return Exchange(
            verifier=self.verifier,
            profiles=self.profiles,
            database=self.database,
            binder=binder,
            provisioner=provisioner,
            folders=self.folders(),
            vendor=Vendor(
                self.database,
                self.box,
                self.keys,
                Minter(self.database, self.box, self.keys, self.settings),
                self.memory,
                renew_below_s=self.settings.vending.renew_below_s,
                probe_s=self.settings.box.deadline_s,
            ),
            memory=self.memory,
            box_deadline_s=self.settings.box.deadline_s,
        )

    def own_tokens(self) -> OwnTokens:
        interval_s = self.settings.vending.sweep_interval_s
        revoker = self.revoker(put_off_s=interval_s, background=False)
        return OwnTokens(self.verifier, self.database, revoker)

    def lifecycle(self) -> Lifecycle:
        return Lifecycle(
            self.database,
            self.box,
            # An administrator waits, so it tries again sooner.
            self.revoker(put_off_s=0.5, background=False),
            realm=self.settings.realm,
            box_app=self.box_app,
        )

    def suspensions(self) -> Suspensions:
        return Suspensions(self.database, self.revoker(put_off_s=0.5, background=False))

    async def every_candidate(self) -> AsyncIterator[Candidate]:
        """Yield every identity with its account; no more than a page is held."""
        after: UUID | None = None
        while True:
            async with self.database.transaction() as session:
                page = await accounts.page_of_candidates(session, after, limit=_PAGE)
            for candidate in page:
                yield candidate
            if len(page) < _PAGE:
                return
            after = page[-1].account.identity_id

    def adoption(self, provider: ProviderSettings) -> Adoption:
        return Adoption(
            self.database,
            self.box,
            provider,
            realm=self.settings.realm,
            box_app=self.box_app,
        )

    def reconciliation(self, *, fix: bool = False) -> Reconciliation:
        return Reconciliation(self.database, self.box, fix=fix)

    def rebinding(self) -> Rebinding:
        return Rebinding(self.database, self.box, box_app=self.box_app)

    def restoration(self) -> Restoration:
        return Restoration(self.database, self.box)

    def background(self, provisioner: Provisioner) -> Background:
        interval_s = self.settings.vending.sweep_interval_s
        revoker = self.revoker(put_off_s=interval_s, background=True)
        left_overs = LeftOvers(self.database, self.box)
        suspensions = Suspensions(self.database, revoker)
        jobs = (suspensions.work, revoker.work, left_overs.work, provisioner.work)
        return Background(self.database, self.memory, jobs, interval_s=interval_s)

    def revoker(self, *, put_off_s: float, background: bool) -> Revoker:
        return Revoker(
            self.database,
            self.box,
            self.keys,
            put_off_s=put_off_s,
            background=background,
        )

    def explainer(self) -> Explainer:
        return Explainer(
            verifier=self.verifier,
            profiles=self.profiles,
            database=self.database,
            keys=self.keys,
            realm=self.settings.realm,
            renew_below_s=self.settings.vending.renew_below_s,
        )

    async def require_consistent_rows(self) -> None:
        """Refuse to start on a database that this configuration would damage.

        Raises ``ConfigurationError`` or ``DatabaseUnavailable``.
        """
        await migrations.require_current(self.database)
        await self._require_rights()
        await require_notifications(self.database)
        namespaces = {p.id: p.owns_namespace for p in self.settings.providers}
        async with self.database.transaction() as session:
            problems = list(
                await accounts.mismatches(
                    session,
                    realm=self.settings.realm,
                    namespaces=namespaces,
                    box_app=self.box_app,
                )
            )
            problems += [
                f"SSO_BOX_PROVIDERS: the provider {s.value} is locked and has no entry"
                " of this id; put its id back, for under another one its people may"
                f" come, or lift the lock: `sso-box-api unlock --provider {s.value}`"
                for s in await accounts.list_suspensions(session)
                if s.kind == "provider" and s.value not in namespaces
            ]
            if await vending.unknown_keys(session, self.keys):
                problems.append(
                    "SSO_BOX_SECRET_KEYS: live tokens are stored under a key that is"
                    " missing; put the former key back after the new one"
                )
        if problems:
            raise ConfigurationError(problems)

    async def _require_rights(self) -> None:
        if tables := await self.database.tables_out_of_reach():
            problem = (
                "SSO_BOX_DATABASE_URL: its role may not read and write"
                f" {', '.join(tables)}; as their owner GRANT it SELECT, INSERT, UPDATE,"
                ' DELETE: docs/configuration.md, "Two roles"'
            )
            raise ConfigurationError([problem])


@asynccontextmanager
async def open_parts(
    settings: Settings,
    *,
    mounts: Mounts | None = None,
    clock: Callable[[], float] = time.time,
    database: Database | None = None,
    count_call: CountCall | None = None,
) -> AsyncIterator[Parts]:
    """Build the parts and close them again. ``mounts`` replaces the network by host.

    ``database``: one of the same settings that is open already, and stays so.
    ``count_call``: is told of each attempt of a call to Box.
    """
    credentials = load_credentials(settings.box)
    profiles = Profiles.from_settings(settings)
    async with AsyncExitStack() as stack:
        # Whatever stands in for Box's API stands in for its upload host too.
        to_box = (mounts or {}).get(settings.box.api_url) or open_transport(
            settings.box
        )
        stack.push_async_callback(to_box.aclose)
        # Apart from Box's, for what it may connect to and whom it trusts.
        http_to_providers = await stack.enter_async_context(
            httpx.AsyncClient(
                transport=ProviderTransport(settings.providers),
                mounts=dict(mounts or {}),
                timeout=None,  # noqa: S113 - fetch_timeout_s stands round each fetch
                trust_env=False,
                follow_redirects=False,
            )
        )
        if database is None:
            database = Database(settings)
            stack.push_async_callback(database.close)
        verifier = IdentityVerifier(
            settings.providers,
            http_to_providers,
            clock=clock,
            keep_claims=settings.claims_in_use,
        )
        stack.push_async_callback(verifier.close)
        yield Parts(
            settings=settings,
            credentials=credentials,
            database=database,
            box=Box(
                credentials, settings.box, to_box, clock=clock, count_call=count_call
            ),
            verifier=verifier,
            profiles=profiles,
            keys=LedgerKeys(settings.secret_keys),
            # Trusted by nobody until a background listens to what changes.
            memory=Memory(
                most=settings.vending.remembered_logins,
                grace_s=settings.vending.grace_s,
                renew_below_s=settings.vending.renew_below_s,
            ),
        )

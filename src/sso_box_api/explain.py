"""What would come of an exchange with this token, and why; changes nothing anywhere.

For an administrator on the command line. The identity's part is reasoned in
``identity``; here follow the profile, the account and what would be vended, with the
same functions that ``exchange`` calls.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from sso_box_api import accounts, vending
from sso_box_api.accounts import Account, Suspension
from sso_box_api.db import AsyncSession, Database
from sso_box_api.errors import (
    AccessSuspended,
    DatabaseUnavailable,
    EmailNotAllowed,
    FolderNotProvisioned,
    ProvisioningInProgress,
    SsoBoxError,
)
from sso_box_api.identity import (
    Explanation,
    Identity,
    IdentityVerifier,
    UnverifiedToken,
)
from sso_box_api.kinds import login_of
from sso_box_api.provisioning import find_folder
from sso_box_api.settings import BoxUserSettings
from sso_box_api.vending import (
    Asking,
    DamagedHandle,
    Grant,
    LedgerKeys,
    Profiles,
    TemplateFolder,
    VendKey,
)


@dataclass(frozen=True, slots=True)
class Question:
    """A request as a page would send it."""

    unverified_token: UnverifiedToken = field(repr=False)
    profile: str | None
    scopes: Sequence[str] | None
    resource: str | None


class Explainer:
    """The parts of an exchange that can be asked without changing anything."""

    def __init__(
        self,
        *,
        verifier: IdentityVerifier,
        profiles: Profiles,
        database: Database,
        keys: LedgerKeys,
        realm: str,
        renew_below_s: int,
    ) -> None:
        self._verifier = verifier
        self._profiles = profiles
        self._database = database
        self._keys = keys
        self._realm = realm
        self._renew_below_s = renew_below_s

    async def explain(self, question: Question, *, online: bool) -> Explanation:
        """Go on as far as possible, whatever is wrong before.

        Only with ``online`` the provider and the database are asked; Box never is.
        """
        found = await self._verifier.explain(question.unverified_token, online=online)
        identity = found.identity
        if identity is None:
            return found
        if found.provider and found.provider.require_nonce_proof:
            found.unknown("nonce proof", _nonce(identity))
        asking = Asking(identity.provider, identity.client_id, identity.claims)
        grant = self._grant(found, question, asking)
        if others := self._profiles.others(question.profile, asking):
            found.passed("other profiles", ", ".join(others))
        if online:
            await self._look_up(found, identity, grant)
        else:
            user = self._box_user(found, identity)
            found.unknown(
                "account", f"{user} at Box; --online looks it up in the database"
            )
        return found

    def _grant(
        self, found: Explanation, question: Question, asking: Asking
    ) -> Grant | None:
        try:
            grant = self._profiles.authorise(
                profile=question.profile,
                scopes=question.scopes,
                resource=question.resource,
                asking=asking,
            )
        except SsoBoxError as error:
            found.failed("profile", error, error.detail)
            return None
        where = f" on {grant.resource}" if grant.resource else ""
        granted = f"{grant.profile}: {' '.join(grant.scopes)}{where}"
        limits = self._profiles.limits_of(grant)
        found.passed("profile", "; ".join([granted, *limits]))
        return grant

    async def _look_up(
        self, found: Explanation, identity: Identity, grant: Grant | None
    ) -> None:
        try:
            async with self._database.transaction() as session:
                account = await accounts.find(
                    session, identity.namespace, identity.subject
                )
                for suspension in await accounts.list_suspensions(session):
                    _explain_suspension(found, identity, suspension)
                self._explain_account(found, identity, account)
                # Where something refuses it, nothing would be handed out.
                if account and account.box_user_id and grant and not found.refusals:
                    bound = await _explain_folder(found, session, account, grant)
                    if bound is not None:
                        key = VendKey.of(account.identity_id, identity.client_id, bound)
                        await self._explain_token(found, session, key)
        except DatabaseUnavailable as error:
            found.unknown("account", f"{error.code}: {error.reason}")

    def _explain_account(
        self, found: Explanation, identity: Identity, account: Account | None
    ) -> None:
        if account is not None:
            known = f"{account.id}, {account.state}, Box user {account.box_user_id}"
            gate = partial(account.check_gate, identity.signed_in_at)
            found.make("account", gate, known)
            if account.box_user_id is None:
                self._explain_first_login(found, identity, "Box user")
        else:
            self._explain_first_login(found, identity, "account")

    def _explain_first_login(
        self, found: Explanation, identity: Identity, check: str
    ) -> None:
        rules = _rules(found)
        may = ["takes"] * (rules.kind == "app" or rules.link_existing)
        may += ["makes"] * rules.create
        user = self._box_user(found, identity)
        told = f"none yet; a first login {' or '.join(may) or 'does not take'} {user}"
        if rules.kind == "app" and rules.create:
            found.passed(check, told)
            return
        try:
            if rules.kind == "managed":
                login_of(rules, identity.email, trusted=identity.email_trusted)
        except EmailNotAllowed as error:
            found.failed(check, error, told)
        else:
            found.unknown(check, f"{told}, which Box was not asked for")

    async def _explain_token(
        self, found: Explanation, session: AsyncSession, key: VendKey
    ) -> None:
        try:
            live = await vending.find_live(
                session, self._keys, key, renew_below_s=self._renew_below_s
            )
        except DamagedHandle as error:
            found.unknown("token", str(error))
            return
        if live is None:
            found.passed("token", "a new one would be minted at Box")
        else:
            until = live.expires_at.isoformat(timespec="seconds")
            found.passed("token", f"the one until {until} would be handed out again")

    def _box_user(self, found: Explanation, identity: Identity) -> str:
        """Name the user that a first login is about, without the e-mail address."""
        if _rules(found).kind == "managed":
            return "the managed user of the e-mail address"
        return accounts.external_id(self._realm, identity.namespace, identity.subject)


def _explain_suspension(
    found: Explanation, identity: Identity, suspension: Suspension
) -> None:
    through = {"provider": identity.provider, "client": identity.client_id}
    if through[suspension.kind] == suspension.value:
        told = (
            f"the {suspension.kind} is locked since {suspension.since:%Y-%m-%d %H:%M}"
        )
        found.failed("lock", AccessSuspended(suspension.kind), told)


async def _explain_folder(
    found: Explanation, session: AsyncSession, account: Account, grant: Grant
) -> Grant | None:
    """Bind a grant on a folder of the template; None where that is not made."""
    if not isinstance(grant.resource, TemplateFolder):
        return grant
    try:
        bound = await find_folder(session, account, grant, grant.resource)
    except FolderNotProvisioned as error:
        found.failed("folder", error, "")
        return None
    except ProvisioningInProgress as error:
        found.unknown("folder", f"{error.reason}; {error.code} until it is done")
        return None
    if bound is None:
        found.unknown("folder", "none yet; an exchange makes it if these claims ask so")
        return None
    found.passed("folder", f"{bound.resource}, made for this account")
    return bound


def _rules(found: Explanation) -> BoxUserSettings:
    assert found.provider is not None  # noqa: S101 - an identity is somebody's there
    return found.provider.box_user


def _nonce(identity: Identity) -> str:
    if identity.nonce is None:
        return "a refreshed token: it counts for a while after the page's own proof"
    return "the page has to send the nonce_verifier of its login"

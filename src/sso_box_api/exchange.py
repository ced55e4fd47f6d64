"""The use case: an ID token in, a Box token out. Start reading here.

``exchange`` is one login from top to bottom: verify, authorise, find or create the Box
user, vend, record, furnish. Its helpers stand below it in calling order.
"""

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal
from weakref import WeakValueDictionary

from cachetools import TTLCache

from sso_box_api import accounts, vending
from sso_box_api.accounts import Account, Person
from sso_box_api.audit import ExchangeEvent
from sso_box_api.binding import Binder
from sso_box_api.box import (
    Box,
    Downscoped,
    InvalidResource,
    NotFoundAtBox,
    SubjectTokenRejected,
    within,
)
from sso_box_api.db import AsyncSession, Database
from sso_box_api.errors import (
    BoxRefused,
    BoxUserInactive,
    BoxUserMissing,
    NonceProofFailed,
    ResourceNotAccessible,
    SsoBoxError,
    TokenPolicy,
)
from sso_box_api.identity import (
    Identity,
    IdentityVerifier,
    NonceProof,
    UnverifiedToken,
)
from sso_box_api.provisioning import Provisioner
from sso_box_api.settings import VendingSettings
from sso_box_api.vending import Grant, LedgerKeys, LiveVend, Profiles, VendKey

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExchangeRequest:
    """What a caller may say. There is no user id in it, and there never will be.

    ``client_id``: stated at the OAuth door only, where it must be the token's own.
    """

    unverified_token: UnverifiedToken = field(repr=False)
    profile: str | None = None
    scopes: Sequence[str] | None = None
    resource: str | None = None
    client_id: str | None = None
    nonce_verifier: str | None = field(default=None, repr=False)
    door: Literal["json", "oauth"] = "json"
    request_id: str = ""
    client_address: str = ""


@dataclass(frozen=True, slots=True)
class Vended:
    """A Box token that may leave the process, because its row is committed."""

    access_token: str = field(repr=False)
    expires_at: datetime
    scopes: tuple[str, ...]
    resource: str | None
    box_user_id: str

    @property
    def expires_in(self) -> int:
        """Whole seconds of life left, by this process's clock; never negative."""
        left = self.expires_at - datetime.now(UTC)
        return max(0, int(left.total_seconds()))


class Exchange:
    """The parts that a login passes through, built once in ``app``."""

    def __init__(
        self,
        *,
        verifier: IdentityVerifier,
        profiles: Profiles,
        database: Database,
        binder: Binder,
        provisioner: Provisioner,
        box: Box,
        keys: LedgerKeys,
        rules: VendingSettings,
        box_deadline_s: float,
    ) -> None:
        self._verifier = verifier
        self._profiles = profiles
        self._database = database
        self._binder = binder
        self._provisioner = provisioner
        self._box = box
        self._keys = keys
        self._rules = rules
        self._box_deadline_s = box_deadline_s
        # Who asks for the same token at the same time waits for the one being minted.
        self._minting: WeakValueDictionary[VendKey, asyncio.Lock] = (
            WeakValueDictionary()
        )
        # Box users that were missing or inactive a moment ago; a relinked account has
        # another one at once.
        self._gone: TTLCache[str, type[SsoBoxError]] = TTLCache(maxsize=10_000, ttl=60)

    async def exchange(self, request: ExchangeRequest) -> Vended:
        """Turn one ID token into Box access for the person it names.

        Raises ``SsoBoxError`` subclasses only; writes one audit event in any case.
        """
        event = ExchangeEvent(request.door, request.request_id, request.client_address)
        event.id_token_sha256 = _sha256(request.unverified_token)
        try:
            identity = await self._verifier.verify(request.unverified_token)
            _fill_identity(event, identity)
            proof = self._verifier.check_nonce(identity, request.nonce_verifier)
            grant = self._authorise(request, identity)
            _fill_grant(event, grant)
            with within(self._box_deadline_s):
                account = await self._account(event, identity, proof)
                order = _Order(identity, account, grant)
                vend = await self._vend(event, order)
            event.vend_id, event.outcome = str(vend.id), "granted"
            await self._provisioner.furnish(
                account, _person(identity), identity.issued_at
            )
        except SsoBoxError as error:
            event.code, event.reason = error.code, error.reason
            event.outcome = "refused" if error.status < 500 else "failed"  # noqa: PLR2004 - HTTP
            raise
        finally:
            event.write()
        return Vended(
            vend.token,
            vend.expires_at,
            grant.scopes,
            order.resource,
            order.box_user_id,
        )

    def _authorise(self, request: ExchangeRequest, identity: Identity) -> Grant:
        if request.client_id not in {None, identity.client_id, identity.audience}:
            raise TokenPolicy("client_id_mismatch")
        return self._profiles.authorise(
            profile=request.profile,
            scopes=request.scopes,
            resource=request.resource,
            provider=identity.provider,
            client_id=identity.client_id,
        )

    async def _account(
        self, event: ExchangeEvent, identity: Identity, proof: NonceProof | None
    ) -> Account:
        """Find the account with its Box user; a first login makes both."""
        async with self._database.transaction() as session:
            account = await accounts.find(session, identity.namespace, identity.subject)
            if account is not None:
                account.check_gate(identity.signed_in_at)
                await _settle(session, account, identity, proof)
        if account is None and proof and not proof.shown:
            raise NonceProofFailed("nonce_session_over")
        if account is None or account.box_user_id is None:
            event.first_login = True
            account = await self._binder.bind(_person(identity), identity.signed_in_at)
            if proof:
                async with self._database.transaction() as session:
                    await _settle(session, account, identity, proof)
        event.account_id, event.box_user_id = str(account.id), account.box_user_id
        return account

    async def _vend(self, event: ExchangeEvent, order: "_Order") -> LiveVend:
        """Hand out the live token there is, else the one that is minted now."""
        event.vend = "reused"
        if (vend := await self._reuse(order)) is not None:
            return vend
        lock = self._minting.setdefault(order.vend_key, asyncio.Lock())
        waits = lock.locked()
        async with lock:
            # While this waited, the person may have signed out.
            if (vend := await self._reuse(order, gate=waits)) is not None:
                return vend
            event.vend = "minted"
            return await self._mint(order)

    async def _reuse(self, order: "_Order", *, gate: bool = False) -> LiveVend | None:
        async with self._database.transaction() as session:
            if gate:
                await accounts.gate_for_vend(
                    session, order.account, order.identity.signed_in_at
                )
            return await vending.find_live(
                session,
                self._keys,
                order.vend_key,
                renew_below_s=self._rules.renew_below_s,
            )

    async def _mint(self, order: "_Order") -> LiveVend:
        """Get a downscoped token from Box; hand it on only once its row stands."""
        token = await self._downscope(order)
        try:
            self._check_answer(order.grant, token)
            async with self._database.transaction() as session:
                await accounts.gate_for_vend(
                    session, order.account, order.identity.signed_in_at
                )
                return await self._insert(session, order, token, "live")
        except Exception:
            # Whatever went wrong, the token is out at Box and nobody may have it.
            await self._list_and_revoke(order, token)
            raise

    async def _downscope(self, order: "_Order") -> Downscoped:
        if (gone := self._gone.get(order.box_user_id)) is not None:
            raise gone("remembered")
        scopes, resource = order.grant.scopes, order.resource
        try:
            parent = await self._box.user_token(order.box_user_id)
            try:
                return await self._box.downscope(parent, scopes, resource)
            except SubjectTokenRejected:
                # Box refuses a just-minted parent now and then; a second one passes.
                parent = await self._box.user_token(order.box_user_id)
                return await self._box.downscope(parent, scopes, resource)
        except InvalidResource as error:
            raise ResourceNotAccessible(error.reason) from error
        except BoxRefused:
            await self._raise_if_gone(order)
            raise

    async def _raise_if_gone(self, order: "_Order") -> None:
        """Look whether the Box user is why Box refused; such a user is never remade."""
        try:
            user = await self._box.get_user(order.box_user_id)
        except NotFoundAtBox as error:
            self._gone[order.box_user_id] = BoxUserMissing
            raise BoxUserMissing(error.reason) from error
        if user.status == "inactive":
            self._gone[order.box_user_id] = BoxUserInactive
            raise BoxUserInactive

    def _check_answer(self, grant: Grant, token: Downscoped) -> None:
        strict = self._rules.scope_answer == "strict"
        entries = token.restricted_to
        if not strict and not entries:
            _log.warning("Box sent no restricted_to; accepted by SCOPE_ANSWER=log")
        vending.check_answer(
            grant,
            [(e.scope, e.object_type, e.object_id) for e in entries or ()],
            strict=strict,
        )

    async def _insert(
        self,
        session: AsyncSession,
        order: "_Order",
        token: Downscoped,
        state: Literal["live", "revoke_pending"],
    ) -> LiveVend:
        return await vending.insert(
            session,
            self._keys,
            order.vend_key,
            account_id=order.account.id,
            provider=order.identity.provider,
            token=token.access_token,
            expires_at=token.expires_at,
            state=state,
        )

    async def _list_and_revoke(self, order: "_Order", token: Downscoped) -> None:
        """Kill a token that must not leave; its row keeps it on the list until dead."""
        try:
            async with self._database.transaction() as session:
                vend = await self._insert(session, order, token, "revoke_pending")
        except SsoBoxError as error:
            _log.warning("a refused token could not be listed: %s", error.code)
            vend = None
        try:
            # The request's own time may be up, which is no reason to leave it live.
            with within(self._box_deadline_s):
                await self._box.revoke(token.access_token)
            if vend is not None:
                async with self._database.transaction() as session:
                    await vending.mark_revoked(session, vend.id)
        except SsoBoxError as error:
            _log.warning("a refused token is still to be revoked: %s", error.code)


@dataclass(frozen=True, slots=True)
class _Order:
    """One authorised request of one person whose Box user is bound."""

    identity: Identity
    account: Account
    grant: Grant

    @property
    def box_user_id(self) -> str:
        assert self.account.box_user_id is not None  # noqa: S101 - see the docstring
        return self.account.box_user_id

    @property
    def resource(self) -> str | None:
        return str(self.grant.resource) if self.grant.resource else None

    @property
    def vend_key(self) -> VendKey:
        identity_id, client_id = self.account.identity_id, self.identity.client_id
        return VendKey.of(identity_id, client_id, self.grant)


async def _settle(
    session: AsyncSession,
    account: Account,
    identity: Identity,
    proof: NonceProof | None,
) -> None:
    """Note the proof of this request, or require the one of an earlier request."""
    if proof is None:
        return
    client_id, session_s = identity.client_id, proof.session_s
    if proof.shown:
        await accounts.record_proof(
            session,
            account,
            client_id,
            signed_in_at=identity.signed_in_at,
            session_s=session_s,
        )
    elif not await accounts.has_proved(session, account, client_id, within_s=session_s):
        raise NonceProofFailed("nonce_session_over")


def _sha256(unverified_token: UnverifiedToken) -> str:
    return hashlib.sha256(unverified_token.encode(errors="replace")).hexdigest()


def _person(identity: Identity) -> Person:
    return Person(
        provider=identity.provider,
        namespace=identity.namespace,
        subject=identity.subject,
        name=identity.name,
        email=identity.email,
        email_trusted=identity.email_trusted,
        claims=identity.claims,
    )


def _fill_identity(event: ExchangeEvent, identity: Identity) -> None:
    event.provider = identity.provider
    event.namespace = identity.namespace
    event.subject = identity.subject
    event.client_id = identity.client_id


def _fill_grant(event: ExchangeEvent, grant: Grant) -> None:
    event.profile = grant.profile
    event.scopes = grant.scopes
    event.resource = str(grant.resource) if grant.resource else None

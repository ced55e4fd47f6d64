"""The use case: an ID token in, a Box token out. Start reading here.

``exchange`` is one login from top to bottom: verify, authorise, find or create the Box
user, vend, record, furnish. Its helpers stand below it in calling order.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from sso_box_api import accounts
from sso_box_api.accounts import Account, Person
from sso_box_api.audit import RequestEvent
from sso_box_api.binding import Binder
from sso_box_api.box import Rank, within
from sso_box_api.db import Database
from sso_box_api.errors import DatabaseUnavailable, NonceProofFailed
from sso_box_api.identity import (
    Identity,
    IdentityVerifier,
    NonceProof,
    UnverifiedToken,
)
from sso_box_api.memory import Key, Known, Memory
from sso_box_api.minting import Order
from sso_box_api.provisioning import Folders, Provisioner
from sso_box_api.vending import Asking, Grant, Profiles, TemplateFolder
from sso_box_api.vendor import Vendor

# For how long somebody who was served before waits for a database that is silent.
_SILENCE_S = 1.0


@dataclass(frozen=True, slots=True)
class ExchangeRequest:
    """What a caller may say. There is no user id in it, and there never will be.

    ``client_id``: stated at the OAuth door only, where it must be the token's own.
    ``rejected_token_sha256``: of the Box token that Box no longer took, in hex.
    """

    unverified_token: UnverifiedToken = field(repr=False)
    profile: str | None = None
    scopes: Sequence[str] | None = None
    resource: str | None = None
    client_id: str | None = None
    nonce_verifier: str | None = field(default=None, repr=False)
    rejected_token_sha256: str | None = None
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
        folders: Folders,
        vendor: Vendor,
        memory: Memory,
        box_deadline_s: float,
    ) -> None:
        self._verifier = verifier
        self._profiles = profiles
        self._database = database
        self._binder = binder
        self._provisioner = provisioner
        self._folders = folders
        self._vendor = vendor
        self._memory = memory
        self._box_deadline_s = box_deadline_s

    async def exchange(self, request: ExchangeRequest) -> Vended:
        """Turn one ID token into Box access for the person it names.

        Raises ``SsoBoxError`` subclasses only; writes one audit event in any case.
        """
        with _event(request) as event:
            identity = await self._verifier.verify(request.unverified_token)
            _fill_identity(event, identity)
            proof = self._verifier.check_nonce(identity, request.nonce_verifier)
            grant = self._authorise(request, identity)
            _fill_grant(event, grant)
            key = _key(identity, grant)
            # A proof, and a token that was reported, are looked up in their rows.
            recalls = proof is None and not request.rejected_token_sha256
            known = await self._recall(key, identity) if recalls else None
            if known is None:
                known = await self._serve(key, identity, proof, request, event)
            # What is new in the claims can wait for PostgreSQL longer than the person.
            elif (
                known.id_token_sha256 != identity.token_sha256 and self._memory.is_live
            ):
                await self._follow(key, identity, known)
            _fill_known(event, known)
            if self._memory.is_aging(known):
                self._vendor.renew(
                    _order(known.account, identity, known.grant, Rank.BACKGROUND)
                )
        return Vended(
            known.vend.token,
            known.vend.expires_at,
            known.grant.scopes,
            str(known.grant.resource) if known.grant.resource else None,
            known.account.bound_user_id,
        )

    async def close(self) -> None:
        """Wait for the renewals that are under way."""
        await self._vendor.close()

    def _authorise(self, request: ExchangeRequest, identity: Identity) -> Grant:
        identity.check_client(request.client_id)
        return self._profiles.authorise(
            profile=request.profile,
            scopes=request.scopes,
            resource=request.resource,
            asking=Asking(identity.provider, identity.client_id, identity.claims),
        )

    async def _recall(self, key: Key, identity: Identity) -> Known | None:
        """Return what was handed out before, while it certainly still may be.

        Where PostgreSQL does not answer at all, for a while longer.
        """
        known = self._memory.find(key)
        if known is None:
            return None
        known.account.check_gate(identity.signed_in_at)
        if self._memory.is_live:
            return known
        if not self._memory.outlives_silence(known):
            return None
        if await self._database.answers(within_s=_SILENCE_S):
            return None
        # Something may have been heard while this waited.
        return self._memory.find(key)

    async def _serve(
        self,
        key: Key,
        identity: Identity,
        proof: NonceProof | None,
        request: ExchangeRequest,
        event: RequestEvent,
    ) -> Known:
        """Find or make the account and its token, by the rows; remember both."""
        begun = self._memory.begin()
        with within(self._box_deadline_s):
            account = await self._account(event, identity, proof)
            grant = await self._resolve(account, identity, key.grant)
            order = _order(
                account,
                identity,
                grant,
                Rank.FIRST_LOGIN if event.first_login else Rank.LOGIN,
                request.rejected_token_sha256,
                # Where something was waited for since, others may have come before.
                is_first=account.is_new and proof is None and grant is key.grant,
            )
            # Beside the token: neither needs the other.
            furnishing = asyncio.create_task(self._furnish(account, identity))
            try:
                vend, event.vend = await self._vendor.vend(order)
            finally:
                account_now = await furnishing
        sha256 = identity.token_sha256
        known = self._memory.keep(key, account, vend, sha256, begun, grant=grant)
        self._memory.follow(key, known, account_now, sha256)
        return known

    async def _account(
        self, event: RequestEvent, identity: Identity, proof: NonceProof | None
    ) -> Account:
        """Find the account with its Box user; a first login makes both."""
        account = await accounts.look_up(
            self._database,
            identity.namespace,
            identity.subject,
            provider=identity.provider,
            client_id=identity.client_id,
        )
        if account is not None:
            account.check_gate(identity.signed_in_at)
            await self._settle(account, identity, proof)
        if account is None and proof and not proof.shown:
            raise NonceProofFailed("nonce_session_over")
        if account is None or account.box_user_id is None:
            event.first_login = True
            account = await self._binder.bind(_person(identity), identity.signed_in_at)
            await self._settle(account, identity, proof)
        event.account_id, event.box_user_id = str(account.id), account.box_user_id
        return account

    async def _resolve(
        self, account: Account, identity: Identity, grant: Grant
    ) -> Grant:
        """Bind a grant on a folder of the template to the account's own folder."""
        if not isinstance(grant.resource, TemplateFolder):
            return grant
        # Before the token: on a first login it is this that makes the folder.
        await self._furnish(account, identity)
        return await self._folders.resolve(account, _person(identity), grant)

    async def _furnish(self, account: Account, identity: Identity) -> Account | None:
        """Follow the claims of a token; None where only the account's row tells."""
        with suppress(DatabaseUnavailable):
            return await self._provisioner.furnish(
                account, _person(identity), identity.issued_at
            )
        return None

    async def _follow(self, key: Key, identity: Identity, known: Known) -> None:
        """Follow the claims of a token that is new here, and remember that it was.

        Where PostgreSQL is silent, when the person comes again; what is remembered is
        all that there is to serve until then.
        """
        try:
            account = await self._provisioner.furnish(
                known.account, _person(identity), identity.issued_at
            )
        except DatabaseUnavailable:
            return
        self._memory.follow(key, known, account, identity.token_sha256)

    async def _settle(
        self, account: Account, identity: Identity, proof: NonceProof | None
    ) -> None:
        """Note the proof of this request, or require the one of an earlier request."""
        if proof is None:
            return
        client_id, session_s = identity.client_id, proof.session_s
        async with self._database.transaction() as session:
            if proof.shown:
                await accounts.record_proof(
                    session,
                    account,
                    client_id,
                    provider=identity.provider,
                    signed_in_at=identity.signed_in_at,
                    session_s=session_s,
                )
            elif not await accounts.has_proved(
                session, account, client_id, within_s=session_s
            ):
                raise NonceProofFailed("nonce_session_over")


def _key(identity: Identity, grant: Grant) -> Key:
    return Key(
        identity.provider,
        identity.namespace,
        identity.subject,
        identity.client_id,
        grant,
    )


def _order(
    account: Account,
    identity: Identity,
    grant: Grant,
    rank: Rank,
    rejected: str | None = None,
    *,
    is_first: bool = False,
) -> Order:
    return Order(
        account,
        grant,
        provider=identity.provider,
        client_id=identity.client_id,
        signed_in_at=identity.signed_in_at,
        rejected_sha256=(rejected or "").lower(),
        rank=rank,
        is_first=is_first,
    )


def _event(request: ExchangeRequest) -> RequestEvent:
    return RequestEvent(
        "exchange",
        request.request_id,
        request.client_address,
        door=request.door,
        first_login=False,
        id_token_sha256=_sha256(request.unverified_token),
    )


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


def _fill_identity(event: RequestEvent, identity: Identity) -> None:
    event.provider = identity.provider
    event.namespace = identity.namespace
    event.subject = identity.subject
    event.client_id = identity.client_id


def _fill_known(event: RequestEvent, known: Known) -> None:
    _fill_grant(event, known.grant)
    event.account_id = str(known.account.id)
    event.box_user_id = known.account.box_user_id
    event.vend_id = str(known.vend.id)
    event.vend = event.vend or "remembered"


def _fill_grant(event: RequestEvent, grant: Grant) -> None:
    event.profile = grant.profile
    event.scopes = grant.scopes
    event.resource = str(grant.resource) if grant.resource else None

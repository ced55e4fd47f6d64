"""What people do to their own tokens: sign out everywhere, give a single one back.

Both only take away, so neither asks for the proof of the page, and a locked account is
no obstacle. Only a login that was ended itself has no say any more: who holds it could
end newer ones with it. What Box is to be told is left to the background of the serve
processes, which the commit wakes; the caller waits a moment for it.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from sso_box_api import accounts, vending
from sso_box_api.audit import RequestEvent
from sso_box_api.db import Database
from sso_box_api.errors import DatabaseUnavailable
from sso_box_api.identity import Identity, IdentityVerifier, UnverifiedToken
from sso_box_api.revocation import Revoker

_WAIT_S = 1.0


@dataclass(frozen=True, slots=True)
class OwnRequest:
    """Who asks, by an ID token alone."""

    unverified_token: UnverifiedToken = field(repr=False)
    request_id: str = ""
    client_address: str = ""


class OwnTokens:
    """The parts that it takes, built once in ``app``."""

    def __init__(
        self, verifier: IdentityVerifier, database: Database, revoker: Revoker
    ) -> None:
        self._verifier = verifier
        self._database = database
        self._revoker = revoker

    async def sign_out(self, request: OwnRequest) -> None:
        """End every login of the person, this one too, and all that was handed out.

        Does nothing for somebody who has no account. Raises ``CredentialError``
        (``SignedOut`` where this login was ended before), ``KeysUnavailable``,
        ``ProvisioningInProgress``, ``DatabaseUnavailable``.
        """
        with _event("sign_out", request) as event:
            identity = await self._verifier.verify(request.unverified_token)
            _fill(event, identity)
            async with self._database.transaction() as session:
                account = await accounts.find(
                    session, identity.namespace, identity.subject
                )
                if account is None:
                    return
                event.account_id = str(account.id)
                account.check_login(identity.signed_in_at)
                newest = max(identity.issued_at, identity.signed_in_at)
                await accounts.sign_out(session, account, at_least=newest)
                event.closed = await vending.close_account(session, account.id)
            if event.closed:
                await self._watch(account.id)

    async def revoke(
        self, request: OwnRequest, token: str, *, client_id: str | None
    ) -> None:
        """End one Box token that was handed out to this person and this very client.

        Anybody else's, and one that is none, is passed over in silence, so that nobody
        learns which tokens there are. ``client_id`` must be the ID token's own where it
        is stated. Raises ``CredentialError`` (``SignedOut`` where this login was
        ended before), ``KeysUnavailable``, ``DatabaseUnavailable``.
        """
        with _event("revoke", request) as event:
            identity = await self._verifier.verify(request.unverified_token)
            _fill(event, identity)
            identity.check_client(client_id)
            async with self._database.transaction() as session:
                account = await accounts.find(
                    session, identity.namespace, identity.subject
                )
                if account is None:
                    return
                event.account_id = str(account.id)
                account.check_login(identity.signed_in_at)
                closed = await vending.close_one(
                    session, token, account.identity_id, identity.client_id
                )
                event.closed = int(closed)
            if event.closed:
                await self._watch(account.id)

    async def _watch(self, account_id: UUID) -> None:
        with suppress(DatabaseUnavailable):  # what was asked for is committed
            await self._revoker.watch(account_id, within_s=_WAIT_S)


def _event(act: Literal["sign_out", "revoke"], request: OwnRequest) -> RequestEvent:
    return RequestEvent(act, request.request_id, request.client_address, closed=0)


def _fill(event: RequestEvent, identity: Identity) -> None:
    event.provider, event.namespace = identity.provider, identity.namespace
    event.subject, event.client_id = identity.subject, identity.client_id
    event.id_token_sha256 = identity.token_sha256

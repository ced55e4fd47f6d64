"""GET /v1/me: who the token says you are, and your Box user if there is one."""

from collections.abc import Sequence
from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel

from sso_box_api import accounts, furnishing
from sso_box_api.accounts import Account
from sso_box_api.api.credentials import BearerToken, one_token
from sso_box_api.api.responses import IDENTITY_PROBLEMS
from sso_box_api.api.state import BadTokensDep, DatabaseDep, VerifierDep
from sso_box_api.api.token import client_address
from sso_box_api.furnishing import Kind, Step, StepState

router = APIRouter()


class Me(BaseModel):
    """The identity in the token."""

    provider: str
    issuer: str
    subject: str
    name: str | None
    email: str | None
    email_trusted: bool


class ProvisioningStep(BaseModel):
    """One thing that the template has for this person, by the template's own name.

    ``path`` is where a folder or file was made or will be, with this person's names.
    """

    key: str
    kind: Kind
    path: str | None
    state: StepState


class BoxAccount(BaseModel):
    """The Box user bound to the identity, and whether it may be used."""

    id: str | None
    kind: Literal["app", "managed"]
    state: Literal["pending", "active", "locked", "removed"]
    provisioning: list[ProvisioningStep]


class MeResponse(BaseModel):
    """``box`` is null for somebody who has not logged in to Box yet."""

    identity: Me
    box: BoxAccount | None


@router.get(
    "/v1/me",
    operation_id="getMe",
    summary="The caller's identity and Box user",
    tags=["exchange"],
    responses=IDENTITY_PROBLEMS,
)
async def me(
    request: Request,
    bearer: BearerToken,
    verifier: VerifierDep,
    database: DatabaseDep,
    bad_tokens: BadTokensDep,
) -> MeResponse:
    with bad_tokens.counting(client_address(request)):
        identity = await verifier.verify(one_token(bearer, None))
    async with database.transaction() as session:
        account = await accounts.find(session, identity.namespace, identity.subject)
        steps = await furnishing.steps_of(session, account.id) if account else []
    if account is not None:
        # Said of who is locked, but to no login that the person has ended.
        account.check_login(identity.signed_in_at)
    return MeResponse(
        identity=Me(
            provider=identity.provider,
            issuer=identity.issuer,
            subject=identity.subject,
            name=identity.name,
            email=identity.email,
            email_trusted=identity.email_trusted,
        ),
        box=_box(account, steps) if account else None,
    )


def _box(account: Account, steps: Sequence[Step]) -> BoxAccount:
    paths = furnishing.paths_of(steps)
    return BoxAccount(
        id=account.box_user_id,
        kind="app" if account.kind == "app" else "managed",
        state=account.state,
        provisioning=[
            ProvisioningStep(
                key=step.key,
                kind=step.kind,
                path=paths.get(step.key),
                state=step.state,
            )
            for step in steps
        ],
    )

"""Accounts: change whom they are bound to."""

import json
import re
import sys
from typing import Any, NoReturn
from uuid import UUID

import click

from sso_box_api.cli.account import wait_option
from sso_box_api.cli.selectors import selectors, the_identity, the_one
from sso_box_api.cli.shared import PENDING, explained, run_with_parts
from sso_box_api.lifecycle import LinkReport
from sso_box_api.parts import Parts

BOX_USER_ID = r"[1-9][0-9]{0,19}"
_reason = click.option("--reason", help="Goes to the audit log.")


def box_user_id(_context: click.Context, _option: click.Parameter, value: str) -> str:
    if value and not re.fullmatch(BOX_USER_ID, value):
        raise click.BadParameter("a Box user id is decimal digits")
    return value


@click.command()
@selectors
@click.option("--to-box-user", callback=box_user_id, help="A user that is at Box.")
@click.option("--to-account", type=click.UUID, help="Another account, to share it.")
@_reason
@wait_option
@explained
def relink(
    *,
    to_box_user: str | None,
    to_account: UUID | None,
    reason: str | None,
    wait_s: float,
    as_json: bool,
    **selector: Any,
) -> None:
    """Bind an account to another Box user, or an identity to another account.

    The Box user has to be active, of the own enterprise, no administrator, and bound to
    no other account. Every token of the accounts concerned is killed; exit 3 while any
    is pending. A removed account is one no more; a locked one stays locked.
    """
    if (to_box_user is None) == (to_account is None):
        raise click.UsageError("give --to-box-user or --to-account, and one of them")

    async def run(parts: Parts) -> LinkReport:
        lifecycle = parts.lifecycle()
        if to_account is not None:
            identity = await the_identity(parts, selector)
            return await lifecycle.move(identity, to_account, reason, wait_s=wait_s)
        candidate, _ = await the_one(parts, selector)
        user_id = to_box_user or ""
        return await lifecycle.relink(candidate, user_id, reason, wait_s=wait_s)

    _report(run_with_parts(run), as_json=as_json)


@click.command()
@selectors
@_reason
@wait_option
@explained
def unlink(
    *, reason: str | None, wait_s: float, as_json: bool, **selector: Any
) -> None:
    """Remove an account: it gives its Box user up, and no login makes another one.

    The Box user stays at Box as it is. Every token is killed; exit 3 while any is
    pending. `account relink` or `account recreate` brings the account back.
    """

    async def run(parts: Parts) -> LinkReport:
        candidate, _ = await the_one(parts, selector)
        return await parts.lifecycle().unlink(candidate, reason, wait_s=wait_s)

    _report(run_with_parts(run), as_json=as_json)


@click.command()
@selectors
@_reason
@wait_option
@explained
def recreate(
    *, reason: str | None, wait_s: float, as_json: bool, **selector: Any
) -> None:
    """Let the next login make a new Box user, where Box has the old one no more.

    Refused while Box shows that user, or another one under the account's external id.
    """

    async def run(parts: Parts) -> LinkReport:
        candidate, _ = await the_one(parts, selector)
        return await parts.lifecycle().recreate(candidate, reason, wait_s=wait_s)

    _report(run_with_parts(run), as_json=as_json)


def _report(report: LinkReport, *, as_json: bool) -> NoReturn:
    tokens, account = report.tokens, report.tokens.account
    latest = tokens.latest_expiry.isoformat() if tokens.latest_expiry else None
    if as_json:
        bound = {"account": str(account.id), "box_user_id": account.box_user_id}
        former = {"former_box_user_id": report.former_box_user_id}
        counts = {"revoked": tokens.revoked, "pending": tokens.pending}
        state = {"state": account.state, **bound, **former}
        print(json.dumps({**state, **counts, "latest_expiry": latest}))
    else:
        print(f"{account.state}; account {account.id}")
        print(f"bound to Box user {account.box_user_id or '-'}")
        if report.former_box_user_id:
            print(f"given up: Box user {report.former_box_user_id}, which stays at Box")
        print(f"{tokens.revoked} revoked, {tokens.pending} pending at Box")
        if latest:
            print(f"the last pending token expires by itself at {latest}")
    sys.exit(PENDING if tokens.pending else 0)

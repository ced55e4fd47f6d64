"""Accounts: look at them, switch them off and on. ``links`` changes their bindings."""

import json
import sys
from typing import Any, NoReturn

import click

from sso_box_api.accounts import Candidate, Suspension
from sso_box_api.cli.selectors import describe, select, selectors, the_one
from sso_box_api.cli.shared import PENDING, Listing, explained, fail, run_with_parts
from sso_box_api.lifecycle import LockReport
from sso_box_api.parts import Parts


@click.group("account")
def account_group() -> None:
    """Look at accounts and switch them off and on."""


_LISTED = ("state", "account", "box_user_id", "provider", "subject", "email")

wait_option = click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(min=0, max=3600),
    default=5.0,
    show_default=True,
    help="Seconds to wait for Box to kill the tokens.",
)


@account_group.command()
@selectors
@explained
def show(*, as_json: bool, **selector: Any) -> None:
    """Show an account, or every candidate for an e-mail address."""

    async def run(parts: Parts) -> tuple[list[Candidate], list[Suspension]]:
        candidates = await select(parts, selector)
        if not candidates:
            # With another configuration nobody would be found, whoever is asked for.
            await parts.require_consistent_rows()
        return candidates, await parts.suspensions().in_force()

    candidates, suspensions = run_with_parts(run)
    if not candidates:
        fail("no such account")
    locked = {s.value: s.reason for s in suspensions if s.kind == "provider"}
    shown = [
        {**describe(c), "provider_lock_reason": locked.get(c.provider)}
        for c in candidates
    ]
    if as_json:
        print(json.dumps({"accounts": shown}))
        return
    for candidate in shown:
        for key, value in candidate.items():
            print(f"{key}: {value if value is not None else '-'}")


@account_group.command("list")
@click.option(
    "--state",
    type=click.Choice(["pending", "active", "locked", "removed"]),
    default=None,
)
@click.option("--provider", help="A configured provider's id.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@explained
def list_accounts(*, state: str | None, provider: str | None, as_json: bool) -> None:
    """List every identity with its account, in no order that means anything."""

    async def run(parts: Parts) -> None:
        with Listing("accounts", as_json=as_json) as listing:
            async for candidate in parts.every_candidate():
                wanted = state in {None, candidate.account.state}
                if wanted and provider in {None, candidate.provider}:
                    described = describe(candidate)
                    listing.add(described, [described[name] for name in _LISTED])

    run_with_parts(run)


@account_group.command()
@selectors
@click.option("--reason", default="locked on the command line", show_default=True)
@wait_option
@explained
def lock(*, as_json: bool, reason: str, wait_s: float, **selector: Any) -> None:
    """Lock an account and kill every token handed out; exit 3 while any is pending.

    A person who never signed in can be locked by ISSUER and SUBJECT. What is pending
    is finished by the serve processes; run it again to try at once.
    """

    async def run(parts: Parts) -> tuple[LockReport, bool]:
        candidate, created = await the_one(parts, selector, ensure=True)
        return await parts.lifecycle().lock(candidate, reason, wait_s=wait_s), created

    report, created = run_with_parts(run)
    if created and not as_json:
        print("never signed in here before: locked in advance; check the subject")
    report_tokens(report, as_json=as_json, extra={"created": created})


@account_group.command()
@selectors
@wait_option
@explained
def unlock(*, as_json: bool, wait_s: float, **selector: Any) -> None:
    """Let a locked account in again; tokens from before the lock are killed.

    Exit 3 while Box has not killed every one of them.
    """

    async def run(parts: Parts) -> LockReport:
        candidate, _ = await the_one(parts, selector)
        return await parts.lifecycle().unlock(candidate, wait_s=wait_s)

    report_tokens(run_with_parts(run), as_json=as_json)


def report_tokens(
    report: LockReport, *, as_json: bool, extra: dict[str, bool] | None = None
) -> NoReturn:
    latest = report.latest_expiry.isoformat() if report.latest_expiry else None
    if as_json:
        counts = {"revoked": report.revoked, "pending": report.pending}
        state = {"state": report.account.state, **(extra or {})}
        print(json.dumps({**state, **counts, "latest_expiry": latest}))
    else:
        counted = f"{report.revoked} revoked, {report.pending} pending at Box"
        print(f"{report.account.state}; {counted}")
        if latest:
            print(f"the last pending token expires by itself at {latest}")
    sys.exit(PENDING if report.pending else 0)

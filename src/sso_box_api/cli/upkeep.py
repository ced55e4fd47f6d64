"""Work on all accounts: compare them with Box, move them, make a restore safe."""

import asyncio
import json
import sys
from collections import Counter
from contextlib import suppress
from typing import get_args

import click

from sso_box_api import reconciliation, vending
from sso_box_api.cli.shared import (
    FAILED,
    PENDING,
    Listing,
    explained,
    run_with_parts,
)
from sso_box_api.parts import Parts

_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_apply = click.option("--apply", is_flag=True, help="Do it; without, only tell.")

_UNKNOWN = """\
What no backup tells: who was locked or unlinked after it. Lock them again; who is
inactive at Box while the account is open is listed above. Tokens handed out after the
backup are on no list: Box was asked to end the sessions of every user, and does not say
what that does to tokens of apps. They live little more than an hour."""


@click.command("reconcile")
@click.option("--fix", is_flag=True, help="Repair what is safe to repair.")
@_json
@explained
def reconcile_command(*, fix: bool, as_json: bool) -> None:
    """Compare PostgreSQL with Box; exit 1 if anything is left that differs.

    Reports Box users that no account has (orphan, listed_orphan, duplicate), and
    accounts whose Box user is missing, inactive, or has another external id (renamed).
    A note is for your information. --fix writes external ids back and deletes Box users
    that this service made in vain, never one that owns content.
    """

    async def run(parts: Parts) -> int:
        await parts.require_consistent_rows()
        with Listing("findings", as_json=as_json) as listing:
            return await _reconcile(parts, listing, fix=fix)

    sys.exit(FAILED if run_with_parts(run) else 0)


async def _reconcile(parts: Parts, listing: Listing, *, fix: bool = False) -> int:
    """Print what differs; return how much of it somebody has to see to."""
    counts: Counter[str] = Counter(dict.fromkeys(get_args(reconciliation.Kind), 0))
    fixed = left = 0
    async for found in parts.reconciliation(fix=fix).run():
        counts[found.kind] += 1
        fixed += found.fixed
        left += found.is_open
        account = str(found.account) if found.account else None
        entry = {
            "kind": found.kind,
            "box_user_id": found.box_user_id,
            "account": account,
            "external_app_user_id": found.external_id,
            "said": found.said,
            "fixed": found.fixed,
        }
        kind = f"{found.kind} (fixed)" if found.fixed else found.kind
        listing.add(entry, [kind, found.box_user_id, account, found.said])
    listing.end(**counts, fixed=fixed)
    return left


@click.command()
@_apply
@click.option(
    "--unbind-missing",
    is_flag=True,
    help="Those whose Box user the new app does not see begin anew.",
)
@_json
@explained
def rebind(*, apply: bool, unbind_missing: bool, as_json: bool) -> None:
    """Give the accounts over to the Box app or enterprise that is configured now.

    Asks Box for each account's user. Exit 1 while accounts stay with another app, for
    then a start is refused.
    """
    counts: Counter[str] = Counter(seen=0, missing=0, unbound=0)

    async def run(parts: Parts) -> int:
        staying = 0
        with Listing("accounts", as_json=as_json) as listing:
            async for batch in parts.rebinding().run(
                apply=apply, unbind_missing=unbind_missing
            ):
                for row in batch:
                    counts[row.state] += 1
                    staying += not row.done
                    # The others are as many as there are accounts.
                    if row.state == "missing":
                        entry = {
                            "state": row.state,
                            "account": str(row.account),
                            "box_user_id": row.box_user_id,
                            "done": row.done,
                        }
                        listing.add(entry, [row.state, row.account, row.box_user_id])
            listing.end(**counts, staying=staying, applied=apply)
        return staying

    sys.exit(FAILED if run_with_parts(run) else 0)


@click.command("after-restore")
@_apply
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(min=0, max=3600),
    default=30.0,
    show_default=True,
    help="Seconds to wait for Box to kill the tokens.",
)
@_json
@explained
def after_restore(*, apply: bool, wait_s: float, as_json: bool) -> None:
    """Make a restored database safe, before the service is started on it.

    Revokes every listed token, refuses every login from before now, has Box end the
    sessions of all users, and compares with Box. Exit 3 while tokens are pending at Box
    or sessions are not ended, 1 if only the comparison found something.
    """

    async def run(parts: Parts) -> int:
        restoration = parts.restoration()
        if not apply:
            _print(await restoration.preview(), as_json=as_json)
            return 0
        counts = await restoration.run()
        pending = await _revoke(parts, wait_s)
        await parts.require_consistent_rows()
        with Listing("findings", as_json=as_json) as listing:
            left = await _reconcile(parts, listing)
            listing.end(**counts, pending=pending, differing=left)
        if not as_json:
            print(_UNKNOWN)
        if pending or counts["sessions_not_ended"]:
            return PENDING
        return FAILED if left else 0

    sys.exit(run_with_parts(run))


def _print(counts: dict[str, int], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({**counts, "applied": False}))
    else:
        print(", ".join(f"{key}: {value}" for key, value in counts.items()))
        print("nothing is done yet: stop the service, then run it with --apply")


async def _revoke(parts: Parts, wait_s: float) -> int:
    """Have Box kill what is pending, as far as it gets; count what is left."""
    revoker = parts.revoker(put_off_s=0.5, background=False)
    with suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            while await revoker.work():
                pass
    async with parts.database.transaction() as session:
        pending, _ = await vending.count_pending(session)
    return pending

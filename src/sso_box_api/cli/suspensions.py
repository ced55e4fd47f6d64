"""Incidents: lock a whole provider or client, let it in again, list what is locked."""

import json
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import click

from sso_box_api.accounts import Suspension, SuspensionKind
from sso_box_api.cli.account import wait_option
from sso_box_api.cli.shared import PENDING, Listing, explained, fail, run_with_parts
from sso_box_api.parts import Parts
from sso_box_api.suspension import SuspensionReport


def _selectors(command: Callable[..., None]) -> Callable[..., None]:
    for decorate in (
        click.option("--provider", help="A configured provider's id."),
        click.option("--issuer", help="Any issuer of a configured provider."),
        click.option("--client-id", help="A client id, as tokens have it."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
    ):
        command = decorate(command)
    return command


@click.command("lock")
@_selectors
@click.option("--reason", default="locked on the command line", show_default=True)
@wait_option
@explained
def lock_command(
    *, as_json: bool, reason: str, wait_s: float, **selector: str | None
) -> None:
    """Refuse everybody of a provider or client, and kill their tokens.

    For incidents; `account lock` is for one person. Holds for people who never signed
    in and for logins to come, until `unlock`. Exit 3 while any token is pending at Box,
    which the serve processes go on with.
    """

    async def run(parts: Parts) -> tuple[SuspensionReport, bool]:
        kind, value = _meant(parts, selector)
        if kind == "provider" and value not in _provider_ids(parts):
            ids = ", ".join(sorted(_provider_ids(parts)))
            fail(f"no configured provider has this id; there are: {ids}")
        clients = {c for p in parts.settings.providers for c in p.client_ids}
        is_known = kind == "provider" or value in clients
        report = await parts.suspensions().suspend(kind, value, reason, wait_s=wait_s)
        return report, is_known

    report, is_known = run_with_parts(run)
    if not is_known and not as_json:
        print("no configured provider has this client id: locked; check it")
    _report(report, as_json=as_json, configured=is_known)


@click.command("unlock")
@_selectors
@wait_option
@explained
def unlock_command(*, as_json: bool, wait_s: float, **selector: str | None) -> None:
    """Let a locked provider or client in again; tokens from before are killed.

    Accounts that are locked by themselves stay so. Exit 3 while any token is pending.
    """

    async def run(parts: Parts) -> SuspensionReport:
        kind, value = _meant(parts, selector)
        return await parts.suspensions().lift(kind, value, wait_s=wait_s)

    _report(run_with_parts(run), as_json=as_json)


@click.command("locks")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@explained
def locks_command(*, as_json: bool) -> None:
    """List the providers and clients that are locked; `account list` has the people."""

    async def run(parts: Parts) -> None:
        with Listing("locks", as_json=as_json) as listing:
            for suspension in await parts.suspensions().in_force():
                described = _describe(suspension)
                listing.add(described, described.values())

    run_with_parts(run)


def _meant(parts: Parts, selector: dict[str, str | None]) -> tuple[SuspensionKind, str]:
    given = {name: value for name, value in selector.items() if value}
    if len(given) != 1:
        message = "give --provider, --issuer or --client-id, and only one of them"
        raise click.UsageError(message)
    [(name, value)] = given.items()
    if name == "client_id":
        return "client", value
    return "provider", value if name == "provider" else _provider_of(parts, value)


def _provider_of(parts: Parts, issuer: str) -> str:
    provider = parts.verifier.provider_of(issuer)
    if provider is None:
        fail("no configured provider has this issuer; give --provider ID instead")
    if provider.issuer_template and len(provider.tenants) != 1:
        # Where one tenant is named, all would be stopped.
        fail(
            f"this provider has several tenants; give --provider {provider.id} for all"
        )
    return provider.id


def _provider_ids(parts: Parts) -> set[str]:
    return {provider.id for provider in parts.settings.providers}


def _describe(suspension: Suspension) -> dict[str, Any]:
    return {
        "kind": suspension.kind,
        "value": suspension.value,
        "since": suspension.since.isoformat(),
        "reason": suspension.reason,
        "closed_tokens": suspension.closed_tokens,
        "closed": suspension.closed,
    }


def _report(report: SuspensionReport, *, as_json: bool, **also: bool) -> NoReturn:
    latest = report.latest_expiry.isoformat() if report.latest_expiry else None
    state = "locked" if report.suspension else "unlocked"
    if as_json:
        counts = {"revoked": report.revoked, "pending": report.pending}
        known = {"state": state, **also, **counts, "latest_expiry": latest}
        print(json.dumps(known))
    else:
        print(f"{state}; {report.revoked} revoked, {report.pending} pending at Box")
        if latest:
            print(f"the last pending token expires by itself at {latest}")
    sys.exit(PENDING if report.pending else 0)

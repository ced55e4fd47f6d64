"""Accounts: look at them, switch them off and on."""

import json
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import click

from sso_box_api import accounts
from sso_box_api.accounts import Candidate, Person
from sso_box_api.app import Parts
from sso_box_api.cli.shared import PENDING, explained, fail, run_with_parts
from sso_box_api.lifecycle import LockReport
from sso_box_api.settings import ProviderSettings


@click.group("account")
def account_group() -> None:
    """Look at accounts and switch them off and on."""


def _selectors(command: Callable[..., None]) -> Callable[..., None]:
    for decorate in (
        click.argument("subject", required=False),
        click.argument("issuer", required=False),
        click.option("--provider", help="A configured provider's id, with --subject."),
        click.option("--subject", "subject_option", help="The sub at that provider."),
        click.option("--box-user", help="A Box user id."),
        click.option("--account", "account_id", type=click.UUID, help="An account id."),
        click.option("--email", help="Shows candidates; never acts on several."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
    ):
        command = decorate(command)
    return command


_wait = click.option(
    "--wait",
    "wait_s",
    default=5.0,
    show_default=True,
    help="Seconds to wait for Box to kill the tokens.",
)


@account_group.command()
@_selectors
@explained
def show(*, as_json: bool, **selector: Any) -> None:
    """Show an account, or every candidate for an e-mail address."""
    candidates = run_with_parts(lambda parts: _select(parts, selector))
    if not candidates:
        fail("no such account")
    if as_json:
        print(json.dumps({"accounts": [_describe(c) for c in candidates]}))
        return
    for candidate in candidates:
        for key, value in _describe(candidate).items():
            print(f"{key}: {value if value is not None else '-'}")


@account_group.command()
@_selectors
@click.option("--reason", default="locked on the command line", show_default=True)
@_wait
@explained
def lock(*, as_json: bool, reason: str, wait_s: float, **selector: Any) -> None:
    """Lock an account and kill every token handed out; exit 3 while any is pending.

    A person who never signed in can be locked by ISSUER and SUBJECT. What is pending
    is finished by the serve processes; run it again to try at once.
    """

    async def run(parts: Parts) -> tuple[LockReport, bool]:
        candidate, created = await _the_one(parts, selector, ensure=True)
        return await parts.lifecycle().lock(candidate, reason, wait_s=wait_s), created

    report, created = run_with_parts(run)
    if created and not as_json:
        print("never signed in here before: locked in advance; check the subject")
    _report(report, as_json=as_json, extra={"created": created})


@account_group.command()
@_selectors
@_wait
@explained
def unlock(*, as_json: bool, wait_s: float, **selector: Any) -> None:
    """Let a locked account in again; tokens from before the lock are killed.

    Exit 3 while Box has not killed every one of them.
    """

    async def run(parts: Parts) -> LockReport:
        candidate, _ = await _the_one(parts, selector)
        return await parts.lifecycle().unlock(candidate, wait_s=wait_s)

    _report(run_with_parts(run), as_json=as_json)


def _report(
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


async def _the_one(
    parts: Parts, selector: dict[str, Any], *, ensure: bool = False
) -> tuple[Candidate, bool]:
    """Return the account that is meant, and whether it was made just now."""
    candidates = await _select(parts, selector)
    created = False
    if not candidates and ensure and (person := _person(parts, selector)) is not None:
        # Rows made under another configuration would lock nobody.
        await parts.require_consistent_rows()
        await parts.lifecycle().ensure(person)
        candidates, created = await _select(parts, selector), True
    if not candidates:
        fail("no such account")
    if selector["email"] or len({c.account.id for c in candidates}) > 1:
        # An address is no proof of who is meant, even if only one account bears it.
        listed = "\n".join(json.dumps(_describe(c)) for c in candidates)
        fail(f"choose one by --account:\n{listed}")
    return candidates[0], created


async def _select(parts: Parts, selector: dict[str, Any]) -> list[Candidate]:
    person = _person(parts, selector)
    given = [
        person is not None,
        bool(selector["box_user"]),
        selector["account_id"] is not None,
        bool(selector["email"]),
    ]
    if sum(given) != 1:
        message = (
            "give ISSUER SUBJECT, --provider with --subject, --box-user, --account or"
            " --email, and only one of them"
        )
        raise click.UsageError(message)
    async with parts.database.transaction() as session:
        return await accounts.select(
            session,
            namespace=person.namespace if person else None,
            subject=person.subject if person else None,
            box_user_id=selector["box_user"],
            account_id=selector["account_id"],
            email=selector["email"],
        )


def _person(parts: Parts, selector: dict[str, Any]) -> Person | None:
    """Name a person by any issuer of a provider, or by the provider's id."""
    issuer, subject = selector["issuer"], selector["subject"]
    wanted, subject_option = selector["provider"], selector["subject_option"]
    if issuer and subject and not wanted and not subject_option:
        provider = parts.verifier.provider_of(issuer)
        namespace = parts.verifier.namespace_of(issuer)
        if provider is None or namespace is None:
            fail("no configured provider has this issuer")
        return _new_person(provider, namespace, subject)
    if wanted and subject_option and not issuer:
        for provider in parts.settings.providers:
            if provider.id == wanted:
                if provider.issuer_template and len(provider.tenants) != 1:
                    fail("this provider has several tenants; give ISSUER SUBJECT")
                return _new_person(provider, provider.frozen_namespace, subject_option)
        fail("no configured provider has this id")
    if issuer or subject or wanted or subject_option:
        message = "ISSUER goes with SUBJECT, and --provider with --subject"
        raise click.UsageError(message)
    return None


def _new_person(provider: ProviderSettings, namespace: str, subject: str) -> Person:
    if not subject.isascii() or len(subject) > 255:  # noqa: PLR2004 - OpenID Connect Core 2
        fail("no ID token can have such a subject: it is ASCII, 255 characters at most")
    return Person(provider.id, namespace, subject)


def _describe(candidate: Candidate) -> dict[str, str | None]:
    account = candidate.account
    return {
        "account": str(account.id),
        "provider": candidate.provider,
        "namespace": candidate.namespace,
        "subject": candidate.subject,
        "name": candidate.name,
        "email": candidate.email,
        "state": account.state,
        "kind": account.kind,
        "box_user_id": account.box_user_id,
        "external_app_user_id": account.external_app_user_id,
        "lock_reason": account.lock_reason,
    }

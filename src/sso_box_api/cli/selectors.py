"""Who is meant: the one way to name a person or an account on the command line."""

import json
from collections.abc import Callable
from typing import Any

import click

from sso_box_api import accounts
from sso_box_api.accounts import Candidate, Person
from sso_box_api.adoption import subject_fault
from sso_box_api.cli.shared import fail
from sso_box_api.parts import Parts
from sso_box_api.settings import ProviderSettings


def selectors(command: Callable[..., None]) -> Callable[..., None]:
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


async def the_one(
    parts: Parts, selector: dict[str, Any], *, ensure: bool = False
) -> tuple[Candidate, bool]:
    """Return the account that is meant, and whether it was made just now.

    ``ensure`` makes the rows of a person who never signed in.
    """
    candidates = await select(parts, selector)
    created = False
    if not candidates and ensure and (person := person_of(parts, selector)) is not None:
        # Rows made under another configuration, or for a subject that nobody can have,
        # would lock nobody.
        [provider] = [p for p in parts.settings.providers if p.id == person.provider]
        if fault := subject_fault(provider, person.subject):
            fail(fault)
        await parts.require_consistent_rows()
        await parts.lifecycle().ensure(person)
        candidates, created = await select(parts, selector), True
    if not candidates:
        fail("no such account")
    if selector["email"] or len({c.account.id for c in candidates}) > 1:
        # An address is no proof of who is meant, even if only one account bears it.
        listed = "\n".join(json.dumps(describe(c)) for c in candidates)
        fail(f"choose one by --account:\n{listed}")
    return candidates[0], created


async def the_identity(parts: Parts, selector: dict[str, Any]) -> Candidate:
    """Return the one identity that is meant, where an account has several."""
    candidate, _ = await the_one(parts, selector)
    candidates = await select(parts, selector)
    if len(candidates) > 1:
        listed = "\n".join(json.dumps(describe(c)) for c in candidates)
        fail(f"choose one identity by --provider and --subject:\n{listed}")
    return candidate


async def select(parts: Parts, selector: dict[str, Any]) -> list[Candidate]:
    person = person_of(parts, selector)
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


def person_of(parts: Parts, selector: dict[str, Any]) -> Person | None:
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
        provider = provider_named(parts, wanted, instead="give ISSUER SUBJECT")
        return _new_person(provider, provider.frozen_namespace, subject_option)
    if issuer or subject or wanted or subject_option:
        message = "ISSUER goes with SUBJECT, and --provider with --subject"
        raise click.UsageError(message)
    return None


def provider_named(parts: Parts, provider_id: str, *, instead: str) -> ProviderSettings:
    """Return a provider whose people are all stored under one namespace."""
    named = [p for p in parts.settings.providers if p.id == provider_id]
    if not named:
        ids = ", ".join(p.id for p in parts.settings.providers)
        fail(f"no configured provider has this id; there are: {ids}")
    if named[0].issuer_template and len(named[0].tenants) != 1:
        fail(f"this provider has several tenants; {instead}")
    return named[0]


def _new_person(provider: ProviderSettings, namespace: str, subject: str) -> Person:
    if not subject.isascii() or len(subject) > 255:  # noqa: PLR2004 - OpenID Connect Core 2
        fail("no ID token can have such a subject: it is ASCII, 255 characters at most")
    return Person(provider.id, namespace, subject)


def describe(candidate: Candidate) -> dict[str, str | None]:
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

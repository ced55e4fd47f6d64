"""The command line: serve, database, doctor, explain, keys, accounts.

Exit codes: 0 done, 1 a check failed or something is not reachable, 2 wrong usage or
configuration, 3 tokens are left that Box has not killed yet.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from functools import wraps
from typing import Any, NoReturn, ParamSpec, TypeVar

import click
import uvicorn
from cryptography.fernet import Fernet

from sso_box_api import accounts, db, doctor
from sso_box_api.accounts import Candidate, Person
from sso_box_api.app import Parts, open_parts
from sso_box_api.audit import configure_logging
from sso_box_api.box import diagnose
from sso_box_api.errors import ConfigurationError, DatabaseUnavailable, SsoBoxError
from sso_box_api.explain import Question
from sso_box_api.identity import MAX_TOKEN_CHARS, Explanation, UnverifiedToken
from sso_box_api.lifecycle import LockReport
from sso_box_api.settings import (
    DatabaseSettings,
    ProviderSettings,
    Settings,
    load_settings,
)

_FAILED, _MISCONFIGURED, _PENDING = 1, 2, 3

P = ParamSpec("P")
T = TypeVar("T")


def _explained(command: Callable[P, T]) -> Callable[P, T]:
    """Turn our errors into a line each and an exit code, never a traceback."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        if any(isinstance(v, str) and not _is_clean(v) for v in kwargs.values()):
            raise click.UsageError("arguments must be UTF-8 text without controls")
        try:
            return command(*args, **kwargs)
        except ConfigurationError as error:
            for problem in error.problems:
                print(problem, file=sys.stderr)
            sys.exit(_MISCONFIGURED)
        except DatabaseUnavailable as error:
            problem = f"the database cannot be used: {error.reason}"
            print(f"SSO_BOX_DATABASE_URL: {problem}", file=sys.stderr)
            sys.exit(_FAILED)
        except SsoBoxError as error:
            print(f"{error.code}: {error.detail} {error.reason}", file=sys.stderr)
            sys.exit(_FAILED)

    return run


def _is_clean(argument: str) -> bool:
    return argument.isprintable()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sso-box-api")
def main() -> None:
    """Exchange a company's SSO ID token for narrow, short-lived Box access."""


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True)
@_explained
def serve(host: str, port: int, workers: int) -> None:
    """Run the service; refuses to start on a configuration that cannot work."""
    settings = load_settings()
    asyncio.run(_check_start(settings))
    configure_logging()
    uvicorn.run(
        "sso_box_api.app:serve_app",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        access_log=False,
        log_config=None,
        server_header=False,
        # Only a named proxy's word on the client address is believed.
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies) or None,
    )


async def _check_start(settings: Settings) -> None:
    async with open_parts(settings) as parts:
        await parts.require_consistent_rows()


@main.group("db")
def db_group() -> None:
    """The database's schema."""


@db_group.command()
@_explained
def upgrade() -> None:
    """Apply every migration; needs SSO_BOX_DATABASE_URL only."""
    db.upgrade(load_settings(DatabaseSettings))
    print(f"the database is at migration {db.head_revision()}")


@db_group.command()
@_explained
def check() -> None:
    """Exit 0 if the schema is the one this version needs."""

    async def run() -> None:
        database = db.Database(load_settings(DatabaseSettings))
        try:
            await database.require_current_schema()
        finally:
            await database.close()

    asyncio.run(run())
    print(f"the database is at migration {db.head_revision()}")


@main.group("keys")
def keys_group() -> None:
    """The keys that encrypt tokens at rest."""


@keys_group.command()
def generate() -> None:
    """Print a new key for SSO_BOX_SECRET_KEYS; put it before the present ones."""
    print(Fernet.generate_key().decode())


@main.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--write-test",
    is_flag=True,
    help="Also make an app user at Box, use it, and delete it again.",
)
def doctor_command(*, as_json: bool, write_test: bool) -> None:
    """Say what is wrong between here, the database, the providers and Box."""
    findings = _examine(write_test=write_test)
    if as_json:
        found = [
            {"check": f.check, "ok": f.ok, "problem": f.problem, "note": f.note}
            for f in findings
        ]
        print(json.dumps({"ok": all(f.ok for f in findings), "findings": found}))
    else:
        for finding in findings:
            mark, text = (
                ("ok  ", finding.note) if finding.ok else ("FAIL", finding.problem)
            )
            print(f"{mark} {finding.check}: {text}")
    sys.exit(0 if all(f.ok for f in findings) else _FAILED)


def _examine(*, write_test: bool) -> list[doctor.Finding]:
    async def run() -> list[doctor.Finding]:
        async with open_parts(load_settings()) as parts:
            settings = parts.settings
            scopes = {s for p in settings.profiles.values() for s in p.scopes}
            checks = doctor.examine(
                database=parts.database,
                consistent_rows=parts.require_consistent_rows(),
                verifier=parts.verifier,
                provider_ids=tuple(p.id for p in settings.providers),
                box_checks=diagnose(
                    parts.box,
                    enterprise_id=parts.credentials.enterprise_id,
                    scopes=sorted(scopes),
                    origins=settings.cors_origins,
                    write_test=write_test,
                ),
            )
            return [finding async for finding in checks]

    try:
        return [doctor.Finding("settings", note="complete"), *asyncio.run(run())]
    except ConfigurationError as error:
        return [doctor.Finding("settings", problem) for problem in error.problems]


@main.command("explain")
@click.option("--profile", help="The profile that the page asks for.")
@click.option("--scope", "scopes", multiple=True, help="May be given several times.")
@click.option("--resource", help="file:ID or folder:ID.")
@click.option(
    "--online", is_flag=True, help="Ask the provider for its keys, and the database."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@_explained
def explain_command(
    *,
    profile: str | None,
    scopes: tuple[str, ...],
    resource: str | None,
    online: bool,
    as_json: bool,
) -> None:
    """Say what would come of the ID token on standard input, check by check.

    Changes nothing, and contacts nobody without --online. What it prints holds no part
    of the token. Exit 0 only if everything was checked and the exchange would be
    granted.
    """
    token = _token_from_stdin()
    question = Question(token, profile, scopes or None, resource)

    async def run() -> Explanation:
        async with open_parts(load_settings()) as parts:
            if online:
                await parts.database.require_current_schema()
            return await parts.explainer().explain(question, online=online)

    found = asyncio.run(run())
    if as_json:
        checks = [asdict(check) for check in found.checks]
        provider = found.provider.id if found.provider else None
        known = {"verdict": found.verdict, "code": found.code, "provider": provider}
        print(json.dumps({**known, "checks": checks}))
    else:
        for check in found.checks:
            print(f"{_MARKS[check.outcome]} {check.name}: {check.text}".rstrip(": "))
        print(" ".join(filter(None, [found.verdict, found.code])))
    sys.exit(0 if found.verdict == "granted" else _FAILED)


_MARKS = {"passed": "ok  ", "failed": "FAIL", "unknown": "?   "}


def _token_from_stdin() -> UnverifiedToken:
    if sys.stdin.isatty():
        print("Paste the ID token, then press Enter and Ctrl-D.", file=sys.stderr)
    text = sys.stdin.buffer.read(2 * MAX_TOKEN_CHARS).decode("utf-8", "replace").strip()
    if not text:
        raise click.UsageError("the ID token is expected on standard input")
    return UnverifiedToken(text)


@main.group("account")
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
@_explained
def show(*, as_json: bool, **selector: Any) -> None:
    """Show an account, or every candidate for an e-mail address."""
    candidates = _run(lambda parts: _select(parts, selector))
    if not candidates:
        _fail("no such account")
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
@_explained
def lock(*, as_json: bool, reason: str, wait_s: float, **selector: Any) -> None:
    """Lock an account and kill every token handed out; exit 3 while any is pending.

    A person who never signed in can be locked by ISSUER and SUBJECT. Run it again to
    go on with what is pending.
    """

    async def run(parts: Parts) -> tuple[LockReport, bool]:
        candidate, created = await _the_one(parts, selector, ensure=True)
        return await parts.lifecycle().lock(candidate, reason, wait_s=wait_s), created

    report, created = _run(run)
    if created and not as_json:
        print("never signed in here before: locked in advance; check the subject")
    _report(report, as_json=as_json, extra={"created": created})


@account_group.command()
@_selectors
@_wait
@_explained
def unlock(*, as_json: bool, wait_s: float, **selector: Any) -> None:
    """Let a locked account in again; tokens from before the lock are killed.

    Exit 3 while Box has not killed every one of them.
    """

    async def run(parts: Parts) -> LockReport:
        candidate, _ = await _the_one(parts, selector)
        return await parts.lifecycle().unlock(candidate, wait_s=wait_s)

    _report(_run(run), as_json=as_json)


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
    sys.exit(_PENDING if report.pending else 0)


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
        _fail("no such account")
    if selector["email"] or len({c.account.id for c in candidates}) > 1:
        # An address is no proof of who is meant, even if only one account bears it.
        listed = "\n".join(json.dumps(_describe(c)) for c in candidates)
        _fail(f"choose one by --account:\n{listed}")
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
            _fail("no configured provider has this issuer")
        return _new_person(provider, namespace, subject)
    if wanted and subject_option and not issuer:
        for provider in parts.settings.providers:
            if provider.id == wanted:
                if provider.issuer_template and len(provider.tenants) != 1:
                    _fail("this provider has several tenants; give ISSUER SUBJECT")
                return _new_person(provider, provider.frozen_namespace, subject_option)
        _fail("no configured provider has this id")
    if issuer or subject or wanted or subject_option:
        message = "ISSUER goes with SUBJECT, and --provider with --subject"
        raise click.UsageError(message)
    return None


def _new_person(provider: ProviderSettings, namespace: str, subject: str) -> Person:
    if not subject.isascii() or len(subject) > 255:  # noqa: PLR2004 - OpenID Connect Core 2
        _fail(
            "no ID token can have such a subject: it is ASCII, 255 characters at most"
        )
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


def _run(command: Callable[[Parts], Coroutine[Any, Any, T]]) -> T:
    async def run() -> T:
        async with open_parts(load_settings()) as parts:
            # No more than that: a lock must not wait for a tidy configuration.
            await parts.database.require_current_schema()
            return await command(parts)

    return asyncio.run(run())


def _fail(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(_FAILED)

"""Looking for what is wrong: everything there is, or one ID token. Changes nothing."""

import asyncio
import json
import sys
from dataclasses import asdict

import click

from sso_box_api import doctor, migrations
from sso_box_api.box import diagnose
from sso_box_api.cli.shared import FAILED, explained
from sso_box_api.errors import ConfigurationError
from sso_box_api.explain import Question
from sso_box_api.identity import MAX_TOKEN_CHARS, Explanation, UnverifiedToken
from sso_box_api.parts import open_parts
from sso_box_api.settings import load_settings


@click.command("doctor")
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
    sys.exit(0 if all(f.ok for f in findings) else FAILED)


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
                    strict=settings.vending.scope_answer == "strict",
                    managed=any(
                        p.box_user.kind == "managed" for p in settings.providers
                    ),
                    write_test=write_test,
                ),
            )
            return [finding async for finding in checks]

    try:
        return [doctor.Finding("settings", note="complete"), *asyncio.run(run())]
    except ConfigurationError as error:
        return [doctor.Finding("settings", problem) for problem in error.problems]


@click.command("explain")
@click.option("--profile", help="The profile that the page asks for.")
@click.option("--scope", "scopes", multiple=True, help="May be given several times.")
@click.option("--resource", help="file:ID or folder:ID.")
@click.option(
    "--online", is_flag=True, help="Ask the provider for its keys, and the database."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@explained
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
                await migrations.require_current(parts.database)
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
    sys.exit(0 if found.verdict == "granted" else FAILED)


_MARKS = {"passed": "ok  ", "failed": "FAIL", "unknown": "?   "}


def _token_from_stdin() -> UnverifiedToken:
    if sys.stdin.isatty():
        print("Paste the ID token, then press Enter and Ctrl-D.", file=sys.stderr)
    text = sys.stdin.buffer.read(2 * MAX_TOKEN_CHARS).decode("utf-8", "replace").strip()
    if not text:
        raise click.UsageError("the ID token is expected on standard input")
    return UnverifiedToken(text)

"""What a person finds at Box on the first day: look at it, and have it finished."""

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from sso_box_api.accounts import Account, Candidate, Person
from sso_box_api.cli.selectors import person_of, select, selectors, the_one
from sso_box_api.cli.shared import PENDING, explained, fail, run_with_parts
from sso_box_api.furnishing import Step, Wanted
from sso_box_api.identity import describe
from sso_box_api.parts import Parts
from sso_box_api.provisioning import wanted_steps


@click.group("provision")
def provision_group() -> None:
    """Folders, files, places and memberships of an account, by the template."""


def _claims(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--claims",
        "claims_file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="A JSON file with the claims of an ID token, to plan for these.",
    )(command)


@provision_group.command("plan")
@selectors
@_claims
@explained
def plan_command(*, as_json: bool, claims_file: Path | None, **selector: Any) -> None:
    """Show what is done for an account, and with --claims what they would change.

    With --claims also for a person who never signed in. Changes nothing, and asks Box
    nothing.
    """
    claims = _read(claims_file)

    async def run(parts: Parts) -> list[dict[str, Any]]:
        if not await select(parts, selector):
            unknown = person_of(parts, selector)
            if unknown is not None and claims is not None:
                return _shown(_wanted(parts, unknown, claims))
        candidate, _ = await the_one(parts, selector)
        account, provisioner = candidate.account, parts.provisioner()
        if claims is None:
            return _shown(await provisioner.steps(account))
        person = _as_person(parts, candidate, claims)
        if account.box_user_id is None:
            return _shown(_wanted(parts, person, claims))
        return _shown(await provisioner.preview(account, person, int(time.time())))

    _print(run_with_parts(run), as_json=as_json)


@provision_group.command("apply")
@selectors
@_claims
@explained
def apply_command(*, as_json: bool, claims_file: Path | None, **selector: Any) -> None:
    """Do now what is left of an account, whatever pause it is in; with --claims for these.

    Exit 3 while anything is left, which the serve processes go on with.
    """
    claims = _read(claims_file)

    async def run(parts: Parts) -> Sequence[Step]:
        await parts.require_consistent_rows()
        candidate, _ = await the_one(parts, selector)
        account, provisioner = candidate.account, parts.provisioner()
        _require_open(account)
        person = None if claims is None else _as_person(parts, candidate, claims)
        await provisioner.apply(account, person, int(time.time()))
        return await provisioner.steps(account)

    steps = run_with_parts(run)
    _print(_shown(steps), as_json=as_json)
    left = any(step.state in {"pending", "failed"} for step in steps)
    sys.exit(PENDING if left else 0)


def _require_open(account: Account) -> None:
    if account.box_user_id is None:
        fail("this account has no Box user yet; the first login makes it")
    if account.state != "active":
        fail(f"this account is {account.state}; nothing is done for it")


def _read(claims_file: Path | None) -> dict[str, Any] | None:
    if claims_file is None:
        return None
    try:
        claims = json.loads(claims_file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise click.UsageError("--claims: the file is not a JSON object")
    return claims


def _as_person(
    parts: Parts, known: Candidate | Person, claims: dict[str, Any]
) -> Person:
    """Read the claims as an ID token's would be read."""
    name, email, kept = describe(claims, parts.settings.claims_in_use)
    return Person(
        known.provider,
        known.namespace,
        known.subject,
        name=name,
        email=email,
        claims=kept,
    )


def _wanted(parts: Parts, person: Person, claims: dict[str, Any]) -> list[Wanted]:
    template = parts.settings.provisioning.template
    wanted = (
        wanted_steps(template, _as_person(parts, person, claims)) if template else []
    )
    return [step for step in wanted if not step.over]


def _shown(steps: Sequence[Step | Wanted]) -> list[dict[str, Any]]:
    shown = []
    for step in steps:
        values = asdict(step)
        state = "skipped" if step.params is None else "pending"
        names = ("key", "kind", "params", "error", "box_id")
        known = {name: values.get(name) for name in names}
        shown.append({**known, "state": values.get("state", state)})
    return shown


def _print(steps: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"steps": steps}))
        return
    for step in steps:
        params = " ".join(f"{k}={v}" for k, v in (step["params"] or {}).items())
        notes = [step["error"] or "", step["box_id"] and f"at Box: {step['box_id']}"]
        line = [step["state"].ljust(7), step["key"], params, *filter(None, notes)]
        print("  ".join(filter(None, line)))
    if not steps:
        print("nothing")

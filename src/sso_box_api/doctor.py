"""What is wrong between here and the third parties, one line each.

Changes nothing anywhere, unless Box's write test is asked for. A line says what was
tried, what came of it, and which setting or switch to turn.
"""

from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass

from sso_box_api import accounts
from sso_box_api.box import Check
from sso_box_api.db import Database
from sso_box_api.errors import ConfigurationError, SsoBoxError
from sso_box_api.identity import IdentityVerifier

_NAMED = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: ``problem`` is None where it passed."""

    check: str
    problem: str | None = None
    note: str | None = None

    @property
    def ok(self) -> bool:
        return self.problem is None


async def examine(
    *,
    database: Database,
    consistent_rows: Awaitable[None],
    verifier: IdentityVerifier,
    provider_ids: tuple[str, ...],
    box_checks: AsyncIterator[Check],
) -> AsyncIterator[Finding]:
    """Run every check, each to its end whatever the others found."""
    yield await _whatever_happens("database", _database(database, consistent_rows))
    yield await _whatever_happens("left-over Box users", _left_over(database))
    yield await _whatever_happens("locks", _locks(database))
    for provider_id in provider_ids:
        async for finding in _provider(verifier, provider_id):
            yield finding
    async for finding in _box(box_checks):
        yield finding


async def _whatever_happens(check: str, finding: Awaitable[Finding]) -> Finding:
    try:
        return await finding
    except Exception as error:  # noqa: BLE001 - the other checks are still of use
        return Finding(check, _failed(error))


def _failed(error: Exception) -> str:
    """By its type alone: its text may quote a setting."""
    return f"the check itself failed: {type(error).__name__}"


async def _database(database: Database, consistent_rows: Awaitable[None]) -> Finding:
    try:
        await consistent_rows
    except ConfigurationError as error:
        return Finding("database", "; ".join(error.problems))
    except SsoBoxError as error:
        problem = (
            f"cannot be used ({error.reason}); check SSO_BOX_DATABASE_URL and that"
            " PostgreSQL runs"
        )
        return Finding("database", problem)
    return Finding("database", note=f"at migration {await database.schema_revision()}")


async def _left_over(database: Database) -> Finding:
    check = "left-over Box users"
    try:
        async with database.transaction() as session:
            orphans = await accounts.open_orphans(session, None, limit=_NAMED)
            number = await accounts.count_orphans(session)
    except SsoBoxError:
        return Finding(check, "unknown without the database")
    if not orphans:
        return Finding(check, note="none")
    named = ", ".join(f"{o.box_user_id} ({o.reason})" for o in orphans)
    more = f" and {number - len(orphans)} more" if number > len(orphans) else ""
    return Finding(
        check,
        f"bound to nobody: {named}{more}; what this service made in vain it deletes"
        " itself where it holds no content; look at the others in the Admin Console"
        " under Users & Groups and delete them there",
    )


async def _locks(database: Database) -> Finding:
    """Tell what is locked as a whole: nothing is wrong with it, and it may surprise."""
    try:
        async with database.transaction() as session:
            suspensions = await accounts.list_suspensions(session)
    except SsoBoxError:
        return Finding("locks", "unknown without the database")
    named = [
        f"the {s.kind} {s.value} since {s.since:%Y-%m-%d %H:%M %Z} ({s.reason})"
        for s in suspensions
    ]
    told = f"nobody comes in through {', '.join(named)}; see `sso-box-api unlock`"
    return Finding("locks", note=told if named else "no provider and no client")


async def _provider(
    verifier: IdentityVerifier, provider_id: str
) -> AsyncIterator[Finding]:
    check = f"provider {provider_id}"
    try:
        report = await verifier.probe(provider_id)
    except Exception as error:  # noqa: BLE001 - as above
        yield Finding(check, _failed(error))
        return
    for one in report.probed:
        yield Finding(f"{check}: {one.what}", one.problem, one.note)


async def _box(checks: AsyncIterator[Check]) -> AsyncIterator[Finding]:
    try:
        async for check in checks:
            name, told = f"box {check.name}", f"{check.tried}: {check.said}"
            if check.ok:
                yield Finding(name, note=told)
            else:
                yield Finding(name, f"{told}; {check.switch}")
    except Exception as error:  # noqa: BLE001 - the other checks are still of use
        yield Finding("box", _failed(error))

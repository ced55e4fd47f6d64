"""What is wrong between here and Box, one line for each thing, and the switch to turn.

Each check says what was tried and what Box said. Nothing is changed at Box, unless a
write test is asked for: that makes one app user, uses it and deletes it again.
Sources: developer.box.com "JWT with SDKs", "Platform App Approval", "CORS", "Scopes".
"""

import secrets
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from sso_box_api.box import hints
from sso_box_api.box.deadline import within
from sso_box_api.box.failures import NoVerdict, OutcomeUnknown, RefusedByBox
from sso_box_api.box.lists import Page
from sso_box_api.box.probes import Probes, SeenUser
from sso_box_api.box.tokens import BoxToken
from sso_box_api.box.users import BoxUser, Users

T = TypeVar("T")

CHECK_TIME_S = 10.0
SKEW_WORTH_SAYING_S = 30.0
TEST_NAME = "sso-box-api doctor"


@dataclass(frozen=True)
class Check:
    """One thing that was tried. ``switch`` is what to turn, "" where nothing is."""

    name: str
    tried: str
    ok: bool
    said: str
    switch: str = ""


class _Examined(Probes, Users):
    """What of the client the diagnosis uses."""


@dataclass(frozen=True)
class _Tried(Generic[T]):
    check: Check
    value: T | None = None
    refused: bool = False
    maybe_done: bool = False


async def diagnose(
    client: Users,
    *,
    enterprise_id: str,
    scopes: Sequence[str],
    origins: Sequence[str],
    strict: bool = True,
    managed: bool = False,
    write_test: bool = False,
) -> AsyncIterator[Check]:
    """Try everything in the order of a login; what cannot be tried is left out.

    ``scopes``: all that profiles may ask for. ``origins``: of the pages that call Box.
    ``managed``: whether any provider's people have managed users.
    ``strict``: whether an answer that does not say what was granted is refused.
    """
    box = _Examined(client)
    reached = await _try("network", "called the API", box.reach())
    yield reached.check
    if not reached.check.ok:
        return
    yield _clock(reached.value)
    yield (await _try("upload host", "called it", box.reach_uploads())).check
    service = await _try("app", "asked for a service token", box.service_token())
    yield service.check
    if not service.check.ok:
        return
    for check in await _account(box, enterprise_id):
        yield check
    for origin in origins:
        yield (
            await _try(
                f"CORS {origin}",
                "called the API as a page of it",
                box.as_page(origin),
                hints.cors(origin),
                hints.UNKNOWN_PAGE,
            )
        ).check
    users = await _try(
        "users", "listed users", box.sample_users(), hints.scope("Manage users")
    )
    yield _users(users, managed=managed)
    if write_test:
        async for check in _write_test(box, scopes, strict=strict):
            yield check
    elif users.value is not None:
        async for check in _with_a_known_user(box, users.value, scopes, strict=strict):
            yield check


async def _try(
    name: str,
    tried: str,
    step: Awaitable[T],
    switch: str = "",
    codes: frozenset[str] = hints.LACK_OF_A_SCOPE,
) -> _Tried[T]:
    """Take a step; ``switch`` is what to turn where Box refuses with one of ``codes``."""
    try:
        with within(CHECK_TIME_S):
            value = await step
    except RefusedByBox as refused:
        advice = switch if switch and refused.box_code in codes else refused.hint
        check = Check(name, tried, ok=False, said=refused.reason, switch=advice)
        return _Tried(check, refused=True)
    except NoVerdict as silent:
        check = Check(name, tried, ok=False, said=silent.reason, switch=silent.hint)
        return _Tried(check, maybe_done=isinstance(silent, OutcomeUnknown))
    return _Tried(Check(name, tried, ok=True, said="as it should be"), value)


def _clock(skew_s: float | None) -> Check:
    tried = "compared Box's Date header with this host's clock"
    if skew_s is None:
        return Check("clock", tried, ok=True, said="Box sent no date")
    said = f"its clock is {skew_s:+z.0f} s from ours"
    if abs(skew_s) <= SKEW_WORTH_SAYING_S:
        return Check("clock", tried, ok=True, said=said)
    return Check("clock", tried, ok=False, said=said, switch=hints.CLOCK)


async def _account(box: _Examined, enterprise_id: str) -> list[Check]:
    who = await _try("account", "asked whom the service token is for", box.whoami())
    found = [who.check]
    if who.value and who.value.enterprise_id not in {None, enterprise_id}:
        said = f"enterprise {who.value.enterprise_id}, not {enterprise_id}"
        tried, switch = who.check.tried, hints.ENTERPRISE
        found = [Check("account", tried, ok=False, said=said, switch=switch)]
    root = await _try(
        "content",
        "looked into the service account's root folder",
        box.see_root(),
        hints.scope("Read and write all files and folders stored in Box"),
    )
    groups = await _try("groups", "listed groups", box.see_groups())
    # Not everybody needs groups, so this is told and is no fault.
    said = "visible" if groups.check.ok else groups.check.said
    if groups.refused:
        said = f"{said}; {hints.GROUPS}"
    return [*found, root.check, Check("groups", "listed groups", ok=True, said=said)]


def _users(users: _Tried[Page[SeenUser]], *, managed: bool) -> Check:
    """An enterprise has a managed user at least, its admin: none means no access."""
    tried = users.check.tried
    if users.value is None:
        return users.check
    if any(not user.is_app_user for user in users.value.entries):
        said = f"sees managed users: App Access Level is {hints.ENTERPRISE_ACCESS}"
    elif users.value.next:
        said = f"no managed user is among the first {len(users.value.entries)}"
    elif managed:
        said = "sees app users only, and there are providers with managed users"
        return Check("users", tried, ok=False, said=said, switch=hints.APP_ACCESS)
    else:
        said = f"sees app users only; for managed users set {hints.ENTERPRISE_ACCESS}"
    return Check("users", tried, ok=True, said=said)


async def _with_a_known_user(
    box: _Examined, users: Page[SeenUser], scopes: Sequence[str], *, strict: bool
) -> AsyncIterator[Check]:
    usable = (u for u in users.entries if u.is_app_user and u.is_active)
    subject = next(usable, None)
    if subject is None:
        seen = f"among the first {len(users.entries)}" if users.next else "yet"
        said = f"there is no app user {seen} to try it with; run with --write-test"
        yield Check("user tokens", "looked for an app user", ok=True, said=said)
        return
    async for check in _tokens(box, subject.id, scopes, strict=strict):
        yield check


async def _tokens(
    box: _Examined, box_user_id: str, scopes: Sequence[str], *, strict: bool
) -> AsyncIterator[Check]:
    """Mint and narrow, and revoke whatever was minted."""
    mint = box.user_token(box_user_id)
    user = await _try("user tokens", "asked for the token of an app user", mint)
    yield user.check
    if user.value is None:
        return
    faults = await _scope_faults(box, user.value, scopes, strict=strict)
    for check in faults:
        yield check
    if not faults:
        said = f"all {len(scopes)} granted"
        yield Check("scopes", "narrowed the token", ok=True, said=said)
    revoke = box.revoke(user.value.access_token)
    yield (await _try("revocation", "revoked the token again", revoke)).check


async def _scope_faults(
    box: _Examined, parent: BoxToken, scopes: Sequence[str], *, strict: bool
) -> list[Check]:
    """Ask for all at once; only if that goes wrong, for each, to name the culprits."""
    every = await _narrow(box, parent, scopes, strict=strict)
    if every is None:
        return []
    each = [await _narrow(box, parent, [scope], strict=strict) for scope in scopes]
    return [check for check in each if check is not None] or [every]


async def _narrow(
    box: _Examined, parent: BoxToken, scopes: Sequence[str], *, strict: bool
) -> Check | None:
    """Return what is wrong with a token of these scopes, None where nothing is."""
    name = "scopes" if len(scopes) > 1 else f"scope {scopes[0]}"
    step = box.downscope(parent, scopes, None)
    narrow = await _try(
        name, "narrowed a user token", step, hints.hint("invalid_scope", "")
    )
    if narrow.value is None:
        return narrow.check
    entries = narrow.value.restricted_to or ()
    granted = {scope for entry in entries for scope in entry.scope.split()}
    revoke = box.revoke(narrow.value.access_token)
    gone = await _try(name, "revoked the narrowed token", revoke)
    if not gone.check.ok:
        return gone.check
    said, switch = _compared(granted, set(scopes), strict=strict)
    if not said:
        return None
    return Check(name, narrow.check.tried, ok=False, said=said, switch=switch)


def _compared(granted: set[str], asked: set[str], *, strict: bool) -> tuple[str, str]:
    if not granted:
        said = "Box did not say what it granted" if strict else ""
        return said, hints.SILENT
    if granted - asked:
        return "Box granted more than was asked", hints.WIDER
    if asked - granted:
        missing = ", ".join(sorted(asked - granted))
        return f"Box granted all but {missing}", hints.hint("invalid_scope", "")
    return "", ""


async def _write_test(
    box: _Examined, scopes: Sequence[str], *, strict: bool
) -> AsyncIterator[Check]:
    """Make a user, use it, delete it; whatever cannot be deleted is named."""
    external_id = f"sso-box-api-doctor-{secrets.token_hex(8)}"
    made = await _try(
        "write test",
        "created an app user",
        _make(box, external_id),
        hints.scope("Manage users"),
    )
    if made.value is None:
        left = f"; a user with the external id {external_id} may be left over"
        yield replace(made.check, said=made.check.said + left * made.maybe_done)
        return
    try:
        said = f"user {made.value.id} with the external id {external_id}"
        yield Check("write test", made.check.tried, ok=True, said=said)
        async for check in _tokens(box, made.value.id, scopes, strict=strict):
            yield check
    finally:
        gone = await _try("write test", "deleted it", box.delete_user(made.value.id))
    if gone.check.ok:
        yield Check(
            "clean-up", "deleted that user", ok=True, said="nothing is left over"
        )
    else:
        yield Check(
            "clean-up",
            "deleted that user",
            ok=False,
            said=f"{gone.check.said}; user {made.value.id} is left over",
            switch=f"Box Admin Console, Users: delete '{TEST_NAME}'",
        )


async def _make(box: _Examined, external_id: str) -> BoxUser:
    try:
        return await box.create_app_user(
            TEST_NAME, external_id, timeout_s=CHECK_TIME_S / 2
        )
    except OutcomeUnknown as unknown:
        try:
            found = await box.find_app_users(external_id)
        except (RefusedByBox, NoVerdict):
            found = []
        if not found:
            raise unknown from None
        return found[0]

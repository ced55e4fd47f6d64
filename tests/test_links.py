"""Relink, move, unlink, recreate: who has which Box user, and no token in between."""

import asyncio
from typing import Any
from uuid import UUID

import httpx
import pytest
from starlette.applications import Starlette
from typing_extensions import override

from sso_box_api import accounts, furnishing
from sso_box_api.accounts import Person
from sso_box_api.errors import CommandRefused
from sso_box_api.leftovers import LeftOvers
from sso_box_api.parts import Parts
from sso_box_api.settings import Settings
from sso_box_devkit.box import Enterprise
from tests.support.administration import candidate_of, scalar, somebody_waits, sql
from tests.support.api import BOX_URL, ISSUER, Api, Control
from tests.support.connections import opened

NOBODY = UUID("00000000-0000-4000-8000-000000000000")


def _other_user(enterprise: Enterprise, login: str | None = None) -> str:
    return enterprise.add_user("Ada before", login).id


async def test_relink_gives_the_other_user_and_kills_every_token(
    api: Api,
    box: Control,
    parts: Parts,
    enterprise: Enterprise,
    audit_log: list[dict[str, Any]],
) -> None:
    first = (await api.exchange()).json()
    other = _other_user(enterprise)
    candidate = await candidate_of(parts)
    report = await parts.lifecycle().relink(candidate, other, "it was the wrong one")
    assert (report.tokens.revoked, report.tokens.pending) == (1, 0)
    assert report.former_box_user_id == first["box_user_id"]
    assert not await box.is_live(first["access_token"])
    again = (await api.exchange()).json()
    assert again["box_user_id"] == other
    assert again["access_token"] != first["access_token"]
    assert len(await box.users()) == 2
    [event] = [e for e in audit_log if e["event"] == "administration"]
    told = {k: v for k, v in event.items() if k not in {"at", "by"}}
    assert told == {
        "event": "administration",
        "act": "relink",
        "provider": "main",
        "namespace": ISSUER,
        "subject": "ada",
        "account_id": str(candidate.account.id),
        "reason": "it was the wrong one",
        "outcome": "done",
        "old_box_user_id": first["box_user_id"],
        "new_box_user_id": other,
    }


async def test_a_user_that_is_not_fit_is_refused_and_nothing_changes(
    api: Api,
    box: Control,
    parts: Parts,
    emulator: Starlette,
    enterprise: Enterprise,
    audit_log: list[dict[str, Any]],
) -> None:
    token = (await api.exchange()).json()["access_token"]
    grace = (await api.exchange(api.id_token("grace"))).json()["box_user_id"]
    elsewhere = emulator.state.world.found().add_user("Eve", None).id
    enterprise.settings.app_access = "enterprise"
    inactive = enterprise.add_user("Away", None)
    inactive.status = "inactive"
    admin = enterprise.add_user("Boss", "boss@example.com")
    admin.attributes["role"] = "coadmin"
    service = enterprise.service_account.id
    candidate = await candidate_of(parts)
    for user_id, says in (
        ("999", "Box has no user 999"),
        (elsewhere, "Box has no user"),
        (inactive.id, "has the status inactive"),
        (service, "service account"),
        (admin.id, "is an administrator at Box"),
        (grace, "put the identity there with `account relink --to-account"),
    ):
        with pytest.raises(CommandRefused, match=says):
            await parts.lifecycle().relink(candidate, user_id)
    events = [e for e in audit_log if e["event"] == "administration"]
    assert {e["outcome"] for e in events} == {"failed"}
    assert len(events) == 6
    assert (await candidate_of(parts)).account == candidate.account
    assert await box.is_live(token)


@pytest.mark.parametrize("shown", ["4242", None])
async def test_a_visible_user_of_no_or_another_enterprise_is_refused(
    parts: Parts, settings: Settings, emulator: Starlette, api: Api, shown: str | None
) -> None:
    """Box may show more than the own enterprise; such a user is not ours to give."""
    user_id = (await api.exchange()).json()["box_user_id"]

    class OfAnotherEnterprise(httpx.ASGITransport):
        @override
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            answer = await super().handle_async_request(request)
            if "enterprise" not in request.url.params.get("fields", ""):
                return answer
            body = {**(await _json(answer)), "enterprise": shown and {"id": shown}}
            return httpx.Response(200, json=body)

    mounts = {BOX_URL: OfAnotherEnterprise(emulator)}
    async with opened(settings, mounts=mounts) as elsewhere:
        candidate = await candidate_of(parts)
        with pytest.raises(CommandRefused, match="is not of enterprise"):
            await elsewhere.lifecycle().relink(candidate, user_id)


async def _json(answer: httpx.Response) -> dict[str, Any]:
    await answer.aread()
    body: dict[str, Any] = answer.json()
    return body


async def test_a_403_of_box_is_told_as_such(
    api: Api, box: Control, parts: Parts
) -> None:
    await api.exchange()
    await box.fault("GET", "/2.0/users/*", status=403, body={"code": "forbidden"})
    with pytest.raises(CommandRefused, match="does not let this app have user 42"):
        await parts.lifecycle().relink(await candidate_of(parts), "42")


async def test_relink_to_a_managed_user_is_written_down_as_that(
    api: Api, parts: Parts, enterprise: Enterprise
) -> None:
    await api.exchange()
    enterprise.settings.app_access = "enterprise"
    managed = _other_user(enterprise, "ada@example.com")
    await parts.lifecycle().relink(await candidate_of(parts), managed)
    assert (await candidate_of(parts)).account.kind == "managed"


async def test_relink_leaves_lock_and_sign_out_and_lets_the_removed_in(
    api: Api, parts: Parts, enterprise: Enterprise
) -> None:
    await api.exchange()
    old = api.id_token()
    await sql(
        parts,
        "UPDATE account SET locked_at = now(), not_before = now(), removed_at = now()",
    )
    other = _other_user(enterprise)
    report = await parts.lifecycle().relink(await candidate_of(parts), other)
    assert report.tokens.account.state == "locked"
    assert (await api.exchange()).json()["code"] == "account_locked"
    await sql(parts, "UPDATE account SET locked_at = NULL")
    assert (await api.exchange(old)).json()["code"] == "signed_out"


async def test_a_token_minted_while_an_account_is_relinked_never_leaves(
    api: Api, emulator: Starlette, parts: Parts, enterprise: Enterprise
) -> None:
    """The order was for the old user: it is refused, its token revoked, and not listed."""
    await api.exchange()
    other = _other_user(enterprise)
    candidate = await candidate_of(parts)

    class RelinkOnDownscope(httpx.ASGITransport):
        @override
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await request.aread()
            answer = await super().handle_async_request(request)
            if b"token-exchange" in request.content:
                await parts.lifecycle().relink(candidate, other)
            return answer

    mounts = {BOX_URL: RelinkOnDownscope(emulator)}
    known = set(emulator.state.world.tokens)
    async with Api.start_with(
        parts.settings,
        {**mounts, ISSUER: httpx.ASGITransport(api.idp_app)},
        api.idp_app,
    ) as slow:
        answer = await slow.exchange(profile="preview")
    assert (answer.status_code, answer.json()["code"]) == (
        503,
        "provisioning_in_progress",
    )
    assert answer.headers["retry-after"] == "1"
    minted = [
        token
        for value, token in emulator.state.world.tokens.items()
        if value not in known and token.is_downscoped
    ]
    assert [token.revoked for token in minted] == [True]
    assert await scalar(parts, "SELECT count(*) FROM vend WHERE state = 'live'") == 0
    assert (await api.exchange(profile="preview")).json()["box_user_id"] == other


async def test_a_token_minted_while_its_identity_moves_never_leaves(
    api: Api, emulator: Starlette, parts: Parts
) -> None:
    """The account itself does not change where several identities share it."""
    await api.exchange()
    await api.exchange(api.id_token("grace"))
    await api.exchange(api.id_token("ada2"))
    shared = (await candidate_of(parts)).account.id
    await parts.lifecycle().move(await candidate_of(parts, "ada2"), shared)
    candidate = await candidate_of(parts)
    to = (await candidate_of(parts, "grace")).account

    class MoveOnDownscope(httpx.ASGITransport):
        @override
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await request.aread()
            answer = await super().handle_async_request(request)
            if b"token-exchange" in request.content:
                await parts.lifecycle().move(candidate, to.id)
            return answer

    mounts = {
        BOX_URL: MoveOnDownscope(emulator),
        ISSUER: httpx.ASGITransport(api.idp_app),
    }
    async with Api.start_with(parts.settings, mounts, api.idp_app) as slow:
        answer = await slow.exchange(profile="preview")
    assert answer.json()["code"] == "provisioning_in_progress"
    assert await scalar(parts, "SELECT count(*) FROM vend WHERE state = 'live'") == 0
    assert (await api.exchange()).json()["box_user_id"] == to.box_user_id


async def test_a_relink_that_is_not_committed_yet_is_waited_for(
    api: Api, emulator: Starlette, parts: Parts, enterprise: Enterprise
) -> None:
    """By a second process on the same row: one comes after the other."""
    await api.exchange()
    one, two = _other_user(enterprise), _other_user(enterprise)
    candidate = await candidate_of(parts)
    mounts = {BOX_URL: httpx.ASGITransport(emulator)}
    async with opened(parts.settings, mounts=mounts) as second:
        async with parts.database.transaction() as session:
            await accounts.relink(
                session, candidate.account.id, one, kind="app", box_app=parts.box_app
            )
            other = asyncio.create_task(second.lifecycle().relink(candidate, two))
            while not other.done() and not await somebody_waits(parts):
                await asyncio.wait([other], timeout=0.01)
            assert not other.done()
        report = await other
    assert report.former_box_user_id == one
    assert (await candidate_of(parts)).account.box_user_id == two


async def test_two_accounts_racing_for_one_user_leave_it_to_one(
    api: Api, emulator: Starlette, parts: Parts, enterprise: Enterprise
) -> None:
    await api.exchange()
    await api.exchange(api.id_token("grace"))
    wanted = _other_user(enterprise)
    mounts = {BOX_URL: httpx.ASGITransport(emulator)}
    async with opened(parts.settings, mounts=mounts) as second:
        ended = await asyncio.gather(
            parts.lifecycle().relink(await candidate_of(parts), wanted),
            second.lifecycle().relink(await candidate_of(parts, "grace"), wanted),
            return_exceptions=True,
        )
    assert sorted(type(one).__name__ for one in ended) == [
        "CommandRefused",
        "LinkReport",
    ]


async def test_relink_is_effective_at_once_where_a_user_was_missing(
    api: Api, parts: Parts, enterprise: Enterprise
) -> None:
    """That a user is gone is remembered for a minute: of the user, not the account."""
    user_id = (await api.exchange()).json()["box_user_id"]
    enterprise.remove_user(enterprise.users[user_id])
    missing = await api.exchange(profile="preview")
    assert missing.json()["code"] == "box_user_missing"
    other = _other_user(enterprise)
    await parts.lifecycle().relink(await candidate_of(parts), other)
    assert (await api.exchange(profile="preview")).json()["box_user_id"] == other


async def test_relink_during_a_first_login_wins_and_leaves_no_spare_user(
    api: Api, box: Control, parts: Parts, enterprise: Enterprise
) -> None:
    """What the flight made meanwhile is deleted by it, for another one is bound."""
    other = _other_user(enterprise)
    login = await _first_login_at_its_post(api, box, parts)
    await parts.lifecycle().relink(await candidate_of(parts), other)
    await box.clear_faults()
    assert (await login).json()["box_user_id"] == other
    assert [user["id"] for user in await box.users()] == [other]


async def _first_login_at_its_post(
    api: Api, box: Control, parts: Parts
) -> asyncio.Task[httpx.Response]:
    """A first login whose POST is on its way to Box, until the faults are cleared."""
    await box.fault("POST", "/2.0/users", delay_ms=60_000)
    return await _first_login_sent(api, parts)


async def _first_login_sent(api: Api, parts: Parts) -> asyncio.Task[httpx.Response]:
    login = asyncio.create_task(api.exchange())
    sent = "SELECT count(*) FROM account WHERE create_sent_at IS NOT NULL"
    while not await scalar(parts, sent):
        await asyncio.wait([login], timeout=0.01)
    return login


async def test_what_a_post_without_an_answer_made_is_listed_after_a_relink(
    api: Api, box: Control, parts: Parts, enterprise: Enterprise
) -> None:
    """Box shows it late, when the flight is long over and no login looks any more."""
    other = _other_user(enterprise)
    await box.settings(lookup_lag_s=60)
    await box.fault("POST", "/2.0/users", after_commit=True, status=503, delay_ms=50)
    login = await _first_login_sent(api, parts)
    while len(await box.users()) < 2:
        await asyncio.wait([login], timeout=0.01)
    await parts.lifecycle().relink(await candidate_of(parts), other)
    await login
    await box.settings(lookup_lag_s=0)
    [made] = {user["id"] for user in await box.users()} - {other}
    leftovers = LeftOvers(parts.database, parts.box)
    await sql(parts, "UPDATE account SET recheck_at = now() WHERE recheck_at > now()")
    await leftovers.work()
    assert await scalar(parts, "SELECT box_user_id FROM box_orphan") == made


async def test_unlink_removes_for_good_and_leaves_the_user_at_box(
    api: Api, box: Control, parts: Parts, audit_log: list[dict[str, Any]]
) -> None:
    first = (await api.exchange()).json()
    report = await parts.lifecycle().unlink(await candidate_of(parts))
    assert report.former_box_user_id == first["box_user_id"]
    assert report.tokens.account.state == "removed"
    assert report.tokens.account.box_user_id is None
    assert not await box.is_live(first["access_token"])
    answer = await api.exchange()
    assert (answer.status_code, answer.json()["code"]) == (403, "account_removed")
    assert [user["id"] for user in await box.users()] == [first["box_user_id"]]
    [event] = [e for e in audit_log if e["event"] == "administration"]
    assert (event["act"], event["old_box_user_id"]) == ("unlink", first["box_user_id"])
    # And back again.
    await parts.lifecycle().relink(await candidate_of(parts), first["box_user_id"])
    assert (await api.exchange()).json()["box_user_id"] == first["box_user_id"]


async def test_unlink_while_a_first_login_flies_lets_nobody_in(
    api: Api, box: Control, parts: Parts
) -> None:
    login = await _first_login_at_its_post(api, box, parts)
    await parts.lifecycle().unlink(await candidate_of(parts))
    await box.clear_faults()
    answer = await login
    assert (answer.status_code, answer.json()["code"]) == (403, "account_removed")
    # A removed account gets no Box user; the one that was made in vain is deleted.
    account = (await candidate_of(parts)).account
    assert (account.state, account.box_user_id) == ("removed", None)
    assert await box.users() == []
    assert await scalar(parts, "SELECT count(*) FROM vend") == 0


async def test_a_user_made_for_an_identity_that_moved_meanwhile_is_not_left_over(
    api: Api, box: Control, parts: Parts
) -> None:
    grace = (await api.exchange(api.id_token("grace"))).json()["box_user_id"]
    login = await _first_login_at_its_post(api, box, parts)
    to = (await candidate_of(parts, "grace")).account.id
    await parts.lifecycle().move(await candidate_of(parts), to)
    await box.clear_faults()
    await login
    assert [user["id"] for user in await box.users()] == [grace]
    assert (await api.exchange()).json()["box_user_id"] == grace


async def test_what_was_made_in_vain_is_not_deleted_once_somebody_has_it(
    api: Api, emulator: Starlette, parts: Parts, enterprise: Enterprise
) -> None:
    """The answer to a POST comes late, and names a user that was bound meanwhile."""
    await api.exchange(api.id_token("grace"))
    other = _other_user(enterprise)
    made: list[str] = []

    class RelinkOnPost(httpx.ASGITransport):
        @override
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            answer = await super().handle_async_request(request)
            if (request.method, request.url.path) == ("POST", "/2.0/users"):
                made.append((await _json(answer))["id"])
                lifecycle = parts.lifecycle()
                await lifecycle.relink(await candidate_of(parts), other)
                await lifecycle.relink(await candidate_of(parts, "grace"), made[0])
            return answer

    mounts = {BOX_URL: RelinkOnPost(emulator), ISSUER: httpx.ASGITransport(api.idp_app)}
    async with Api.start_with(parts.settings, mounts, api.idp_app) as slow:
        assert (await slow.exchange()).json()["box_user_id"] == other
    assert made[0] in enterprise.users
    assert await scalar(parts, "SELECT count(*) FROM box_orphan") == 0
    grace = await api.exchange(api.id_token("grace"))
    assert grace.json()["box_user_id"] == made[0]


async def test_a_login_does_not_bind_a_user_that_is_being_deleted(
    api: Api, parts: Parts
) -> None:
    """Nor is one left on the list of those bound to nobody, once it is bound."""
    user = (await api.exchange()).json()["box_user_id"]
    candidate = await candidate_of(parts)
    await sql(parts, "UPDATE account SET box_user_id = NULL")
    async with parts.database.transaction() as session:
        await accounts.report_orphan(
            session, candidate.account.id, user, "made in vain", spare=True, lease_s=60
        )
    answer = await api.exchange()
    assert answer.json()["code"] == "provisioning_in_progress"
    assert (await candidate_of(parts)).account.box_user_id is None
    await sql(parts, "UPDATE box_orphan SET lease_until = now(), spare = false")
    assert (await api.exchange()).json()["box_user_id"] == user
    assert await scalar(parts, "SELECT resolved_at IS NOT NULL FROM box_orphan")


async def test_recreate_makes_a_new_user_once_the_old_one_is_gone(
    api: Api, box: Control, parts: Parts, enterprise: Enterprise
) -> None:
    old = (await api.exchange()).json()["box_user_id"]
    # Its POST was answered, so that the next one need not wait for it.
    assert await scalar(parts, "SELECT create_sent_at FROM account") is None
    candidate = await candidate_of(parts)
    with pytest.raises(CommandRefused, match=f"Box still has user {old}; use `account"):
        await parts.lifecycle().recreate(candidate)
    enterprise.remove_user(enterprise.users[old])
    report = await parts.lifecycle().recreate(candidate)
    assert (report.former_box_user_id, report.tokens.account.state) == (old, "pending")
    new = (await api.exchange()).json()["box_user_id"]
    assert new != old
    assert [user["id"] for user in await box.users()] == [new]


async def test_recreate_is_refused_while_a_login_would_adopt_another_user(
    api: Api, parts: Parts, enterprise: Enterprise
) -> None:
    old = (await api.exchange()).json()["box_user_id"]
    candidate = await candidate_of(parts)
    await parts.lifecycle().unlink(candidate)
    with pytest.raises(CommandRefused, match=f"--to-box-user {old}"):
        await parts.lifecycle().recreate(candidate)
    enterprise.remove_user(enterprise.users[old])
    await parts.lifecycle().recreate(candidate)
    assert (await api.exchange()).is_success


async def test_recreate_is_refused_where_a_user_would_come_by_itself(
    api: Api, box: Control, parts: Parts
) -> None:
    """Else a POST that is out would not be settled, and make a second user."""
    login = await _first_login_at_its_post(api, box, parts)
    candidate = await candidate_of(parts)
    with pytest.raises(CommandRefused, match="first login is under way"):
        await parts.lifecycle().recreate(candidate)
    await box.clear_faults()
    assert (await login).is_success
    await sql(parts, "UPDATE account SET box_user_id = NULL")
    with pytest.raises(CommandRefused, match="the next login makes one by itself"):
        await parts.lifecycle().recreate(candidate)
    await sql(parts, "UPDATE account SET box_client_id = 'other'")
    with pytest.raises(CommandRefused, match="db rebind"):
        await parts.lifecycle().recreate(candidate)


async def test_recreate_of_an_account_that_was_relinked_meanwhile_does_nothing(
    api: Api, emulator: Starlette, parts: Parts, enterprise: Enterprise
) -> None:
    old = (await api.exchange()).json()["box_user_id"]
    enterprise.remove_user(enterprise.users[old])
    other = _other_user(enterprise)
    candidate = await candidate_of(parts)

    class RelinkOnLook(httpx.ASGITransport):
        @override
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if "external_app_user_id" in request.url.params:
                await parts.lifecycle().relink(candidate, other)
            return await super().handle_async_request(request)

    mounts = {BOX_URL: RelinkOnLook(emulator)}
    async with opened(parts.settings, mounts=mounts) as second:
        with pytest.raises(CommandRefused, match="relinked meanwhile"):
            await second.lifecycle().recreate(candidate)
    assert (await candidate_of(parts)).account.box_user_id == other


async def test_an_identity_that_moves_shares_the_other_account(
    api: Api, box: Control, parts: Parts, audit_log: list[dict[str, Any]]
) -> None:
    """As after a change of the identity provider: the same person, a new identity."""
    ada = (await api.exchange()).json()
    new = (await api.exchange(api.id_token("ada-new"))).json()
    to = (await candidate_of(parts)).account
    candidate = await candidate_of(parts, "ada-new")
    report = await parts.lifecycle().move(candidate, to.id)
    # The account it left has nobody any more, and so no Box user either.
    assert report.former_box_user_id == new["box_user_id"]
    assert (report.tokens.revoked, report.tokens.pending) == (2, 0)
    for token in (ada, new):
        assert not await box.is_live(token["access_token"])
    shared = (await api.exchange(api.id_token("ada-new"))).json()
    assert shared["box_user_id"] == ada["box_user_id"]
    assert (await api.exchange()).json()["box_user_id"] == ada["box_user_id"]
    left = (
        "SELECT count(*) FROM account WHERE box_user_id IS NULL AND removed_at < now()"
    )
    assert await scalar(parts, left) == 1
    [event] = [e for e in audit_log if e["event"] == "administration"]
    assert event["to_account_id"] == str(to.id)
    assert event["new_box_user_id"] == ada["box_user_id"]


async def test_an_identity_moves_to_an_account_that_is_there(
    api: Api, parts: Parts
) -> None:
    await api.exchange()
    await api.exchange(api.id_token("grace"))
    candidate, grace = await candidate_of(parts), await candidate_of(parts, "grace")
    lifecycle = parts.lifecycle()
    with pytest.raises(CommandRefused, match="there is no account"):
        await lifecycle.move(candidate, NOBODY)
    with pytest.raises(CommandRefused, match="on that account already"):
        await lifecycle.move(candidate, candidate.account.id)
    await lifecycle.unlink(grace)
    with pytest.raises(CommandRefused, match="is removed; relink or recreate"):
        await lifecycle.move(candidate, grace.account.id)
    await lifecycle.relink(grace, grace.account.box_user_id or "")
    await lifecycle.move(candidate, grace.account.id)
    with pytest.raises(CommandRefused, match="moved meanwhile"):
        await lifecycle.move(candidate, grace.account.id)


async def test_a_move_and_a_first_furnishing_do_not_wait_for_each_other(
    api: Api, parts: Parts
) -> None:
    await api.exchange()
    await api.exchange(api.id_token("grace"))
    await sql(parts, "DELETE FROM furnishing_step")
    await sql(parts, "DELETE FROM furnishing")
    candidate = await candidate_of(parts)
    account, to = candidate.account, (await candidate_of(parts, "grace")).account.id
    person = Person("main", ISSUER, "ada")
    async with parts.database.transaction() as session:
        await accounts.note_claims(
            session, account.identity_id, person, digest="new", issued_at=2**40
        )
        moving = asyncio.create_task(parts.lifecycle().move(candidate, to))
        while not await somebody_waits(parts):
            await asyncio.wait([moving], timeout=0.01)
        await furnishing.forget_former(session, account.id, account.box_user_id or "")
    assert (await moving).former_box_user_id == account.box_user_id


async def test_a_move_takes_the_sign_out_along_and_leaves_no_lock_behind(
    api: Api, parts: Parts
) -> None:
    await api.exchange()
    await api.exchange(api.id_token("grace"))
    lifecycle = parts.lifecycle()
    to = (await candidate_of(parts, "grace")).account.id
    await lifecycle.lock(await candidate_of(parts), "left")
    with pytest.raises(CommandRefused, match="is locked"):
        await lifecycle.move(await candidate_of(parts), to)
    await lifecycle.unlock(await candidate_of(parts))
    ahead = "UPDATE account SET not_before = now() + interval '1 h' WHERE id"
    await sql(parts, f"{ahead} <> '{to}'")
    await lifecycle.move(await candidate_of(parts), to)
    assert (await api.exchange()).json()["code"] == "signed_out"


async def test_a_listed_orphan_that_is_bound_is_listed_no_more(
    settings: Settings,
    emulator: Starlette,
    idp_app: Starlette,
    parts: Parts,
    enterprise: Enterprise,
) -> None:
    # Ended at once: its background would delete the orphan.
    async with Api.start(settings, emulator, idp_app) as api:
        await api.exchange()
    other = _other_user(enterprise)
    candidate = await candidate_of(parts)
    async with parts.database.transaction() as session:
        await accounts.report_orphan(
            session, candidate.account.id, other, "made in vain", spare=True
        )
    await sql(parts, "UPDATE box_orphan SET lease_until = now() + interval '1 minute'")
    with pytest.raises(CommandRefused, match="is being deleted"):
        await parts.lifecycle().relink(candidate, other)
    await sql(parts, "UPDATE box_orphan SET lease_until = NULL")
    await parts.lifecycle().relink(candidate, other)
    assert await scalar(parts, "SELECT resolved_at IS NOT NULL FROM box_orphan")

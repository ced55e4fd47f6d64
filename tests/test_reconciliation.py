"""`reconcile`: what differs between PostgreSQL and Box, and what may be repaired."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from cryptography.fernet import Fernet
from starlette.applications import Starlette
from typing_extensions import override

from sso_box_api import accounts
from sso_box_api.parts import Parts
from sso_box_api.reconciliation import Finding, Reconciliation
from sso_box_api.settings import Settings
from sso_box_devkit.box import Enterprise
from tests.support.administration import candidate_of, scalar, sql
from tests.support.api import BOX_URL, Api, Control
from tests.support.connections import opened

FULL = os.environ.get("TEST_SIZE") == "full"
FEW, MANY = 230, 100_000
PAGE = 50
MEMORY_MIB = 200


async def _reconcile(parts: Parts, *, fix: bool = False) -> list[Finding]:
    return [finding async for finding in parts.reconciliation(fix=fix).run()]


def _kinds(findings: list[Finding]) -> dict[str, str]:
    return {finding.box_user_id: finding.kind for finding in findings}


async def test_where_nothing_differs_nothing_is_found(api: Api, parts: Parts) -> None:
    await api.exchange()
    await api.exchange(api.id_token("grace", name="Grace Hopper"))
    assert await _reconcile(parts) == []
    assert await _reconcile(parts, fix=True) == []


async def test_each_difference_is_named(
    api: Api, box: Control, parts: Parts, enterprise: Enterprise
) -> None:
    people = ("missing", "inactive", "left", "renamed", "relinked", "twice", "gone")
    ids = {}
    for name in people:
        answer = await api.exchange(api.id_token(name, name=name))
        ids[name] = answer.json()["box_user_id"]
    users = enterprise.users
    enterprise.remove_user(users[ids["missing"]])
    users[ids["inactive"]].status = users[ids["left"]].status = "inactive"
    await parts.lifecycle().lock(await candidate_of(parts, "left"), "leaver")
    users[ids["renamed"]].external_app_user_id = "renamed-by-hand"
    users[ids["renamed"]].name = "Somebody else"
    new = enterprise.add_user("relinked", None)
    await parts.lifecycle().relink(await candidate_of(parts, "relinked"), new.id)
    twin = enterprise.add_user("twice", None)
    twin.external_app_user_id = users[ids["twice"]].external_app_user_id
    stranger = enterprise.add_user("Stranger", None)
    stranger.external_app_user_id = "sb1-" + "A" * 32
    enterprise.add_user("Older", None).external_app_user_id = "bare"
    await parts.lifecycle().unlink(await candidate_of(parts, "gone"))
    listed = enterprise.add_user("Listed", None)
    listed.external_app_user_id = users[ids["twice"]].external_app_user_id
    await _list(parts, listed.id)
    await box.call("DELETE", "/_emulator/requests")
    findings = await _reconcile(parts)
    assert sorted((f.box_user_id, f.kind) for f in findings) == sorted(
        [
            (ids["missing"], "missing"),
            (ids["inactive"], "inactive"),
            (ids["left"], "note"),
            (ids["renamed"], "renamed"),
            (ids["renamed"], "note"),
            (ids["relinked"], "orphan"),
            (new.id, "renamed"),
            (twin.id, "duplicate"),
            (stranger.id, "orphan"),
            (ids["gone"], "orphan"),
            (listed.id, "listed_orphan"),
        ]
    )
    said = {f.box_user_id: f.said for f in findings}
    assert "another deployment" in said[stranger.id]
    assert "by a relink" in said[ids["relinked"]]
    assert "its account gave it up" in said[ids["gone"]]
    assert f"same external id as {ids['twice']}" in said[twin.id]
    # Looking changes nothing.
    assert {r.split()[0] for r in await box.requests()} <= {"GET", "POST"}
    assert len(await box.users()) == 12 - 1


async def _list(parts: Parts, box_user_id: str, *, spare: bool = False) -> None:
    candidate = await candidate_of(parts, "twice" if not spare else "ada")
    async with parts.database.transaction() as session:
        await accounts.report_orphan(session, candidate.account.id, box_user_id, "why")
    if spare:
        await sql(parts, "UPDATE box_orphan SET spare = true")


async def test_fix_writes_external_ids_back_unless_another_user_has_it(
    api: Api, parts: Parts, enterprise: Enterprise
) -> None:
    renamed = (await api.exchange()).json()["box_user_id"]
    old = (await api.exchange(api.id_token("grace"))).json()["box_user_id"]
    enterprise.users[renamed].external_app_user_id = "renamed-by-hand"
    new = enterprise.add_user(enterprise.users[old].name, None)
    await parts.lifecycle().relink(await candidate_of(parts, "grace"), new.id)
    findings = {f.box_user_id: f for f in await _reconcile(parts, fix=True)}
    assert (findings[renamed].kind, findings[renamed].fixed) == ("renamed", True)
    assert not findings[renamed].is_open
    assert not findings[new.id].fixed
    assert f"{old} has it" in findings[new.id].said
    account = (await candidate_of(parts)).account
    external_id = enterprise.users[renamed].external_app_user_id
    assert external_id == account.external_app_user_id
    assert enterprise.users[new.id].external_app_user_id is None
    enterprise.remove_user(enterprise.users[old])
    [finding] = await _reconcile(parts, fix=True)
    assert (finding.box_user_id, finding.fixed) == (new.id, True)
    assert await _reconcile(parts) == []


async def test_an_external_id_that_box_does_not_let_be_written_stays_found(
    api: Api, box: Control, parts: Parts, enterprise: Enterprise
) -> None:
    """As of a user that another app made."""
    user_id = (await api.exchange()).json()["box_user_id"]
    enterprise.users[user_id].external_app_user_id = "renamed-by-hand"
    await box.fault("PUT", "/2.0/users/*", status=403, body={"code": "forbidden"})
    [finding] = await _reconcile(parts, fix=True)
    assert finding.is_open
    assert "403 forbidden" in finding.said


async def test_fix_deletes_what_was_made_in_vain_and_nothing_else(
    settings: Settings,
    emulator: Starlette,
    idp_app: Starlette,
    box: Control,
    parts: Parts,
    enterprise: Enterprise,
) -> None:
    # Ended at once: its background would delete them itself.
    async with Api.start(settings, emulator, idp_app) as api:
        bound = (await api.exchange()).json()["box_user_id"]
    external_id = enterprise.users[bound].external_app_user_id
    spare, full, foreign, gone = (enterprise.add_user("Spare", None) for _ in range(4))
    for user in (spare, full, gone):
        user.external_app_user_id = external_id
    foreign.external_app_user_id = "somebody-uses-it"
    tree = enterprise.tree
    tree.add("folder", tree.root(full.id), "Content", enterprise.now())
    for user in (spare, full, foreign, gone):
        await _list(parts, user.id, spare=True)
    enterprise.remove_user(gone)
    # By a fault elsewhere the bound one is on the list: it must not be deleted.
    await sql(
        parts,
        "INSERT INTO box_orphan (box_user_id, account_id, reason, spare)"
        " SELECT box_user_id, id, 'why', true FROM account",
    )
    findings = {f.box_user_id: f for f in await _reconcile(parts, fix=True)}
    assert {user_id: f.fixed for user_id, f in findings.items()} == {
        spare.id: True,
        full.id: False,
        foreign.id: False,
        gone.id: True,
        bound: False,
    }
    left = {user["id"] for user in await box.users()}
    assert left == {bound, full.id, foreign.id}
    open_ = "SELECT count(*) FROM box_orphan WHERE resolved_at IS NULL"
    assert await scalar(parts, open_) == 3
    async with Api.start(settings, emulator, idp_app) as api:
        assert (await api.exchange()).is_success


async def test_a_listed_orphan_that_is_not_spare_is_never_deleted(
    api: Api, box: Control, parts: Parts, enterprise: Enterprise
) -> None:
    await api.exchange(api.id_token("twice"))
    user = enterprise.add_user("Listed", None)
    user.external_app_user_id = "sb1-" + "A" * 32
    await _list(parts, user.id)
    [finding] = await _reconcile(parts, fix=True)
    assert (finding.kind, finding.fixed, finding.said) == (
        "listed_orphan",
        False,
        "why",
    )
    assert user.id in {user["id"] for user in await box.users()}


async def test_a_user_that_the_list_leaves_out_is_not_called_missing(
    api: Api, parts: Parts, emulator: Starlette
) -> None:
    """Box may list late; a GET decides."""
    await api.exchange()

    class Forgetful(httpx.ASGITransport):
        @override
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if "usemarker" in request.url.params:
                return httpx.Response(200, json={"entries": [], "next_marker": None})
            return await super().handle_async_request(request)

    async with opened(parts.settings, mounts={BOX_URL: Forgetful(emulator)}) as blind:
        assert await _reconcile(blind) == []


async def test_a_first_login_that_is_not_finished_is_a_note_only(
    api: Api, parts: Parts
) -> None:
    await api.exchange()
    await sql(parts, "UPDATE account SET box_user_id = NULL")
    [finding] = await _reconcile(parts)
    assert finding.kind == "note"
    assert "the next one adopts it" in finding.said
    assert (await api.exchange()).is_success
    assert await _reconcile(parts) == []


# --- many users ---------------------------------------------------------------------


async def _populate(
    http: httpx.AsyncClient, url: str, app: tuple[str, str], count: int
) -> None:
    """So many users and accounts, of whom five differ."""
    user = {"name": "User {n}", "external_app_user_id": "sb1-{n}", "count": count}
    seeded = await http.post("/_emulator/seed", json={"users": [user]}, timeout=120)
    first = int(seeded.json()["users"][0]["id"])
    connection = await asyncpg.connect(url)
    await connection.execute(
        "INSERT INTO account (id, kind, realm, external_app_user_id, box_user_id,"
        " box_client_id, box_enterprise_id) SELECT gen_random_uuid(), 'app', '',"
        " 'sb1-' || n, ($1::bigint + n - 1)::text, $2, $3"
        # Of the first two users the accounts are lost; the last three have no user.
        " FROM generate_series(3, $4::int + 3) n",
        first,
        *app,
        count,
    )
    await connection.close()


WANTED = {"orphan": 2, "missing": 3}


async def test_hundreds_are_compared_page_by_page(
    parts: Parts, box: Control, settings: Any
) -> None:
    url = settings.database_url.get_secret_value()
    async with httpx.AsyncClient(transport=box.transport, base_url=BOX_URL) as http:
        await _populate(http, url, parts.box_app, FEW)
    await box.requests()
    reconciliation = Reconciliation(parts.database, parts.box, page_size=PAGE)
    found = Counter([f.kind async for f in reconciliation.run()])
    assert found == WANTED
    requests = await box.requests()
    # The pages, and a GET for each user that no page had.
    assert requests.count("GET /2.0/users") == FEW // PAGE + 1
    assert sum(r.startswith("GET /2.0/users/") for r in requests) == 3


@asynccontextmanager
async def _emulator(config: Path) -> AsyncIterator[str]:
    command = [sys.executable, "-m", "sso_box_devkit", "box", "--config-out"]
    process = await asyncio.create_subprocess_exec(
        *command, str(config), stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield (await process.stdout.readline()).decode().split()[-1]
    finally:
        process.terminate()
        await process.wait()


# Its own peak, which is gone with it; a parent is told of the memory before exec, too.
MEASURED = """
import atexit, pathlib, sys
status, peak = pathlib.Path("/proc/self/status"), pathlib.Path(sys.argv.pop(1))
atexit.register(lambda: peak.write_text(status.read_text()))
from sso_box_api.cli import main
main()
"""


async def _measured(
    arguments: list[str], environment: dict[str, str], folder: Path
) -> tuple[int, float, str]:
    """Run a command: its exit code, its peak of memory in MiB, its standard output."""
    peak = folder / "peak"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", MEASURED, str(peak), *arguments),
        env=environment,
        stdout=subprocess.PIPE,
    )
    output, _ = await process.communicate()
    [line] = [x for x in peak.read_text().splitlines() if x.startswith("VmHWM:")]
    return process.returncode or 0, int(line.split()[1]) / 1024, output.decode()


@pytest.fixture
async def large_database_url(database_url: str) -> AsyncIterator[str]:
    """One that is left empty: to delete so many rows takes minutes."""
    yield database_url
    connection = await asyncpg.connect(database_url)
    await connection.execute("TRUNCATE account CASCADE")
    await connection.close()


@pytest.mark.skipif(not FULL, reason="takes a minute; TEST_SIZE=full")
async def test_a_hundred_thousand_users_are_compared_in_bounded_memory(
    large_database_url: str, tmp_path: Path, record_property: Any
) -> None:
    database_url = large_database_url
    config = tmp_path / "config.json"
    async with _emulator(config) as url:
        data = json.loads(config.read_text())
        app = (data["boxAppSettings"]["clientID"], data["enterpriseID"])
        async with httpx.AsyncClient(base_url=url) as http:
            await _populate(http, database_url, app, MANY)
        provider = {"id": "main", "issuer": "https://idp.example", "client_ids": ["x"]}
        environment = {
            **os.environ,
            "SSO_BOX_DATABASE_URL": database_url,
            "SSO_BOX_SECRET_KEYS": Fernet.generate_key().decode(),
            "SSO_BOX_BOX__CONFIG_FILE": str(config),
            "SSO_BOX_BOX__API_URL": url,
            "SSO_BOX_BOX__UPLOAD_URL": f"{url}/api",
            "SSO_BOX_BOX__CALLS_PER_MINUTE": "1000000",
            "SSO_BOX_PROVIDERS": json.dumps([provider]),
            "SSO_BOX_ALLOW_LOOPBACK_HTTP": "true",
        }
        started = time.monotonic()
        code, peak_mib, output = await _measured(
            ["reconcile", "--json"], environment, tmp_path
        )
        seconds = time.monotonic() - started
    report = json.loads(output)
    assert code == 1
    assert {kind: report[kind] for kind in WANTED} == WANTED
    assert len(report["findings"]) == 5
    record_property("users", MANY)
    record_property("peak_mib", round(peak_mib, 1))
    record_property("seconds", round(seconds, 1))
    assert peak_mib < MEMORY_MIB

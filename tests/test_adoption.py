"""`account import`: users that an older system made are adopted, or said why not."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from sso_box_api.accounts import Person
from sso_box_api.adoption import Outcome, Source, links_at_box, links_in_file
from sso_box_api.errors import CommandRefused
from sso_box_api.parts import Parts
from sso_box_api.settings import Settings
from sso_box_devkit.box import Enterprise
from tests.support.administration import candidate_of, scalar
from tests.support.api import BOX_URL, Api, Control
from tests.support.connections import opened


def _older_user(
    enterprise: Enterprise, external_id: str | None = None, login: str | None = None
) -> str:
    user = enterprise.add_user("Older", login)
    user.external_app_user_id = external_id
    return user.id


async def _import(parts: Parts, source: Source, *, apply: bool) -> list[Outcome]:
    adoption = parts.adoption(parts.settings.providers[0])
    return [outcome async for outcome in adoption.run(source, apply=apply)]


def _told(outcomes: list[Outcome]) -> list[tuple[str, str]]:
    return [(outcome.state, outcome.why or "") for outcome in outcomes]


async def test_a_user_under_a_bare_subject_is_adopted_and_not_made_again(
    api: Api,
    box: Control,
    parts: Parts,
    enterprise: Enterprise,
    audit_log: list[dict[str, Any]],
) -> None:
    older = _older_user(enterprise, "ada")
    source = links_at_box(parts.box)
    assert _told(await _import(parts, source, apply=False)) == [("adoptable", "")]
    assert await scalar(parts, "SELECT count(*) FROM account") == 0
    assert _told(await _import(parts, source, apply=True)) == [("adopted", "")]
    assert _told(await _import(parts, source, apply=True)) == [("already", "")]
    assert (await api.exchange()).json()["box_user_id"] == older
    [user] = await box.users()
    # The older system still finds it.
    assert user["external_app_user_id"] == "ada"
    [event] = [e for e in audit_log if e["event"] == "administration"]
    assert (event["act"], event["subject"]) == ("import", "ada")
    assert event["new_box_user_id"] == older


async def test_what_is_not_fit_is_refused_with_its_reason(
    api: Api, parts: Parts, enterprise: Enterprise
) -> None:
    bound = (await api.exchange()).json()["box_user_id"]
    enterprise.settings.app_access = "enterprise"
    _older_user(enterprise, "ada")
    _older_user(enterprise, "twice"), _older_user(enterprise, "twice")
    inactive = enterprise.users[_older_user(enterprise, "inactive")]
    inactive.status = "inactive"
    _older_user(enterprise, "managed", "m@example.com")
    _older_user(enterprise, "\u00fcn\u00efcode")
    _older_user(enterprise, "x" * 256)
    _older_user(enterprise, None)
    _older_user(enterprise, "good")
    outcomes = await _import(parts, links_at_box(parts.box), apply=True)
    assert [outcome.link.subject[:9] for outcome in outcomes] == [
        "ada", "twice", "twice", "inactive", "managed", "\u00fcn\u00efcode",
        "x" * 9, "good",
    ]  # fmt: skip
    for outcome, why in zip(
        outcomes,
        (
            f"has Box user {bound} already",
            "subject twice stands with different partners",
            "subject twice stands with different partners",
            "has the status inactive",
            "is a managed user",
            "printable ASCII",
            "255 characters",
            "",
        ),
        strict=True,
    ):
        assert why in (outcome.why or "")
    assert [o.state for o in outcomes] == ["refused"] * 7 + ["adopted"]


async def test_a_file_says_who_has_which_user(
    api: Api, parts: Parts, enterprise: Enterprise, tmp_path: Path
) -> None:
    grace = (await api.exchange(api.id_token("grace"))).json()["box_user_id"]
    users = [_older_user(enterprise) for _ in range(3)]
    file = tmp_path / "links.csv"
    file.write_text(
        "\ufeffbox_user_id,subject\n"
        f"{users[0]},ada\n"
        f"{users[0]},ada\n"
        f"{users[1]},left\n{users[1]},right\n"
        f"999,missing\n\n{grace},ada3\nx1,bad\n{users[2]}\n{users[2]},grace\n"
        f'{users[2]},"a ""b"", c"\n'
    )
    outcomes = await _import(parts, links_in_file(file), apply=True)
    assert [(o.link.where, o.state) for o in outcomes] == [
        ("line 2", "adopted"),
        ("line 3", "refused"),
        ("line 4", "refused"),
        ("line 5", "refused"),
        ("line 6", "refused"),
        ("line 8", "refused"),
        ("line 9", "refused"),
        ("line 10", "refused"),
        ("line 11", "refused"),
        ("line 12", "refused"),
    ]
    why = [o.why or "" for o in outcomes]
    for position, says in enumerate(
        (
            "",
            "the same again",
            f"Box user {users[1]} stands with different",
            f"Box user {users[1]} stands with different",
            "Box has no user 999",
            f"Box user {grace} is bound to account",
            "it is decimal digits",
            "the line has not the two values",
            f"Box user {users[2]} stands with different partners",
            f"Box user {users[2]} stands with different partners",
        )
    ):
        assert says in why[position]
    assert (await api.exchange()).json()["box_user_id"] == users[0]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the first line has to name the columns subject,box_user_id"),
        (b"subject,box_user_id,email\na,1,b\n", "and no others"),
        (b"ada,1\n", "the first line has to name"),
        (b"subject,box_user_id\n\xff,1\n", "not UTF-8"),
        (b'subject,box_user_id\n"a"b,1\n', "not CSV"),
    ],
)
async def test_a_file_of_another_form_is_refused_before_anything_is_done(
    parts: Parts, tmp_path: Path, content: bytes, says: str
) -> None:
    file = tmp_path / "links.csv"
    file.write_bytes(content)
    with pytest.raises(CommandRefused, match=says):
        await _import(parts, links_in_file(file), apply=True)


async def test_a_removed_person_and_a_locked_one(
    api: Api, parts: Parts, enterprise: Enterprise
) -> None:
    """Removed is for good; a lock is another fact, and stays."""
    await api.exchange()
    await parts.lifecycle().unlink(await candidate_of(parts))
    _older_user(enterprise, "ada")
    grace = _older_user(enterprise, "grace")
    provider = parts.settings.providers[0]
    person = Person(provider.id, provider.frozen_namespace, "grace")
    await parts.lifecycle().ensure(person)
    await parts.lifecycle().lock(await candidate_of(parts, "grace"), "leaver")
    outcomes = await _import(parts, links_at_box(parts.box), apply=True)
    assert [o.state for o in outcomes] == ["refused", "adopted"]
    assert "is removed" in (outcomes[0].why or "")
    account = (await candidate_of(parts, "grace")).account
    assert (account.state, account.box_user_id) == ("locked", grace)


async def test_subjects_of_joined_claims_have_to_have_their_form(
    settings_values: dict[str, Any],
    emulator: Starlette,
    enterprise: Enterprise,
) -> None:
    """A bare oid would make an account under which nobody ever signs in."""
    tenant = "0f3a1c52-9d6e-4b7a-8c21-5e4d3f2a1b0c"
    settings_values["providers"] = [
        {"id": "e", "kind": "entra", "client_ids": ["spa"], "tenants": [tenant]}
    ]
    settings = Settings.model_validate(settings_values)
    _older_user(enterprise, "ada-oid")
    _older_user(enterprise, f"{tenant}/grace-oid")
    mounts = {BOX_URL: httpx.ASGITransport(emulator)}
    async with opened(settings, mounts=mounts) as parts:
        outcomes = await _import(parts, links_at_box(parts.box), apply=False)
    assert [o.state for o in outcomes] == ["refused", "adoptable"]
    assert "has the form tid/oid" in (outcomes[0].why or "")


async def test_two_imports_and_a_login_at_once_leave_one_user_each(
    api: Api, parts: Parts, emulator: Starlette, enterprise: Enterprise
) -> None:
    """Each line is judged again with its account held."""
    for number in range(10):
        _older_user(enterprise, f"s{number}")
    mounts = {BOX_URL: httpx.ASGITransport(emulator)}
    async with opened(parts.settings, mounts=mounts) as second:
        one, two, login = await asyncio.gather(
            _import(parts, links_at_box(parts.box), apply=True),
            _import(second, links_at_box(second.box), apply=True),
            api.exchange(api.id_token("s9")),
        )
    assert login.is_success
    rows = await scalar(parts, "SELECT count(DISTINCT box_user_id) FROM account")
    assert rows == 10
    counts = Counter(o.state for o in [*one, *two])
    assert counts["adopted"] + counts["already"] + counts["refused"] == 20
    # Whoever came first with s9: the import found it taken, or the login found it bound.
    bound = (await candidate_of(parts, "s9")).account.box_user_id
    assert login.json()["box_user_id"] == bound

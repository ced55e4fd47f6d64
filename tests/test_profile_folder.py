"""A profile for a folder of the provisioning template: each person gets their own."""

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError
from starlette.applications import Starlette

from sso_box_api.explain import Question
from sso_box_api.identity import Explanation, UnverifiedToken
from sso_box_api.parts import Parts
from sso_box_api.settings import Settings
from sso_box_devkit.box import Enterprise
from tests.support.administration import candidate_of, scalar, sql
from tests.support.api import Api, Control
from tests.support.connections import opened
from tests.support.furnishing import finish, time_passes

DOORS = pytest.mark.parametrize("door", ["json", "oauth"])
INBOX = "{name}/Inbox"


def _profile(folder: str) -> dict[str, Any]:
    return {
        "scopes": ["base_explorer", "item_upload"],
        "resource": "template",
        "template_folder": folder,
    }


@pytest.fixture
def settings_values(
    settings_values: dict[str, Any], idp_app: Starlette
) -> dict[str, Any]:
    settings_values["profiles"] = {
        "explorer": {"scopes": ["base_explorer"]},
        "inbox": _profile(INBOX),
        "department": _profile("{claim:department}"),
        "staff": _profile("Staff"),
    }
    folders = [
        {"path": INBOX},
        {"path": "{claim:department}"},
        {"path": "Staff", "providers": ["other"]},
    ]
    settings_values["provisioning"] = {"template": {"folders": folders}, "wait_s": 30}
    other = {"id": "other", "issuer": "https://other.example", "client_ids": ["spa"]}
    settings_values["providers"] += [other]
    for provider in settings_values["providers"]:
        provider["jwks_inline"] = idp_app.state.idp.jwks()
    settings_values["box"] |= {"max_attempts": 1, "breaker_rest_s": 0.01}
    # What is left is taken up when a test says so.
    settings_values["vending"] = {"sweep_interval_s": 3600}
    return settings_values


async def _exchange_when_made(api: Api, token: str, profile: str) -> dict[str, Any]:
    """Come again as a page does, where the folder is made beside the request."""
    async with asyncio.timeout(10):
        while True:
            answer = await api.exchange(token, profile=profile)
            if answer.status_code != 503:
                body: dict[str, Any] = answer.json()
                return body


def _folder(enterprise: Enterprise, user_id: str, name: str) -> str:
    tree = enterprise.tree
    [found] = [i.id for i in tree.below(tree.root(user_id)) if i.name == name]
    return found


@DOORS
async def test_each_person_gets_the_folder_that_was_made_for_them(
    api: Api, enterprise: Enterprise, box: Control, parts: Parts, door: str
) -> None:
    """Already by the first login; and a token for it, once for all who ask."""
    bound = set()
    for subject in ("ada", "grace"):
        token = api.id_token(subject, name=subject)
        body = (await api.exchange(token, door=door, profile="inbox")).json()
        user_id = body["box_user_id"]
        own = _folder(enterprise, user_id, "Inbox")
        listed = "SELECT resource FROM vend ORDER BY minted_at DESC"
        assert await scalar(parts, listed) == f"folder:{own}"
        assert door == "oauth" or body["resource"] == f"folder:{own}"
        access = body["access_token"]
        inside = await box.call("GET", f"/2.0/folders/{own}", access)
        above = _folder(enterprise, user_id, subject)
        outside = await box.call("GET", f"/2.0/folders/{above}", access)
        assert (inside.status_code, outside.is_success) == (200, False)
        for _ in range(2):  # by the rows, then from memory
            again = (await api.exchange(token, door=door, profile="inbox")).json()
            assert again["access_token"] == access
            assert again.get("resource") == body.get("resource")
        bound.add(own)
    assert len(bound) == 2


@DOORS
async def test_a_folder_that_is_still_to_be_made_is_waited_for(
    api: Api, box: Control, parts: Parts, emulator: Starlette, door: str
) -> None:
    known = set(emulator.state.world.tokens)
    await box.fault("POST", "/2.0/folders", times=1000, status=503)
    token = api.id_token(name="Ada")
    answer = await api.exchange(token, door=door, profile="inbox")
    code = answer.json()["code" if door == "json" else "reason"]
    assert (answer.status_code, code) == (503, "provisioning_in_progress")
    # The folder above it is what the next try is for.
    assert 1 <= int(answer.headers["retry-after"]) <= 10
    assert not any(
        t.is_downscoped
        for value, t in emulator.state.world.tokens.items()
        if value not in known
    )
    await box.clear_faults()
    await time_passes(parts)
    await finish(parts.provisioner())
    assert (await api.exchange(token, door=door, profile="inbox")).is_success


async def test_a_folder_that_box_refuses_to_make_is_a_refusal(
    api: Api, box: Control, audit_log: list[dict[str, Any]]
) -> None:
    await box.fault("POST", "/2.0/folders", times=1000, status=403)
    answer = await api.exchange(api.id_token(name="Ada"), profile="inbox")
    assert answer.json()["code"] == "folder_not_provisioned"
    assert audit_log[-1]["reason"].startswith("folder:{name} is failed: ")
    # Others are none of its business.
    assert (await api.exchange(api.id_token(name="Ada"))).is_success


async def test_a_claim_that_is_missing_is_a_refusal_until_a_token_has_it(
    api: Api, enterprise: Enterprise, audit_log: list[dict[str, Any]]
) -> None:
    answer = await api.exchange(api.id_token(), profile="department")
    assert answer.json()["code"] == "folder_not_provisioned"
    assert "claim is missing" in audit_log[-1]["reason"]
    token = api.id_token(department="Sales", iat=api.idp.now() + 1)
    # It is no first furnishing, which alone is waited for.
    body = await _exchange_when_made(api, token, "department")
    own = _folder(enterprise, body["box_user_id"], "Sales")
    assert body["resource"] == f"folder:{own}"


async def test_a_folder_for_another_providers_people_is_a_refusal(
    api: Api, audit_log: list[dict[str, Any]]
) -> None:
    answer = await api.exchange(profile="staff")
    assert answer.json()["code"] == "folder_not_provisioned"
    assert audit_log[-1]["reason"] == "the template has none for this person"


async def test_a_relinked_account_has_the_folder_of_its_present_box_user(
    settings: Settings,
    emulator: Starlette,
    idp_app: Starlette,
    enterprise: Enterprise,
    parts: Parts,
) -> None:
    async with Api.start(settings, emulator, idp_app) as api:
        token = api.id_token(name="Ada")
        former = (await api.exchange(token, profile="inbox")).json()
        other = enterprise.add_user("another", None)
        await parts.lifecycle().relink(await candidate_of(parts), other.id)
    # Another process remembers nothing of the former one.
    async with Api.start(settings, emulator, idp_app) as api:
        present = await _exchange_when_made(api, token, "inbox")
    assert present["box_user_id"] == other.id
    assert present["resource"] == f"folder:{_folder(enterprise, other.id, 'Inbox')}"
    assert present["resource"] != former["resource"]


async def test_rows_of_a_former_box_user_bind_nothing(
    settings: Settings, emulator: Starlette, idp_app: Starlette, parts: Parts
) -> None:
    """Where nothing could be planned for the present one yet, it is to be waited for."""
    async with Api.start(settings, emulator, idp_app) as api:
        token = api.id_token(name="Ada")
        await api.exchange(token, profile="inbox")
    await sql(parts, "UPDATE furnishing SET box_user_id = '1'")
    async with Api.start(settings, emulator, idp_app) as api:
        answer = await api.exchange(token, profile="inbox")
    assert answer.json()["code"] == "provisioning_in_progress"


async def test_a_folder_that_the_person_deleted_is_out_of_reach(
    api: Api, enterprise: Enterprise
) -> None:
    """It was theirs, and is not made again."""
    token = api.id_token(name="Ada")
    body = (await api.exchange(token, profile="inbox")).json()
    tree = enterprise.tree
    below = tree.below(tree.root(body["box_user_id"]))
    [own] = [item for item in below if f"folder:{item.id}" == body["resource"]]
    tree.remove(own)
    answer = await api.exchange(token, profile="inbox", scope=["item_upload"])
    assert answer.json()["code"] == "resource_not_accessible"


@DOORS
async def test_the_caller_cannot_name_another_folder(
    api: Api, box: Control, door: str
) -> None:
    answer = await api.exchange(door=door, profile="inbox", resource="folder:1")
    assert answer.json()["code" if door == "json" else "reason"] == "bad_resource"
    assert await box.requests() == []
    profiles = (await api.http.get("/v1/config")).json()["profiles"]
    assert {p["name"]: p["resource"] for p in profiles}["inbox"] == "template"
    assert "Inbox" not in str(profiles)


@pytest.mark.parametrize(
    "rules",
    [
        _profile("{name}/Outbox"),
        _profile("{name}/Inbox/"),
        {"resource": "template"},
        {"template_folder": INBOX},
        {"resource": "fixed", "fixed_resource": "folder:1", "template_folder": INBOX},
    ],
)
def test_a_profile_of_no_folder_of_the_template_is_refused_at_start(
    settings_values: dict[str, Any], rules: dict[str, Any]
) -> None:
    Settings.model_validate(settings_values)
    settings_values["profiles"]["inbox"] = {"scopes": ["base_upload"], **rules}
    with pytest.raises(ValidationError):
        Settings.model_validate(settings_values)


def test_a_folder_is_named_as_the_template_names_it_without_fallbacks(
    settings_values: dict[str, Any],
) -> None:
    """And one that is only on the way to another is a folder, too."""
    folders = settings_values["provisioning"]["template"]["folders"]
    folders[1]["path"] = "{claim:department|General}"
    settings_values["profiles"]["inbox"]["template_folder"] = "{name}"
    Settings.model_validate(settings_values)
    del settings_values["provisioning"]
    with pytest.raises(ValidationError, match="is no folder of"):
        Settings.model_validate(settings_values)


async def _explain(parts: Parts, token: str, profile: str) -> Explanation:
    question = Question(UnverifiedToken(token), profile, None, None)
    return await parts.explainer().explain(question, online=True)


async def test_explain_names_the_folder_and_what_came_of_it(
    settings: Settings, emulator: Starlette, idp_app: Starlette
) -> None:
    async with Api.start(settings, emulator, idp_app) as api:
        token = api.id_token(name="Ada")
        vended = (await api.exchange(token, profile="inbox")).json()
    async with opened(settings) as parts:
        found = await _explain(parts, token, "inbox")
        assert found.verdict == "granted"
        said = {check.name: check.text for check in found.checks}
        assert "on template:{name}/Inbox; the profile is for each" in said["profile"]
        assert said["folder"] == f"{vended['resource']}, made for this account"
        assert "would be handed out again" in said["token"]
        found = await _explain(parts, token, "department")
        assert found.code == "folder_not_provisioned"
        assert (await _explain(parts, token, "staff")).verdict == "undecided"
        await sql(parts, "UPDATE furnishing_step SET state = 'pending'")
        found = await _explain(parts, token, "inbox")
        assert found.verdict == "undecided"
        assert [check.name for check in found.checks][-1] == "folder"

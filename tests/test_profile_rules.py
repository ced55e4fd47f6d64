"""The rules of a profile beside its scopes: how long, for whom, and on what."""

import json
from typing import Any

import pytest
from pydantic import ValidationError
from starlette.applications import Starlette

from sso_box_api.explain import Question
from sso_box_api.identity import Explanation, UnverifiedToken
from sso_box_api.parts import Parts
from sso_box_api.settings import ProfileSettings, Settings
from tests.support.administration import scalar, sql
from tests.support.api import Api, Control

DOORS = pytest.mark.parametrize("door", ["json", "oauth"])
SCOPES = ["base_preview", "item_download"]


@pytest.fixture
def settings_values(settings_values: dict[str, Any]) -> dict[str, Any]:
    settings_values["profiles"] = {
        "explorer": {"scopes": ["base_explorer", "item_upload"]},
        "brief": {"scopes": SCOPES, "max_life_s": 300},
        "staff": {
            "scopes": SCOPES,
            "required_claims": {"groups": ["sales", "board"], "level": [1]},
        },
        "drop-box": {
            "scopes": ["base_upload"],
            "resource": "fixed",
            "fixed_resource": "folder:4711",
        },
    }
    # What is due is taken up when a test says so, and rows that a test ages are read.
    settings_values["vending"] = {"sweep_interval_s": 3600, "remembered_logins": 0}
    return settings_values


@DOORS
async def test_a_profile_cuts_the_life_that_the_caller_is_told(
    api: Api, door: str
) -> None:
    for _ in range(2):  # minted, then handed out again
        body = (await api.exchange(door=door, profile="brief")).json()
        assert 295 < body["expires_in"] <= 300
    assert (await api.exchange(door=door)).json()["expires_in"] > 3000


async def test_a_token_is_revoked_when_its_profiles_time_is_up(
    api: Api, box: Control, parts: Parts
) -> None:
    brief = (await api.exchange(profile="brief")).json()["access_token"]
    other = (await api.exchange()).json()["access_token"]
    revoker = parts.revoker(put_off_s=1, background=False)
    assert not await revoker.work()
    assert await box.is_live(brief)
    await sql(parts, "UPDATE vend SET revoke_at = now() WHERE profile = 'brief'")
    assert (await api.exchange(profile="brief")).json()["access_token"] != brief
    assert await revoker.work()
    assert not await box.is_live(brief)
    assert await box.is_live(other)
    count = "SELECT count(*) FROM vend WHERE state = 'revoked'"
    assert await scalar(parts, count) == 1


async def test_a_token_whose_cut_life_is_half_over_is_renewed(
    api: Api, parts: Parts
) -> None:
    first = (await api.exchange(profile="brief")).json()["access_token"]
    for age_s, same in ((140, True), (160, False)):
        await sql(
            parts,
            f"UPDATE vend SET minted_at = now() - interval '{age_s} s',"  # noqa: S608 - a number
            f" revoke_at = now() + interval '{300 - age_s} s'",
        )
        again = (await api.exchange(profile="brief")).json()["access_token"]
        assert (again == first) is same


@DOORS
@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"groups": ["guests", "sales"], "level": 1}, 200),
        ({"groups": "board", "level": 1}, 200),
        ({"groups": ["guests"], "level": 1}, 403),
        ({"groups": ["sales"]}, 403),
        ({"groups": ["sales"], "level": True}, 403),
        ({"groups": ["sales"], "level": "1"}, 403),
        ({"groups": ["sales board"], "level": 1}, 403),
        ({"groups": [], "level": 1}, 403),
        ({"groups": {"sales": "sales"}, "level": 1}, 403),
    ],
)
async def test_a_profile_is_open_where_every_required_claim_fits(
    api: Api, claims: dict[str, Any], status: int, door: str
) -> None:
    answer = await api.exchange(api.id_token(**claims), door=door, profile="staff")
    if status == 200:
        assert answer.status_code == 200
    else:
        code = answer.json()["code" if door == "json" else "reason"]
        assert code == "profile_not_allowed"


async def test_claims_are_looked_at_on_every_request(
    api: Api, audit_log: list[dict[str, Any]]
) -> None:
    """Also where a live token is there: the group may have been left since."""
    member = api.id_token(groups=["sales"], level=1)
    assert (await api.exchange(member, profile="staff")).status_code == 200
    former = await api.exchange(api.id_token(level=1), profile="staff")
    assert former.json()["code"] == "profile_not_allowed"
    assert audit_log[-1]["reason"] == "required_claims.groups"


@DOORS
async def test_a_fixed_resource_is_what_the_token_is_bound_to(
    api: Api, box: Control, parts: Parts, emulator: Starlette, door: str
) -> None:
    whole = (await api.exchange()).json()["access_token"]
    body = {"name": "in", "parent": {"id": "0"}}
    folder = (await box.call("POST", "/2.0/folders", whole, json=body)).json()["id"]
    rules = ProfileSettings(
        scopes=("base_upload",), resource="fixed", fixed_resource=f"folder:{folder}"
    )
    settings: Settings = parts.settings.model_copy(
        update={"profiles": parts.settings.profiles | {"drop-box": rules}}
    )
    async with Api.start(settings, emulator, api.idp_app) as own:
        tokens = []
        for asked in ({}, {"resource": f"folder:{folder}"}):
            answer = await own.exchange(door=door, profile="drop-box", **asked)
            assert answer.status_code == 200, answer.text
            tokens.append(answer.json()["access_token"])
    assert tokens[0] == tokens[1]
    bound = "SELECT resource FROM vend WHERE profile = 'drop-box'"
    assert await scalar(parts, bound) == f"folder:{folder}"


@DOORS
async def test_a_fixed_resource_cannot_be_changed_by_the_caller(
    api: Api, box: Control, door: str
) -> None:
    for other in ("folder:1", "file:4711"):
        answer = await api.exchange(door=door, profile="drop-box", resource=other)
        code = answer.json()["code" if door == "json" else "reason"]
        assert code == "bad_resource"
    assert await box.requests() == []
    profiles = (await api.http.get("/v1/config")).json()["profiles"]
    assert {p["name"]: p["resource"] for p in profiles}["drop-box"] == "fixed"
    assert "4711" not in json.dumps(profiles)


@pytest.mark.parametrize(
    "rules",
    [
        {"resource": "fixed"},
        {"fixed_resource": "folder:1"},
        {"resource": "required", "fixed_resource": "folder:1"},
        {"resource": "fixed", "fixed_resource": "folder:0"},
        {"resource": "fixed", "fixed_resource": "https://app.box.com/s/abc"},
        {"max_life_s": 59},
        {"required_claims": {"groups": []}},
    ],
)
def test_a_profile_that_cannot_be_meant_is_refused(rules: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ProfileSettings.model_validate({"scopes": SCOPES, **rules})


async def _explain(parts: Parts, token: str, **asked: Any) -> Explanation:
    question = {"profile": None, "scopes": None, "resource": None, **asked}
    explainer = parts.explainer()
    return await explainer.explain(
        Question(UnverifiedToken(token), **question), online=False
    )


def _said(found: Explanation, name: str) -> str:
    [text] = [check.text for check in found.checks if check.name == name]
    return text


async def test_explain_says_what_is_granted_and_why_not_more(
    api: Api, parts: Parts
) -> None:
    token = api.id_token(groups=["sales"], level=1)
    found = await _explain(parts, token, profile="brief", scopes=["base_preview"])
    assert _said(found, "profile") == (
        "brief: base_preview; not asked for: item_download;"
        " the profile ends it after 300 s"
    )
    assert _said(found, "other profiles") == (
        "explorer is open, staff is open, drop-box is open"
    )
    found = await _explain(parts, token, profile="drop-box")
    assert _said(found, "profile") == (
        "drop-box: base_upload on folder:4711; the profile fixes the resource"
    )


async def test_explain_names_the_claim_that_closes_a_profile(
    api: Api, parts: Parts
) -> None:
    token = api.id_token(groups=["guests"])
    found = await _explain(parts, token, profile="staff")
    assert found.code == "profile_not_allowed"
    assert _said(found, "profile").startswith("required_claims.groups; ")
    found = await _explain(parts, token)
    assert "staff is closed by required_claims.groups" in _said(found, "other profiles")

"""What a template comes to for somebody's claims."""

import string
from typing import Any

import pytest
from hypothesis import given, strategies as st

from sso_box_api.accounts import Person
from sso_box_api.box import item_name
from sso_box_api.furnishing import Wanted
from sso_box_api.provisioning import known_keys, wanted_steps
from sso_box_api.provisioning.plan import claims_digest
from sso_box_api.settings import Template


def _template(**declared: Any) -> Template:
    return Template.model_validate(declared)


def _ada(provider: str = "main", **claims: Any) -> Person:
    return Person(provider, "ns", "ada", "Ada L", "ada@example.com", claims=claims)


def _names(path: str, person: Person) -> list[str | None]:
    steps = wanted_steps(_template(folders=[{"path": path}]), person)
    return [step.params["name"] if step.params else None for step in steps]


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("Papers/2026", ["Papers", "2026"]),
        ("{name} ({email})", ["Ada L (ada@example.com)"]),
        ("{claim:department}", ["R-D"]),
        ("{claim:a:b}/x", ["colon", "x"]),
        ("{claim:level}", ["7"]),
        ("{claim:chief}", ["true"]),
        ("{claim:one}", ["only"]),
        # Of several values, and of none, none is the name.
        ("{claim:two}", [None]),
        ("{claim:none}", [None]),
        ("{claim:absent}/below", [None, None]),
        ("above/{claim:absent}", ["above", None]),
        ("{claim:absent|General}", ["General"]),
        ("{claim:absent|R: 50}", ["R: 50"]),
        ("{claim:dots}", [None]),
        ("{{x}}", ["{x}"]),
    ],
)
def test_paths_are_filled_in_by_claims(path: str, names: list[str | None]) -> None:
    claims: dict[str, Any] = {
        "department": "R/D",
        "a:b": "colon",
        "level": 7,
        "chief": True,
    }
    lists: dict[str, Any] = {
        "one": ("only",),
        "two": ("a", "b"),
        "none": (),
        "dots": "..",
    }
    assert _names(path, _ada(**claims, **lists)) == names


def test_two_paths_share_their_folders_and_name_their_parents() -> None:
    template = _template(folders=[{"path": "a/b"}, {"path": "a/c"}])
    steps = [(step.key, step.parent_key) for step in wanted_steps(template, _ada())]
    assert steps == [
        ("folder:a", None),
        ("folder:a/b", "folder:a"),
        ("folder:a/c", "folder:a"),
    ]


def _memberships(template: Template, **claims: Any) -> dict[str, bool]:
    steps = wanted_steps(template, _ada(**claims))
    return {step.key: not step.over for step in steps}


def test_groups_that_share_a_box_group_take_nobody_out_of_it() -> None:
    members = {"sales-eu": "Sales", "sales-us": "SALES", "devs": "id:77"}
    template = _template(groups=[{"claim": "groups", "members": members}])
    sales, devs = "membership:sales", "membership:id:77"
    assert _memberships(template, groups=("sales-us",)) == {sales: True, devs: False}
    assert _memberships(template, groups="devs") == {sales: False, devs: True}
    assert _memberships(template, groups=()) == {sales: False, devs: False}
    assert _memberships(template) == {}


def test_a_group_that_two_claims_give_is_left_alone_while_one_is_missing() -> None:
    groups = [
        {"claim": claim, "members": {value: "Staff"}}
        for claim, value in (("groups", "staff"), ("roles", "worker"))
    ]
    template = _template(groups=groups)
    staff = "membership:staff"
    assert _memberships(template, groups=()) == {}
    assert _memberships(template, roles=("worker",)) == {staff: True}
    assert _memberships(template, groups=(), roles=()) == {staff: False}


@pytest.mark.parametrize(
    ("plan", "size"),
    [
        ("gold", 500),
        (("silver", "gold"), 500),
        (("silver", "endless"), -1),
        ("unknown", 1),
        ((), 1),
    ],
)
def test_of_several_quotas_the_largest_counts(plan: object, size: int) -> None:
    sizes = {"silver": 50, "gold": 500, "endless": -1}
    quota = {"claim": "plan", "bytes": sizes, "default": 1}
    steps = wanted_steps(_template(quota=quota), _ada(plan=plan))
    assert steps == [Wanted("quota", "quota", {"bytes": size})]
    assert wanted_steps(_template(quota=quota), _ada()) == []


def test_entries_for_other_providers_are_passed_over() -> None:
    entry = {"path": "a", "providers": ["main"]}
    template = _template(folders=[entry])
    assert [step.key for step in wanted_steps(template, _ada())] == ["folder:a"]
    assert wanted_steps(template, _ada("other")) == []
    assert "folder:a" in known_keys(template)


@given(st.text(max_size=600))
def test_any_text_becomes_a_name_that_box_takes_or_none(text: str) -> None:
    name = item_name(text)
    if name is None:
        assert not set(text) & set(string.ascii_letters)
        return
    assert 0 < len(name) <= 255
    assert name.isprintable()
    assert name == name.strip()
    assert name not in {".", ".."}
    assert not set(name) & set("/\\")


def test_a_long_name_is_cut_between_characters_as_a_reader_sees_them() -> None:
    letter = "x\N{COMBINING CARON}"
    assert item_name(letter * 200) == letter * 127


def test_groups_in_another_order_are_no_news() -> None:
    template = _template(groups=[{"claim": "groups", "members": {"a": "A"}}])

    def digest(*groups: str) -> str:
        return claims_digest(template, "1", _ada(groups=groups))

    assert digest("b", "a") == digest("a", "b")
    assert len({digest(), digest("a"), digest("a", "b")}) == 3

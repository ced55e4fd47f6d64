"""Names and addresses as people chose them, made safe."""

import unicodedata
from typing import Any

import pytest
from hypothesis import given, strategies as st

from sso_box_api.identity.claim_text import (
    display_name,
    email_hint,
    kept_claims,
)

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
FLAG = "\U0001f1e9\U0001f1ea"
SCOTLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"
THUMB = "\U0001f44d\U0001f3fd"
JAMO = "\u1100\u1161\u11a8"


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"name": "Ada Lovelace", "given_name": "X"}, "Ada Lovelace"),
        ({"given_name": "Ada", "family_name": "Lovelace"}, "Ada Lovelace"),
        ({"given_name": "Ada"}, "Ada"),
        ({"family_name": "Lovelace"}, "Lovelace"),
        ({"preferred_username": "ada"}, "ada"),
        ({"name": "  ", "preferred_username": "ada"}, "ada"),
        ({"name": "\u200b", "preferred_username": "ada"}, "ada"),
        ({"name": 7, "given_name": ["Ada"], "preferred_username": None}, None),
        ({"email": "ada@example.com"}, None),
        ({}, None),
    ],
)
def test_the_name_comes_from_the_first_claim_that_has_one(
    claims: dict[str, Any], name: str | None
) -> None:
    assert display_name(claims) == name


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("Ada\0 Love\nlace\x7f", "Ada Lovelace"),
        ("Ada\ud800\udfff", "Ada"),
        ("Jo\u0308rg", "Jörg"),
        ("Ada\u2028\u2029", "Ada"),
        ("\u202eecalevoL adA", "ecalevoL adA"),
        ("می\u200cرم", "می\u200cرم"),
        ("李小龍", "李小龍"),
        (FAMILY, FAMILY),
    ],
)
def test_a_name_is_normalised_and_loses_only_what_is_unsafe(
    raw: str, clean: str
) -> None:
    assert display_name({"name": raw}) == clean


def test_a_cut_leaves_no_trailing_space() -> None:
    assert display_name({"name": "x" * 254 + " yy"}) == "x" * 254


@given(st.text(max_size=600))
def test_any_text_becomes_a_safe_name_or_none(text: str) -> None:
    name = display_name({"name": text})
    assert name is None or (
        0 < len(name) <= 255
        and unicodedata.is_normalized("NFC", name)
        and name == name.strip()
        and name.encode()
        and not {unicodedata.category(c) for c in name} & {"Cc", "Cs", "Zl", "Zp"}
    )


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"email": "a@b.example", "email_verified": True}, ("a@b.example", True)),
        ({"email": "a@b.example", "email_verified": "true"}, ("a@b.example", True)),
        ({"email": "a@b.example", "email_verified": "True"}, ("a@b.example", False)),
        ({"email": "a@b.example", "email_verified": 1}, ("a@b.example", False)),
        ({"email": "a@b.example", "email_verified": False}, ("a@b.example", False)),
        ({"email": "a@b.example", "email_verified": [True]}, ("a@b.example", False)),
        ({"email": "a@b.example"}, ("a@b.example", False)),
        ({"email": "a\0@b.example", "email_verified": True}, ("a@b.example", False)),
        ({"email": " a@b.example", "email_verified": True}, ("a@b.example", False)),
        ({"email": "no address", "email_verified": True}, (None, False)),
        ({"email": "a@" + "b" * 253, "email_verified": True}, (None, False)),
        (
            {"email": "a@" + "b" * 252, "email_verified": True},
            ("a@" + "b" * 252, True),
        ),
        ({"email": ["a@b.example"], "email_verified": True}, (None, False)),
        ({"email_verified": True}, (None, False)),
    ],
    ids=str,
)
def test_an_address_is_trusted_only_as_the_very_text_that_was_verified(
    claims: dict[str, Any], expected: tuple[str | None, bool]
) -> None:
    assert email_hint(claims) == expected


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (" Re\u0301search\x00 ", "R\u00e9search"),
        ("x" * 300, "x" * 255),
        (True, True),
        (7, 7),
        (["staff", " sales "], ("staff", "sales")),
        ([], ()),
    ],
)
def test_a_claim_that_is_used_is_kept_clean(value: Any, kept: Any) -> None:
    assert kept_claims({"a": value, "b": "x"}, {"a", "c"}) == {"a": kept}


@pytest.mark.parametrize(
    "value",
    ["", "\x00", None, 1.5, {"a": "b"}, ["a", 1], ["a", ""], ["x" * 300], ["a"] * 1001],
)
def test_a_claim_that_cannot_be_used_counts_as_absent(value: Any) -> None:
    assert kept_claims({"a": value}, {"a"}) == {}

"""Rules for Box users: what is taken as written, and what is refused at the start."""

from typing import Any

import pytest
from pydantic import ValidationError

from sso_box_api.accounts import Person
from sso_box_api.attributes import attributes_of
from sso_box_api.settings import BoxUserSettings, ProviderSettings

MANAGED = {"kind": "managed", "email_domains": ["example.com"]}


def provider(box_user: dict[str, Any], **values: Any) -> ProviderSettings:
    main = {"id": "main", "issuer": "https://idp.example", "client_ids": ["spa"]}
    return ProviderSettings.model_validate({**main, **values, "box_user": box_user})


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "managed without domains": ({"kind": "managed"}, "box_user.email_domains: is miss"),
    "domains of app users": (
        {"email_domains": ["example.com"]},
        "box_user.email_domains: means nothing",
    ),
    "links of app users": ({"link_existing": True}, "box_user.link_existing: means"),
    "attributes of users nobody makes": (
        {"create": False, "language": "de"},
        "box_user.language: is never used",
    ),
    "a restriction that a missing claim would lift": (
        {"is_external_collab_restricted": {"claim": "x"}},
        "box_user.is_external_collab_restricted: needs a default",
    ),
    "an unknown kind": ({"kind": "external"}, "box_user.kind"),
    "an unknown member": ({"kinds": "app"}, "box_user.kinds"),
    "a wildcard": (MANAGED | {"email_domains": ["*.example.com"]}, "email_domains"),
    "an address": (MANAGED | {"email_domains": ["@example.com"]}, "email_domains"),
    "a trailing dot": (MANAGED | {"email_domains": ["example.com."]}, "email_domains"),
    "a domain in Unicode": (MANAGED | {"email_domains": ["b\u00fc.de"]}, "email_dom"),
    "a top level": (MANAGED | {"email_domains": ["com"]}, "email_domains"),
    "an empty source": ({"name": {}}, "box_user.name"),
    "a source of something else": ({"name": {"clam": "x"}}, "box_user.name"),
    "an empty name": ({"name": ""}, "box_user.name"),
    "a long name": ({"name": "x" * 51}, "box_user.name"),
    "a long job title": ({"job_title": "x" * 101}, "box_user.job_title"),
    "a control character": ({"job_title": "a\nb"}, "box_user.job_title"),
    "a language in full": ({"language": "de-AT"}, "box_user.language"),
    "a time zone in words": ({"timezone": "over there"}, "box_user.timezone"),
    "space in words": ({"space_amount": "10 GB"}, "box_user.space_amount"),
    "less than nothing": ({"space_amount": -2}, "box_user.space_amount"),
    "more than Box counts": ({"space_amount": 2**63}, "box_user.space_amount"),
    "true as space": ({"space_amount": True}, "box_user.space_amount"),
    "a word for true": (
        {"is_external_collab_restricted": "yes"},
        "box_user.is_external_collab_restricted",
    ),
    "a default of a wrong form": (
        {"language": {"claim": "locale", "default": "German"}},
        "box_user.language.default",
    ),
}


@pytest.mark.parametrize(("rules", "told"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_meant_is_refused_with_the_setting_to_change(
    rules: dict[str, Any], told: str
) -> None:
    trust = rules.get("kind") == "managed"
    with pytest.raises(ValidationError) as caught:
        provider(rules, trust_email=trust)
    [error] = caught.value.errors()
    where = ".".join(map(str, error["loc"]))
    said = error["msg"].removeprefix("Value error, ")
    assert told in f"{where}: {said}" or said.startswith(told)


def test_managed_users_need_addresses_that_are_trusted() -> None:
    with pytest.raises(ValidationError, match="trust_email: must be true"):
        provider(MANAGED)


def test_domains_are_kept_in_small_letters() -> None:
    rules = provider(MANAGED | {"email_domains": ["Example.COM"]}, trust_email=True)
    assert rules.box_user.email_domains == ("example.com",)


def test_the_claims_in_use_are_those_of_the_sources() -> None:
    rules = provider({"name": {"claim": "shown_as"}, "language": "de"}).box_user
    assert rules.claims == {"shown_as"}
    assert provider({}).box_user.claims == frozenset()


@pytest.mark.parametrize(
    ("attribute", "claim", "value"),
    [
        ("space_amount", 7, 7),
        ("space_amount", "-1", -1),
        ("space_amount", 2**63, None),
        ("space_amount", "9" * 19, None),
        ("space_amount", "\u0661", None),
        ("space_amount", True, None),
        ("space_amount", ("7",), None),
        ("language", "e2", "e2"),
        ("language", "pt_BR", "pt"),
        ("language", "EN", "en"),
        ("language", "deu", None),
        ("language", "de\n", None),
        (
            "timezone",
            "America/Argentina/Buenos_Aires",
            "America/Argentina/Buenos_Aires",
        ),
        ("timezone", "UTC", "UTC"),
        ("timezone", "../etc", None),
        ("timezone", "UTC\n", None),
        ("job_title", "Engineer", "Engineer"),
        ("job_title", ("a", "b"), None),
        ("job_title", 7, None),
        ("is_external_collab_restricted", True, True),
        ("is_external_collab_restricted", "FALSE", False),
        ("is_external_collab_restricted", 1, False),
    ],
)
def test_a_claim_is_read_in_the_forms_that_providers_write(
    attribute: str, claim: Any, value: object
) -> None:
    default = {"default": False} if attribute.startswith("is_") else {}
    rules = BoxUserSettings.model_validate({attribute: {"claim": "c", **default}})
    person = Person("main", "https://idp.example", "ada", claims={"c": claim})
    assert getattr(attributes_of(rules, person), attribute) == value

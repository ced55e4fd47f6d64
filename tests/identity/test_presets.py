"""What each kind presets, and which settings refuse the start, each by its name."""

from typing import Any

import pytest
from pydantic import ValidationError

from sso_box_api.settings import ProviderSettings, Settings
from sso_box_api.settings.presets import PRESETS

ACME = "0f3a1c52-9d6e-4b7a-8c21-5e4d3f2a1b0c"
BETA = "1e2b4d60-7c8f-4a9b-9d30-6f5e4c3b2a1d"
V2 = "https://login.microsoftonline.com/{tenantid}/v2.0"
V1 = "https://sts.windows.net/{tenantid}/"


def provider(kind: str = "generic", **changes: Any) -> ProviderSettings:
    values = {"id": kind, "kind": kind, "client_ids": ["spa"]} | changes
    return ProviderSettings.model_validate(values)


def entra(*tenants: str, **changes: Any) -> ProviderSettings:
    return provider("entra", tenants=list(tenants), **changes)


def test_every_preset_is_of_settings_that_exist_and_every_kind_has_one() -> None:
    for preset in PRESETS.values():
        assert preset.values.keys() <= ProviderSettings.model_fields.keys()
        assert set(preset.needs_one_of) <= ProviderSettings.model_fields.keys()
    kind = ProviderSettings.model_fields["kind"].annotation
    assert set(PRESETS) == set(getattr(kind, "__args__", ()))


def test_a_providers_own_settings_win_over_its_kinds() -> None:
    auth0 = {"kind": "auth0", "issuer": "https://acme.eu.auth0.com/"}
    assert provider(**auth0).max_lifetime_s == 36_000
    assert provider(**auth0, max_lifetime_s=3_600).max_lifetime_s == 3_600


def test_required_claims_add_to_those_of_the_kind_and_replace_by_claim() -> None:
    keycloak = {"kind": "keycloak", "issuer": "https://sso.example/realms/acme"}
    assert provider(
        **keycloak, required_claims={"org": "a", "level": [1, 2]}
    ).required_claims == {"typ": ("ID",), "org": ("a",), "level": (1, 2)}
    assert provider(**keycloak, required_claims={"typ": ["ID", "Id"]}) == provider(
        **keycloak, required_claims={"typ": ("ID", "Id")}
    )


def test_one_entra_tenant_is_its_issuer_and_its_namespace() -> None:
    one = entra(ACME.upper())
    assert one.issuer == one.authority == V2.replace("{tenantid}", ACME)
    assert dict(one.issuers) == {one.issuer: ACME}
    assert one.frozen_namespace == one.namespace_of(ACME) == f"entra:{ACME}"
    assert entra(ACME, issuer=one.issuer) == one


def test_several_entra_tenants_are_exactly_their_issuers() -> None:
    both = entra(ACME, BETA, other_issuers=[V1])
    assert both.authority == "https://login.microsoftonline.com/common/v2.0"
    assert dict(both.issuers) == {
        written.replace("{tenantid}", tenant): tenant
        for written in (V2, V1)
        for tenant in (ACME, BETA)
    }
    assert [both.namespace_of(tenant) for tenant in (ACME, BETA)] == [
        f"entra:{ACME}",
        f"entra:{BETA}",
    ]
    assert both.tenant_of(V2.replace("{tenantid}", ACME)) is None


def test_one_tenant_may_list_its_first_version_issuer_in_full() -> None:
    v1 = f"https://sts.windows.net/{ACME}/"
    assert entra(ACME, other_issuers=[v1]).issuers[v1] == ACME


def test_stored_people_of_a_tenant_that_is_no_longer_listed_refuse_no_start() -> None:
    """They cannot come, so nobody is given a second Box user."""
    assert entra(ACME).owns_namespace(f"entra:{BETA}")
    assert not entra(ACME).owns_namespace("entra:beta")
    assert not entra(ACME, namespace="fixed").owns_namespace(f"entra:{ACME}")
    assert entra(ACME, namespace="fixed").owns_namespace("fixed")


@pytest.mark.parametrize(
    ("issuer", "tenant"),
    [
        (V2.replace("{tenantid}", ACME), ACME),
        (V2.replace("{tenantid}", ACME.upper()), None),
        (V2.replace("{tenantid}", "common"), None),
        (V2.replace("{tenantid}", ACME) + "/", None),
        (V2.replace("{tenantid}", f"{ACME}/{ACME}"), None),
        (V1.replace("{tenantid}", ACME), None),
        (V2, None),
    ],
)
def test_any_tenant_means_the_template_with_a_guid_and_nothing_else(
    issuer: str, tenant: str | None
) -> None:
    everyone = entra(dangerously_accept_anyone=True)
    assert everyone.issuers == {}
    assert everyone.tenant_of(issuer) == tenant


PERSONAL = "9188040d-6c67-4c5b-b112-36a304b66dad"
GOOGLE: dict[str, Any] = {"kind": "google", "required_claims": {"hd": "acme.example"}}
PLAIN: dict[str, Any] = {"issuer": "https://login.example"}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "entra without tenants": ({"kind": "entra"}, "tenants: is missing"),
    "entra with an issuer and no tenants": (
        {"kind": "entra", "issuer": V2.replace("{tenantid}", ACME)},
        "tenants: is missing",
    ),
    "a tenant that is no GUID": ({"kind": "entra", "tenants": ["acme"]}, "tenants"),
    "tenants of no text": ({"kind": "entra", "tenants": [1]}, "tenants"),
    "tenants that are no list": ({"kind": "entra", "tenants": ACME}, "tenants"),
    "an unknown kind": (PLAIN | {"kind": "adfs"}, "kind"),
    "a kind that is no text": (PLAIN | {"kind": ["okta"]}, "kind"),
    "no issuer": ({}, "issuer"),
    "a template that is no text": ({"issuer_template": 1}, "issuer_template"),
    "a template without its place": (
        {"issuer_template": "https://login.example", "tenants": [ACME]},
        "issuer_template: must contain {tenantid}",
    ),
    "an issuer beside the template that is not its": (
        {"kind": "entra", "tenants": [ACME], "issuer": "https://login.example"},
        "issuer: is not that of issuer_template",
    ),
    "one of several tenants as the issuer": (
        {
            "kind": "entra",
            "tenants": [ACME, BETA],
            "issuer": V2.replace("{tenantid}", ACME),
        },
        "issuer: is not that of issuer_template",
    ),
    "one tenant's issuer among several tenants": (
        {
            "kind": "entra",
            "tenants": [ACME, BETA],
            "other_issuers": [f"https://sts.windows.net/{ACME}/"],
        },
        "other_issuers: must contain {tenantid}",
    ),
    "one namespace for several tenants": (
        {"kind": "entra", "tenants": [ACME, BETA], "namespace": "acme"},
        "namespace: must contain {tenantid}",
    ),
    "tenants without a template": (PLAIN | {"tenants": [ACME]}, "tenants: there is no"),
    "a place for tenants in issuer": ({"issuer": V2}, "issuer: {tenantid} needs"),
    "a place for tenants in other_issuers": (
        PLAIN | {"other_issuers": [V2]},
        "other_issuers: {tenantid} needs",
    ),
    "a place for tenants in namespace": (
        PLAIN | {"namespace": "x:{tenantid}"},
        "namespace: {tenantid} needs",
    ),
    "listed tenants and everyone": (
        {"kind": "entra", "tenants": [ACME], "dangerously_accept_anyone": True},
        "dangerously_accept_anyone: contradicts",
    ),
    "everyone of a provider with accounts of its own": (
        PLAIN | {"dangerously_accept_anyone": True},
        "dangerously_accept_anyone: means nothing",
    ),
    "google without a domain": ({"kind": "google"}, "required_claims: without hd"),
    "a google domain and everyone": (
        GOOGLE | {"dangerously_accept_anyone": True},
        "dangerously_accept_anyone: contradicts",
    ),
    "google's consumers as a domain": (
        GOOGLE | {"required_claims": {"hd": ["acme.example", "gmail.com"]}},
        "required_claims: consumer accounts have no hd",
    ),
    "auth0 without the slash": (
        {"kind": "auth0", "issuer": "https://acme.eu.auth0.com"},
        "issuer: must end with a slash",
    ),
    "okta with a slash": (
        {"kind": "okta", "issuer": "https://acme.okta.com/"},
        "issuer: must not end with a slash",
    ),
    "b2c without discovery_url": (
        PLAIN | {"kind": "entra-b2c"},
        "discovery_url: is missing",
    ),
    "an address as the subject": (
        PLAIN | {"subject_claims": ["email"]},
        "subject_claims: email can pass to another person",
    ),
    "a name that people choose as the subject": (
        PLAIN | {"subject_claims": ["nickname"]},
        "subject_claims: nickname can pass to another person",
    ),
    "a subject that all have in common": (
        {"kind": "entra", "tenants": [ACME], "subject_claims": ["tid", "iss"]},
        "subject_claims: they tell nobody apart",
    ),
    "google by another kind": (
        {"issuer": "https://accounts.google.com"},
        "kind: this issuer is Google's",
    ),
    "personal accounts as a tenant": (
        {"kind": "entra", "tenants": [ACME, PERSONAL]},
        "tenants: this one is that of personal Microsoft accounts",
    ),
    "personal accounts by another kind": (
        {"issuer": V2.replace("{tenantid}", PERSONAL)},
        "tenants: this one is that of personal Microsoft accounts",
    ),
    "no subject": (PLAIN | {"subject_claims": []}, "subject_claims"),
    "a required claim without values": (
        PLAIN | {"required_claims": {"org": []}},
        "required_claims",
    ),
    "required claims that are no mapping": (
        PLAIN | {"kind": "cognito", "required_claims": ["org"]},
        "required_claims",
    ),
    "an acr that would break the challenge": (
        PLAIN | {"allowed_acr": ['a"b']},
        "allowed_acr",
    ),
}


@pytest.mark.parametrize(("values", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_meant_is_refused_by_the_name_of_the_setting(
    values: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValidationError) as refusal:
        ProviderSettings.model_validate({"id": "main", "client_ids": ["spa"], **values})
    texts = [
        ".".join(map(str, item["loc"]))
        + " "
        + item["msg"].removeprefix("Value error, ")
        for item in refusal.value.errors()
    ]
    assert any(text.strip().startswith(says) for text in texts), texts


@pytest.mark.parametrize(
    "values",
    [
        {"leeway_s": 301},
        {"leeway_s": -1},
        {"nonce_session_s": 2_592_001},
        {"nonce_session_s": -1},
        {"algs": []},
        {"keys_default_ttl_s": 299},
        {"keys_default_ttl_s": 86_401},
        {"client_ids": []},
        {"issuer": "https://login.example?a=1"},
        {"issuer": "https://login.example#a"},
        {"issuer": "https://a@login.example"},
        {"issuer": "https://login.example/\n"},
        {"other_issuers": ["https://login.example?a=1"]},
    ],
    ids=str,
)
def test_a_value_out_of_its_bounds_is_refused(values: dict[str, Any]) -> None:
    whole = {"id": "main", "client_ids": ["spa"], **PLAIN}
    ProviderSettings.model_validate(whole)
    with pytest.raises(ValidationError):
        ProviderSettings.model_validate(whole | values)


def test_signatures_are_rs256_alone_unless_algs_says_otherwise() -> None:
    assert ProviderSettings.model_fields["algs"].default == ("RS256",)
    assert all("algs" not in preset.values for preset in PRESETS.values())


def test_settings_that_are_no_mapping_are_refused() -> None:
    with pytest.raises(ValidationError):
        ProviderSettings.model_validate([])


def whole(*providers: dict[str, Any]) -> None:
    values = [
        {"id": f"p{number}", "client_ids": ["spa"], **provider}
        for number, provider in enumerate(providers)
    ]
    Settings.model_validate(
        {
            "database_url": "postgresql://unused",
            "secret_keys": "MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA=",
            "box": {"config": "{}"},
            "providers": values,
        }
    )


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        (PLAIN, PLAIN, "share the issuer https://login.example"),
        (
            {"kind": "entra", "tenants": [ACME]},
            {"kind": "entra", "tenants": [BETA, ACME]},
            "share the issuer",
        ),
        (
            {"kind": "entra", "tenants": [ACME]},
            {"kind": "entra", "dangerously_accept_anyone": True},
            "share the issuer",
        ),
        (
            {"kind": "entra", "dangerously_accept_anyone": True},
            {"kind": "entra", "dangerously_accept_anyone": True},
            "share the issuer",
        ),
        (
            {"kind": "entra", "tenants": [ACME]},
            {"kind": "entra", "tenants": [ACME], "issuer_template": V1},
            "share the namespace entra:",
        ),
        (
            {"kind": "entra", "tenants": [ACME]},
            {"kind": "entra", "dangerously_accept_anyone": True, "issuer_template": V1},
            "share the namespace entra:",
        ),
        (PLAIN, {"issuer": "http://login.example"}, "must be an https URL"),
        (PLAIN, {"issuer": "accounts.google.com"}, "must be an https URL"),
        (
            PLAIN,
            {"kind": "entra", "tenants": [ACME], "other_issuers": ["sts.windows.net"]},
            "must be an https URL",
        ),
    ],
    ids=str,
)
def test_two_providers_never_accept_one_issuer(
    first: dict[str, Any], second: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValidationError, match=says):
        whole(first, second)


def test_providers_of_every_kind_stand_side_by_side() -> None:
    whole(
        PLAIN,
        GOOGLE,
        {"kind": "entra", "tenants": [ACME]},
        {"kind": "entra", "tenants": [BETA], "issuer_template": V1},
        {"kind": "okta", "issuer": "https://acme.okta.com"},
    )
    whole(PLAIN, {"kind": "entra", "dangerously_accept_anyone": True})

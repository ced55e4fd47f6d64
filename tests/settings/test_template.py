"""The provisioning template as an operator writes it: read whole, or refused with the place."""

import json
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from sso_box_api.errors import ConfigurationError
from sso_box_api.settings import load_settings
from sso_box_api.settings.template import MAX_WELCOME_FILE_BYTES

TEMPLATE = "SSO_BOX_PROVISIONING__TEMPLATE"


@pytest.fixture
def template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of an otherwise complete configuration."""
    path = tmp_path / "first-day.toml"
    provider = {"id": "main", "issuer": "https://idp.example", "client_ids": ["spa"]}
    values = {
        "SSO_BOX_DATABASE_URL": "postgresql://unused",
        "SSO_BOX_SECRET_KEYS": Fernet.generate_key().decode(),
        "SSO_BOX_BOX__CONFIG": "{}",
        "SSO_BOX_PROVIDERS": json.dumps([provider]),
        TEMPLATE: str(path),
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return path


def _problems() -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    return list(caught.value.problems)


def test_a_template_names_the_claims_that_identities_are_kept_with(
    template: Path,
) -> None:
    template.with_name("hello.txt").write_text("hello")
    template.write_text("""
        folders = [{ path = "{claim:department|General}/{name}" }]
        files = [{ source = "hello.txt", path = "{claim:https://x.example/team}/{email}" }]
        groups = [{ claim = "groups", members = { a = "A" } }]
        quota = { claim = "plan", bytes = { gold = -1 } }
    """)
    settings = load_settings()
    assert settings.claims_in_use == {
        "department",
        "https://x.example/team",
        "groups",
        "plan",
    }
    assert settings.provisioning.template is not None
    assert settings.provisioning.template.contents == {"hello.txt": b"hello"}
    assert "b'hello'" not in repr(settings)


def test_without_a_template_no_claims_are_kept(
    template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not template.exists()
    monkeypatch.delenv(TEMPLATE)
    assert load_settings().claims_in_use == frozenset()


@pytest.mark.parametrize(
    ("declared", "place"),
    [
        ("folders = 1", "folders: "),
        ("folder = []", "folder: no such setting"),
        ("contents = {}", "contents: no such setting"),
        ("[[folders]]", "folders[0].path: is missing"),
        ("[[folders]]\npath = 1", "folders[0].path: is no text"),
        ('folders = [{ path = "a" }, { path = "" }]', "folders[1].path: "),
        ('folders = [{ path = "/a" }]', "folders[0].path: a folder without a name"),
        ('folders = [{ path = "a//b" }]', "folders[0].path: a folder without a name"),
        ('folders = [{ path = "{nam}" }]', "folders[0].path: braces hold"),
        ('folders = [{ path = "{}" }]', "folders[0].path: braces hold"),
        ('folders = [{ path = "{claim:}" }]', "folders[0].path: braces hold"),
        ('folders = [{ path = "{name" }]', "folders[0].path: braces hold"),
        ('folders = [{ path = "{name!r}" }]', "folders[0].path: braces hold"),
        ('folders = [{ path = "{name.__class__}" }]', "folders[0].path: braces hold"),
        ('folders = [{ path = "{claim:{name}}" }]', "folders[0].path: braces hold"),
        ('folders = [{ path = "{name| }" }]', "folders[0].path: braces hold"),
        ('folders = [{ path = "a/ b" }]', "folders[0].path: Box takes names"),
        ('folders = [{ path = ".." }]', "folders[0].path: Box takes names"),
        (f'folders = [{{ path = "{"x" * 256}" }}]', "folders[0].path: Box takes names"),
        ('folders = [{ path = "a", owner = "b" }]', "folders[0].owner: no such"),
        ('files = [{ source = "no", path = "a" }]', "files[0].source: cannot be read"),
        ('files = [{ source = "/dev/null", path = "a" }]',
         "files[0].source: cannot be read"),
        ('files = [{ source = "big", path = "a" }]', "files[0].source: more than 50"),
        ('files = [{ source = "t", path = "a/b" }, { source = "t", path = "a" }]',
         "a file has the path of a folder"),
        ('files = [{ source = "t", path = "a" }, { source = "t", path = "a" }]',
         "two entries say what stands in one place"),
        ('collaborations = [{ folder = "0", role = "viewer" }]',
         "collaborations[0].folder: "),
        ('collaborations = [{ folder = "1", role = "owner" }]',
         "collaborations[0].role: "),
        ('groups = [{ claim = "g", members = {} }]', "groups[0].members: "),
        ('groups = [{ claim = "g", members = { a = "" } }]', "groups[0].members.a: "),
        ('groups = [{ claim = "g", members = { a = "b\\u0000" } }]',
         "groups[0].members.a: Box takes names"),
        ('groups = [{ claim = "g", members = { a = "id:b" } }]',
         "groups[0].members.a: after id: "),
        ('quota = { claim = "p", bytes = { a = -2 } }', "quota.bytes.a: "),
        ('folders = [{ path = "a", providers = ["other"] }]',
         "providers names the provider other"),
        ("folders = [", "is not valid TOML"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_template_is_named_with_its_place(
    template: Path, declared: str, place: str
) -> None:
    template.with_name("t").write_text("text")
    with template.with_name("big").open("wb") as big:
        big.truncate(MAX_WELCOME_FILE_BYTES + 1)
    template.write_text(declared)
    problems = _problems()
    assert [p for p in problems if p.startswith(f"{TEMPLATE}: {place}")], problems


def test_a_template_that_is_not_there_refuses_the_start(template: Path) -> None:
    assert not template.exists()
    [problem] = _problems()
    assert problem.startswith(f"{TEMPLATE}: cannot be read; name a TOML file")

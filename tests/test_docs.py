"""The documentation says what the code does: settings, errors, routes, links, commands."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from cryptography.fernet import Fernet
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from sso_box_api import cli
from sso_box_api.api.middleware import MAX_BODY_BYTES, MAX_BODY_S
from sso_box_api.app import create_app
from sso_box_api.errors import SsoBoxError
from sso_box_api.identity.compact import MAX_TOKEN_CHARS
from sso_box_api.settings import (
    DEFAULT_PROFILES,
    BoxSettings,
    BoxUserSettings,
    ProfileSettings,
    ProviderSettings,
    Settings,
)
from sso_box_api.settings.deployment import CONFIG_VARIABLE, PREFIX
from sso_box_api.vending.profiles import CONTENT_SCOPES
from sso_box_devkit.__main__ import main as devkit

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
API = (ROOT / "docs/api.md").read_text()
CONFIGURATION = (ROOT / "docs/configuration.md").read_text()
# Raised outside the tree of errors, for what no route of ours answers.
PLAIN_CODES = {"not_found": 404, "method_not_allowed": 405, "internal_error": 500}


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _rows(text: str) -> list[list[str]]:
    """The table rows of a page as cells; the first one of each without back quotes."""
    rows = []
    for line in text.splitlines():
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            rows.append([cells[0].strip("`"), *cells[1:]])
    return rows


# --- settings -----------------------------------------------------------------------


def _settings() -> Iterator[tuple[str, FieldInfo]]:
    """Every setting by the name it is set with; lists and mappings by their members."""
    for name, field in Settings.model_fields.items():
        variable = f"{PREFIX}{name.upper()}"
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            for inner, inner_field in section.model_fields.items():
                yield f"{variable}__{inner.upper()}", inner_field
        elif name not in {"providers", "profiles"}:
            yield variable, field


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default is None:
        return "none"
    value = field.default
    if isinstance(value, BaseModel):
        value = value.model_dump(exclude_defaults=True)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"`{json.dumps(value)}`"


@pytest.mark.parametrize(
    ("name", "field"), [pytest.param(*pair, id=pair[0]) for pair in _settings()]
)
def test_every_setting_is_documented_with_its_default(
    name: str, field: FieldInfo
) -> None:
    rows = [row for row in _rows(CONFIGURATION) if row[0] == name]
    assert [row[2] for row in rows] == [_default(field)]


@pytest.mark.parametrize(
    ("model", "heading"),
    [
        (ProviderSettings, "Providers"),
        (BoxUserSettings, "Box users"),
        (ProfileSettings, "Profiles"),
    ],
)
def test_every_member_of_a_list_is_documented_with_its_default(
    model: type[BaseModel], heading: str
) -> None:
    section = CONFIGURATION.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    documented = {row[0]: row[2] for row in _rows(section) if len(row) == 4}
    wanted = {name: _default(field) for name, field in model.model_fields.items()}
    assert wanted.items() <= documented.items()


def test_no_setting_is_documented_that_does_not_exist() -> None:
    known = {name for name, _ in _settings()}
    known |= {"SSO_BOX_PROVIDERS", "SSO_BOX_PROFILES", CONFIG_VARIABLE}
    for page in PAGES:
        for name in re.findall(r"SSO_BOX_[A-Z_]*[A-Z]", page.read_text()):
            assert name in known, _name(page)


def test_the_default_profiles_and_the_scopes_are_documented_as_they_are() -> None:
    rows = {row[0]: row[1] for row in _rows(CONFIGURATION) if len(row) == 2}
    for name, profile in DEFAULT_PROFILES.items():
        assert tuple(rows[name].replace("`", "").split()) == profile.scopes
    for scope in CONTENT_SCOPES:
        assert f"`{scope}`" in CONFIGURATION


# --- errors and routes ----------------------------------------------------------------


def _codes(error: type[SsoBoxError]) -> Iterator[tuple[str, int]]:
    for kind in error.__subclasses__():
        # Kinds that a room of its own adds keep the code of what they are.
        if "code" in vars(kind):
            yield kind.code, kind.status
        yield from _codes(kind)


@pytest.mark.parametrize(
    ("code", "status"),
    sorted({*_codes(SsoBoxError), *PLAIN_CODES.items()}),
)
def test_every_error_code_is_documented_with_its_status(code: str, status: int) -> None:
    table = API.split("\n## Errors\n")[1].split("\n### ")[0]
    rows = [row for row in _rows(table) if row[0] == code]
    assert [row[1] for row in rows] == [str(status)]
    meaning, what_to_do = rows[0][2:]
    assert meaning
    assert what_to_do


def _document() -> dict[str, Any]:
    settings = Settings(
        database_url=SecretStr("postgresql://unused"),
        secret_keys=(SecretStr(Fernet.generate_key().decode()),),
        box=BoxSettings(config=SecretStr("{}")),
        providers=(
            ProviderSettings(
                id="main", issuer="https://login.example.com", client_ids=("spa",)
            ),
        ),
    )
    return create_app(settings).openapi()


def test_every_route_has_its_section() -> None:
    routes = [
        f"{method.upper()} {path}"
        for path, methods in _document()["paths"].items()
        for method in methods
    ]
    assert routes
    documented = re.findall(
        r"^## ((?:GET|POST|DELETE|PUT|PATCH) /.*)$", API, re.MULTILINE
    )
    assert sorted(documented) == sorted(routes)


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [("/v1/token", "post", "200"), ("/v1/me", "get", "200")],
)
def test_every_member_of_an_answer_is_documented(
    path: str, method: str, status: str
) -> None:
    document = _document()
    route = document["paths"][path][method]
    schema = route["responses"][status]["content"]["application/json"]["schema"]
    section = API.split(f"\n## {method.upper()} {path}\n")[1].split("\n## ")[0]
    for member in _members(document, schema):
        assert f"`{member}`" in section or f'"{member}"' in section


def _members(document: dict[str, Any], schema: dict[str, Any]) -> Iterator[str]:
    for inner in [schema, *schema.get("anyOf", [])]:
        if "$ref" in inner:
            name = inner["$ref"].rsplit("/", 1)[1]
            yield from _members(document, document["components"]["schemas"][name])
    for member, inner in schema.get("properties", {}).items():
        yield member
        yield from _members(document, inner)


def test_the_limits_are_documented_as_they_are() -> None:
    limits = API.split("\n## Limits\n")[1].split("\n## ")[0]
    assert f"{MAX_BODY_BYTES} bytes, within {MAX_BODY_S} seconds" in limits
    assert f"{MAX_TOKEN_CHARS} characters" in limits


# --- links and commands ---------------------------------------------------------------


def _prose(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def _code(page: Path) -> str:
    """Code blocks and inline code, each piece on lines of its own."""
    text = page.read_text()
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return "\n".join([*blocks, *re.findall(r"`([^`\n]+)`", _prose(page))])


def _anchors(page: Path) -> set[str]:
    """Headings as GitHub turns them into anchors."""
    headings = re.findall(r"^#+ (.*)$", _prose(page), re.MULTILINE)
    kept = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in kept}


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", _prose(page)):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in _anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_source_files_that_are_named_exist(page: Path) -> None:
    for name in re.findall(r"`((?:[\w-]+/)*\w+\.py)`", _prose(page)):
        if name != "utils.py":  # named as what there must not be
            places = [ROOT, ROOT / "src/sso_box_api", page.parent]
            assert any((place / name).is_file() for place in places), name


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_make_targets_that_are_named_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = re.findall(r"^make ([a-z-]+)", _code(page), re.MULTILINE)
    assert set(named) <= targets


def test_the_readme_names_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    assert re.search(r"^make demo\b", readme, re.MULTILINE)
    assert re.search(r"^make test\b", readme, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_commands_that_are_named_exist(page: Path) -> None:
    code = _code(page)
    for line in re.findall(r"^sso-box-api ([a-z][^\n#]*)", code, re.MULTILINE):
        assert _exists(cli.main, line.split()), line
    for line in re.findall(r"python -m sso_box_devkit ([a-z][^\n#)]*)", code):
        assert _exists(devkit, line.split()), line


def _exists(group: click.Command, words: list[str]) -> bool:
    """Walk down the groups by the words, then look for each option."""
    command = group
    while isinstance(command, click.Group) and words:
        found = command.get_command(click.Context(command), words[0])
        if found is None:
            return False
        command, words = found, words[1:]
    known = {option for parameter in command.params for option in parameter.opts}
    return known >= {word for word in words if word.startswith("--")}

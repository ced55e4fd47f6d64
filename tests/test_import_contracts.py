"""Each import contract is seen to bite: a rule that cannot fail guards nothing."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"][
    "importlinter"
]["contracts"]

# Contract → a module, and an import that does not belong there.
VIOLATIONS = {
    "layers": ("sso_box_api/errors.py", "import sso_box_api.settings"),
    "devkit apart": ("sso_box_devkit/__init__.py", "import sso_box_api.errors"),
    "web at the edge": ("sso_box_api/audit.py", "import fastapi"),
    "jose behind one door": ("sso_box_api/audit.py", "import jose"),
    "SQL in the stores": ("sso_box_api/audit.py", "import sqlalchemy"),
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "src", tmp_path / "src")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def _lint(folder: Path) -> str:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    environment = {**os.environ, "PYTHONPATH": str(folder / "src"), "NO_COLOR": "1"}
    result = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout + result.stderr


def test_every_contract_breaks_when_it_is_broken(copy: Path) -> None:
    assert {contract["name"] for contract in CONTRACTS} == set(VIOLATIONS)
    for module, line in VIOLATIONS.values():
        path = copy / "src" / module
        path.write_text(f"{path.read_text()}\n{line}\n")
    output = _lint(copy)
    broken = set(re.findall(r"^(.+) BROKEN", output, re.MULTILINE))
    assert broken == set(VIOLATIONS), output


def test_a_module_without_a_place_in_the_layers_is_noticed(copy: Path) -> None:
    (copy / "src/sso_box_api/utils.py").write_text('"""Anything."""\n')
    assert "utils" in _lint(copy)

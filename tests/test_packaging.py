"""What is shipped: the wheel, the image and the compose file hold what they should."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from sso_box_api.settings import Settings
from sso_box_api.settings.deployment import CONFIG_VARIABLE, PREFIX

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]
DEMO = [name for name in SERVICES if name.startswith("demo-")]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d"]
    done = subprocess.run(
        [*command, str(folder)], cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def wheel_files(wheel: Path) -> list[str]:
    return zipfile.ZipFile(wheel).namelist()


def test_the_wheel_holds_every_module_of_the_service(wheel_files: list[str]) -> None:
    source = ROOT / "src"
    modules = {
        str(path.relative_to(source)) for path in source.glob("sso_box_api/**/*.py")
    }
    assert modules <= set(wheel_files)


def test_the_wheel_holds_nothing_of_the_devkit_or_the_tests(
    wheel_files: list[str],
) -> None:
    folders = {name.split("/")[0] for name in wheel_files}
    assert {name for name in folders if not name.endswith(".dist-info")} == {
        "sso_box_api"
    }
    assert not [name for name in wheel_files if "devkit" in name or "test" in name]


def test_the_wheel_holds_every_migration(wheel_files: list[str]) -> None:
    migrations = {path.name for path in (ROOT / "alembic/versions").glob("*.py")}
    packed = {
        Path(name).name
        for name in wheel_files
        if name.startswith("sso_box_api/_alembic/versions/")
    }
    assert migrations
    assert packed == migrations
    assert "sso_box_api/_alembic/env.py" in wheel_files


def test_a_service_run_from_the_wheel_knows_its_migrations(
    wheel: Path, tmp_path: Path
) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = (
        "from alembic.script import ScriptDirectory; from sso_box_api import migrations;"
        "scripts = ScriptDirectory.from_config(migrations._config());"
        "print(migrations.__file__, scripts.get_current_head(), migrations.SCHEMA)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    module, revision, needed = done.stdout.split()
    assert Path(module).is_relative_to(tmp_path)
    assert revision == needed
    assert any(
        f'revision = "{revision}"' in path.read_text()
        for path in (tmp_path / "sso_box_api/_alembic/versions").glob("*.py")
    )


@pytest.mark.parametrize("part", ["prod", "build"])
def test_every_lock_pins_what_the_development_lock_pins(part: str) -> None:
    pins = _pins(ROOT / f"requirements/{part}.txt")
    assert pins
    assert pins.items() <= _pins(ROOT / "requirements/dev.txt").items()


def _pins(lock: Path) -> dict[str, frozenset[str]]:
    """Requirement lines, environment markers included, with their hashes."""
    pins: dict[str, frozenset[str]] = {}
    requirement = ""
    for line in lock.read_text().splitlines():
        if line.startswith("    --hash="):
            digest = line.strip(" \\")
            pins[requirement] = pins.get(requirement, frozenset()) | {digest}
        elif line and not line.startswith("#"):
            requirement = line.rstrip(" \\")
    return pins


@pytest.mark.parametrize(
    "folder", ["tests/node", "benchmarks/node", "web", "web/browser/chromium"]
)
def test_every_node_package_is_pinned_by_its_hash(folder: str) -> None:
    lock = json.loads((ROOT / folder / "package-lock.json").read_text())
    installed = {
        path: package
        for path, package in lock["packages"].items()
        if path.startswith("node_modules/") and not package.get("link")
    }
    assert installed
    for package in installed.values():
        assert package["integrity"].startswith("sha512-")
        assert "resolved" not in package  # would name one registry for everybody
        # Where a platform's own package is left out, npm refuses the lock file.
        for optional in package.get("optionalDependencies", {}):
            assert any(path.endswith(f"node_modules/{optional}") for path in installed)


class Dockerfile:
    """The stages of the Dockerfile, each with its base and its instructions."""

    def __init__(self, path: Path) -> None:
        text = re.sub(r"\\\n\s*", " ", path.read_text())
        self.stages: dict[str, list[str]] = {}
        self.bases: dict[str, str] = {}
        for line in text.splitlines():
            if match := re.fullmatch(r"FROM (\S+) AS (\S+)", line):
                self.last = match[2]
                self.bases[self.last], self.stages[self.last] = match[1], []
            elif line and not line.startswith("#"):
                self.stages[self.last].append(line)

    def behind(self, stage: str) -> list[str]:
        """Every instruction that can leave something in the image of ``stage``."""
        if stage not in self.stages:
            return []
        lines = self.behind(self.bases[stage]) + self.stages[stage]
        for line in self.stages[stage]:
            if match := re.match(r"COPY --from=(\S+)", line):
                lines += self.behind(match[1])
        return lines

    def own(self, stage: str) -> list[str]:
        """The instructions of ``stage`` and of the stages it is based on, in order."""
        if stage not in self.stages:
            return []
        return self.own(self.bases[stage]) + self.stages[stage]


DOCKERFILE = Dockerfile(ROOT / "Dockerfile")


def test_the_default_image_is_the_service() -> None:
    assert DOCKERFILE.last == "service"


def test_the_service_image_never_sees_the_devkit() -> None:
    lines = DOCKERFILE.behind("service")
    assert any("src/sso_box_api" in line for line in lines)
    assert not [line for line in lines if "devkit" in line or "dev.txt" in line]
    assert not [
        line
        for line in lines
        if re.match(r"(COPY|ADD) (?!--from)", line)
        and {".", "./", "src", "src/"} & set(line.split()[1:-1])
    ]


@pytest.mark.parametrize("stage", ["service", "demo"])
def test_an_image_runs_as_a_numbered_user_who_is_not_root(stage: str) -> None:
    users = [line for line in DOCKERFILE.own(stage) if line.startswith("USER ")]
    assert re.fullmatch(r"USER [1-9]\d*:[1-9]\d*", users[-1])


@pytest.mark.parametrize("stage", ["service", "demo"])
def test_an_image_installs_nothing_without_its_hash(stage: str) -> None:
    installs = re.findall(r"pip install ([^&]*)", "\n".join(DOCKERFILE.behind(stage)))
    assert installs
    for arguments in installs:
        offline = "--no-deps" in arguments and "--no-index" in arguments
        assert offline or "--require-hashes" in arguments


def test_the_service_image_starts_the_service_and_is_checked_for_life() -> None:
    lines = DOCKERFILE.own("service")
    assert 'ENTRYPOINT ["sso-box-api"]' in lines
    assert 'CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]' in lines
    assert any(line.startswith("HEALTHCHECK") and "/livez" in line for line in lines)


def test_everything_that_is_copied_exists_and_enters_the_build() -> None:
    lines = [line for stage in DOCKERFILE.stages.values() for line in stage]
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = [line[1:] for line in ignore if line.startswith("!")]
    assert "*" in ignore
    sources = [
        source
        for line in lines
        if re.match(r"COPY (?!--from)", line)
        for source in line.split()[1:-1]
    ]
    assert sources
    for source in sources:
        assert (ROOT / source).exists()
        assert any(source == name or source.startswith(f"{name}/") for name in allowed)


@pytest.mark.parametrize("name", OURS)
def test_a_container_cannot_write_or_gain_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service


@pytest.mark.parametrize("name", SERVICES)
def test_the_devkit_runs_in_the_demo_profile_only(name: str) -> None:
    service = SERVICES[name]
    in_profile = service.get("profiles") == ["demo"]
    assert in_profile == (name in DEMO)
    if name in OURS:
        assert service["build"]["target"] == ("demo" if name in DEMO else "service")


def test_the_service_starts_on_a_migrated_database() -> None:
    assert SERVICES["migrate"]["command"] == ["db", "upgrade"]
    assert SERVICES["api"]["depends_on"]["migrate"] == {
        "condition": "service_completed_successfully"
    }


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_loopback_only(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:")


def test_the_compose_file_sets_settings_that_exist_and_no_secret() -> None:
    known = {f"{PREFIX}{field}".upper() for field in Settings.model_fields}
    for service in SERVICES.values():
        ours = [v for v in service.get("environment", {}) if v.startswith(PREFIX)]
        for variable in ours:
            assert variable == CONFIG_VARIABLE or variable.split("__")[0] in known
        assert "SSO_BOX_SECRET_KEYS" not in ours
        assert "POSTGRES_PASSWORD" not in service.get("environment", {})

"""``provision plan`` and ``provision apply``, as an operator types them."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography.fernet import Fernet

from sso_box_api.accounts import Person
from sso_box_api.cli import main
from sso_box_api.parts import open_parts
from sso_box_api.settings import load_settings
from sso_box_devkit.box import Enterprise
from sso_box_devkit.box.faults import Fault
from tests.support.api import ISSUER

TEMPLATE = """
folders = [{ path = "{name}" }, { path = "{claim:department}" }]
groups = [{ claim = "groups", members = { sales = "Sales", devs = "Developers" } }]
"""
CLAIMS = {"name": "Ada L", "department": "Engines", "groups": ["sales"]}


@pytest.fixture(autouse=True)
def _environment(
    database_url: str,
    enterprise: Enterprise,
    emulator_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    template = tmp_path / "template.toml"
    template.write_text(TEMPLATE)
    provider = {"id": "main", "issuer": ISSUER, "client_ids": ["demo-spa"]}
    values = {
        "SSO_BOX_DATABASE_URL": database_url,
        "SSO_BOX_SECRET_KEYS": Fernet.generate_key().decode(),
        "SSO_BOX_BOX__CONFIG": json.dumps(enterprise.config()),
        "SSO_BOX_BOX__API_URL": emulator_url,
        "SSO_BOX_BOX__UPLOAD_URL": f"{emulator_url}/api",
        "SSO_BOX_BOX__MAX_ATTEMPTS": "1",
        "SSO_BOX_PROVIDERS": json.dumps([provider]),
        "SSO_BOX_PROVISIONING__TEMPLATE": str(template),
        "SSO_BOX_ALLOW_LOOPBACK_HTTP": "true",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def bound() -> None:
    """Ada's account has its Box user, and nothing is planned yet."""

    async def bind() -> None:
        async with open_parts(load_settings()) as parts:
            binder = parts.binder()
            await binder.bind(Person("main", ISSUER, "ada"), int(time.time()))
            await binder.close()

    asyncio.run(bind())


@pytest.fixture
def claims(tmp_path: Path) -> str:
    path = tmp_path / "claims.json"
    path.write_text(json.dumps(CLAIMS))
    return str(path)


def _run(*args: str) -> Result:
    command = ["provision", *args, "--provider", "main", "--subject", "ada"]
    return CliRunner().invoke(main, command, catch_exceptions=False)


def _states(result: Result) -> dict[str, str]:
    steps: list[dict[str, Any]] = json.loads(result.output)["steps"]
    return {step["key"]: step["state"] for step in steps}


PENDING = dict.fromkeys(
    ["folder:{name}", "folder:{claim:department}", "membership:sales"], "pending"
)


def test_plan_for_somebody_who_never_signed_in(claims: str) -> None:
    assert _run("plan").exit_code == 1
    planned = _run("plan", "--claims", claims, "--json")
    assert (planned.exit_code, _states(planned)) == (0, PENDING)


@pytest.mark.usefixtures("bound")
def test_plan_shows_what_apply_does_and_changes_nothing(
    claims: str, enterprise: Enterprise, tmp_path: Path
) -> None:
    enterprise.journal.clear()
    assert _states(_run("plan", "--claims", claims, "--json")) == PENDING
    assert _states(_run("plan", "--json")) == {}
    assert enterprise.journal.since(0)["requests"] == []
    done = dict.fromkeys(PENDING, "done")
    applied = _run("apply", "--claims", claims, "--json")
    assert (applied.exit_code, _states(applied)) == (0, done)
    assert _states(_run("plan", "--json")) == done
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(CLAIMS | {"name": "Ada B", "groups": ["devs"]}))
    planned = _run("plan", "--claims", str(changed), "--json")
    news = {"name": "pending", "membership:developers": "pending"}
    assert _states(planned) == done | news | {"membership:sales": "pending"}
    assert _states(_run("plan", "--json")) == done


@pytest.mark.usefixtures("bound")
def test_apply_exits_with_3_while_something_is_left_and_says_why(
    claims: str, enterprise: Enterprise
) -> None:
    body = {"code": "forbidden"}
    fault = Fault(path="/2.0/folders", status=403, times=2, body=body)
    enterprise.faults.arm(fault)
    refused = _run("apply", "--claims", claims)
    assert refused.exit_code == 3
    assert "failed   folder:{name}  name=Ada L  box_refused forbidden" in refused.output
    assert "done     membership:sales" in refused.output
    assert _run("apply").exit_code == 0


def test_apply_wants_an_account_that_is_open(claims: str, bound: None) -> None:
    del bound
    account = ("--provider", "main", "--subject")
    lock = ["account", "lock", *account, "ada"]
    assert CliRunner().invoke(main, lock, catch_exceptions=False).exit_code == 0
    locked = _run("apply", "--claims", claims)
    assert (locked.exit_code, "locked" in locked.output) == (1, True)


def test_claims_are_a_json_object(tmp_path: Path) -> None:
    path = tmp_path / "claims.json"
    path.write_text("[]")
    refused = _run("plan", "--claims", str(path))
    assert (refused.exit_code, "not a JSON object" in refused.output) == (2, True)

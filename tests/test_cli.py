"""The command line, as an operator types it, against the stack on loopback TCP."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import psutil
import pytest
from click.testing import CliRunner, Result
from cryptography.fernet import Fernet
from starlette.applications import Starlette

from sso_box_api.cli import main
from sso_box_api.migrations import SCHEMA
from sso_box_devkit.box import Enterprise
from sso_box_devkit.idp import create_idp
from tests.support.servers import free_port, serve_in_thread

SECRET = "a-secret-nobody-may-see"


@pytest.fixture(scope="module")
def idp(emulator: Starlette) -> Iterator[tuple[str, Any]]:
    del emulator
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    app = create_idp(issuer)
    with serve_in_thread(app, port):
        yield issuer, app.state.idp


@pytest.fixture
def environment(
    database_url: str,
    enterprise: Enterprise,
    emulator_url: str,
    idp: tuple[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, str]:
    """A complete configuration in the environment, as the README tells to set it."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps(enterprise.config()))
    provider = {"id": "main", "issuer": idp[0], "client_ids": ["demo-spa"]}
    values = {
        "SSO_BOX_DATABASE_URL": database_url,
        "SSO_BOX_SECRET_KEYS": Fernet.generate_key().decode(),
        "SSO_BOX_BOX__CONFIG_FILE": str(config),
        "SSO_BOX_BOX__API_URL": emulator_url,
        "SSO_BOX_BOX__UPLOAD_URL": f"{emulator_url}/api",
        "SSO_BOX_PROVIDERS": json.dumps([provider]),
        "SSO_BOX_ALLOW_LOOPBACK_HTTP": "true",
        "SSO_BOX_LIMITS__BAD_TOKENS_PER_MINUTE": "3",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return values


@pytest.fixture(autouse=True)
def _nothing_is_served_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ``serve`` that should have been refused fails its test at once.

    The one part that is replaced: the real server would wait here for ever. Tests of
    what is served start a process of its own.
    """

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("serve was not refused")

    monkeypatch.setattr("uvicorn.run", refuse)


def run(*args: str, stdin: str = "") -> Result:
    return CliRunner().invoke(main, args, input=stdin, catch_exceptions=False)


@contextmanager
def _serving(
    environment: dict[str, str], workers: int
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The real server in a process of its own: its URL, and what it will have audited.

    The events are there once the block has ended.
    """
    port = free_port()
    command = [str(Path(sys.executable).parent / "sso-box-api"), "serve"]
    process = subprocess.Popen(
        [*command, "--port", str(port), "--workers", str(workers)],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    url = f"http://127.0.0.1:{port}"
    events: list[dict[str, Any]] = []
    try:
        with httpx.Client() as http:
            for _ in range(4000):
                try:
                    if http.get(f"{url}/livez").is_success:
                        break
                except httpx.TransportError:
                    assert process.poll() is None, process.communicate()
                    time.sleep(0.03)
            else:
                pytest.fail("it does not answer")
        yield url, events
    finally:
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    assert process.returncode in {0, -signal.SIGTERM}
    events += [json.loads(line) for line in out.splitlines()]
    assert {event["event"] for event in events} == {"exchange"}


@pytest.fixture
def server(environment: dict[str, str]) -> Iterator[str]:
    """With no trusted proxy: else a caller writes the audit log, and walks round limits."""
    with _serving(environment, workers=2) as (url, events):
        yield url
    assert {event["client_address"] for event in events} == {"127.0.0.1"}


def test_served_with_workers_on_uvloop_it_exchanges_locks_and_limits(
    server: str, idp: tuple[str, Any]
) -> None:
    loaded = []
    for child in psutil.Process().children(recursive=True):
        # Others' may end meanwhile.
        with suppress(psutil.NoSuchProcess):
            loaded.append(" ".join(m.path for m in child.memory_maps()))
    # One of the workers has answered; the other one may still be starting.
    assert any("uvloop" in maps and "httptools" in maps for maps in loaded)
    token = idp[1].mint(aud="demo-spa")
    headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": "203.0.113.7"}
    with httpx.Client(base_url=server) as http:
        first = http.post("/v1/token", headers=headers).json()
        again = http.post("/v1/token", headers=headers).json()
        assert again["access_token"] == first["access_token"]
        locked = run("account", "lock", idp[0], "ada", "--json")
        assert locked.exit_code == 0, locked.output
        assert json.loads(locked.stdout) == {
            "state": "locked",
            "created": False,
            "revoked": 1,
            "pending": 0,
            "latest_expiry": None,
        }
        answer = http.post("/v1/token", headers=headers)
        assert answer.json()["code"] == "account_locked"
        bad = {"Authorization": "Bearer a.b.c"}
        codes = {http.post("/v1/token", headers=bad).status_code for _ in range(12)}
        # Two workers count apart, so the limit of three is met in one of them at 7.
        assert codes == {401, 429}


def test_x_forwarded_for_and_idle_connections_are_as_is_set_for_the_proxy(
    environment: dict[str, str],
) -> None:
    """The header is believed of nobody else: the fixture ``server`` looks."""
    environment["SSO_BOX_TRUSTED_PROXIES"] = '["127.0.0.1"]'
    environment["SSO_BOX_KEEP_ALIVE_S"] = "1"
    # The last address is the proxy's own word; the one before came from the caller.
    request = (
        b"POST /v1/token HTTP/1.1\r\nHost: api\r\nContent-Length: 0\r\n"
        b"X-Forwarded-For: 198.51.100.66, 203.0.113.7\r\n"
        b"Authorization: Bearer a.b.c\r\n\r\n"
    )
    with _serving(environment, workers=1) as (url, events):
        to = urlsplit(url)
        with socket.create_connection((to.hostname, to.port), timeout=30) as proxy:
            proxy.sendall(request)
            assert b" 401 " in proxy.recv(65_536)
            # Without that setting it waits here until its own time-out.
            assert proxy.recv(65_536) == b""
    assert [event["client_address"] for event in events] == ["203.0.113.7"]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        (
            "SSO_BOX_DATABASE_URL",
            None,
            "SSO_BOX_DATABASE_URL: is missing; put postgresql",
        ),
        ("SSO_BOX_DATABASE_URL", SECRET, "SSO_BOX_DATABASE_URL: must start with"),
        (
            "SSO_BOX_DATABASE_URL",
            f"postgresql://u:top@x:{SECRET}@localhost/db",
            "SSO_BOX_DATABASE_URL: is not a URL; percent-encode",
        ),
        (
            "SSO_BOX_DATABASE_URL",
            f"postgresql://localhost/db?password={SECRET}",
            "SSO_BOX_DATABASE_URL: may have host, sslmode",
        ),
        ("SSO_BOX_SECRET_KEYS", None, "SSO_BOX_SECRET_KEYS: is missing"),
        ("SSO_BOX_SECRET_KEYS", SECRET, "SSO_BOX_SECRET_KEYS: key 1 is not a Fernet"),
        ("SSO_BOX_BOX__CONFIG_FILE", None, "SSO_BOX_BOX: needs exactly one of"),
        ("SSO_BOX_BOX__CONFIG_FILE", "/nowhere.json", "SSO_BOX_BOX__CONFIG_FILE"),
        ("SSO_BOX_BOX__CLIENT_SECRET", SECRET, "SSO_BOX_BOX: needs exactly one of"),
        ("SSO_BOX_PROVIDERS", None, "SSO_BOX_PROVIDERS: is missing"),
        ("SSO_BOX_PROVIDERS", f"[{SECRET}", "SSO_BOX_PROVIDERS: not valid JSON"),
        ("SSO_BOX_PROVIDERS", "[]", "SSO_BOX_PROVIDERS"),
        (
            "SSO_BOX_PROVIDERS",
            '[{"id":"a","issuer":"https://a","client_ids":[]}]',
            "SSO_BOX_PROVIDERS[0].client_ids",
        ),
        (
            "SSO_BOX_PROVIDERS",
            '[{"id":"a","issuer":"http://a.example","client_ids":["b"]}]',
            "SSO_BOX_PROVIDERS[0].issuer must be an https URL",
        ),
        (
            "SSO_BOX_PROVIDERS",
            '[{"id":"a","issuer":"https://a?b","client_ids":["b"]}]',
            "SSO_BOX_PROVIDERS[0].issuer: must have no query",
        ),
        (
            "SSO_BOX_PROVIDERS",
            '[{"id":"a","issuer":"https://a\u00e9","client_ids":["b"]}]',
            "SSO_BOX_PROVIDERS[0].issuer: must be printable ASCII",
        ),
        (
            "SSO_BOX_PROVIDERS",
            (
                '[{"id":"a","issuer":"https://a","client_ids":["b"]},'
                '{"id":"c","issuer":"https://a","client_ids":["b"]}]'
            ),
            "two providers share the issuer https://a",
        ),
        (
            "SSO_BOX_PROVIDERS",
            '[{"id":"a","kind":"entra","client_ids":["b"]}]',
            (
                "SSO_BOX_PROVIDERS[0]: tenants: is missing; put the ids of the tenants"
                " whose people may come\n"
            ),
        ),
        (
            "SSO_BOX_PROVIDERS",
            (
                '[{"id":"a","issuer":"https://a","client_ids":["b"],'
                '"box_user":{"space_amount":"hush"}}]'
            ),
            (
                "SSO_BOX_PROVIDERS[0].box_user.space_amount.default: Input should be a"
                " valid integer; put bytes, -1 for unlimited, or {claim, default}\n"
            ),
        ),
        ("SSO_BOX_ALLOW_LOOPBACK_HTTP", "false", "SSO_BOX_ALLOW_LOOPBACK_HTTP=true"),
        ("SSO_BOX_BOX__API_URL", "http://box.example", "must be an https URL"),
        ("SSO_BOX_BOX__API_URL", "http://10.0.0.1", "must be an https URL"),
        ("SSO_BOX_BOX__API_URL", "ftp://localhost", "must be an https URL"),
        ("SSO_BOX_CORS_ORIGINS", '["*"]', "SSO_BOX_CORS_ORIGINS: each origin is"),
        ("SSO_BOX_CLAIM__LEASE_S", "1", "SSO_BOX_CLAIM: LEASE_S must be longer"),
        ("SSO_BOX_LIMITS__BAD_TOKENS_PER_MINUTE", "-1", "SSO_BOX_LIMITS__BAD_TOKENS"),
        ("SSO_BOX_LIMIT__BAD_TOKENS_PER_MINUTE", "1", "no such setting"),
        ("SSO_BOX_BOX__API_URI", "x", "SSO_BOX_BOX__API_URI: no such setting"),
        ("SSO_BOX_CORS_ORIGINS", '["https://"]', "each origin is scheme"),
        ("SSO_BOX_CORS_ORIGINS", '["https://APP.example"]', "in small letters"),
        ("SSO_BOX_TRUSTED_PROXIES", '["*"]', "each proxy is an IP address"),
        ("SSO_BOX_CLAIM__FLIGHT_DEADLINE_S", "9", "FLIGHT_DEADLINE_S must be longer"),
        (
            "SSO_BOX_PROFILES",
            '{"explorer":{"scopes":["base_explorer"],"providers":["other"]}}',
            "names the provider other, which is not configured",
        ),
        ("SSO_BOX_CONFIG", "/nowhere.toml", "SSO_BOX_CONFIG: no such file"),
        (
            "SSO_BOX_PROFILES",
            '{"a":{"scopes":["base_preview"]}}',
            "SSO_BOX_VENDING__DEFAULT_PROFILE",
        ),
        (
            "SSO_BOX_PROFILES",
            '{"explorer":{"scopes":["manage_users"]}}',
            "manage_users is not a Box content scope",
        ),
        ("SSO_BOX_REALM", "a b", "SSO_BOX_REALM"),
    ],
)
def test_a_wrong_setting_stops_the_start_and_names_itself(
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str | None,
    says: str,
) -> None:
    del environment
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    result = run("serve", "--port", "1")
    assert result.exit_code == 2, result.output
    assert says in result.stderr
    assert SECRET not in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("name", "value"),
    [("SSO_BOX_BOX__CALL_TIMEOUT_S", "soon"), ("SSO_BOX_BOX__API_URI", "x")],
)
def test_no_advice_is_given_that_is_for_another_setting(
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
) -> None:
    del environment
    monkeypatch.setenv(name, value)
    result = run("serve", "--port", "1")
    assert name in result.stderr
    assert "; put " not in result.stderr


def test_client_credentials_go_together(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    del environment
    monkeypatch.delenv("SSO_BOX_BOX__CONFIG_FILE")
    monkeypatch.setenv("SSO_BOX_BOX__CLIENT_ID", "id")
    result = run("serve")
    assert result.exit_code == 2
    assert "CLIENT_ID, CLIENT_SECRET and ENTERPRISE_ID go together" in result.stderr


def test_settings_may_stand_in_a_toml_file(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SSO_BOX_PROVIDERS")
    file = tmp_path / "service.toml"
    issuer = json.loads(environment["SSO_BOX_PROVIDERS"])[0]["issuer"]
    file.write_text(
        f'[[providers]]\nid = "main"\nissuer = "{issuer}"\nclient_ids = ["demo-spa"]\n'
    )
    monkeypatch.setenv("SSO_BOX_CONFIG", str(file))
    assert run("doctor").exit_code == 0
    file.write_text(f'surplus = "{SECRET}"')
    wrong = run("serve")
    assert "SSO_BOX_SURPLUS" in wrong.stderr
    file.write_text(f"= {SECRET}")
    broken = run("serve")
    assert "SSO_BOX_CONFIG: the file is not valid TOML" in broken.stderr
    assert SECRET not in wrong.output + broken.output


def test_start_is_refused_on_a_database_that_is_not_migrated(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = environment["SSO_BOX_DATABASE_URL"].rsplit("/", 1)[0] + "/template1"
    monkeypatch.setenv("SSO_BOX_DATABASE_URL", admin)
    result = run("serve")
    assert result.exit_code == 2
    assert "sso-box-api db upgrade" in result.stderr
    assert run("db", "check").exit_code == 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda url: url.replace("postgres:", f"{SECRET}:"), "28P01"),
        (lambda url: url.rsplit("/", 1)[0] + "/nothing-here", "no such database"),
        (
            lambda _: f"postgresql://u:{SECRET}@127.0.0.1:{free_port()}/x",
            "nothing listens",
        ),
    ],
    ids=["user", "name", "port"],
)
def test_start_is_refused_without_a_usable_database(
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[str], str],
    says: str,
) -> None:
    url = change(environment["SSO_BOX_DATABASE_URL"])
    monkeypatch.setenv("SSO_BOX_DATABASE_URL", url)
    for command in (["serve"], ["db", "upgrade"], ["account", "show", "--email", "a"]):
        result = run(*command)
        assert result.exit_code == 1, result.output
        assert "SSO_BOX_DATABASE_URL: the database cannot be used" in result.stderr
        assert says in result.stderr
        assert SECRET not in result.output
    report = json.loads(run("doctor", "--json").output)
    [database] = [f for f in report["findings"] if f["check"] == "database"]
    assert "SSO_BOX_DATABASE_URL" in database["problem"]


def test_start_is_refused_where_notifications_do_not_arrive(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a pooler in transaction mode: here, another database's channel."""
    elsewhere = environment["SSO_BOX_DATABASE_URL"].rsplit("/", 1)[0] + "/template1"
    monkeypatch.setenv("SSO_BOX_DATABASE_TIMEOUT_S", "0.5")
    monkeypatch.setenv("SSO_BOX_DATABASE_LISTEN_URL", elsewhere)
    result = run("serve")
    assert result.exit_code == 2
    assert "SSO_BOX_DATABASE_LISTEN_URL: no notification arrives" in result.stderr
    monkeypatch.setenv(
        "SSO_BOX_DATABASE_LISTEN_URL", elsewhere.replace("template1", "x")
    )
    assert "SSO_BOX_DATABASE_URL: the database" in run("serve").stderr


@pytest.mark.parametrize("name", ["DATABASE_URL", "DATABASE_LISTEN_URL"])
def test_missing_ca_certificates_are_named_and_no_traceback_printed(
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    url = environment["SSO_BOX_DATABASE_URL"] + "?sslmode=verify-full"
    monkeypatch.setenv(f"SSO_BOX_{name}", url)
    result = run("serve")
    assert result.exit_code == 1, result.output
    assert "PGSSLROOTCERT has to name" in result.stderr
    assert ("LISTEN_URL" in result.stderr) == ("LISTEN" in name)


def test_db_upgrade_needs_no_other_secret(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in environment:
        if name != "SSO_BOX_DATABASE_URL":
            monkeypatch.delenv(name)
    assert SCHEMA in run("db", "upgrade").output
    assert run("db", "check").exit_code == 0


def test_keys_generate_prints_a_usable_key() -> None:
    Fernet(run("keys", "generate").output.strip())


def _log_in(issuer: str, subject: str, **claims: Any) -> str:
    """Exchange in this process, without a server: rows are what matters here."""
    import asyncio

    from sso_box_api.exchange import ExchangeRequest
    from sso_box_api.identity import UnverifiedToken
    from sso_box_api.parts import open_parts
    from sso_box_api.settings import load_settings

    async def log_in(token: str) -> str:
        async with open_parts(load_settings()) as parts:
            exchange = parts.exchange(parts.binder(), parts.provisioner())
            request = ExchangeRequest(UnverifiedToken(token))
            return (await exchange.exchange(request)).access_token

    return asyncio.run(log_in(_id_token(issuer, subject, **claims)))


def _id_token(issuer: str, subject: str, **claims: Any) -> str:
    claims = {"sub": subject, "aud": "demo-spa", **claims}
    token: str = httpx.post(f"{issuer}/_idp/mint", json={"claims": claims}).json()[
        "id_token"
    ]
    return token


def test_account_commands_take_one_selector(
    environment: dict[str, str], idp: tuple[str, Any], enterprise: Enterprise
) -> None:
    del environment
    _log_in(idp[0], "ada", email="ada@example.com", name="Ada")
    [user_id] = enterprise.users
    shown = json.loads(run("account", "show", idp[0], "ada", "--json").output)
    [account] = shown["accounts"]
    assert account["box_user_id"] == user_id
    assert account["state"] == "active"
    for selector in (
        ["--provider", "main", "--subject", "ada"],
        ["--box-user", user_id],
        ["--account", account["account"]],
        ["--email", "ada@example.com"],
        ["--email", "Ada@Example.COM"],
    ):
        assert json.loads(run("account", "show", *selector, "--json").output) == shown
    assert f"box_user_id: {user_id}" in run("account", "show", idp[0], "ada").output


def test_nobody_is_called_unknown_because_the_namespace_is_another_one(
    environment: dict[str, str],
    idp: tuple[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _log_in(idp[0], "ada")
    [provider] = json.loads(environment["SSO_BOX_PROVIDERS"])
    moved = [provider | {"namespace": "https://new.example"}]
    monkeypatch.setenv("SSO_BOX_PROVIDERS", json.dumps(moved))
    result = run("account", "show", "--provider", "main", "--subject", "ada")
    assert result.exit_code == 2
    assert "namespace of provider main changed" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 2, "give ISSUER SUBJECT"),
        (["https://other.example", "ada"], 1, "no configured provider has this issuer"),
        (["--provider", "none", "--subject", "ada"], 1, "there are: main"),
        (["--provider", "main"], 2, "--provider with --subject"),
        (["--box-user", "1"], 1, "no such account"),
        (["--box-user", "1", "--email", "a"], 2, "only one of them"),
        (["--account", "x"], 2, "not a valid UUID"),
        (["--box-user", "\udcff"], 2, "arguments must be UTF-8"),
        (["--email", "a\x00b"], 2, "arguments must be UTF-8"),
        (["--provider", "main", "--subject", "\u00fcn\u00efcode"], 1, "it is ASCII"),
    ],
)
def test_account_commands_say_what_is_wrong_with_the_selector(
    environment: dict[str, str], arguments: list[str], code: int, says: str
) -> None:
    del environment
    result = run("account", "unlock", *arguments)
    assert result.exit_code == code, result.output
    assert says in result.stderr


def test_a_person_of_several_tenants_is_named_by_the_tenants_issuer(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each tenant is a namespace of its own; both rows then belong to the provider."""
    tenants = [
        "0f3a1c52-9d6e-4b7a-8c21-5e4d3f2a1b0c",
        "1e2b4d60-7c8f-4a9b-9d30-6f5e4c3b2a1d",
    ]
    [main] = json.loads(environment["SSO_BOX_PROVIDERS"])
    entra = {"id": "staff", "kind": "entra", "client_ids": ["spa"]}

    def configure(*tenants: str) -> None:
        providers = [main, entra | {"tenants": tenants}]
        monkeypatch.setenv("SSO_BOX_PROVIDERS", json.dumps(providers))

    configure(*tenants)
    for tenant in tenants:
        issuer = f"https://login.microsoftonline.com/{tenant}/v2.0"
        assert run("account", "lock", issuer, f"{tenant}/ada").exit_code == 0
        shown = run("account", "show", issuer, f"{tenant}/ada").output
        assert f"namespace: entra:{tenant}\n" in shown
    subject = f"{tenants[0]}/ada"
    unnamed = run("account", "show", "--provider", "staff", "--subject", subject)
    assert "several tenants; give ISSUER SUBJECT" in unnamed.stderr
    configure(tenants[0])
    named = run("account", "show", "--provider", "staff", "--subject", subject)
    assert f"namespace: entra:{tenants[0]}\n" in named.output
    # Locked in advance by the bare oid, a leaver could still come.
    bare = run("account", "lock", "--provider", "staff", "--subject", "grace-oid")
    assert bare.exit_code == 1
    assert "has the form tid/oid" in bare.stderr


def test_an_address_never_decides_who_is_locked(
    environment: dict[str, str], idp: tuple[str, Any]
) -> None:
    del environment
    _log_in(idp[0], "ada", email="shared@example.com")
    result = run("account", "lock", "--email", "shared@example.com")
    assert result.exit_code == 1
    assert "choose one by --account" in result.stderr
    assert "active" in run("account", "show", idp[0], "ada").output


def test_lock_and_unlock_in_words(
    environment: dict[str, str], idp: tuple[str, Any], emulator_url: str
) -> None:
    del environment
    token = _log_in(idp[0], "ada")
    locked = run("account", "lock", idp[0], "ada", "--reason", "left")
    assert locked.exit_code == 0
    assert "1 revoked, 0 pending" in locked.output
    assert "lock_reason: left" in run("account", "show", idp[0], "ada").output
    dead = httpx.get(
        f"{emulator_url}/2.0/users/me", headers={"Authorization": f"Bearer {token}"}
    )
    assert dead.status_code == 401
    unlocked = run("account", "unlock", idp[0], "ada")
    assert unlocked.stdout.strip() == "active; 0 revoked, 0 pending at Box"
    again = json.loads(run("account", "unlock", idp[0], "ada", "--json").stdout)
    assert again["state"] == "active"


def test_lock_of_a_leaver_who_never_signed_in(
    environment: dict[str, str], idp: tuple[str, Any]
) -> None:
    del environment
    result = run("account", "lock", idp[0], "never-seen")
    assert result.exit_code == 0
    assert "never signed in here before" in result.output
    assert "state: locked" in run("account", "show", idp[0], "never-seen").output


def test_lock_exits_3_while_box_has_not_killed_every_token(
    environment: dict[str, str], idp: tuple[str, Any], emulator_url: str
) -> None:
    del environment
    _log_in(idp[0], "ada")
    fault = {"method": "POST", "path": "/oauth2/revoke", "times": 1, "status": 400}
    httpx.post(f"{emulator_url}/_emulator/faults", json=fault | {"times": 50})
    result = run("account", "lock", idp[0], "ada", "--wait", "0.5")
    assert result.exit_code == 3, result.output
    assert "1 pending" in result.output
    assert "expires by itself at" in result.output
    httpx.delete(f"{emulator_url}/_emulator/faults")
    unlocked = run("account", "unlock", idp[0], "ada")
    assert unlocked.stdout.strip() == "active; 1 revoked, 0 pending at Box"


def test_lock_works_with_keys_that_open_nothing(
    environment: dict[str, str], idp: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The switch must not wait for a tidy configuration; what is left is said."""
    del environment
    _log_in(idp[0], "ada")
    monkeypatch.setenv("SSO_BOX_SECRET_KEYS", Fernet.generate_key().decode())
    result = run("account", "lock", idp[0], "ada")
    assert result.exit_code == 3, result.output
    assert "0 revoked, 1 pending" in result.output
    assert "state: locked" in run("account", "show", idp[0], "ada").output


def test_doctor_finds_everything_in_order(environment: dict[str, str]) -> None:
    del environment
    result = run("doctor")
    assert result.exit_code == 0, result.output
    provider = [f"provider main: {one}" for one in ("discovery", "keys", "clock")]
    for check in ("settings", "database", *provider, "box app", "box users"):
        assert f"ok   {check}" in result.output


def test_doctor_tries_writing_only_when_asked(
    environment: dict[str, str], emulator_url: str
) -> None:
    del environment
    assert run("doctor", "--write-test").exit_code == 0
    requests = httpx.get(f"{emulator_url}/_emulator/requests").json()["requests"]
    made = [r for r in requests if (r["method"], r["path"]) == ("POST", "/2.0/users")]
    assert len(made) == 1
    assert httpx.get(f"{emulator_url}/_emulator/users").json()["users"] == []


def test_doctor_knows_which_providers_have_managed_users(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    [provider] = json.loads(environment["SSO_BOX_PROVIDERS"])
    rules = {"kind": "managed", "email_domains": ["example.com"]}
    provider |= {"trust_email": True, "box_user": rules}
    monkeypatch.setenv("SSO_BOX_PROVIDERS", json.dumps([provider]))
    result = run("doctor")
    assert result.exit_code == 1
    assert "FAIL box users" in result.output
    assert "App + Enterprise Access" in result.output


def test_doctor_names_what_is_wrong(
    environment: dict[str, str],
    idp: tuple[str, Any],
    emulator_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    del environment
    monkeypatch.setenv("SSO_BOX_BOX__MAX_ATTEMPTS", "1")
    httpx.patch(f"{emulator_url}/_emulator/settings", json={"app_authorized": False})
    idp[1].down = True
    result = run("doctor", "--json")
    idp[1].down = False
    assert result.exit_code == 1
    findings = {f["check"]: f for f in json.loads(result.output)["findings"]}
    assert "authorize" in findings["box app"]["problem"].lower()
    assert "status 503" in findings["provider main: discovery"]["problem"]
    assert "provider main: keys" not in findings
    idp[1].offset_s = 3600
    result = run("doctor")
    idp[1].offset_s = 0
    assert "synchronise this machine's clock" in result.output
    monkeypatch.setenv("SSO_BOX_BOX__API_URL", f"http://127.0.0.1:{free_port()}")
    assert "FAIL box network" in run("doctor").output
    monkeypatch.delenv("SSO_BOX_SECRET_KEYS")
    result = run("doctor")
    assert "FAIL settings: SSO_BOX_SECRET_KEYS" in result.output


def test_explain_says_what_would_come_of_a_token(
    environment: dict[str, str], idp: tuple[str, Any]
) -> None:
    del environment
    token = _id_token(idp[0], "ada")
    offline = run("explain", stdin=f"{token}\n")
    assert offline.exit_code == 1
    assert offline.stdout.splitlines()[-1] == "undecided"
    online = run("explain", "--online", "--scope", "base_explorer", stdin=token)
    assert online.exit_code == 0, online.output
    assert (
        "ok   profile: explorer: base_explorer; not asked for: item_delete "
        in online.stdout
    )
    assert online.stdout.splitlines()[-1] == "granted"
    for segment in token.split("."):
        assert segment not in offline.output + online.output


def test_explain_exits_with_1_and_the_code_where_it_is_refused(
    environment: dict[str, str], idp: tuple[str, Any]
) -> None:
    del environment
    token = _id_token(idp[0], "ada", aud="another")
    result = run("explain", "--online", "--json", stdin=token)
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    known = (report["verdict"], report["code"], report["provider"])
    assert known == ("refused", "token_audience", "main")
    checks = {check["name"]: check for check in report["checks"]}
    assert checks["audience"]["outcome"] == "failed"
    assert checks["signature"]["outcome"] == "passed"
    result = run("explain", stdin="x" * 100_000)
    assert result.stdout == (
        "FAIL form: token_too_long; 32768 characters\nrefused token_malformed\n"
    )
    assert run("explain", stdin="  \n").exit_code == 2


def test_rows_of_another_configuration_refuse_the_start(
    environment: dict[str, str],
    idp: tuple[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    emulator: Starlette,
    tmp_path: Path,
) -> None:
    """Going on would give everybody a second Box user."""
    _log_in(idp[0], "ada")
    with monkeypatch.context() as patch:
        patch.setenv("SSO_BOX_REALM", "other")
        assert "SSO_BOX_REALM differs" in run("serve").stderr
    with monkeypatch.context() as patch:
        provider = json.loads(environment["SSO_BOX_PROVIDERS"])[0]
        patch.setenv(
            "SSO_BOX_PROVIDERS", json.dumps([provider | {"namespace": "changed"}])
        )
        assert "namespace of provider main changed" in run("serve").stderr
    with monkeypatch.context() as patch:
        patch.setenv("SSO_BOX_SECRET_KEYS", Fernet.generate_key().decode())
        assert "SSO_BOX_SECRET_KEYS: live tokens" in run("serve").stderr
    with monkeypatch.context() as patch:
        other = tmp_path / "other.json"
        other.write_text(json.dumps(emulator.state.world.found().config()))
        patch.setenv("SSO_BOX_BOX__CONFIG_FILE", str(other))
        assert "another Box app or enterprise" in run("serve").stderr
    with monkeypatch.context() as patch:
        old = environment["SSO_BOX_SECRET_KEYS"]
        patch.setenv("SSO_BOX_SECRET_KEYS", f"{Fernet.generate_key().decode()},{old}")
        assert run("doctor").exit_code == 0


def test_help_and_module_entry_point() -> None:
    assert "serve" in run("--help").output
    result = subprocess.run(
        [sys.executable, "-m", "sso_box_api", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "doctor" in result.stdout


# --- bindings, and work on all accounts ----------------------------------------------


def _audited(result: Result) -> list[tuple[str, str]]:
    """The audit events that a command wrote, beside its result."""
    lines = [line for line in result.stderr.splitlines() if line.startswith("{")]
    return [(e["act"], e["outcome"]) for e in map(json.loads, lines)]


def test_account_list_streams_what_is_asked_for(
    environment: dict[str, str], idp: tuple[str, Any]
) -> None:
    del environment
    empty = json.loads(run("account", "list", "--json").stdout)
    assert empty == {"accounts": [], "complete": True}
    _log_in(idp[0], "ada", email="ada@example.com")
    run("account", "lock", idp[0], "grace")
    both = json.loads(run("account", "list", "--json").stdout)["accounts"]
    assert {(a["subject"], a["state"]) for a in both} == {
        ("ada", "active"),
        ("grace", "locked"),
    }
    locked = json.loads(run("account", "list", "--state", "locked", "--json").stdout)
    assert [a["subject"] for a in locked["accounts"]] == ["grace"]
    assert run("account", "list", "--provider", "other").stdout == ""
    [line] = run("account", "list", "--state", "active").stdout.splitlines()
    assert line.split("\t")[::5] == ["active", "ada@example.com"]


def test_relink_unlink_and_recreate_in_words(
    environment: dict[str, str], idp: tuple[str, Any], enterprise: Enterprise
) -> None:
    del environment
    _log_in(idp[0], "ada")
    [old] = enterprise.users
    other = enterprise.add_user("Ada before", None).id
    relink = ["account", "relink", idp[0], "ada", "--to-box-user"]
    refused = run(*relink, "999")
    assert refused.exit_code == 1
    assert "Box has no user 999" in refused.stderr
    assert _audited(refused) == [("relink", "failed")]
    told = run(*relink, other, "--reason", "the wrong one", "--json")
    assert told.exit_code == 0, told.output
    report = json.loads(told.stdout)
    assert report["box_user_id"] == other
    assert report["former_box_user_id"] == old
    assert (report["state"], report["revoked"], report["pending"]) == ("active", 1, 0)
    assert _audited(told) == [("relink", "done")]
    assert "the wrong one" in told.stderr
    unlinked = run("account", "unlink", idp[0], "ada")
    assert unlinked.stdout.startswith(f"removed; account {report['account']}\n")
    assert f"given up: Box user {other}, which stays at Box" in unlinked.stdout
    still = run("account", "recreate", idp[0], "ada")
    assert still.exit_code == 1
    assert f"account relink --to-box-user {old}" in still.stderr
    enterprise.remove_user(enterprise.users[old])
    assert "pending; account" in run("account", "recreate", idp[0], "ada").stdout


def test_an_identity_is_put_onto_another_account(
    environment: dict[str, str], idp: tuple[str, Any], enterprise: Enterprise
) -> None:
    del environment
    _log_in(idp[0], "ada")
    _log_in(idp[0], "ada-new")
    shown = json.loads(run("account", "show", idp[0], "ada", "--json").stdout)
    [ada] = shown["accounts"]
    moved = run(
        "account", "relink", idp[0], "ada-new", "--to-account", ada["account"], "--json"
    )
    assert json.loads(moved.stdout)["box_user_id"] == ada["box_user_id"]
    assert len(enterprise.users) == 2
    # Who is meant has to be said now, where it is one of the two that is moved.
    several = run(
        "account", "relink", "--account", ada["account"], "--to-account", str(uuid4())
    )
    assert several.exit_code == 1
    assert "choose one identity by --provider and --subject" in several.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["account", "relink", "x", "y"], "give --to-box-user or --to-account"),
        (
            ["account", "relink", "x", "y", "--to-box-user", "../me"],
            "a Box user id is decimal digits",
        ),
        (["account", "import", "--provider", "main"], "give --bare-subjects or --csv"),
        (["account", "list", "--state", "gone"], "'gone' is not one of"),
    ],
)
def test_commands_that_change_bindings_say_how_they_are_used(
    environment: dict[str, str], arguments: list[str], says: str
) -> None:
    del environment
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert says in result.stderr


def test_relink_exits_3_while_box_has_not_killed_every_token(
    environment: dict[str, str],
    idp: tuple[str, Any],
    emulator_url: str,
    enterprise: Enterprise,
) -> None:
    del environment
    _log_in(idp[0], "ada")
    other = enterprise.add_user("Ada before", None).id
    fault = {"method": "POST", "path": "/oauth2/revoke", "times": 50, "status": 400}
    httpx.post(f"{emulator_url}/_emulator/faults", json=fault)
    arguments = ["account", "relink", idp[0], "ada", "--to-box-user", other]
    result = run(*arguments, "--wait", "0.2")
    assert result.exit_code == 3, result.output
    assert "expires by itself at" in result.stdout


def test_import_tells_first_and_does_it_when_told(
    environment: dict[str, str],
    idp: tuple[str, Any],
    enterprise: Enterprise,
    tmp_path: Path,
) -> None:
    del environment
    older = enterprise.add_user("Older", None)
    older.external_app_user_id = "grace"
    file = tmp_path / "links.csv"
    file.write_text(f"subject,box_user_id\nada,{older.id}\nbob,\n\x1b[2J,5\n")
    arguments = ["account", "import", "--provider", "main", "--csv", str(file)]
    told = run(*arguments)
    assert told.exit_code == 1
    no_subject = "the subject is none: it is printable ASCII, 255 characters at most"
    assert told.stdout.splitlines() == [
        f"adoptable\tline 2\tada\t{older.id}\t-",
        "refused\tline 3\tbob\t\tthe line has not the two values",
        f"refused\tline 4\t\ufffd[2J\t5\t{no_subject}",
        "adopted: 0, adoptable: 1, already: 0, refused: 2, applied: False",
    ]
    assert run("account", "show", idp[0], "ada").exit_code == 1
    done = run(*arguments, "--apply", "--json")
    report = json.loads(done.stdout)
    assert (report["adopted"], report["refused"], report["applied"]) == (1, 2, True)
    assert [link["state"] for link in report["links"]][:2] == ["adopted", "refused"]
    assert _audited(done) == [("import", "done")]
    bare = run("account", "import", "--provider", "main", "--bare-subjects")
    assert "put the identity there with `account relink" in bare.stdout
    none = run("account", "import", "--provider", "other", "--bare-subjects")
    assert "no configured provider has this id" in none.stderr


def test_reconcile_exits_1_while_somebody_has_to_see_to_something(
    environment: dict[str, str], idp: tuple[str, Any], enterprise: Enterprise
) -> None:
    del environment
    _log_in(idp[0], "ada")
    assert run("reconcile").exit_code == 0
    [user] = enterprise.users.values()
    user.external_app_user_id = "renamed-by-hand"
    found = run("reconcile", "--json")
    assert found.exit_code == 1
    report = json.loads(found.stdout)
    assert (report["renamed"], report["fixed"], report["complete"]) == (1, 0, True)
    [finding] = report["findings"]
    assert finding["box_user_id"] == user.id
    fixed = run("reconcile", "--fix")
    assert fixed.exit_code == 0, fixed.output
    assert fixed.stdout.startswith("renamed (fixed)\t")
    assert run("reconcile").stdout.startswith("orphan: 0, listed_orphan: 0, ")


def test_a_list_that_an_error_ends_says_so_and_is_json_all_the_same(
    environment: dict[str, str],
    emulator_url: str,
) -> None:
    del environment
    fault = {"method": "GET", "path": "/2.0/users", "times": 9, "status": 403}
    body = {"type": "error", "status": 403, "code": "forbidden"}
    httpx.post(f"{emulator_url}/_emulator/faults", json={**fault, "body": body})
    result = run("reconcile", "--json")
    httpx.delete(f"{emulator_url}/_emulator/faults")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {"findings": [], "complete": False}
    assert "box_refused" in result.stderr


def test_rebind_after_a_change_of_the_box_app(
    environment: dict[str, str],
    idp: tuple[str, Any],
    enterprise: Enterprise,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    del environment
    _log_in(idp[0], "ada")
    _log_in(idp[0], "grace")
    enterprise.settings.app_access = "enterprise"
    gone = next(iter(enterprise.users))
    enterprise.remove_user(enterprise.users[gone])
    monkeypatch.delenv("SSO_BOX_BOX__CONFIG_FILE")
    for name, value in enterprise.client_credentials().items():
        monkeypatch.setenv(f"SSO_BOX_BOX__{name.upper()}", value)
    assert "sso-box-api db rebind" in run("serve").stderr
    told = run("db", "rebind")
    assert told.exit_code == 1
    assert told.stdout.startswith(f"missing\t{_account_of(gone)}\t{gone}\n")
    report = json.loads(run("db", "rebind", "--apply", "--json").stdout)
    counts = (report["seen"], report["missing"], report["staying"])
    assert counts == (1, 1, 1)
    done = run("db", "rebind", "--apply", "--unbind-missing")
    assert done.exit_code == 0, done.output
    assert run("doctor").exit_code == 0


def _account_of(box_user_id: str) -> str:
    shown = run("account", "show", "--box-user", box_user_id, "--json")
    account: str = json.loads(shown.stdout)["accounts"][0]["account"]
    return account


def test_a_provider_or_client_is_locked_listed_and_let_in_again(
    environment: dict[str, str], idp: tuple[str, Any]
) -> None:
    del environment
    _log_in(idp[0], "ada")
    for selector, kind, value in (
        (["--provider", "main"], "provider", "main"),
        (["--issuer", idp[0]], "provider", "main"),
        (["--client-id", "of-nobody"], "client", "of-nobody"),
    ):
        locked = run("lock", *selector, "--reason", "an incident", "--json")
        assert locked.exit_code == 0, locked.output
        told = json.loads(locked.stdout)
        assert told["configured"] is (kind == "provider")
        assert (told["state"], told["pending"]) == ("locked", 0)
        assert told["revoked"] == (1 if selector[0] == "--provider" else 0)
        [listed] = json.loads(run("locks", "--json").stdout)["locks"]
        assert (listed["kind"], listed["value"]) == (kind, value)
        assert listed["reason"] == "an incident"
        assert listed["since"] in run("locks").stdout
        shown = run("account", "show", idp[0], "ada", "--json")
        reason = "an incident" if kind == "provider" else None
        [account] = json.loads(shown.stdout)["accounts"]
        assert account["provider_lock_reason"] == reason
        findings = json.loads(run("doctor", "--json").stdout)["findings"]
        [note] = [f["note"] for f in findings if f["check"] == "locks"]
        assert f"the {kind} {value} since" in note
        unlocked = run("unlock", *selector, "--json")
        assert json.loads(unlocked.stdout)["state"] == "unlocked"
        assert run("locks").stdout == ""


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 2, "give --provider, --issuer or --client-id"),
        (["--provider", "main", "--client-id", "spa"], 2, "only one of them"),
        (["--provider", "mian"], 1, "no configured provider has this id"),
        (
            ["--issuer", "https://x.example"],
            1,
            "no configured provider has this issuer",
        ),
    ],
)
def test_a_lock_of_nobody_is_refused(
    environment: dict[str, str], arguments: list[str], code: int, says: str
) -> None:
    del environment
    result = run("lock", *arguments)
    assert result.exit_code == code
    assert says in result.stderr
    assert run("locks").stdout == ""
    if code == 1:
        assert run("unlock", *arguments).exit_code == 1


def test_after_restore_closes_everything_and_says_what_cannot_be_known(
    environment: dict[str, str], idp: tuple[str, Any], emulator_url: str
) -> None:
    del environment
    token = _log_in(idp[0], "ada")
    told = run("db", "after-restore")
    assert told.exit_code == 0
    assert told.stdout.startswith("accounts: 1, bound: 1, live_tokens: 1\n")
    assert "nothing is done yet" in told.stdout
    done = run("db", "after-restore", "--apply")
    assert done.exit_code == 0, done.output
    assert "closed_tokens: 1, sessions_ended: 1" in done.stdout
    assert "Lock them again" in done.stdout
    dead = httpx.get(
        f"{emulator_url}/2.0/users/me", headers={"Authorization": f"Bearer {token}"}
    )
    assert dead.status_code == 401
    fault = {"method": "POST", "path": "/2.0/users/*", "times": 9, "status": 403}
    body = {"type": "error", "status": 403, "code": "forbidden"}
    httpx.post(f"{emulator_url}/_emulator/faults", json={**fault, "body": body})
    again = run("db", "after-restore", "--apply", "--json")
    httpx.delete(f"{emulator_url}/_emulator/faults")
    assert again.exit_code == 3
    assert json.loads(again.stdout)["sessions_not_ended"] == 1

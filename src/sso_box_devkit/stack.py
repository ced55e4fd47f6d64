"""The whole stack on loopback, as child processes: PostgreSQL, Box, IdP, the API.

The API runs as it would in production, from its own command; only the addresses of
its third parties are local.
"""

import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from sso_box_devkit.idp.clients import DEMO_CLIENTS
from sso_box_devkit.postgres import start_postgres
from sso_box_devkit.processes import Child, ChildFailed, StopSignals

HOST: Final = "127.0.0.1"
_READY_LIMIT_S: Final = 30.0
_COMMAND_LIMIT_S: Final = 60.0
_API: Final = Path(sys.executable).parent / "sso-box-api"
# Where the page lies once it is built; without Node.js it is not there.
_PAGE: Final = Path(__file__).parents[2] / "web/demo/dist"
_DEVKIT: Final = (sys.executable, "-m", "sso_box_devkit")
# What everybody finds at Box after the first login. The folder is the emulator's.
_TEMPLATE: Final = """\
[[folders]]
path = "{name}/Invoices"

[[files]]
source = "welcome.txt"
path = "{name}/Welcome.txt"

[[collaborations]]
folder = "SHARED"
role = "viewer"
"""
_WELCOME: Final = "This folder is yours. Nobody else has been in it.\n"
SHARED_FOLDER: Final = "For everybody"


@dataclass(frozen=True)
class Ports:
    """Where the parts listen."""

    api: int
    box: int
    idp: int
    web: int


@dataclass(frozen=True)
class Stack:
    """A running stack. ``env`` is the API's environment, for its other commands.

    ``web_url`` is the page's, None where it is not built.
    """

    api_url: str
    box_url: str
    idp_url: str
    web_url: str | None
    folder: Path
    env: Mapping[str, str] = field(repr=False)
    children: list[Child] = field(default_factory=list)

    def check_alive(self) -> None:
        """Raise ChildFailed if any part has ended."""
        for child in self.children:
            child.check_alive()

    def run_api_command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``sso-box-api`` with the running API's settings."""
        return _run_api(arguments, self.env)


def choose_ports(preferred: Ports) -> Ports:
    """Return the preferred ports, with a free one in place of each that is busy."""
    with ExitStack() as held:

        def choose(port: int) -> int:
            # Held until all are chosen, so that no two parts get the same one.
            try:
                listener = socket.create_server((HOST, port))
            except OSError:
                listener = socket.create_server((HOST, 0))
            held.enter_context(listener)
            chosen: int = listener.getsockname()[1]
            return chosen

        wanted = (preferred.api, preferred.box, preferred.idp, preferred.web)
        return Ports(*map(choose, wanted))


@contextmanager
def running_stack(
    folder: Path,
    ports: Ports,
    origins: Sequence[str] = (),
    *,
    stop: StopSignals,
    progress: Callable[[str], None],
) -> Iterator[Stack]:
    """Start everything with its files in ``folder``; stop all of it at the end.

    Pages at ``origins`` may call it as the demo's own may.
    Raises ChildFailed where a part does not start, StopRequested where ``stop`` was.
    """
    with ExitStack() as cleanup:
        starting = _Starting(
            folder, ports, origins, cleanup, stop=stop, progress=progress
        )
        env = starting.third_parties()
        starting.api(env)
        web_url = starting.page() if _PAGE.is_dir() else None
        cleanup.callback(progress, "stopping")
        yield Stack(
            api_url=starting.api_url,
            box_url=starting.box_url,
            idp_url=starting.idp_url,
            web_url=web_url,
            folder=folder,
            env=env,
            children=starting.children,
        )


class _Starting:
    """The order of the start: slow ones first, and each waited for where needed."""

    def __init__(
        self,
        folder: Path,
        ports: Ports,
        origins: Sequence[str],
        cleanup: ExitStack,
        *,
        stop: StopSignals,
        progress: Callable[[str], None],
    ) -> None:
        self.api_url = f"http://{HOST}:{ports.api}"
        self.box_url = f"http://{HOST}:{ports.box}"
        self.idp_url = f"http://{HOST}:{ports.idp}"
        # A browser tells these two apart, and people type either.
        self.web_origins = [
            f"http://{host}:{ports.web}" for host in ("localhost", HOST)
        ]
        self.allowed_origins = [*self.web_origins, *origins]
        self.children: list[Child] = []
        self._ports = ports
        self._folder = folder
        self._cleanup = cleanup
        self._stop = stop
        self._progress = progress

    def third_parties(self) -> dict[str, str]:
        """Start PostgreSQL, Box and the IdP; return the API's environment."""
        config_file = self._folder / "box-config.json"
        box_port, idp_port = str(self._ports.box), str(self._ports.idp)
        box = self._start(
            "Box emulator",
            [*_DEVKIT, "box", "--port", box_port, "--config-out", str(config_file)],
        )
        idp = self._start("IdP", [*_DEVKIT, "idp", "--port", idp_port])
        with ThreadPoolExecutor(1) as meanwhile:
            key = meanwhile.submit(_run_api, ["keys", "generate"], _clean_environment())
            self._progress("starting PostgreSQL")
            server = start_postgres(self._folder / "postgres")
            self._cleanup.callback(server.stop)
        self.children.append(server.child)
        self._await(box, f"{self.box_url}/_emulator/requests")
        self._open_box_to_pages()
        self._await(idp, f"{self.idp_url}/.well-known/openid-configuration")
        return {
            **self._environment(server.url, _require(key.result()), config_file),
            "SSO_BOX_PROVISIONING__TEMPLATE": str(self._template()),
        }

    def api(self, env: dict[str, str]) -> None:
        """Bring the database up to date and start the API."""
        self._stop.check()
        self._progress("applying the migrations")
        _require(_run_api(["db", "upgrade"], env))
        self._stop.check()
        port = str(self._ports.api)
        serve = ["serve", "--host", HOST, "--port", port, "--workers", "1"]
        api = self._start("sso-box-api", [str(_API), *serve], env)
        self._await(api, f"{self.api_url}/livez")

    def page(self) -> str:
        """Serve the built page; return its address."""
        places = ["--api", self.api_url, "--box", self.box_url, "--idp", self.idp_url]
        port = ["--port", str(self._ports.web), "--folder", str(_PAGE)]
        page = self._start("page", [*_DEVKIT, "web", *port, *places])
        self._await(page, f"http://{HOST}:{self._ports.web}/config.json")
        return self.web_origins[0]

    def _open_box_to_pages(self) -> None:
        with local_http() as http:
            domains = {"cors_domains": self.allowed_origins}
            url = f"{self.box_url}/_emulator/settings"
            http.patch(url, json=domains).raise_for_status()

    def _environment(
        self, database_url: str, key: str, config_file: Path
    ) -> dict[str, str]:
        provider = {
            "id": "demo",
            "kind": "generic",
            "issuer": self.idp_url,
            "client_ids": list(DEMO_CLIENTS),
            # With it the page gets new ID tokens without leaving.
            "login_scopes": ["openid", "profile", "email", "offline_access"],
        }
        return {
            **_clean_environment(),
            "SSO_BOX_DATABASE_URL": database_url,
            "SSO_BOX_SECRET_KEYS": key,
            "SSO_BOX_BOX__CONFIG_FILE": str(config_file),
            "SSO_BOX_BOX__API_URL": self.box_url,
            "SSO_BOX_BOX__UPLOAD_URL": f"{self.box_url}/api",
            "SSO_BOX_PROVIDERS": json.dumps([provider]),
            "SSO_BOX_ALLOW_LOOPBACK_HTTP": "true",
            "SSO_BOX_CORS_ORIGINS": json.dumps(self.allowed_origins),
        }

    def _template(self) -> Path:
        """Make a folder for everybody at Box, and write the template that names it."""
        folder = {"type": "folder", "name": SHARED_FOLDER}
        with local_http() as http:
            url = f"{self.box_url}/_emulator/seed"
            planted = http.post(url, json={"items": [folder]}).raise_for_status()
        shared: str = planted.json()["items"][0]["id"]
        template = self._folder / "provisioning.toml"
        template.write_text(_TEMPLATE.replace("SHARED", shared), encoding="utf-8")
        template.with_name("welcome.txt").write_text(_WELCOME, encoding="utf-8")
        return template

    def _start(
        self, name: str, command: list[str], env: Mapping[str, str] | None = None
    ) -> Child:
        self._stop.check()
        self._progress(f"starting {name}")
        log = self._folder / f"{name.lower().replace(' ', '-')}.log"
        child = Child(name, command, log=log, env=env or _clean_environment())
        self._cleanup.callback(child.stop)
        self.children.append(child)
        return child

    def _await(self, child: Child, url: str) -> None:
        with local_http() as http:

            def answers() -> bool:
                try:
                    return http.get(url).status_code == httpx.codes.OK
                except httpx.TransportError:
                    return False

            child.wait_until(answers, limit_s=_READY_LIMIT_S, stop=self._stop)


def local_http() -> httpx.Client:
    """Return a client for loopback, past any proxy of the developer's shell."""
    return httpx.Client(timeout=30, trust_env=False)


def write_env_file(stack: Stack) -> Path:
    """Write the API's settings and its command's place for a shell to source.

    Only the owner may read the file.
    """
    path = stack.folder / "env"
    path.touch(mode=0o600)
    ours = {k: v for k, v in stack.env.items() if k.startswith("SSO_BOX_")}
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in ours.items()]
    lines.append(f'export PATH={shlex.quote(str(_API.parent))}:"$PATH"\n')
    path.write_text("".join(lines), encoding="utf-8")
    return path


def _clean_environment() -> dict[str, str]:
    """Return the shell's environment without anything that would redirect the demo."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SSO_BOX_")}
    return {**kept, "NO_PROXY": f"{HOST},localhost", "no_proxy": f"{HOST},localhost"}


def _run_api(
    arguments: Sequence[str], env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    command = [str(_API), *arguments]
    try:
        return subprocess.run(  # noqa: S603  our own command, no shell
            command,
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMMAND_LIMIT_S,
            # Away from the terminal's Ctrl-C, like every other child.
            start_new_session=True,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        message = f"sso-box-api {' '.join(arguments)}: {error}"
        raise ChildFailed(message) from None


def _require(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode != 0:
        words = " ".join(str(part) for part in done.args[1:])
        message = f"sso-box-api {words} failed\n{done.stderr[-2000:]}"
        raise ChildFailed(message)
    return done.stdout.strip()

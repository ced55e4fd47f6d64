"""``python -m sso_box_devkit demo``: the stack for a person to try, or to check itself."""

import json
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click

from sso_box_devkit.check import run_check
from sso_box_devkit.processes import ChildFailed, StopRequested, StopSignals
from sso_box_devkit.stack import (
    Ports,
    Stack,
    choose_ports,
    running_stack,
    write_env_file,
)

_WATCH_S = 0.2


@click.command()
@click.option("--check", is_flag=True, help="Prove that it works, and stop.")
@click.option("--api-port", default=8000, show_default=True)
@click.option("--box-port", default=8100, show_default=True)
@click.option("--idp-port", default=8200, show_default=True)
@click.option("--web-port", default=5173, show_default=True)
@click.option(
    "--origin",
    "origins",
    multiple=True,
    help="Where a page of yours is, such as http://localhost:5174: the API and Box"
    " answer it, too. Can be repeated.",
)
def demo(
    *,
    check: bool,
    api_port: int,
    box_port: int,
    idp_port: int,
    web_port: int,
    origins: tuple[str, ...],
) -> None:
    """Start the whole stack on loopback; a busy port is replaced by a free one.

    With --check: one login without a browser, a first exchange and one that is
    answered from the ledger, everything seen as one JSON object on stdout, and exit
    code 0 only if all of it worked.
    """
    wanted = Ports(api=api_port, box=box_port, idp=idp_port, web=web_port)
    ports = choose_ports(wanted)
    run = _check if check else _serve
    with (
        StopSignals() as stop,
        tempfile.TemporaryDirectory(prefix="sso-box-demo-") as folder,
    ):
        sys.exit(run(Path(folder), ports, origins, stop))


def _serve(
    folder: Path, ports: Ports, origins: Sequence[str], stop: StopSignals
) -> int:
    try:
        with running_stack(
            folder, ports, origins, stop=stop, progress=_progress
        ) as stack:
            click.echo(_welcome(stack))
            while True:
                stop.check()
                stack.check_alive()
                time.sleep(_WATCH_S)
    except StopRequested:
        return 0
    except ChildFailed as error:
        _progress(str(error))
        return 1


def _check(
    folder: Path, ports: Ports, origins: Sequence[str], stop: StopSignals
) -> int:
    began = time.monotonic()
    seen: dict[str, object] = {"ok": False}
    timings: dict[str, float] = {}
    try:
        with running_stack(
            folder, ports, origins, stop=stop, progress=_progress
        ) as stack:
            timings["start_s"] = _since(began)
            seen |= run_check(stack, stop=stop, progress=_progress)
            timings["check_s"] = _since(began) - timings["start_s"]
    except (ChildFailed, StopRequested) as error:
        seen |= {"ok": False, "failed": {"step": "stack", "reason": str(error)}}
    timings["total_s"] = _since(began)
    rounded = {name: round(value, 2) for name, value in timings.items()}
    click.echo(json.dumps({**seen, "timings": rounded}, indent=2))
    return 0 if seen["ok"] else 1


def _since(began: float) -> float:
    return time.monotonic() - began


def _progress(text: str) -> None:
    click.echo(text, err=True)


def _welcome(stack: Stack) -> str:
    python = Path(sys.executable)
    if python.is_relative_to(Path.cwd()):
        python = python.relative_to(Path.cwd())
    login = f"{shlex.quote(os.fspath(python))} -m sso_box_devkit login"
    page = stack.web_url or "not built: needs Node.js 20.19 or newer"
    in_vue = f"\n  the same in Vue {stack.web_url}/vue/" if stack.web_url else ""
    return f"""
  page           {page}{in_vue}
  API            {stack.api_url}
  Box emulator   {stack.box_url}
  IdP            {stack.idp_url}
  logs           {stack.folder}

Log in as Ada and get her Box token:

  TOKEN=$({login} --idp {stack.idp_url} ada); \\
    curl -s -X POST -H "Authorization: Bearer $TOKEN" {stack.api_url}/v1/token

For sso-box-api's other commands, such as `account lock {stack.idp_url} ada`:

  . {write_env_file(stack)}

Ctrl-C stops everything.
"""

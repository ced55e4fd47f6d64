"""All benchmarks in one run: ``python -m benchmarks [--quick] [--svg FILE]``.

Prints one JSON object; docs/benchmarks.md says how to read it.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import (
    counts,
    find_account,
    first_login,
    footprint,
    machine,
    picture,
    quickstarts,
    verify,
    warm,
    workers,
)
from benchmarks.goals import goals
from benchmarks.rounds import FULL, QUICK, Size
from benchmarks.stack import Stack, has_express, running


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="does it all work?")
    parser.add_argument("--svg", type=Path, help="where to draw the picture")
    options = parser.parse_args()
    started = time.monotonic()
    report = _report(QUICK if options.quick else FULL)
    report["seconds"] = round(time.monotonic() - started)
    print(json.dumps(report, indent=2))
    if options.svg:
        options.svg.write_text(picture.draw(report), encoding="utf-8")


def _report(size: Size) -> dict[str, object]:
    report: dict[str, object] = {"machine": machine.describe()}
    with TemporaryDirectory() as folder, running(Path(folder)) as stack:
        with _part("verifying tokens"):
            report["verify"] = verify.measure(size)
        report |= _beside_each_other(stack, size)
        with _part("finding accounts among a thousand and a million"):
            report["find_account"] = find_account.measure(stack, size)
    report["load_average_at_end"] = machine.load_average()
    report["goals"] = goals(report)
    return report


def _beside_each_other(stack: Stack, size: Size) -> dict[str, object]:
    database_url = stack.make_database("bench")
    report: dict[str, object] = {}
    with ExitStack() as servers:
        service = servers.enter_context(stack.service(database_url))
        with stack.bare() as bare, _part("warm exchange beside the bare route"):
            report["warm"] = warm.measure(stack, service, bare, size)
        others = [servers.enter_context(stack.flask())]
        if has_express():
            others.append(servers.enter_context(stack.express()))
        else:
            print("Express is left out: it needs Node.js and npm", file=sys.stderr)
        with _part("32 logins at once beside the quickstarts"):
            report["quickstarts"] = quickstarts.measure(stack, service, others, size)
        with _part("one first login at a time"):
            alone = first_login.measure(stack, service, others, size)
            report["first_login_alone"] = alone
        memory = {s.name: machine.memory_mb(s.pid) for s in (service, *others)}
        report["memory_mb_after_load"] = memory
        with _part("counting Box calls and SQL statements"):
            report["counts"] = counts.measure(stack, others, size)
    with _part("one worker and two"):
        report["workers"] = workers.measure(stack, database_url, size)
    with _part("cold starts"):
        report["footprint"] = footprint.measure(stack, database_url, size)
    return report


@contextmanager
def _part(what: str) -> Iterator[None]:
    """Say what goes on; with results on standard output, that goes elsewhere."""
    print(f"{what} …", end=" ", file=sys.stderr, flush=True)
    started = time.monotonic()
    yield
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()

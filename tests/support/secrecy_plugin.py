"""Has pytest report what ``secrecy`` found: a failure, and a line in the summary."""

from collections import Counter
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.collecting import collecting
from tests.support.secrecy import WATCH

_COUNTS = "secrecy"


class Secrecy:
    """Watches this process, or sums up what the workers of a parallel run watched."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._collecting = ExitStack()

    def pytest_configure(self, config: pytest.Config) -> None:
        del config
        self._collecting.enter_context(collecting(WATCH))

    def pytest_unconfigure(self) -> None:
        self._collecting.close()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """What a test and the processes it forked printed."""
        for name, text in report.sections:
            # Each report has what those before it had, too.
            if name.endswith(f" {report.when}"):
                WATCH.read(f"{name} of {report.nodeid}", text)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput[_COUNTS] = dict(WATCH.counts)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self._counts.update(getattr(node, "workeroutput", {}).get(_COUNTS, {}))

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> None:
        counts = self._counts + WATCH.counts
        searched = ", ".join(f"{counts[x]} {x}" for x in ("lines", "answers", "rows"))
        terminalreporter.write_line(
            f"secrecy: {counts['secrets']} secrets, {counts['findings']} found in"
            f" {searched}"
        )


def search() -> None:
    """Fail with the places where a secret of this process stands."""
    found = sorted(set(WATCH.findings()))
    WATCH.counts["findings"] += len(found)
    lines = [f"{finding.kind} in {finding.place}" for finding in found]
    if lines:
        pytest.fail("secrets in plain sight:\n" + "\n".join(lines), pytrace=False)

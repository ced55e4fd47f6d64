"""One PostgreSQL for all workers of a parallel run: each server costs seconds.

The process above the workers runs it, and tells each of them a file. The server's URL
is in there once it is ready, so that the workers collect their tests meanwhile.
"""

import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.postgres import start_migrated_postgres

_INPUT = "postgres_url_file"
_START_LIMIT_S = 120.0


class SharedPostgres:
    """Of the process above the workers; without workers it does nothing."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._thread: threading.Thread | None = None
        self._ends = threading.Event()

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="sso-box-test-")
            self._thread = threading.Thread(target=self._run, args=(self._url_file,))
            self._thread.start()
        node.workerinput[_INPUT] = str(self._url_file)

    def pytest_unconfigure(self) -> None:
        self._ends.set()
        if self._thread is not None:
            self._thread.join()
        if self._folder is not None:
            self._folder.cleanup()

    @property
    def _url_file(self) -> Path:
        assert self._folder is not None
        return Path(self._folder.name) / "url"

    def _run(self, url_file: Path) -> None:
        try:
            with start_migrated_postgres() as server:
                _publish(url_file, server.url)
                self._ends.wait()
        except Exception as error:
            # Where the tests are that wait for it.
            _publish(url_file, f"{type(error).__name__}: {error}")
            raise


def _publish(url_file: Path, text: str) -> None:
    written = url_file.with_suffix(".written")
    written.touch(mode=0o600)
    written.write_text(text)
    # At one blow: nobody reads half of it.
    written.rename(url_file)


def shared_url(config: pytest.Config) -> str | None:
    """The superuser's URL of the shared server, which is waited for; alone None."""
    told = getattr(config, "workerinput", {}).get(_INPUT)
    if told is None:
        return None
    give_up_at = time.monotonic() + _START_LIMIT_S
    while not Path(told).exists():
        if time.monotonic() > give_up_at:
            pytest.fail("the PostgreSQL of all workers did not start", pytrace=False)
        time.sleep(0.02)
    url = Path(told).read_text()
    if not url.startswith("postgresql://"):
        pytest.fail(f"the PostgreSQL of all workers failed: {url}", pytrace=False)
    return url

"""The programs in ``tests/node``: other people's software that the tests run.

``make setup`` installs what they need where there is a Node.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "node"
MISSING = "no Node.js 20.12 or newer was there for `make setup`"


def is_installed() -> bool:
    return (FOLDER / "node_modules/.package-lock.json").exists()


def skip_module_without_node() -> None:
    """One line for a whole module, unless Node is required."""
    if not is_installed() and not os.environ.get("REQUIRE_NODE"):
        pytest.skip(MISSING, allow_module_level=True)


def node() -> str:
    """The Node to run them with."""
    if not is_installed():
        pytest.fail(MISSING)
    # Beside this Python first: that is where one comes to that the machine lacks.
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return shutil.which("node", path=places) or "node"

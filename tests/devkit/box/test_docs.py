"""docs/emulator.md names every setting and every member of a fault, with its default."""

import json
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from sso_box_devkit.box.faults import Fault
from sso_box_devkit.box.settings import Settings

PAGE = (Path(__file__).parents[3] / "docs/emulator.md").read_text(encoding="utf-8")


def documented(section: str) -> dict[str, str]:
    """The names in the table of a section, with their defaults."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (\S.*?) \|", text, re.MULTILINE))


@pytest.mark.parametrize(
    ("section", "model"), [("Settings", Settings), ("Faults", Fault)]
)
def test_the_page_on_the_emulator_is_complete(
    section: str, model: type[BaseModel]
) -> None:
    defaults = {
        name: "none" if value is None else f"`{json.dumps(value)}`"
        for name, value in model().model_dump().items()
    }
    assert documented(section) == defaults

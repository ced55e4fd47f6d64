"""What the emulator shows of users, folders and files is what Box's OpenAPI knows.

Runs where Box's document is at hand; nothing else needs it.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.box_caller import BoxCaller

_BESIDE_THE_CHECKOUT = (
    Path(__file__).parents[4] / "shared" / "data" / "box-openapi.json"
)
DOCUMENT = Path(os.environ.get("BOX_OPENAPI", _BESIDE_THE_CHECKOUT))

pytestmark = pytest.mark.skipif(
    not DOCUMENT.is_file(), reason="BOX_OPENAPI names no copy of Box's OpenAPI"
)


def properties(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """Of a schema with everything it is made of."""
    if "$ref" in schema:
        return properties(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    found = dict(schema.get("properties", {}))
    for part in schema.get("allOf", []):
        found |= properties(part, schemas)
    return found


@pytest.fixture(scope="module")
def known() -> dict[str, dict[str, Any]]:
    schemas = json.loads(DOCUMENT.read_text(encoding="utf-8"))["components"]["schemas"]
    return {
        name: properties(schemas[name], schemas)
        for name in ("User", "User--Full", "Folder", "Folder--Full", "File")
    }


async def test_users_show_the_fields_of_the_schema(
    box: BoxCaller, known: dict[str, dict[str, Any]]
) -> None:
    user = await box.app_user()
    token = await box.token()
    standard = (await box.call(token, "GET", f"/2.0/users/{user}")).json()
    assert standard.keys() == known["User"].keys()
    every = ",".join(known["User--Full"])
    full = await box.call(token, "GET", f"/2.0/users/{user}?fields={every}")
    assert full.json().keys() == known["User--Full"].keys()


async def test_folders_and_files_show_the_fields_of_the_schema(
    box: BoxCaller, known: dict[str, dict[str, Any]]
) -> None:
    token = await box.token(await box.app_user())
    body = {"name": "A", "parent": {"id": "0"}}
    folder = (await box.call(token, "POST", "/2.0/folders", json=body)).json()
    assert folder.keys() == known["Folder"].keys()
    file = (await box.upload(token, b"x")).json()["entries"][0]
    assert file.keys() == known["File"].keys()

"""Box's own Node SDK works against the emulator with nothing changed but its addresses.

The walk itself is ``tests/node_sdk/walk.mjs``; ``npm ci`` in that folder installs the
SDK.
"""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from sso_box_devkit.box import Enterprise

FOLDER = Path(__file__).parents[2] / "node_sdk"
NODE = shutil.which("node")

pytestmark = [
    pytest.mark.skipif(NODE is None, reason="Node is not there"),
    pytest.mark.skipif(
        not (FOLDER / "node_modules").is_dir(),
        reason="`npm ci` was not run in tests/node_sdk",
    ),
]


async def test_the_node_sdk_walks_from_a_new_user_to_none(
    address: str, enterprise: Enterprise
) -> None:
    assert NODE is not None
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        NODE, "walk.mjs", cwd=FOLDER, stdin=pipe, stdout=pipe, stderr=pipe
    )
    asked = {
        "address": address,
        "config": enterprise.config(),
        "clientCredentials": enterprise.client_credentials(),
    }
    out, err = await process.communicate(json.dumps(asked).encode())
    assert process.returncode == 0, err.decode()
    seen = json.loads(out)
    for app, external_id in (("jwt", "auth0|jwt"), ("ccg", "auth0|ccg")):
        assert seen[app] == {
            "found": [True],
            "conflict": 409,
            "sha1": True,
            "restrictedTo": [["base_explorer", True], ["item_preview", True]],
            "narrow": 200,
            "root": [external_id, "Docs"],
            "revoked": 401,
            "gone": 404,
        }

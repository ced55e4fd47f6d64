"""Box's own Node SDK works against the emulator with nothing changed but its addresses.

The walk itself is ``tests/node/box_walk.mjs``.
"""

import asyncio
import json

from sso_box_devkit.box import Enterprise
from tests.support.node import FOLDER, node, skip_module_without_node

skip_module_without_node()


async def test_the_node_sdk_walks_from_a_new_user_to_none(
    address: str, enterprise: Enterprise
) -> None:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        node(), "box_walk.mjs", cwd=FOLDER, stdin=pipe, stdout=pipe, stderr=pipe
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

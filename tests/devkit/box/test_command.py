"""The emulator as a process of its own."""

import asyncio
import json
import re
import socket
import stat
import sys
from pathlib import Path

import httpx
from click.testing import CliRunner

from sso_box_devkit.box.command import box as box_command
from tests.support.box_caller import BoxCaller


async def test_the_command_serves_box_and_writes_a_private_config(
    tmp_path: Path,
) -> None:
    config = tmp_path / "config.json"
    config.write_text("left over")
    config.chmod(0o644)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from sso_box_devkit.box.command import box; box()",
        "--config-out",
        config,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            line = (await process.stdout.readline()).decode()
        address = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert address is not None, line
        assert stat.S_IMODE(config.stat().st_mode) == 0o600
        async with httpx.AsyncClient(base_url=address[0]) as http:
            box = BoxCaller(http, json.loads(config.read_text()))
            assert (
                await box.call(await box.token(), "GET", "/2.0/users/me")
            ).is_success
            assert len((await http.get("/2.0/x")).headers.get_list("date")) == 1
    finally:
        process.terminate()
        await process.wait()


def test_a_second_start_on_a_busy_port_leaves_the_first_ones_config_alone(
    tmp_path: Path,
) -> None:
    config = tmp_path / "config.json"
    config.write_text("of the first")
    with socket.create_server(("127.0.0.1", 0)) as first:
        port = str(first.getsockname()[1])
        result = CliRunner().invoke(
            box_command, ["--port", port, "--config-out", str(config)]
        )
    assert result.exit_code == 1
    assert f"cannot listen on 127.0.0.1:{port}" in result.output
    assert config.read_text() == "of the first"

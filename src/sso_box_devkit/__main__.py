"""``python -m sso_box_devkit``: each part alone, or the whole stack."""

from importlib import import_module
from typing import Final

import click
from typing_extensions import override

_PARTS: Final = {
    "demo": "sso_box_devkit.demo",
    "box": "sso_box_devkit.box.command",
    "idp": "sso_box_devkit.idp.command",
    "login": "sso_box_devkit.login",
    "web": "sso_box_devkit.web",
    "postgres": "sso_box_devkit.postgres",
}


class _Parts(click.Group):
    """Imports a part when it is asked for: the stack starts several at a time."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_PARTS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _PARTS:
            return None
        command: click.Command = getattr(import_module(_PARTS[cmd_name]), cmd_name)
        return command


@click.group(cls=_Parts)
def main() -> None:
    """Run a Box emulator, a local IdP, a PostgreSQL, or all of them as a demo."""


if __name__ == "__main__":
    main(prog_name="python -m sso_box_devkit")

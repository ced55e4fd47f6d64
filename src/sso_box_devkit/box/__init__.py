"""An emulator of Box: accounts, tokens and content in memory, over Box's own routes.

Written from Box's public OpenAPI and guides. What Box leaves unsaid is a setting
(``settings.py``) or is marked in a comment as ours.
"""

from sso_box_devkit.box.app import create_box_emulator, write_config
from sso_box_devkit.box.state import Enterprise, World

__all__ = ["Enterprise", "World", "create_box_emulator", "write_config"]

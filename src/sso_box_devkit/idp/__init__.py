"""A small OpenID provider without passwords: real protocol, real signatures.

``create_idp`` makes the ASGI app; its ``state.idp`` is the :class:`Idp` behind it.
The order of a login: authorize (with page and people) → token → tokens → signing.
"""

from sso_box_devkit.idp.app import create_idp
from sso_box_devkit.idp.clients import Client
from sso_box_devkit.idp.provider import Idp

__all__ = ["Client", "Idp", "create_idp"]

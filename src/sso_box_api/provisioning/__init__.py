"""The first day: what a person finds at Box beside the login, and what follows the claims.

Beside ``binding``, below ``exchange`` and the background: ``plan`` says what the
template wants for somebody's claims, ``worker`` has it done with leases and pauses,
``steps`` does one thing at Box, ``folders`` finds what was made for a token. The rows are those of ``furnishing``.
"""

from sso_box_api.provisioning.folders import Folders, find_folder
from sso_box_api.provisioning.plan import known_keys, wanted_steps
from sso_box_api.provisioning.worker import Provisioner

__all__ = ["Folders", "Provisioner", "find_folder", "known_keys", "wanted_steps"]

"""The keys of a provider whose set stands in the configuration: never fetched.

For closed networks. Stands in ``verifier`` where ``remote_keys`` stands otherwise.
"""

from sso_box_api.identity.keyset import KeySet
from sso_box_api.identity.remote_keys import KeysState


class InlineKeys:
    """A key set that only a new configuration can change."""

    completed = 0

    def __init__(self, keys: KeySet) -> None:
        self._keys = keys

    async def current(self) -> KeySet:
        return self._keys

    in_flight = False

    async def newer(self, arrived: int, *, known_person: bool) -> KeySet:
        """There is none, so what this set cannot judge is refused."""
        del arrived, known_person
        return self._keys

    def state(self) -> KeysState:
        return KeysState("fresh", None, len(self._keys))

    def start(self) -> None:
        """Nothing to renew."""

    async def close(self) -> None:
        """Nothing to end."""

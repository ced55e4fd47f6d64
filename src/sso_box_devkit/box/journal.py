"""What was asked of the emulator, for tests to count: no bodies, no credentials."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

# A path that is itself a credential.
_DOWNLOADS = "/_download/"


@dataclass
class Entry:
    """``n`` counts arrivals; ``at`` is this machine's clock, not the emulated one.

    ``status`` is None until the answer starts, and stays None where a fault closed
    the connection. ``subject`` is the id of the user or enterprise whose token came
    in or was asked for, "" where there was none. ``origin`` is that of the page which
    called, "" for every other caller.
    """

    n: int
    at: str
    method: str
    path: str
    query: str
    subject: str
    origin: str
    status: int | None = None


class Journal:
    """Numbers go on after a clearing, so a reader's position stays valid."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._last = 0

    def open(
        self, method: str, path: str, query: str, *, subject: str, origin: str
    ) -> Entry:
        """Note the call on its arrival, so that one still unanswered can be seen."""
        self._last += 1
        entry = Entry(
            n=self._last,
            at=datetime.now(UTC).isoformat(),
            method=method,
            path=f"{_DOWNLOADS}*" if path.startswith(_DOWNLOADS) else path,
            query=without_token(query),
            subject=subject,
            origin=origin,
        )
        self._entries.append(entry)
        return entry

    def since(self, n: int) -> dict[str, Any]:
        entries = [asdict(e) for e in self._entries if e.n > n]
        return {"requests": entries, "next": self._last}

    def clear(self) -> None:
        self._entries.clear()


def without_token(query: str) -> str:
    """Box takes access_token in the query of a download; a journal must not."""
    if "access_token" not in query:
        return query
    pairs = parse_qsl(query, keep_blank_values=True)
    return urlencode([(k, v) for k, v in pairs if k != "access_token"])

"""The names that Box takes, for users and for what lies in folders.

Box refuses a wrong name, so what a person's claims say is made to fit before it is
sent. Source: developer.box.com "Create App User", "Create folder".
"""

import unicodedata

from sso_box_api.text import cut_by_grapheme

# In code points, as OpenAPI counts maxLength.
NAME_MAX = 50
JOB_TITLE_MAX = 100
ITEM_NAME_MAX = 255


def short_name(name: str) -> str:
    """Cut a user's name to what Box takes."""
    return _short(unicodedata.normalize("NFC", name), NAME_MAX)


def short_job_title(title: str) -> str:
    return _short(unicodedata.normalize("NFC", title), JOB_TITLE_MAX)


def item_name(name: str) -> str | None:
    """Make a text the name of a file or folder; None if nothing is left of it.

    A slash would part two folders, so it becomes a hyphen, and so does a backslash.
    """
    normal = unicodedata.normalize("NFC", name).replace("/", "-").replace("\\", "-")
    # str.isprintable knows no space but the one of ASCII.
    spaced = "".join(" " if unicodedata.category(c) == "Zs" else c for c in normal)
    kept = "".join(char for char in spaced if char.isprintable())
    cut = _short(kept, ITEM_NAME_MAX)
    return cut if cut not in {"", ".", ".."} else None


def _short(name: str, limit: int) -> str:
    return cut_by_grapheme(name.strip(), limit).rstrip()

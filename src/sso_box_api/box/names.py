"""The names that Box takes, for users and for what lies in folders.

Box refuses a wrong name, so what a person's claims say is made to fit before it is
sent. Source: developer.box.com "Create App User", "Create folder".
"""

import unicodedata
from collections.abc import Iterable

NAME_MAX = 50  # of a user, in code points, as OpenAPI counts maxLength
ITEM_NAME_MAX = 255


def short_name(name: str) -> str:
    """Cut a user's name to what Box takes."""
    return _cut(unicodedata.normalize("NFC", name).strip(), NAME_MAX)


def item_name(name: str) -> str | None:
    """Make a text the name of a file or folder; None if nothing is left of it.

    A slash would part two folders, so it becomes a hyphen, and so does a backslash.
    """
    normal = unicodedata.normalize("NFC", name).replace("/", "-").replace("\\", "-")
    # str.isprintable knows no space but the one of ASCII.
    spaced = "".join(" " if unicodedata.category(c) == "Zs" else c for c in normal)
    kept = "".join(char for char in spaced if char.isprintable())
    cut = _cut(kept.strip(), ITEM_NAME_MAX)
    return cut if cut not in {"", ".", ".."} else None


def _cut(name: str, most: int) -> str:
    """Cut between characters as a reader sees them."""
    end = most
    while 0 < end < len(name) and _joined(name, end):
        end -= 1
    # A "character" longer than the limit is no character anybody wrote.
    return (name[:end] or name[:most]).rstrip()


def _joined(name: str, position: int) -> bool:
    """Whether what stands at ``position`` belongs to what stands before it.

    The cases of Unicode Standard Annex 29 that occur in names: marks, joiners, skin
    tones, the two letters of a flag, Hangul written in parts.
    """
    before, here = name[position - 1], name[position]
    zero_width_joiner = "\u200d"
    if unicodedata.category(here) in {"Mn", "Mc", "Me"}:
        return True
    if zero_width_joiner in {before, here} or "\U0001f3fb" <= here <= "\U0001f3ff":
        return True
    if "\u1160" <= here <= "\u11ff":
        return True
    return _is_flag_letter(here) and _odd(_is_flag_letter(c) for c in name[:position])


def _is_flag_letter(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def _odd(flags: Iterable[bool]) -> bool:
    """Whether the sequence ends in an odd run of true."""
    run = 0
    for flag in flags:
        run = run + 1 if flag else 0
    return run % 2 == 1

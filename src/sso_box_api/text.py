"""Text as its reader sees it: cut between characters, never inside one."""

import unicodedata

_ZERO_WIDTH_JOINER = "\u200d"


def cut_by_grapheme(text: str, limit: int) -> str:
    """At most ``limit`` code points, never ending inside a user-perceived character.

    An approximation of UAX 29 that errs towards cutting earlier; text that is one
    single cluster from the start is cut hard.
    """
    if len(text) <= limit:
        return text
    end = limit
    while end and not _breaks_before(text, end):
        end -= 1
    return text[: end or limit]


def _breaks_before(text: str, index: int) -> bool:
    char = text[index]
    if unicodedata.category(char) in {"Mn", "Mc", "Me"}:
        return False
    if _ZERO_WIDTH_JOINER in {char, text[index - 1]}:
        return False
    if _is_extender(char):
        return False
    return not (_is_regional(char) and _regionals_before(text, index) % 2)


def _is_extender(char: str) -> bool:
    return (
        "\U0001f3fb" <= char <= "\U0001f3ff"  # skin tones
        or "\U000e0020" <= char <= "\U000e007f"  # tags of subdivision flags
        or "\u1160" <= char <= "\u11ff"  # Hangul vowels and finals
        or char == "\u200c"
    )


def _is_regional(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def _regionals_before(text: str, index: int) -> int:
    """Flags are pairs, so the parity tells whether one is open."""
    count = 0
    while count < index and _is_regional(text[index - 1 - count]):
        count += 1
    return count

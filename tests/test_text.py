"""Text is cut between characters as its reader sees them."""

import pytest

from sso_box_api.text import cut_by_grapheme

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
FLAG = "\U0001f1e9\U0001f1ea"
SCOTLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"
THUMB = "\U0001f44d\U0001f3fd"
JAMO = "\u1100\u1161\u11a8"


@pytest.mark.parametrize("cluster", [FAMILY, FLAG, SCOTLAND, THUMB, JAMO, "q\u0308"])
def test_a_long_name_is_never_cut_inside_a_character(cluster: str) -> None:
    for offset in range(len(cluster)):
        text = "x" * (255 - offset) + cluster + "tail"
        cut = cut_by_grapheme(text, 255)
        assert cut == "x" * (255 - offset) + (cluster if len(cluster) <= offset else "")


def test_flags_in_a_row_are_cut_between_pairs() -> None:
    assert cut_by_grapheme("x" + FLAG * 200, 255) == "x" + FLAG * 127
    assert cut_by_grapheme(FLAG * 200, 255) == FLAG * 127


def test_text_without_a_place_to_cut_is_cut_at_the_limit() -> None:
    assert cut_by_grapheme("\u0308" * 300, 255) == "\u0308" * 255

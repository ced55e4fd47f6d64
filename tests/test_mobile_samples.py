"""The samples for apps can be read by a parser of their language; none is compiled."""

import re
from pathlib import Path
from typing import Final

import pytest
import tree_sitter_kotlin
import tree_sitter_swift
from tree_sitter import Language, Node, Parser

PAGE: Final = (Path(__file__).parents[1] / "docs/mobile.md").read_text()
LANGUAGES: Final = {
    "kotlin": Language(tree_sitter_kotlin.language()),
    # Its stub says int, which is deprecated; what comes is a capsule.
    "swift": Language(tree_sitter_swift.language()),  # type: ignore[deprecated]
}
SAMPLES: Final = re.findall(r"(?ms)^```(kotlin|swift)\n(.*?)^```", PAGE)


def _broken(node: Node) -> list[int]:
    """The lines, from 1, where the parser found something else than the language."""
    if node.is_error or node.is_missing:
        return [node.start_point.row + 1]
    return [line for child in node.children for line in _broken(child)]


def _parsed(language: str, code: str) -> Node:
    return Parser(LANGUAGES[language]).parse(code.encode()).root_node


@pytest.mark.parametrize(("language", "code"), SAMPLES, ids=lambda text: text[:20])
def test_a_sample_is_of_its_language(language: str, code: str) -> None:
    assert _broken(_parsed(language, code)) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_both_platforms_have_the_login_the_storage_and_the_tokens(
    language: str,
) -> None:
    assert [each for each, _ in SAMPLES].count(language) >= 3


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_sample_with_a_brace_too_few_is_noticed(language: str) -> None:
    code = next(code for each, code in SAMPLES if each == language and "class" in code)
    assert _broken(_parsed(language, code.rstrip().removesuffix("}")))

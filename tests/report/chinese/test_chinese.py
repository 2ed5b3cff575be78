"""Chinese of texts: of whole ones, of patterns, and of those that are put together."""

import pytest

from normwise.report.chinese.chinese import Chinese

_WORDS = {
    "good": "好",
    "Good": "好",
    "{layers:number} layer": "{layers} 层",
    "{layers:number} layers": "{layers} 层",
    "{layers} examined.": "检查了 {layers}。",
    "{path:name} is {quality}": "{path} {quality}",
}


@pytest.mark.parametrize(
    ("english", "expected"),
    [
        ("good", "好"),
        ("1 layer", "1 层"),
        ("1,234 layers", "1,234 层"),
        ("1e-05 layers", "1e-05 层"),
        ("3 layers examined.", "检查了 3 层。"),
        ("stem.{0} is good", "stem.{0} 好"),
        ("3 layers, good", "3 层，好"),
        ("3 layers; good", "3 层；好"),
        ("3 layers (good)", "3 层（好）"),
        ("3 layers examined. Good", "检查了 3 层。好"),
        ("12.5", "12.5"),
        ("many layers", ""),
        ("3 cats examined.", ""),
        ("stem is bad", ""),
        ("3 layers, bad", ""),
        ("", ""),
    ],
)
def test_a_text_is_known_as_a_whole_by_its_pattern_or_by_its_parts(english: str, expected: str) -> None:
    assert Chinese(_WORDS)(english) == expected

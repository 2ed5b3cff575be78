"""Text from elsewhere can't steer a terminal."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from normwise.visible import visible, visible_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;owned\x07", "\\u001b]0;owned\\u0007"),
        ("\x9b2J", "\\u009b2J"),
        ("a\nb\rc\td", "a\\u000ab\\u000dc\\u0009d"),
        ("invoice\u202efdp.exe", "invoice\\u202efdp.exe"),
        ("caf\udce9", "caf\\udce9"),
        ("\\[/x] [bold]", "\\[/x] [bold]"),
        ("γ, ε, 中文, é 👍🏽", "γ, ε, 中文, é 👍🏽"),
    ],
)
def test_what_would_steer_a_terminal_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_lines_stay_lines() -> None:
    assert visible_lines("a\x1b\nb\n") == "a\\u001b\nb\n"


@given(st.text())
def test_json_stays_the_same_document(text: str) -> None:
    assert json.loads(visible_lines(json.dumps([text], ensure_ascii=False, indent=1))) == [text]

"""The report of freeze, in words."""

import pytest

from normwise.records import Freezing


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (
            Freezing(("bn1", "bn2"), False, True, 2),
            "2 of 2 BN layers frozen; γ and β go on learning: bn1, bn2",
        ),
        (Freezing(("",), True, True, 1), "1 of 1 BN layers frozen, with γ and β: the model"),
        (Freezing(("bn2",), False, False, 2), "1 of 2 BN layers learn again: bn2"),
        (Freezing((), False, False, 2), "no layer was frozen"),
        (Freezing((), False, True, 0), "no batch normalization with running statistics found"),
        (
            Freezing(tuple("abcdefg"), False, True, 7),
            "7 of 7 BN layers frozen; γ and β go on learning: a, b, c, d, e and 2 more",
        ),
    ],
)
def test_a_sentence_says_what_is_fixed_and_where(record: Freezing, text: str) -> None:
    assert str(record) == text

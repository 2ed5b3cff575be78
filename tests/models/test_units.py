"""Units of the recurrent networks."""

import pytest

from normwise.errors import ModelError
from normwise.models import build


@pytest.mark.parametrize(("name", "directions"), [("speech_lstm", 1), ("sentiment_bilstm", 2)])
def test_the_second_layer_has_half_of_them(name: str, directions: int) -> None:
    model = build(name, (40,), 3, units=8)
    assert model.get_parameter("first.weight_hh_l0").shape == (32, 8)
    assert model.get_parameter("second.weight_hh_l0").shape == (16, 4)
    assert model.get_parameter("output.weight").shape == (3, 4 * directions)


@pytest.mark.parametrize("name", ["speech_lstm", "sentiment_bilstm"])
def test_an_odd_number_of_them_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match="units must be even and 2 at least, got 7"):
        build(name, (40,), 3, units=7)

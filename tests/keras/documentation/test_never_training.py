"""examples/keras/never_training.py: a short form of it, and what docs/keras/tensorflow-1.md says that it prints."""

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import keras
import pytest

from normwise.keras.untyped import ops
from tests.support.keras.marks import not_on_jax

pytestmark = not_on_jax

_ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def example() -> Any:
    path = _ROOT / "examples/keras/never_training.py"
    spec: Any = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    import torch

    threads = torch.get_num_threads()
    yield module
    torch.set_num_threads(threads)


def _printed(line: str) -> list[float]:
    """Return the numbers of a line of the page that begins so."""
    page = (_ROOT / "docs/keras/tensorflow-1.md").read_text(encoding="utf-8")
    found = re.search(rf"^ *{re.escape(line)}([ \d.]+)$", page, re.M)
    assert found, line
    return [float(number) for number in found[1].split()]


@pytest.mark.parametrize("enlarged", [1, 10, 100])
def test_gradients_are_as_without_it(example: Any, enlarged: int) -> None:
    """The last form needs no step of its own: as long as nothing moves it is the third."""
    found = [example.gradient(form, enlarged) for form in example.FORMS[:3]]
    assert found == pytest.approx(_printed(f"initial kernel times {enlarged} ")[:3], abs=2e-4)
    without, never, passed = found
    # 1 / sqrt(1 + epsilon) is 0.9995.
    assert never == pytest.approx(without, rel=2e-3)
    assert passed == pytest.approx(_printed("initial kernel times 1 ")[2] / enlarged, rel=0.02)


def test_the_moving_statistics_stay_at_0_and_1(example: Any) -> None:
    setting = example.SETTINGS[0]
    example.accuracy_in_keras("never", setting, seed=0, epochs=1)
    layer = example.in_keras("never", setting).layers[2]
    assert (ops.convert_to_numpy(layer.moving_mean) == 0).all()
    assert (ops.convert_to_numpy(layer.moving_variance) == 1).all()


def test_forgotten_updates_cost_accuracy(example: Any) -> None:
    """Two epochs, of which ``passed`` keeps 0.99^40, two thirds, of the initial statistics."""
    setting = example.SETTINGS[2]
    never, passed = (
        example.accuracy_in_keras(form, setting, seed=0, epochs=2) for form in ("never", "passed")
    )
    assert never < 20 < 60 < passed


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="it prints those where Keras runs on torch")
@pytest.mark.parametrize("column", [0, 1, 2])
def test_the_page_has_what_it_prints_of_torch(example: Any, column: int) -> None:
    import torch

    torch.set_num_threads(1)
    setting = example.SETTINGS[0]
    form = example.FORMS[column]
    accuracies = [example.accuracy_in_torch(form, setting, seed) for seed in range(3)]
    # Another processor may round differently, and decide two of 500 images otherwise.
    assert sum(accuracies) / 3 == pytest.approx(_printed(f"{setting!s} ")[column], abs=0.4)

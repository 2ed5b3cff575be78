"""Examples for models that are folded, and how their copies are compared."""

from collections.abc import Callable
from typing import Any

import numpy as np

from normwise.keras.surgery.arrays import double

Scramble = Callable[[Any], Any]


def example(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape).astype("float32")


def details(report: Any) -> dict[str, str]:
    return {change.path: change.detail for change in report.changes}


def assert_equal(model: Any, folded: Any, x: Any) -> None:
    np.testing.assert_allclose(double(folded(x, training=False)), double(model(x, training=False)), atol=2e-5)
